package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
)

// approvalLife is how long a change waits for a second person.
const approvalLife = day

// The states of an approval.
const (
	approvalPending  = store.StatePending
	approvalApproved = "approved"
	approvalRefused  = "refused"
)

// ApprovalInfo is a change that waits, or waited, for a second person.
type ApprovalInfo struct {
	ID      string        `json:"id"`
	Class   string        `json:"class" enum:"enforce,kek,break-glass"`
	Action  string        `json:"action"`
	Object  string        `json:"object"`
	Brief   string        `json:"brief" doc:"the change in a few words"`
	Change  string        `json:"change" doc:"the change as JSON: of one approval all of it, in a list its beginning"`
	Clipped bool          `json:"change_clipped,omitempty" doc:"change is the beginning only: ask for this approval to see all of it"`
	Changes []PolicyValue `json:"changes,omitempty" doc:"what would differ from the policy that is in force, or what a trial would keep; of one approval that waits only"`
	Force   bool          `json:"force,omitempty" doc:"it is made although a safety rule, such as a gate of the rollout, says otherwise"`
	By      string        `json:"by" doc:"who asked"`
	Person  string        `json:"person" doc:"who answers for that, and cannot approve it"`
	Reason  string        `json:"reason,omitempty"`
	Trial   Duration      `json:"revert_after,omitempty" doc:"so long after it was approved the change reverts by itself, unless somebody keeps it"`
	Asked   time.Time     `json:"asked"`
	Expires time.Time     `json:"expires"`
	State   string        `json:"state" enum:"pending,approved,refused,expired"`
	Decider string        `json:"decided_by,omitempty"`
	Decided *time.Time    `json:"decided,omitempty"`
}

// heldChange is what is kept of a change that waits.
type heldChange struct {
	Kind    string
	Change  json.RawMessage
	Options Options
	Asker   credential
	Brief   string `json:",omitempty"` // of the policy's: what changes, as it was when it was asked for
}

// read is the change itself.
func (h *heldChange) read(id string) (Change, error) {
	read := approvable[h.Kind]
	if read == nil {
		return nil, refused("", "approval %s is of a change that this version does not know", id)
	}
	return read(h.Change)
}

// askApproval keeps a change until a second person says something.
type askApproval struct {
	Kind  string
	Of    Change
	Class string
	With  Options
	brief string // no part of the question: what is in force may differ when it is repeated
}

func (askApproval) action() string        { return "approval.ask" }
func (c askApproval) object() string      { return c.Of.action() + " " + c.Of.object() }
func (c askApproval) least() access.Level { return c.Of.least() }

func (c askApproval) apply(x *transaction) error {
	change, err := json.Marshal(c.Of)
	if err != nil {
		return err
	}
	with := c.With
	with.IdempotencyKey = "" // that of the question is not the change's
	body, err := json.Marshal(heldChange{c.Kind, change, with, x.by.shown, auditlog.Clip(c.brief, maxBrief)})
	if err != nil {
		return err
	}
	row := store.Approval{
		ID: newID("w"), Class: c.Class, Action: c.Of.action(), Object: c.Of.object(), Body: body, Actor: x.by.Name, Person: personOf(x.by),
		Reason: c.With.Reason, Asked: x.now, Expires: x.now.Add(approvalLife), State: approvalPending,
	}
	switch err := x.tx.PutApproval(&row); {
	case errors.Is(err, store.ErrTooMany):
		return refused("mtguard approval list shows them, mtguard approval refuse ID takes one away", "%v", err)
	case err != nil:
		return err
	}
	x.detail("id", row.ID)
	x.detail("class", row.Class)
	info := approvalInfo(row, x.now, listedChange)
	x.result.Approval = &info
	x.result.Summary = fmt.Sprintf("nothing has changed yet: %s waits for another person, until %s: mtguard approval approve %s", row.Action, row.Expires.Format(time.DateTime), row.ID)
	return nil
}

