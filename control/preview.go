package control

import (
	"cmp"
	"context"
	"iter"
	"reflect"
	"time"

	"mtguard/control/preview"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// PreviewQuery asks what a policy would have refused of the connections that came
// lately. Document is a policy as SetPolicy takes it; none is the one in force. In
// it, Control, when one is named, is put to Mode (none: enforce) for Percent of the
// clients (0: all). Since is how far back; 0 is a day.
type PreviewQuery struct {
	Document string        `json:"document,omitempty"`
	Control  string        `json:"control,omitempty"`
	Mode     string        `json:"mode,omitempty"`
	Percent  int           `json:"percent,omitempty"`
	Since    time.Duration `json:"since,omitempty"`
}

// PreviewReport is the answer. Users are known whom the store has.
type PreviewReport preview.Report

// Preview says what would have been refused under another policy. It changes
// nothing. Times are those of the records: rules and exceptions that have ended
// since then held, and broken glass was whole.
func (p *Plane) Preview(ctx context.Context, q PreviewQuery) (PreviewReport, error) {
	var all iter.Seq[preview.Record]
	if p.parts.Records != nil {
		all = p.parts.Records(p.parts.Now().Add(-cmp.Or(q.Since, day)))
	}
	if all == nil {
		return PreviewReport{}, refused("record connections on this node, and ask again once some have come", "this node keeps no records of connections, so there is nothing to preview by")
	}
	if q.Since < 0 {
		return PreviewReport{}, invalid("since", "%v is not in the past", q.Since)
	}
	effective, err := p.proposed(q)
	if err != nil {
		return PreviewReport{}, err
	}
	now := p.parts.Live.Load()
	candidate := *now
	if err := effective.Apply(&candidate); err != nil {
		return PreviewReport{}, invalid("document", "%v", err)
	}
	users, err := p.previewAccess(&candidate, effective)
	if err != nil {
		return PreviewReport{}, invalid("document", "%v", err)
	}
	records := until(ctx, all)
	report := preview.Run(records, now, &candidate, func(name string) bool { return users[name] })
	if err := ctx.Err(); err != nil {
		return PreviewReport{}, err
	}
	return PreviewReport(report), nil
}

// proposed is the policy that the query asks about.
func (p *Plane) proposed(q PreviewQuery) (*policy.Effective, error) {
	if q.Document == "" && q.Control == "" {
		return nil, invalid("document", "name a document or a control to preview")
	}
	p.mu.Lock()
	file, document := p.fileLayer, p.policy.Document
	p.mu.Unlock()
	switch {
	case q.Document != "":
		document = q.Document
	case document == "":
		document = noPolicy
	}
	d, err := policy.Parse("policy", []byte(document))
	if err != nil {
		return nil, invalid("document", "%v", err)
	}
	if q.Control != "" {
		if err := switchable(q.Control); err != nil {
			return nil, err
		}
	}
	if !preview.Judges(q.Control) {
		return nil, invalid("control", "%s cannot be previewed: records of connections say nothing about it", q.Control)
	}
	if q.Control != "" {
		mode := policy.Enforce
		if q.Mode != "" {
			if mode, err = policy.ParseMode(q.Mode); err != nil {
				return nil, invalid("mode", "%v", err)
			}
		}
		d.SetControl(q.Control, policy.Control{Mode: mode, Percent: q.Percent})
		if err := d.Validate(); err != nil {
			return nil, invalid("control", "%v", err)
		}
	}
	effective, err := policy.Merge(file, policy.Layer{Origin: "this preview", Document: d})
	if err != nil {
		return nil, invalid("document", "%v", err)
	}
	return effective, nil
}

// previewAccess makes the access table of the policy, where that is another than the
// one in force, and returns the names of all users.
func (p *Plane) previewAccess(s *policy.Snapshot, e *policy.Effective) (users map[string]bool, err error) {
	p.mu.Lock()
	users = make(map[string]bool, len(p.names))
	for name := range p.names {
		users[name] = true
	}
	if reflect.DeepEqual(e.Geography, p.effective.Geography) {
		p.mu.Unlock()
		return users, nil
	}
	inForce := p.effective
	p.effective = e
	rules := p.rulesInForce(p.parts.Now())
	p.effective = inForce
	options := p.accessOptions()
	p.mu.Unlock() // a large table takes its time
	s.Access, err = access.Compile(rules, options)
	return users, err
}

// until goes on with a sequence as long as ctx does.
func until[T any](ctx context.Context, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range seq {
			if ctx.Err() != nil || !yield(v) {
				return
			}
		}
	}
}
