package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mtguard/control/store"
	"mtguard/security/auditlog"
)

// onceFor is how long an idempotency key is remembered.
const onceFor = 24 * time.Hour

// transaction is one change on its way through Apply.
type transaction struct {
	p       *Plane
	ctx     context.Context
	tx      *store.Tx
	by      Actor
	o       Options
	now     time.Time
	result  Result
	details []auditlog.Detail
	about   string // the user whom the result shows as he is afterwards
	// What has to follow on the commit, or on giving the change up before it;
	// either may be nil.
	committed  func() error
	rolledBack func()
	reading    *reading  // that a SetList has made
	approval   *approved // that this carries out
	stepsBack  bool      // see decided
}

// incomplete is a change that leaves something to who asks, which the audit log is to have.
type incomplete interface{ completed(by Actor) Change }

// prepared is a change that needs something from elsewhere, which may take its
// time: prepare gets it before the store is held up for the change. An error gives
// the change up. Whoever called it calls release, also after an error.
type prepared interface {
	prepare(*transaction) (release func(), err error)
}

// prepare gets what the change needs from elsewhere, unless it was made before.
func (x *transaction) prepare(c Change) (release func(), err error) {
	needy, ok := c.(prepared)
	if !ok {
		return func() {}, nil
	}
	var done bool
	err = x.p.view(x.ctx, func(tx *store.Tx) (err error) {
		x.tx = tx
		done, err = x.repeated(c)
		return err
	})
	if done || err != nil {
		return func() {}, err
	}
	return needy.prepare(x)
}

// detail adds a named value to the audit row.
func (x *transaction) detail(key string, value any) {
	x.details = append(x.details, auditlog.Detail{Key: key, Value: auditlog.Clip(fmt.Sprint(value), auditlog.MaxDetailValue)})
}

// How apply says that nothing is to be kept, and that all is as it should be.
var (
	errDryRun    = errors.New("dry run")
	errUnchanged = errors.New("nothing to change")
)

// Apply makes a change: it authorises, validates and commits it together with
// its audit row, and returns when the data path follows it. The error is an
// *Error where the change is to blame; nothing has changed then.
func (p *Plane) Apply(ctx context.Context, by Actor, c Change, o Options) (Result, error) {
	return p.carryOut(&transaction{p: p, ctx: ctx, by: by, o: o, now: p.parts.Now()}, c)
}

// carryOut is Apply, for a change that somebody may have approved.
func (p *Plane) carryOut(x *transaction, c Change) (Result, error) {
	by := x.by
	if open, ok := c.(incomplete); ok {
		c = open.completed(by)
	}
	if by.Level < c.least() {
		err := &Error{Kind: Denied, Text: fmt.Sprintf("%s needs the level %v, and %s has %v", c.action(), c.least(), by.Name, by.Level)}
		return Result{}, p.refuse(x, c, err)
	}
	if class := p.waits(x, c); class != "" {
		return p.hold(x, c, class)
	}
	result, err := p.commit(x, c)
	p.rotated(c, x.o, err)
	return result, err
}

func (p *Plane) commit(x *transaction, c Change) (Result, error) {
	if _, ok := c.(keysetChange); ok {
		p.keysets.Lock()
		defer p.keysets.Unlock()
	}
	p.applying.RLock()
	defer p.applying.RUnlock()
	release, err := x.prepare(c)
	defer release()
	if err != nil {
		return Result{}, p.refuse(x, c, explain(err))
	}
	revision, kept, err := p.write(x, c)
	if err != nil && !kept && x.rolledBack != nil {
		x.rolledBack()
	}
	switch {
	case errors.Is(err, errUnchanged):
		return x.result, nil
	case errors.Is(err, errDryRun):
		x.result.DryRun = true
		x.result.withoutSecrets()
		return x.result, nil
	case err != nil:
		return Result{}, p.refuse(x, c, explain(err))
	}
	x.result.Revision = revision
	err = p.finish(x, c)
	return x.result, err
}

