package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// SetPolicy puts a document in force: as a new revision, whole.
type SetPolicy struct{ Document string }

// RollbackPolicy puts an earlier revision in force again, as a new one.
type RollbackPolicy struct{ Revision int64 }

// SetMode rolls one control out, or back.
type SetMode struct {
	Control, Mode string
	Percent       int // of enforce; 0: all
}

// BreakGlass puts every control that can be switched into monitor for a while;
// EndGlass ends that at once.
type (
	BreakGlass struct{ For Duration }
	EndGlass   struct{}
)

// PolicyInForce asks for the revision in force, whatever its number is.
const PolicyInForce int64 = -1

// PolicyInfo is a revision of the policy. Revision 0 is what holds while nobody
// has set any: the file and the preset.
type PolicyInfo struct {
	Revision int64      `json:"revision"`
	Preset   string     `json:"preset"`
	Document string     `json:"document" doc:"TOML"`
	Actor    string     `json:"actor,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	Glass    *time.Time `json:"glass,omitempty" doc:"until then nothing is enforced that can be switched"`
}

// PolicyValue is one effective value and where it comes from, or, of a
// difference, what it was and what it is.
type PolicyValue struct {
	Path    string `json:"path"`
	Value   string `json:"value"`
	Origin  string `json:"origin,omitempty" doc:"preset, file or revision"`
	Was     string `json:"was,omitempty"`
	Loosens bool   `json:"loosens,omitempty" doc:"it admits what was refused before"`
}

// changedValue is a value that differs between two policies.
func changedValue(c policy.Change) PolicyValue {
	return PolicyValue{Path: c.Path, Value: c.To, Was: c.From, Loosens: c.Loosens}
}

func (SetPolicy) action() string      { return "policy.set" }
func (RollbackPolicy) action() string { return "policy.rollback" }
func (SetMode) action() string        { return "policy.mode" }
func (BreakGlass) action() string     { return "policy.break-glass" }
func (EndGlass) action() string       { return "policy.end-glass" }

func (SetPolicy) object() string        { return "policy" }
func (c RollbackPolicy) object() string { return "policy r" + strconv.FormatInt(c.Revision, 10) }
func (c SetMode) object() string        { return clean(c.Control) }
func (BreakGlass) object() string       { return "policy" }
func (EndGlass) object() string         { return "policy" }

func (SetPolicy) least() access.Level      { return access.Superuser }
func (RollbackPolicy) least() access.Level { return access.Superuser }
func (c SetMode) least() access.Level {
	if c.Mode == policy.Monitor.String() {
		return access.Admin // who may do little may still take the bite out
	}
	return access.Superuser
}
func (BreakGlass) least() access.Level { return access.Superuser }
func (EndGlass) least() access.Level   { return access.Admin }

const (
	usualGlass = 4 * time.Hour
	maxGlass   = day
)

// noPolicy is the document of revision 0: it differs in nothing.
const noPolicy = "schema = 1\n"

// settingGlass is until when the glass is broken.
const settingGlass = "policy.glass"

func (c SetPolicy) apply(x *transaction) error {
	if err := x.currentPolicy(); err != nil {
		return err
	}
	d, err := policy.Parse("policy", []byte(c.Document))
	if err != nil {
		return invalid("document", "%v", err)
	}
	return x.putPolicy(d, c.Document)
}

// currentPolicy refuses an IfRevision that is not the number of the policy in force.
func (x *transaction) currentPolicy() error {
	row, err := x.tx.Policy(0)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return x.current(store.Revision(row.Number))
}

// putPolicy stores a document as the next revision, if it can be used beside the
// file's.
func (x *transaction) putPolicy(d *policy.Document, text string) error {
	x.p.mu.Lock()
	file, before, base := x.p.fileLayer, x.p.effective, x.p.policy.Number
	x.p.mu.Unlock()
	after, err := policy.Merge(file, policy.Layer{Origin: "policy", Document: d})
	if err != nil {
		return invalid("document", "%v", err)
	}
	changes := policy.Diff(&before.Document, &after.Document)
	if len(changes) == 0 {
		return invalid("document", "this is the policy that is in force")
	}
	if err := x.reasonToEnforce(changes); err != nil {
		return err
	}
	for _, control := range policy.Controls() {
		if !policy.MemoryBound(control) {
			if err := x.throughTheGate(control, after.Control(control).Control); err != nil {
				return err
			}
		}
	}
	row := store.PolicyRevision{Document: text, Preset: d.Preset, Actor: x.by.Name, Reason: x.o.Reason, At: x.now}
	if err := x.tx.AddPolicy(&row); err != nil {
		return err
	}
	for i, change := range changes {
		if i == 8 {
			x.detail("more", len(changes)-i)
			break
		}
		x.detail("c"+strconv.Itoa(i+1), change.Path+": "+change.From+" > "+change.To)
	}
	info := policyInfo(row)
	x.result.Policy = &info
	x.result.Summary = fmt.Sprintf("policy r%d is in force: %s", row.Number, plural(len(changes), "change"))
	x.result.brief = inShort(changes)
	return x.tryOut(base, row.Number, changes)
}

// inShort names the first changes, and of a control that is enforced for whom.
func inShort(changes []policy.Change) string {
	values := make([]PolicyValue, len(changes))
	for i, c := range changes {
		values[i] = changedValue(c)
		if strings.HasPrefix(c.Path, "controls.") && c.To == policy.Enforce.String() {
			values[i].Value += " for all"
		}
	}
	return whatChanged(values)
}

// reasonToEnforce: whoever lets a control bite says why.
func (x *transaction) reasonToEnforce(changes []policy.Change) error {
	for _, c := range changes {
		if !c.Loosens && x.o.Reason == "" {
			return x.requireReason()
		}
	}
	return nil
}

func (c RollbackPolicy) apply(x *transaction) error {
	if err := x.currentPolicy(); err != nil {
		return err
	}
	d, text, err := x.revision(c.Revision)
	if err != nil {
		return err
	}
	return x.putPolicy(d, text)
}

// revision is the document of a revision, and its text.
func (x *transaction) revision(number int64) (*policy.Document, string, error) {
	if number == 0 {
		return policy.New(""), noPolicy, nil
	}
	row, err := x.tx.Policy(number)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", notFound("policy", "r"+strconv.FormatInt(number, 10), "mtguard policy history")
	}
	if err != nil {
		return nil, "", err
	}
	d, err := policy.Parse("policy", []byte(row.Document))
	if err != nil {
		return nil, "", invalid("revision", "r%d cannot be used any more: %v", number, err)
	}
	return d, row.Document, nil
}

func (c SetMode) apply(x *transaction) error {
	if err := x.currentPolicy(); err != nil {
		return err
	}
	d, to, err := x.withMode(c)
	if err != nil {
		return err
	}
	x.p.mu.Lock()
	was := x.p.effective.Control(c.Control).Control
	x.p.mu.Unlock()
	if err := x.putPolicy(d, string(policy.Format(d))); err != nil {
		return err
	}
	x.result.Summary = fmt.Sprintf("%s: %v > %v, by policy r%d", c.Control, was, to, x.result.Policy.Revision)
	return nil
}

// withMode is the document in force with a control in another mode.
func (x *transaction) withMode(c SetMode) (d *policy.Document, to policy.Control, err error) {
	mode, err := policy.ParseMode(c.Mode)
	if err != nil {
		return nil, to, invalid("mode", "%v", err)
	}
	if err := switchable(c.Control); err != nil {
		return nil, to, err
	}
	if d, err = x.document(); err != nil {
		return nil, to, err
	}
	to = policy.Control{Mode: mode, Percent: c.Percent}
	d.SetControl(c.Control, to)
	if err := d.Validate(); err != nil {
		return nil, to, invalid("control", "%v", err)
	}
	return d, to, nil
}

// document is a copy of the one in force, without the file's.
func (x *transaction) document() (*policy.Document, error) {
	row, err := x.tx.Policy(0)
	if errors.Is(err, store.ErrNotFound) {
		return policy.Parse("policy", []byte(noPolicy))
	}
	if err != nil {
		return nil, err
	}
	return policy.Parse("policy", []byte(row.Document))
}

func (c BreakGlass) apply(x *transaction) error {
	if err := x.requireReason(); err != nil {
		return err
	}
	if c.For == 0 {
		c.For = Duration(usualGlass)
	}
	if time.Duration(c.For) > maxGlass {
		return invalid("for", "the glass stays broken for %v at most", Duration(maxGlass))
	}
	until := x.now.Add(time.Duration(c.For))
	x.detail("until", until.UTC().Format(time.RFC3339))
	x.result.Summary = "nothing is enforced that can be switched, until " + until.UTC().Format(time.RFC3339)
	return putSetting(x.tx, settingGlass, until)
}

func (EndGlass) apply(x *transaction) error {
	x.result.Summary = "controls are enforced again as the policy says"
	return putSetting(x.tx, settingGlass, time.Time{})
}

// readPolicy reads the policy in force and until when the glass is broken.
func (p *Plane) readPolicy(tx *store.Tx, n *news) error {
	row, err := tx.Policy(0)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n.policy = row
	if n.trials, err = trialsOf(tx); err != nil {
		return err
	}
	return optionalSetting(tx, settingGlass, &n.glass)
}

// compilePolicy lays the policy over the file's part. The caller holds mu.
func (p *Plane) compilePolicy() error {
	layers := []policy.Layer{p.fileLayer}
	if p.policy.Number > 0 {
		d, err := policy.Parse("policy", []byte(p.policy.Document))
		if err != nil {
			return fmt.Errorf("policy r%d: %w", p.policy.Number, err)
		}
		layers = append(layers, policy.Layer{Origin: "policy r" + strconv.FormatInt(p.policy.Number, 10), Document: d})
	}
	e, err := policy.Merge(layers...)
	if err == nil {
		p.effective = e
	}
	return err
}

func policyInfo(row store.PolicyRevision) PolicyInfo {
	return PolicyInfo{Revision: row.Number, Preset: row.Preset, Document: row.Document, Actor: row.Actor, Reason: row.Reason, At: maybe(row.At)}
}

// Policy returns a revision, or the one in force for PolicyInForce. Revision 0 is
// there always: it is what held before anybody set one.
func (p *Plane) Policy(ctx context.Context, revision int64) (info PolicyInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		var row store.PolicyRevision
		err := error(store.ErrNotFound)
		if revision != 0 {
			row, err = tx.Policy(max(revision, 0)) // the store's 0 is the newest
		}
		if errors.Is(err, store.ErrNotFound) && revision <= 0 {
			info = PolicyInfo{Document: noPolicy}
			return nil
		}
		if errors.Is(err, store.ErrNotFound) {
			return notFound("policy", "r"+strconv.FormatInt(revision, 10), "mtguard policy history")
		}
		if err != nil {
			return err
		}
		info = policyInfo(row)
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if file := p.fileLayer.Document; file != nil && info.Preset == "" {
		info.Preset = file.Preset
	}
	if p.parts.Now().Before(p.glass) {
		info.Glass = maybe(p.glass)
	}
	return info, explain(err)
}

// PolicyHistory returns revisions without their documents, the newest first, that
// are older than before (0: from the newest on).
func (p *Plane) PolicyHistory(ctx context.Context, before int64, limit int) (items []PolicyInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		rows, err := tx.Policies(before, limitOf(limit))
		for _, row := range rows {
			items = append(items, policyInfo(row))
		}
		return err
	})
	return items, explain(err)
}

// PolicyExplain returns each effective value and where it comes from: of what is
// in force, or of what a document would make of it.
func (p *Plane) PolicyExplain(ctx context.Context, document string) ([]PolicyValue, error) {
	p.mu.Lock()
	e, file := p.effective, p.fileLayer
	p.mu.Unlock()
	if document != "" {
		d, err := policy.Parse("policy", []byte(document))
		if err == nil {
			e, err = policy.Merge(file, policy.Layer{Origin: "this document", Document: d})
		}
		if err != nil {
			return nil, invalid("document", "%v", err)
		}
	}
	var values []PolicyValue
	for _, v := range e.Values() {
		values = append(values, PolicyValue{Path: v.Path, Value: v.Text, Origin: v.Origin})
	}
	return values, nil
}

// PolicyDiff returns what differs between two revisions, which are as Policy takes them.
func (p *Plane) PolicyDiff(ctx context.Context, from, to int64) (values []PolicyValue, err error) {
	var both [2]*policy.Effective
	for i, revision := range []int64{from, to} {
		info, err := p.Policy(ctx, revision)
		if err != nil {
			return nil, err
		}
		d, err := policy.Parse("policy", []byte(info.Document))
		if err != nil {
			return nil, invalid("revision", "r%d: %v", revision, err)
		}
		p.mu.Lock()
		file := p.fileLayer
		p.mu.Unlock()
		if both[i], err = policy.Merge(file, policy.Layer{Document: d}); err != nil {
			return nil, invalid("revision", "r%d: %v", revision, err)
		}
	}
	for _, c := range policy.Diff(&both[0].Document, &both[1].Document) {
		values = append(values, changedValue(c))
	}
	return values, nil
}
