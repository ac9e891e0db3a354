package control

import (
	"encoding/json"
	"slices"

	"mtguard/security/policy"
)

// The classes of changes that can be made to take a second person.
const (
	ClassEnforce = "enforce"     // a control is enforced, or the policy replaced
	ClassKEK     = "kek"         // the key that seals the store's keys
	ClassGlass   = "break-glass" // every control goes to monitor
)

// guarded is a change that may be of a class; "" when it is of none. The caller holds no
// lock.
type guarded interface{ class(*Plane) string }

func (SetPolicy) class(*Plane) string      { return ClassEnforce }
func (RollbackPolicy) class(*Plane) string { return ClassEnforce }
func (RolloutNext) class(*Plane) string    { return ClassEnforce }

// KeepTrial: whoever has approved ten minutes of something has not approved it for good.
func (KeepTrial) class(*Plane) string     { return ClassEnforce }
func (ApproveBundle) class(*Plane) string { return ClassEnforce }

// SetBundles: what tightens in a bundle is in force without being asked about again.
func (SetBundles) class(*Plane) string      { return ClassEnforce }
func (RotateMasterKey) class(*Plane) string { return ClassKEK }
func (BreakGlass) class(*Plane) string      { return ClassGlass }
func (c SetMode) class(*Plane) string {
	if c.Mode == policy.Monitor.String() {
		return ""
	}
	return ClassEnforce // off, too, is a decision about what is enforced
}

func (c EndTrial) class(p *Plane) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.IndexFunc(p.trials, func(t trial) bool { return t.Revision == c.Revision })
	if at < 0 || !bitesAgain(p.trials[at].Changes) {
		return ""
	}
	return ClassEnforce
}

// approvable reads changes back that a second person was asked about.
var approvable = map[string]func([]byte) (Change, error){
	"SetPolicy": reads[SetPolicy], "RollbackPolicy": reads[RollbackPolicy], "SetMode": reads[SetMode], "RolloutNext": reads[RolloutNext],
	"KeepTrial": reads[KeepTrial], "EndTrial": reads[EndTrial], "SetBundles": reads[SetBundles],
	"ApproveBundle": reads[ApproveBundle], "RotateMasterKey": reads[RotateMasterKey], "BreakGlass": reads[BreakGlass],
}

func reads[C Change](text []byte) (Change, error) {
	var c C
	err := json.Unmarshal(text, &c)
	return c, err
}

// TwoPerson are the classes of changes that take a second person.
func (p *Plane) TwoPerson() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.twoPerson...)
}

// waits reports the class for which a change has to wait; "" when it has not to.
func (p *Plane) waits(x *transaction, c Change) string {
	g, ok := c.(guarded)
	if !ok {
		return ""
	}
	if class := g.class(p); x.alone(class) {
		return class
	}
	return ""
}

// alone reports whether a change of a class takes a second person, whom nobody has asked
// yet. What the node does by itself, as the file or the schedule say, asks nobody.
func (x *transaction) alone(class string) bool {
	return x.approval == nil && !x.o.DryRun && x.by.Person != "" && slices.Contains(x.p.TwoPerson(), class)
}