// write makes the change in one transaction. kept says, with an error, that what is on
// disk is not known: it came when the change was made and was to be kept.
func (p *Plane) write(x *transaction, c Change) (revision store.Revision, kept bool, err error) {
	revision, err = p.store.Update(x.ctx, func(tx *store.Tx) error {
		x.tx, x.result, x.details = tx, Result{}, nil
		if done, err := x.repeated(c); done || err != nil {
			return err
		}
		if err := x.settle(); err != nil {
			return err
		}
		if err := c.apply(x); err != nil {
			return err
		}
		if err := x.done(c); err != nil {
			return err
		}
		if x.o.DryRun {
			return errDryRun
		}
		err := x.remember(c)
		kept = err == nil
		return err
	})
	return revision, kept, err
}

// finish has the data path follow a change that is kept, and completes the result.
func (p *Plane) finish(x *transaction, c Change) error {
	ctx := x.ctx
	if x.result.Repeated {
		return p.show(ctx, x)
	}
	if x.committed != nil {
		if err := x.committed(); err != nil {
			return err
		}
	}
	ended, err := p.follow(ctx, x.result.Revision)
	x.result.Ended = ended
	if err == nil {
		err = p.awaitCut(ctx)
	}
	if err == nil {
		err = p.afterApply(x, c)
	}
	if err == nil {
		err = p.show(ctx, x)
	}
	p.tellIncident(ctx, x.result.Incident)
	return err
}

// show adds the user whom the change was about, and his keys, as they are now.
func (p *Plane) show(ctx context.Context, x *transaction) error {
	if x.about == "" {
		return nil
	}
	info, err := p.User(ctx, x.about)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == NotFound {
		return nil // gone again
	}
	if err != nil {
		return err
	}
	x.result.User = &info
	x.result.Keys, _, err = p.Keys(ctx, KeyFilter{User: x.about, Limit: maxResultItems})
	return err
}

// follow brings the data path in step with the store.
func (p *Plane) follow(ctx context.Context, revision store.Revision) (ended int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.compiled >= revision {
		return 0, nil
	}
	return p.catchUp(ctx)
}

// cutWithin bounds how long Apply waits for the relay to let go.
const cutWithin = 5 * time.Second

// awaitCut returns when every session that may not go on has ended. A connection
// that has no session yet does not count: it looks at its key once more before it
// forwards anything.
func (p *Plane) awaitCut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cutWithin)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(p.parts.Sessions.List(mustEnd, 1)) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("some sessions that may not go on have not ended yet")
		}
	}
	return nil
}

// keysetChange is a change of what the store is sealed under.
type keysetChange interface{ changesKeysets() }

// refuse writes down that somebody was refused something, where that tells of
// an attempt and not of a slip, and returns why.
func (p *Plane) refuse(x *transaction, c Change, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Denied && e.Kind != Refused || x.o.DryRun {
		return err
	}
	if e.Kind == Denied && p.parts.Denied != nil {
		p.parts.Denied(x.by, c.action())
	}
	if _, ok := c.(AutoBlock); ok && x.by == ThreatActor {
		if last := p.refusedBlocks.Swap(x.now.Unix()); x.now.Sub(time.Unix(last, 0)).Abs() < auditBlocksEvery {
			p.refusedBlocks.Store(last)
			return err
		}
	}
	_, failed := p.store.Update(context.WithoutCancel(x.ctx), func(tx *store.Tx) error {
		x.tx, x.details = tx, nil
		return x.audit(c, auditlog.Refused, e.Text)
	})
	p.report("audit", failed)
	return err
}

