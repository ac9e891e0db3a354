package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"mtguard/security/access"
)

// route is one operation of the API. What stands in no route is not served.
type route struct {
	method  string
	path    string
	least   access.Level // that the actor needs
	id      string
	summary string
	add     func(*server, route)
}

const (
	reads    = access.ReadOnly
	operates = access.Admin
	owns     = access.Superuser
)

// routes is the API.
var routes = []route{
	{http.MethodGet, "/status", reads, "get-status", "The node at a glance", typed((*server).getStatus)},

	{http.MethodGet, "/users", reads, "list-users", "List users by name", typed((*server).listUsers)},
	{http.MethodPost, "/users", operates, "add-user", "Make a user; the answer holds its links", typed((*server).addUser)},
	{http.MethodGet, "/users/{name}", reads, "get-user", "Show a user", typed((*server).getUser)},
	{http.MethodPatch, "/users/{name}", operates, "set-user", "Change a user", typed((*server).setUser, revised)},
	{http.MethodDelete, "/users/{name}", operates, "remove-user", "Remove a user and erase its secrets", typed((*server).removeUser, revised)},
	{http.MethodPost, "/users/{name}/links", operates, "reveal-links", "Hand out a user's links; audited", typed((*server).revealLinks)},
	{http.MethodPut, "/users/{name}/page", operates, "open-page", "Give a user a page of its own", typed((*server).openPage)},
	{http.MethodPost, "/users/{name}/page", operates, "renew-page", "Move a user's page to a new address", typed((*server).renewPage)},
	{http.MethodDelete, "/users/{name}/page", operates, "close-page", "Take a user's page away", typed((*server).closePage)},
	{http.MethodPost, "/users/{name}/split", operates, "split-leak", "Give each holder of a user's leaked secret one of his own; the answer holds their links", typed((*server).splitLeak)},
	{http.MethodGet, "/users/{name}/leaks", reads, "get-leak", "Where a user's secrets come from, and what leaked of them", typed((*server).getLeak)},
	{http.MethodGet, "/leaks", reads, "list-leaks", "List splits of leaked secrets, the newest first", typed((*server).listLeaks)},
	{http.MethodPost, "/links", operates, "reveal-all-links", "Hand out everybody's links; audited", typed((*server).revealAllLinks)},

	{http.MethodPost, "/qr", reads, "draw-qr", "Draw a text as a QR code; keeps nothing of it", typed((*server).drawQR)},

	{http.MethodGet, "/keys", reads, "list-keys", "List keys, never their material", typed((*server).listKeys)},
	{http.MethodGet, "/keys/{id}", reads, "get-key", "Show a key; a unique beginning of its id does", typed((*server).getKey)},
	{http.MethodPost, "/keys/{id}/revoke", operates, "revoke-key", "Take a key out at once and end its sessions", typed((*server).revokeKey)},
	{http.MethodPost, "/keys/rotate", operates, "rotate-keys", "Rotate users' secrets, or what seals", typed((*server).rotateKeys)},
	{http.MethodGet, "/keys/history", reads, "list-key-events", "What happened to keys, the newest first", typed((*server).listKeyEvents)},
	{http.MethodGet, "/keys/schedule", reads, "get-schedule", "How secrets rotate by themselves", typed((*server).getSchedule)},
	{http.MethodPut, "/keys/schedule", operates, "set-schedule", "Set how secrets rotate by themselves", typed((*server).setSchedule)},

	{http.MethodGet, "/access-rules", reads, "list-rules", "List the rules that say what may be done from where", typed((*server).listRules)},
	{http.MethodPost, "/access-rules", operates, "add-rule", "Make a rule", typed((*server).addRule)},
	{http.MethodGet, "/access-rules/{id}", reads, "get-rule", "Show a rule", typed((*server).getRule)},
	{http.MethodDelete, "/access-rules/{id}", operates, "remove-rule", "Take a rule out", typed((*server).removeRule)},
	{http.MethodPost, "/access-rules/{id}/confirm", operates, "confirm-rule", "Keep a rule that would end by itself because it shuts out who made it", typed((*server).confirmRule)},
	{http.MethodGet, "/access/check", reads, "check-access", "What would become of a connection, and which rules say so", typed((*server).checkAccess)},
	{http.MethodGet, "/limits/check", reads, "check-limits", "Where an address or a user is with the limits, without counting", typed((*server).checkLimits)},
	{http.MethodGet, "/blocks", reads, "list-blocked", "What may be dropped before it reaches the proxy, which would refuse all of it", typed((*server).listBlocked)},
	{http.MethodPost, "/blocks", operates, "block", "Shut an address out for a while", typed((*server).block)},
	{http.MethodDelete, "/blocks", operates, "unblock", "Take blocks of an address back", typed((*server).unblock)},
	{http.MethodGet, "/lists", reads, "list-lists", "List the lists of addresses that are kept up to date", typed((*server).listLists)},
	{http.MethodGet, "/lists/{name}", reads, "get-list", "Show a list, not its entries", typed((*server).getList)},
	{http.MethodPut, "/lists/{name}", operates, "set-list", "Subscribe to a list, or change how", typed((*server).setList)},
	{http.MethodDelete, "/lists/{name}", operates, "remove-list", "Take a list out with all its entries", typed((*server).removeList)},
	{http.MethodPost, "/lists/{name}/reload", operates, "reload-list", "Read a list now", typed((*server).reloadList)},

	{http.MethodGet, "/threat", reads, "get-threat", "What was found of attacks, and done about them", typed((*server).getThreat)},
	{http.MethodGet, "/threat/findings", reads, "list-threat-findings", "The last findings, the newest first", typed((*server).listThreatFindings)},

	{http.MethodGet, "/incidents", reads, "list-incidents", "List incidents, the newest first", typed((*server).listIncidents)},
	{http.MethodGet, "/incidents/{id}", reads, "get-incident", "Show an incident with its timeline and similar ones", typed((*server).getIncident)},
	{http.MethodPost, "/incidents/{id}/{to}", operates, "move-incident", "Take an incident to another state: acknowledged, contained, resolved or false-positive", typed((*server).moveIncident)},

	{http.MethodGet, "/stats", reads, "get-stats", "The node's numbers, as they are scraped from it", typed((*server).getStats)},
	{http.MethodGet, "/stats/series", reads, "get-series", "What numbers of the node were over time, up to 90 days back", typed((*server).getSeries)},

	{http.MethodGet, "/policy", reads, "get-policy", "The policy in force, or an earlier revision", typed((*server).getPolicy)},
	{http.MethodPut, "/policy", owns, "set-policy", "Replace the policy", typed((*server).setPolicy, revised)},
	{http.MethodGet, "/policy/history", reads, "list-policies", "The revisions of the policy, the newest first", typed((*server).listPolicies)},
	{http.MethodGet, "/policy/explain", reads, "explain-policy", "Every value in force, and where it comes from", typed((*server).explainPolicy)},
	{http.MethodPost, "/policy/explain", reads, "explain-document", "Every value that a document would have, and where from; changes nothing", typed((*server).explainDocument)},
	{http.MethodPost, "/policy/preview", reads, "preview-policy", "What a policy, or one control, would have refused of the connections that came lately; changes nothing", typed((*server).previewPolicy)},
	{http.MethodGet, "/policy/diff", reads, "diff-policies", "What differs between two revisions", typed((*server).diffPolicies)},
	{http.MethodPost, "/policy/rollback", owns, "roll-back-policy", "Put an earlier revision in force, as a new one", typed((*server).rollBackPolicy)},
	{http.MethodGet, "/policy/controls", reads, "list-controls", "Every control: its mode, and what it did or would have done", typed((*server).listControls)},
	{http.MethodPatch, "/policy/controls/{name}", operates, "set-control", "Set the mode of a control; anything but monitor takes the level superuser", typed((*server).setControl)},
	{http.MethodGet, "/rollout", reads, "get-rollout", "Where every control stands, and what keeps it from the next stage", typed((*server).getRollout)},
	{http.MethodPost, "/rollout/{name}/next", owns, "advance-control", "Take a control one stage up, if the gate is open", typed((*server).advanceControl)},
	{http.MethodPost, "/rollout/{name}/back", operates, "step-control-back", "Take a control one stage down", typed((*server).stepControlBack)},
	{http.MethodGet, "/policy/trials", reads, "list-trials", "Changes of the policy that revert by themselves unless somebody keeps them", typed((*server).listTrials)},
	{http.MethodPost, "/policy/trials/{revision}/keep", owns, "keep-trial", "Let a policy on trial stay", typed((*server).keepTrial)},
	{http.MethodDelete, "/policy/trials/{revision}", operates, "end-trial", "Revert a policy on trial at once", typed((*server).endTrial)},
	{http.MethodGet, "/policy/exceptions", reads, "list-exceptions", "List exceptions", typed((*server).listExceptions)},
	{http.MethodPost, "/policy/exceptions", operates, "add-exception", "Spare somebody some controls for a while", typed((*server).addException)},
	{http.MethodDelete, "/policy/exceptions/{id}", operates, "remove-exception", "End an exception", typed((*server).removeException)},
	{http.MethodGet, "/policy/bundles", reads, "get-bundles", "Where policy bundles come from, and what waits to be approved", typed((*server).getBundles)},
	{http.MethodPut, "/policy/bundles", owns, "set-bundles", "Subscribe to the policy bundles of a publisher", typed((*server).setBundles)},
	{http.MethodDelete, "/policy/bundles", operates, "stop-bundles", "Look for no more bundles; what was applied stays", typed((*server).stopBundles)},
	{http.MethodPost, "/policy/bundles/approve", owns, "approve-bundle", "Apply the bundle that waits", typed((*server).approveBundle)},
	{http.MethodPost, "/policy/break-glass", owns, "break-glass", "Put every control but the memory bounds in monitor, for a while", typed((*server).breakGlass)},
	{http.MethodDelete, "/policy/break-glass", operates, "end-break-glass", "Put the controls back in their modes", typed((*server).endGlass)},

	{http.MethodGet, "/crypto", reads, "get-crypto", "What cryptography the node is made of, which of it may be used, and what is known against it", typed((*server).getCrypto)},
	{http.MethodPost, "/crypto/check", operates, "check-crypto", "Ask the sources of the configuration now", typed((*server).checkCrypto)},
	{http.MethodPut, "/crypto/bulletin", owns, "take-bulletin", "Put a signed crypto bulletin in force; it can only tighten", typed((*server).takeBulletin)},
	{http.MethodDelete, "/crypto/bulletin", owns, "drop-bulletin", "Take the crypto bulletin out of force", typed((*server).dropBulletin)},

	{http.MethodGet, "/alerts", reads, "get-alerts", "What fires, who is told, and what is silenced", typed((*server).getAlerts)},
	{http.MethodPost, "/alerts/test", operates, "test-alerts", "Send a test to receivers of alerts, and say what they answered", typed((*server).testAlerts)},
	{http.MethodPost, "/alerts/silences", operates, "silence-alerts", "Begin a maintenance window", typed((*server).silenceAlerts)},
	{http.MethodDelete, "/alerts/silences/{id}", operates, "end-silence", "End a maintenance window", typed((*server).endSilence)},

	{http.MethodGet, "/events", reads, "watch-events", "What happens, as it happens; rows of the audit log take the level admin", plain((*server).watchEvents, describeEvents)},

	{http.MethodPost, "/seal", operates, "seal", "Seal a blob", plain((*server).seal, describeSeal)},
	{http.MethodPost, "/open", operates, "open", "Open a sealed blob", plain((*server).open, describeOpen)},
	{http.MethodPost, "/backups", owns, "create-backup", "A sealed copy of the store", typed((*server).createBackup, describeBackup)},

	{http.MethodPost, "/audits", operates, "run-audit", "Audit the node now", typed((*server).runAudit)},
	{http.MethodGet, "/audits", reads, "list-audits", "The audits, the newest first", typed((*server).listAudits)},
	{http.MethodGet, "/audits/diff", reads, "diff-audits", "What differs between two audits", typed((*server).diffAudits)},
	{http.MethodGet, "/audits/schedule", reads, "get-audit-schedule", "When audits run by themselves", typed((*server).getAuditSchedule)},
	{http.MethodPut, "/audits/schedule", operates, "set-audit-schedule", "Set when audits run by themselves", typed((*server).setAuditSchedule)},
	{http.MethodGet, "/audits/findings", reads, "list-findings", "What audits found, the worst first", typed((*server).listFindings)},
	{http.MethodGet, "/audits/findings/{id}", reads, "get-finding", "Show a finding; a unique beginning of its id does", typed((*server).getFinding)},
	{http.MethodPost, "/audits/findings/{id}/ack", operates, "ack-finding", "Say that somebody is at work on a finding", typed((*server).ackFinding)},
	{http.MethodPost, "/audits/findings/{id}/accept", owns, "accept-finding", "Accept the risk of a finding for a while", typed((*server).acceptFinding)},

	{http.MethodGet, "/tokens", reads, "list-tokens", "List the tokens of programs, without their secrets", typed((*server).listTokens)},
	{http.MethodPost, "/tokens", owns, "create-token", "Make a token; the answer holds it, once", typed((*server).createToken)},
	{http.MethodDelete, "/tokens/{id}", operates, "revoke-token", "Revoke a token, by its id or name", typed((*server).revokeToken)},
	{http.MethodGet, "/sessions", reads, "list-sessions", "List the browsers that are signed in", typed((*server).listSessions)},
	{http.MethodDelete, "/sessions/{id}", operates, "end-session", "Sign a browser out", typed((*server).endSession)},
	{http.MethodPost, "/sessions/end", operates, "end-sessions", "Sign out all browsers of a person, or from a prefix", typed((*server).endSessions)},
	{http.MethodGet, "/clients", operates, "list-clients", "List the sessions of clients of the proxy, those that moved most first", typed((*server).listClients)},
	{http.MethodPost, "/clients/end", operates, "end-clients", "End the sessions of clients of a user, or from a prefix; they may come again", typed((*server).endClients)},
	{http.MethodPost, "/sign-in-codes", owns, "make-code", "Make a code that signs a person in once; over the Unix socket only", typed((*server).makeCode)},
	{http.MethodGet, "/passkeys", reads, "list-passkeys", "List the passkeys that people sign in with", typed((*server).listPasskeys)},
	{http.MethodDelete, "/passkeys/{id}", owns, "remove-passkey", "Take a passkey out, and sign out whom it signed in", typed((*server).removePasskey)},
	{http.MethodGet, "/approvals", reads, "list-approvals", "List changes that wait, or waited, for a second person, the newest first", typed((*server).listApprovals)},
	{http.MethodGet, "/approvals/{id}", reads, "get-approval", "Show a change that waits, or waited, for a second person: all of it, and what it would make of the policy in force", typed((*server).getApproval)},
	{http.MethodPost, "/approvals/{id}/approve", operates, "approve", "Make a change that waits for a second person; takes the level of that change, and another person", typed((*server).approve)},
	{http.MethodPost, "/approvals/{id}/refuse", operates, "refuse-approval", "End a change that waits for a second person", typed((*server).refuseApproval)},
	{http.MethodGet, "/reports/{kind}", reads, "get-report", "A report of a period, without a seal; the same query gives the same bytes", typed((*server).getReport, describeReport)},
	{http.MethodPost, "/reports/{kind}", reads, "seal-report", "A report of a period with the proof, by the audit log, that it is what was made", typed((*server).sealReport, describeReport)},

	{http.MethodGet, "/auditlog", operates, "list-audit-rows", "The last rows of the audit log", typed((*server).listAuditRows)},
	{http.MethodGet, "/auditlog/key", reads, "get-audit-key", "The public key of the audit log", typed((*server).getAuditKey)},
	{http.MethodGet, "/auditlog/export", operates, "export-audit-log", "The whole audit log, to be verified elsewhere", plain((*server).exportAuditLog, describeExport)},
	{http.MethodPost, "/auditlog/verify", reads, "verify-audit-log", "Verify the whole audit log", typed((*server).verifyAuditLog)},
}