// kindOf is the name of a change's type.
func kindOf(c Change) string {
	name := fmt.Sprintf("%T", c)
	return name[len("control."):]
}

// hold asks for a second person, when the change could be made at all.
func (p *Plane) hold(x *transaction, c Change, class string) (Result, error) {
	brief := ""
	if _, ok := c.(prepared); !ok {
		trial := x.o
		trial.DryRun = true
		would, err := p.Apply(x.ctx, x.by, c, trial)
		if err != nil {
			return Result{}, err
		}
		brief = would.brief
	}
	return p.Apply(x.ctx, x.by, askApproval{kindOf(c), c, class, x.o, brief}, Options{Reason: x.o.Reason, IdempotencyKey: x.o.IdempotencyKey})
}

// approved is an approval that a change carries out.
type approved struct {
	id     string
	by     Actor
	reason string
}

// settle writes down, in the transaction of the change, that it was approved.
func (x *transaction) settle() error {
	if x.approval == nil {
		return nil
	}
	row, _, err := x.toApprove(x.approval.id)
	if err != nil {
		return err
	}
	row.State, row.Decider, row.Decided = approvalApproved, x.approval.by.Name, x.now
	x.detail("approval", row.ID)
	x.detail("approved_by", row.Decider)
	if err := x.tx.PutApproval(&row); err != nil || x.o.DryRun {
		return err
	}
	_, err = x.tx.Audit(auditlog.Entry{ // a row of his own: it has his reason
		Time: x.now, Actor: auditlog.Clip(row.Decider, auditlog.MaxActor), Action: decideApproval{}.action(), Object: decideApproval{id: row.ID}.object(),
		Outcome: auditlog.Done, Reason: auditlog.Clip(x.approval.reason, auditlog.MaxReason),
		Details: []auditlog.Detail{{Key: "change", Value: auditlog.Clip(row.Action+" "+row.Object, auditlog.MaxDetailValue)}},
	})
	return err
}

// pending is the approval of that ID, if it waits.
func (x *transaction) pending(id string) (store.Approval, error) {
	row, err := x.tx.Approval(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return row, notFound("approval", clean(id), "mtguard approval list")
	case err != nil:
		return row, err
	case row.State != approvalPending:
		return row, refused("", "approval %s is %s already", row.ID, row.State)
	case !x.now.Before(row.Expires) || row.Asked.After(x.now.Add(clockSlack)):
		return row, refused("", "approval %s has expired", row.ID)
	}
	return row, nil
}

// toApprove is the approval of that ID, if it waits and who asked may still ask.
func (x *transaction) toApprove(id string) (row store.Approval, held heldChange, err error) {
	if row, err = x.pending(id); err != nil {
		return row, held, err
	}
	if err := json.Unmarshal(row.Body, &held); err != nil {
		return row, held, err
	}
	return row, held, x.mayStillAsk(&row, held.Asker)
}

// mayStillAsk refuses what somebody has asked for with a credential that was taken from
// him since, or a token that is over. What somebody has ended took along what was asked
// for with it: see takeBack.
func (x *transaction) mayStillAsk(row *store.Approval, asker credential) error {
	good := true
	if asker.Token != "" {
		tokens, err := x.tx.Tokens()
		if err != nil {
			return err
		}
		good = slices.ContainsFunc(tokens, func(t store.Token) bool { return t.ID == asker.Token && t.Ended.IsZero() && x.now.Before(t.Expires) })
	}
	if asker.Passkey != "" {
		key, err := x.passkey(func(k store.Passkey) bool { return k.ID == asker.Passkey })
		if err != nil {
			return err
		}
		good = key != nil
	}
	if !good {
		return refused("mtguard approval refuse "+row.ID, "%s asked for it, and can ask for nothing any more", row.Actor)
	}
	return nil
}

