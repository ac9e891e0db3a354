package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
)

// The classes of changes that can be made to take a second person.
const (
	ClassEnforce = "enforce"     // a control is enforced, or the policy replaced
	ClassKEK     = "kek"         // the key that seals the store's keys
	ClassGlass   = "break-glass" // every control goes to monitor
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
	ID      string     `json:"id"`
	Class   string     `json:"class" enum:"enforce,kek,break-glass"`
	Action  string     `json:"action"`
	Object  string     `json:"object"`
	Change  string     `json:"change" doc:"all of it, as JSON"`
	By      string     `json:"by" doc:"who asked"`
	Person  string     `json:"person" doc:"who answers for that, and cannot approve it"`
	Reason  string     `json:"reason,omitempty"`
	Trial   Duration   `json:"revert_after,omitempty" doc:"so long after it was approved the change reverts by itself, unless somebody keeps it"`
	Asked   time.Time  `json:"asked"`
	Expires time.Time  `json:"expires"`
	State   string     `json:"state" enum:"pending,approved,refused,expired"`
	Decider string     `json:"decided_by,omitempty"`
	Decided *time.Time `json:"decided,omitempty"`
}

// guarded is a change that is of a class, "" when this one is not.
type guarded interface{ class() string }

func (SetPolicy) class() string      { return ClassEnforce }
func (RollbackPolicy) class() string { return ClassEnforce }
func (RolloutNext) class() string    { return ClassEnforce }

// KeepTrial: whoever has approved ten minutes of something has not approved it for good.
func (KeepTrial) class() string       { return ClassEnforce }
func (ApproveBundle) class() string   { return ClassEnforce }
func (RotateMasterKey) class() string { return ClassKEK }
func (BreakGlass) class() string      { return ClassGlass }
func (c SetMode) class() string {
	if c.Mode == policy.Monitor.String() {
		return ""
	}
	return ClassEnforce // off, too, is a decision about what is enforced
}

// approvable reads changes back that a second person was asked about.
var approvable = map[string]func([]byte) (Change, error){
	"SetPolicy": reads[SetPolicy], "RollbackPolicy": reads[RollbackPolicy], "SetMode": reads[SetMode], "RolloutNext": reads[RolloutNext],
	"KeepTrial":     reads[KeepTrial],
	"ApproveBundle": reads[ApproveBundle], "RotateMasterKey": reads[RotateMasterKey], "BreakGlass": reads[BreakGlass],
}

func reads[C Change](text []byte) (Change, error) {
	var c C
	err := json.Unmarshal(text, &c)
	return c, err
}

// heldChange is what is kept of a change that waits.
type heldChange struct {
	Kind    string
	Change  json.RawMessage
	Options Options
}

// TwoPerson are the classes of changes that take a second person.
func (p *Plane) TwoPerson() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.twoPerson...)
}

// waits reports the class for which a change has to wait; "" when it has not to. What
// the node does by itself, as the file or the schedule say, asks nobody.
func (p *Plane) waits(x *transaction, c Change) string {
	g, ok := c.(guarded)
	if !ok || x.approval != nil || x.o.DryRun || x.by.Person == "" {
		return ""
	}
	if class := g.class(); slices.Contains(p.TwoPerson(), class) {
		return class
	}
	return ""
}

// askApproval keeps a change until a second person says something.
type askApproval struct {
	Kind  string
	Of    Change
	Class string
	With  Options
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
	body, err := json.Marshal(heldChange{c.Kind, change, with})
	if err != nil {
		return err
	}
	row := store.Approval{
		ID: newID("w"), Class: c.Class, Action: c.Of.action(), Object: c.Of.object(), Body: body, Actor: x.by.Name, Person: personOf(x.by),
		Reason: c.With.Reason, Asked: x.now, Expires: x.now.Add(approvalLife), State: approvalPending,
	}
	if err := x.tx.PutApproval(&row); err != nil {
		return err
	}
	x.detail("id", row.ID)
	x.detail("class", row.Class)
	info := approvalInfo(row, x.now)
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
	if _, ok := c.(prepared); !ok {
		trial := x.o
		trial.DryRun = true
		if _, err := p.Apply(x.ctx, x.by, c, trial); err != nil {
			return Result{}, err
		}
	}
	return p.Apply(x.ctx, x.by, askApproval{kindOf(c), c, class, x.o}, Options{Reason: x.o.Reason, IdempotencyKey: x.o.IdempotencyKey})
}

