package control

import (
	"net/netip"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/keys"
)

// Actor is who asks: "uid 0", "schedule", "file". Its level comes from how it
// was recognised, never from what it says.
type Actor struct {
	Name  string
	Level access.Level
	// From is the address that this person comes from, where it is known: a rule that
	// would shut it out is questioned.
	From netip.Addr
	// Person is who answers for what is done, where it is known: nobody approves what he
	// has asked for himself, whichever of his credentials he uses. See mayBeOne.
	Person string
	shown  credential
}

// credential is what somebody has shown; that of a system's user is empty.
type credential struct {
	Token   string // ID
	Passkey string // ID of the one that a session was opened, or made fresh, with last
	Person  string // of a session, as it is shown
	Session int64  // when it began, microseconds since 1970: its ID is another one after a step-up
}

// Options go with every change.
type Options struct {
	// Reason stands in the audit log. Changes that cut people off require one.
	Reason string
	// IfRevision, unless 0, is the revision of the object that the actor has
	// seen; when it has another one by now the change is Stale.
	IfRevision store.Revision
	// IdempotencyKey makes a repetition of the same change by the same person
	// within a day do nothing and answer what the first did, links left out.
	IdempotencyKey string
	// DryRun does everything but keep it.
	DryRun bool
	// Force overrides the safety rules that say so.
	Force bool
	// RevertAfter, unless 0, makes a change of the policy a trial: it reverts by itself
	// unless KeepTrial keeps it. Other changes do not look at it.
	RevertAfter Duration
}

// Result tells what a change did.
type Result struct {
	Revision  store.Revision `json:"revision"` // of the store, with the change in it
	Summary   string         `json:"summary"`  // one line for people
	DryRun    bool           `json:"dry_run,omitempty"`
	Repeated  bool           `json:"repeated,omitempty"` // an earlier request with this idempotency key did it
	User      *UserInfo      `json:"user,omitempty"`
	Keys      []KeyInfo      `json:"keys,omitempty"`     // those that the change was about; of many the first 100
	Links     []Link         `json:"links,omitempty"`    // secret; only where the change hands them out
	Page      string         `json:"page,omitempty"`     // the page's address, secret
	Affected  int            `json:"affected,omitempty"` // users
	Rule      *RuleInfo      `json:"rule,omitempty"`
	List      *ListInfo      `json:"list,omitempty"`
	Exception *ExceptionInfo `json:"exception,omitempty"`
	Policy    *PolicyInfo    `json:"policy,omitempty"`
	Trial     *TrialInfo     `json:"trial,omitempty" doc:"the change reverts by itself unless somebody keeps it"`
	Finding   *FindingInfo   `json:"finding,omitempty"`
	Incident  *IncidentInfo  `json:"incident,omitempty"`
	Leak      *LeakInfo      `json:"leak,omitempty"`
	Ended     int            `json:"ended,omitempty"` // live sessions
	Token     *TokenInfo     `json:"token,omitempty"`
	Secret    string         `json:"secret,omitempty" doc:"a credential that was made, shown once"`
	Approval  *ApprovalInfo  `json:"approval,omitempty" doc:"the change is not made: it waits for a second person"`
	Closed    int            `json:"closed,omitempty" doc:"sessions of browsers"`
	Spared    []string       `json:"spared,omitempty" doc:"prefixes that the node did not block, since somebody is there"`

	brief string // of the policy's changes: what would be another, for whoever approves it
}

// Change is something an actor may ask for. The list is closed: every change is
// authorised, validated, committed and audited the same way, by Plane.Apply.
type Change interface {
	action() string // in the audit log
	object() string // in the audit log; never secret
	least() access.Level
	apply(*transaction) error
}

// Quota is how many bytes, up and down together, a user may move per "day" or
// "month" (UTC). The zero Quota is no bound.
type Quota struct {
	Bytes int64  `json:"bytes" minimum:"0"`
	Per   string `json:"per" enum:"day,month,"`
}

// AddUser makes a user with a fresh secret, or with Import.
type AddUser struct {
	Name           string
	Level          access.Level // None is not "default": say Standard
	Expires        time.Time    // zero: never
	Quota          Quota
	MaxConnections int
	MaxAddresses   int
	Domain         string // server name in this user's fake-TLS links; empty: cover.domains
	Note           string
	// Import, unless zero, is an existing secret to go on with.
	Import keys.Secret
}

// SetUser changes what is not nil.
type SetUser struct {
	Name           string
	Level          *access.Level
	Disabled       *bool
	Expires        *time.Time
	Quota          *Quota
	MaxConnections *int
	MaxAddresses   *int
	Domain         *string
	Note           *string
}

// RemoveUser removes a user, ends its sessions and erases its secrets.
type RemoveUser struct{ Name string }

// RotateKeys gives one user, or All, a new secret; the old one works for the
// overlap beside it.
type RotateKeys struct {
	User    string
	All     bool
	Overlap *Duration // nil: the schedule's
	At      time.Time // when the new one takes over; zero: now
	Window  Duration  // All: spread over so long from At on
}

// RevokeKey takes a key out at once and ends its sessions. A user's revoked
// secret stays as a tripwire. Replace gives the user a new one in the same step.
type RevokeKey struct {
	ID      keys.ID
	Replace bool
}

// SetSchedule sets how secrets rotate by themselves.
type SetSchedule struct{ Schedule Schedule }

// RevealLinks hands out the links of one user, or of all, and says so in the
// audit log.
type RevealLinks struct{ User string }

// OpenPage gives a user a page, ClosePage takes it away, RenewPage moves it to a
// new address.
type (
	OpenPage  struct{ User string }
	ClosePage struct{ User string }
	RenewPage struct{ User string }
)

// RotateSealKey makes a new key for Plane.Seal; older ones go on opening. Suite is what
// it seals with while that may be used, 0 for what the policy prefers.
type RotateSealKey struct{ Suite aead.Suite }

// RotateStoreKey makes a new key for what is sealed in the store, seals
// everything again under it, and destroys the old one. A crash at any point is
// made good at the next start.
type RotateStoreKey struct{}

// RotateMasterKey seals the store's keysets under a new key-encryption key. File
// names the new one when the program may not make it itself.
type RotateMasterKey struct{ File string }