// explain turns what the store says into what an actor understands.
func explain(err error) error {
	switch {
	case errors.Is(err, store.ErrConflict):
		return &Error{Kind: Stale, Text: "it was changed meanwhile", Fix: "look at it again and repeat the change"}
	case errors.Is(err, store.ErrTooMany):
		return &Error{Kind: Refused, Text: err.Error(), Fix: "remove what is not needed any more"}
	case errors.Is(err, store.ErrFull):
		return &Error{Kind: Unavailable, Text: "the store takes nothing at present: the disk is full or read-only", Fix: "make room in the state directory; connections are served meanwhile"}
	case errors.Is(err, store.ErrCorrupt):
		return &Error{Kind: Unavailable, Text: err.Error(), Fix: "mtguard backup restore"}
	}
	return err
}

// done appends the row of this change, now that it was made.
func (x *transaction) done(c Change) error {
	if _, ok := c.(AutoBlock); ok {
		return x.auditBlocks()
	}
	return x.audit(c, auditlog.Done, x.o.Reason)
}

// audit appends the row of this change.
func (x *transaction) audit(c Change, outcome auditlog.Outcome, reason string) error {
	_, err := x.tx.Audit(auditlog.Entry{
		Time: x.now, Actor: auditlog.Clip(x.by.Name, auditlog.MaxActor), Action: c.action(),
		Object: auditlog.Clip(c.object(), auditlog.MaxObject), Outcome: outcome,
		Reason: auditlog.Clip(reason, auditlog.MaxReason), Details: x.details,
	})
	return err
}

// answer is what is remembered of a change under its idempotency key: nothing
// secret.
type answer struct {
	Change string // digest
	About  string
	Result Result
}

// repeated looks whether this is a change that was made before.
func (x *transaction) repeated(c Change) (bool, error) {
	if x.o.IdempotencyKey == "" || x.o.DryRun {
		return false, nil
	}
	kept, seen, err := x.tx.Once(x.onceKey(), x.now)
	if err != nil || !seen {
		return false, err
	}
	var a answer
	if err := json.Unmarshal(kept, &a); err != nil {
		return false, err
	}
	if a.Change != digest(c) {
		return false, invalid("idempotency_key", "this idempotency key was used for another change")
	}
	x.result, x.about = a.Result, a.About
	x.result.Repeated = true
	return true, nil
}

// withoutSecrets is for a result that is kept, or of what was not kept.
func (r *Result) withoutSecrets() { r.Links, r.Page, r.Secret = nil, "", "" }

func (x *transaction) remember(c Change) error {
	if x.o.IdempotencyKey == "" {
		return nil
	}
	a := answer{Change: digest(c), About: x.about, Result: x.result}
	a.Result.withoutSecrets()
	kept, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return x.tx.PutOnce(x.onceKey(), kept, x.now.Add(onceFor))
}

// onceKey binds the key to its person, whose session may have got another number
// between two tries, at a fixed length.
func (x *transaction) onceKey() string {
	sum := sha256.Sum256([]byte(strconv.Quote(personOf(x.by)) + x.o.IdempotencyKey))
	return hex.EncodeToString(sum[:])
}

// digest tells changes apart. A secret encodes as its ID, so it is told apart by
// that.
func digest(c Change) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // changes are plain values
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%T %s", c, text))
	return hex.EncodeToString(sum[:])
}

// requireReason is for changes that cut people off.
func (x *transaction) requireReason() error {
	if x.o.Reason == "" {
		return invalid("reason", "a reason is required: it stands in the audit log")
	}
	return nil
}

// noObject refuses IfRevision where there is no one object to compare it with.
func (x *transaction) noObject() error {
	if x.o.IfRevision != 0 {
		return invalid("if_revision", "this change is of no one object, so there is no revision to compare")
	}
	return nil
}

// current refuses a stale IfRevision.
func (x *transaction) current(rev store.Revision) error {
	if x.o.IfRevision != 0 && x.o.IfRevision != rev {
		return &Error{Kind: Stale, Text: fmt.Sprintf("it has revision %d by now, not %d", rev, x.o.IfRevision), Fix: "look at it again and repeat the change"}
	}
	return nil
}