// takeBack refuses what waits and was asked for with a credential that matches.
func (x *transaction) takeBack(match func(asker credential) bool) error {
	rows, err := x.tx.Pending()
	if err != nil {
		return err
	}
	for _, row := range rows {
		var held heldChange
		if err := json.Unmarshal(row.Body, &held); err != nil {
			return err
		}
		if !match(held.Asker) {
			continue
		}
		row.State, row.Decider, row.Decided = approvalRefused, x.by.Name, x.now
		if err := x.tx.PutApproval(&row); err != nil {
			return err
		}
		x.detail("withdrawn", row.ID)
	}
	return nil
}

// Approve makes a change that waits for a second person, on behalf of who asked for
// it: one person asks, another approves, whatever credentials they use. Of o the reason
// stands in the audit log, DryRun counts, and the rest is that of who asked.
func (p *Plane) Approve(ctx context.Context, by Actor, id string, o Options) (Result, error) {
	x := &transaction{p: p, ctx: ctx, by: by, o: o, now: p.parts.Now()}
	if err := x.noObject(); err != nil { // of an approval
		return Result{}, err
	}
	var row store.Approval
	var held heldChange
	err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		x.tx = tx
		row, held, err = x.toApprove(id)
		return err
	})
	refusing := decideApproval{id}
	if err != nil {
		return Result{}, p.refuse(x, refusing, explain(err))
	}
	if mayBeOne(row.Person, personOf(by)) {
		return Result{}, p.refuse(x, refusing, refused("", "%s asked for it: another person than %s has to approve it", row.Person, personOf(by)))
	}
	change, err := held.read(id)
	if err != nil {
		return Result{}, err
	}
	if by.Level < change.least() {
		return Result{}, p.refuse(x, refusing, &Error{Kind: Denied, Text: fmt.Sprintf("to approve %s takes the level %v, and %s has %v", row.Action, change.least(), by.Name, by.Level)})
	}
	with := held.Options
	with.DryRun = o.DryRun
	asker := Actor{Name: row.Actor, Level: by.Level, Person: row.Person}
	return p.carryOut(&transaction{p: p, ctx: ctx, by: asker, o: with, now: x.now, approval: &approved{id, by, o.Reason}}, change)
}

// RefuseApproval ends a change that waits for a second person. Who asked may take it
// back that way.
type RefuseApproval struct{ ID string }

func (RefuseApproval) action() string      { return "approval.refuse" }
func (c RefuseApproval) object() string    { return "approval " + clean(c.ID) }
func (RefuseApproval) least() access.Level { return access.Admin }

func (c RefuseApproval) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	row, err := x.pending(c.ID)
	if err != nil {
		return err
	}
	row.State, row.Decider, row.Decided = approvalRefused, x.by.Name, x.now
	if err := x.tx.PutApproval(&row); err != nil {
		return err
	}
	info := approvalInfo(row, x.now, listedChange)
	x.result.Approval = &info
	x.result.Summary = fmt.Sprintf("%s is refused", row.Action)
	return nil
}

// decideApproval stands in the audit log for an approval, beside the change that was
// approved, or alone when it was not given.
type decideApproval struct{ id string }

func (decideApproval) action() string           { return "approval.approve" }
func (c decideApproval) object() string         { return "approval " + clean(c.id) }
func (decideApproval) least() access.Level      { return access.None }
func (decideApproval) apply(*transaction) error { return nil }

// Approvals returns approvals, the newest first, and the After of the next page, 0 at
// the end.
func (p *Plane) Approvals(ctx context.Context, after int64, limit int) (items []ApprovalInfo, next int64, err error) {
	now := p.parts.Now()
	limit = limitOf(limit)
	var rows []store.Approval
	err = p.store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.Approvals(after, limit+1)
		return err
	})
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].Seq
	}
	for _, row := range rows {
		items = append(items, approvalInfo(row, now, listedChange))
	}
	return items, next, explain(err)
}

// Approval returns one approval, with all of its change.
func (p *Plane) Approval(ctx context.Context, id string) (info ApprovalInfo, err error) {
	var row store.Approval
	err = p.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Approval(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return info, notFound("approval", clean(id), "mtguard approval list")
	}
	if err != nil {
		return info, explain(err)
	}
	info = approvalInfo(row, p.parts.Now(), store.MaxChangeBody)
	info.Changes, err = p.wouldChange(ctx, row)
	return info, err
}