// approved is an approval that a change carries out.
type approved struct {
	id string
	by Actor
}

// settle writes down, in the transaction of the change, that it was approved.
func (x *transaction) settle() error {
	if x.approval == nil {
		return nil
	}
	row, err := x.pending(x.approval.id, x.approval.by)
	if err != nil {
		return err
	}
	row.State, row.Decider, row.Decided = approvalApproved, x.approval.by.Name, x.now
	x.detail("approval", row.ID)
	x.detail("approved_by", row.Decider)
	return x.tx.PutApproval(&row)
}

// pending is the approval of that ID, if it waits for somebody such as by.
func (x *transaction) pending(id string, by Actor) (store.Approval, error) {
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

// Approve makes a change that waits for a second person, on behalf of who asked for
// it: one person asks, another approves, whatever credentials they use.
func (p *Plane) Approve(ctx context.Context, by Actor, id string, o Options) (Result, error) {
	x := &transaction{p: p, ctx: ctx, by: by, o: o, now: p.parts.Now()}
	var row store.Approval
	err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		x.tx = tx
		row, err = x.pending(id, by)
		return err
	})
	if err != nil {
		return Result{}, explain(err)
	}
	refusing := decideApproval{id, row}
	if row.Person == personOf(by) {
		return Result{}, p.refuse(x, refusing, refused("", "%s asked for it: another person has to approve it", row.Person))
	}
	var held heldChange
	if err := json.Unmarshal(row.Body, &held); err != nil {
		return Result{}, err
	}
	read := approvable[held.Kind]
	if read == nil {
		return Result{}, refused("", "approval %s is of a change that this version does not know", id)
	}
	change, err := read(held.Change)
	if err != nil {
		return Result{}, err
	}
	if by.Level < change.least() {
		return Result{}, p.refuse(x, refusing, &Error{Kind: Denied, Text: fmt.Sprintf("to approve %s takes the level %v, and %s has %v", row.Action, change.least(), by.Name, by.Level)})
	}
	with := held.Options
	with.DryRun = o.DryRun
	asker := Actor{Name: row.Actor, Level: by.Level, Person: row.Person}
	return p.carryOut(&transaction{p: p, ctx: ctx, by: asker, o: with, now: x.now, approval: &approved{id, by}}, change)
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
	row, err := x.pending(c.ID, x.by)
	if err != nil {
		return err
	}
	row.State, row.Decider, row.Decided = approvalRefused, x.by.Name, x.now
	if err := x.tx.PutApproval(&row); err != nil {
		return err
	}
	info := approvalInfo(row, x.now)
	x.result.Approval = &info
	x.result.Summary = fmt.Sprintf("%s is refused", row.Action)
	return nil
}

// decideApproval stands in the audit log for an approval that was not given.
type decideApproval struct {
	id  string
	row store.Approval
}

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
		items = append(items, approvalInfo(row, now))
	}
	return items, next, explain(err)
}

func approvalInfo(row store.Approval, now time.Time) ApprovalInfo {
	info := ApprovalInfo{
		ID: row.ID, Class: row.Class, Action: row.Action, Object: row.Object, By: row.Actor, Person: row.Person, Reason: row.Reason,
		Asked: row.Asked.UTC(), Expires: row.Expires.UTC(), State: row.State, Decider: row.Decider, Decided: maybe(row.Decided),
	}
	var held heldChange
	if json.Unmarshal(row.Body, &held) == nil {
		info.Change, info.Trial = auditlog.Clip(string(held.Change), 4<<10), held.Options.RevertAfter
	}
	if row.State == approvalPending && !now.Before(row.Expires) {
		info.State = "expired"
	}
	return info
}