// operation is what huma is told of r.
func (r route) operation() huma.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	return huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary,
		Description: "Takes the level " + r.least.String() + ".",
		Tags:        []string{tag},
		// The body is in memory already; and huma never lifts the deadline it sets.
		BodyReadTimeout: -1,
		MaxBodyBytes:    maxBody + 1,
	}
}

// typed registers a handler that huma reads the input for, checks it, and writes
// the output of.
func typed[I, O any](h func(*server, context.Context, *I) (*O, error), describe ...func(*huma.Operation)) func(*server, route) {
	return func(s *server, r route) {
		op := r.operation()
		for _, add := range describe {
			add(&op)
		}
		huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := h(s, ctx, in)
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			return out, nil
		})
	}
}

// plain registers a handler of blobs and streams, which huma would keep in memory
// twice, and describes it by hand.
func plain(h func(*server, http.ResponseWriter, *http.Request) error, describe func(*huma.Operation)) func(*server, route) {
	return func(s *server, r route) {
		op := r.operation()
		describe(&op)
		op.Responses["default"] = s.problemResponse()
		s.api.OpenAPI().AddOperation(&op)
		s.mount(r.method+" "+apiPath+r.path, func(w http.ResponseWriter, request *http.Request) {
			if err := h(s, w, request); err != nil {
				s.fail(w, request, err)
			}
		})
	}
}