// wouldChange compares the policy that a change gives with what is in force. One that
// cannot be used any more is compared with nothing: approving it fails, and says why.
func (p *Plane) wouldChange(ctx context.Context, row store.Approval) ([]PolicyValue, error) {
	var held heldChange
	if err := json.Unmarshal(row.Body, &held); err != nil || row.State != approvalPending {
		return nil, err
	}
	change, err := held.read(row.ID)
	if err != nil {
		return nil, nil // of another version
	}
	var d *policy.Document
	var kept []PolicyValue
	err = p.store.View(ctx, func(tx *store.Tx) (err error) {
		x := &transaction{p: p, ctx: ctx, tx: tx, now: p.parts.Now()}
		d, kept, err = x.wouldBe(change)
		return err
	})
	if err != nil || d == nil {
		return kept, nil
	}
	p.mu.Lock()
	before, file := p.effective, p.fileLayer
	p.mu.Unlock()
	after, err := policy.Merge(file, policy.Layer{Document: d})
	if err != nil {
		return nil, nil
	}
	var values []PolicyValue
	for _, c := range policy.Diff(&before.Document, &after.Document) {
		values = append(values, changedValue(c))
	}
	return values, nil
}

// wouldBe is the document that a change would put in force; nil when it would put none. Of a trial that would be
// kept it is what is on trial.
func (x *transaction) wouldBe(change Change) (d *policy.Document, kept []PolicyValue, err error) {
	switch c := change.(type) {
	case SetPolicy:
		d, err = policy.Parse("policy", []byte(c.Document))
	case RollbackPolicy:
		d, _, err = x.revision(c.Revision)
	case SetMode:
		d, _, err = x.withMode(c)
	case RolloutNext:
		var to SetMode
		if to, err = x.staged(c.Control, 1); err == nil {
			d, _, err = x.withMode(to)
		}
	case KeepTrial:
		var t trial
		t, err = x.trial(c.Revision)
		kept = t.Changes
	case EndTrial:
		var t trial
		if t, err = x.trial(c.Revision); err == nil {
			d, _, err = x.putBack(t)
		}
	}
	return d, kept, err
}

// listedChange is how many bytes of a change a list shows.
const listedChange = 4 << 10

// approvalInfo shows an approval, and of its change at most so many bytes.
func approvalInfo(row store.Approval, now time.Time, most int) ApprovalInfo {
	info := ApprovalInfo{
		ID: row.ID, Class: row.Class, Action: row.Action, Object: row.Object, By: row.Actor, Person: row.Person, Reason: row.Reason,
		Asked: row.Asked.UTC(), Expires: row.Expires.UTC(), State: row.State, Decider: row.Decider, Decided: maybe(row.Decided),
	}
	var held heldChange
	if json.Unmarshal(row.Body, &held) == nil {
		info.Change, info.Clipped = auditlog.Clip(string(held.Change), most), len(held.Change) > most
		info.Brief, info.Force, info.Trial = held.brief(row.ID), held.Options.Force, held.Options.RevertAfter
	}
	if row.State == approvalPending && !now.Before(row.Expires) {
		info.State = "expired"
	}
	return info
}

// maxBrief is how long the words for a change are, at most.
const maxBrief = 120

// brief is the change in a few words.
func (h *heldChange) brief(id string) string {
	change, err := h.read(id)
	c, whole := change.(SetPolicy)
	switch {
	case err == nil && whole:
		return plural(strings.Count(strings.TrimRight(c.Document, "\n"), "\n")+1, "line") + " of policy"
	case h.Brief != "":
		return cleanTo(maxBrief, h.Brief)
	}
	return cleanTo(maxBrief, strings.NewReplacer(`"`, "", "{", "", "}", "", ":", " ", ",", ", ").Replace(string(h.Change)))
}
