package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// weighed is what a bundle would change.
type weighed struct {
	revision int64            // of the policy in force
	document *policy.Document // what the policy would be; nil: as it is
	text     string
	lists    []store.List // that differ from those in force
	own      []store.List // that bundles may move from then on
	changes  []PolicyValue
	controls map[string]policy.Control // whose mode changes
}

func (w *weighed) loosens() (loose []PolicyValue) {
	for _, c := range w.changes {
		if c.Loosens {
			loose = append(loose, c)
		}
	}
	return loose
}

// weigh compares a bundle with what the store has now. The comparison is of what
// would be stored, not of what the bundle says.
func (p *Plane) weigh(tx *store.Tx, b *bundle, own map[string]string) (*weighed, error) {
	p.mu.Lock()
	file := p.fileLayer
	p.mu.Unlock()
	row, err := tx.Policy(0)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	w := &weighed{revision: row.Number, controls: make(map[string]policy.Control)}
	present, err := (&transaction{tx: tx}).document()
	if err != nil {
		return nil, fmt.Errorf("policy in force: %w", err)
	}
	before, err := policy.Merge(file, policy.Layer{Document: present})
	if err != nil {
		return nil, fmt.Errorf("policy in force: %w", err)
	}
	over, err := policy.Merge(policy.Layer{Origin: "policy", Document: present}, policy.Layer{Origin: bundleName(b.number), Document: b.document})
	if err == nil {
		w.text = string(policy.Format(&over.Document))
		w.document, err = policy.Parse("policy", []byte(w.text))
	}
	var after *policy.Effective
	if err == nil {
		after, err = policy.Merge(file, policy.Layer{Origin: bundleName(b.number), Document: w.document})
	}
	if err != nil {
		return nil, invalid("document", "%s contradicts what is in force: %s", bundleName(b.number), briefly(err))
	}
	for _, c := range policy.Diff(&before.Document, &after.Document) {
		w.changes = append(w.changes, changedValue(c))
		if to := after.Control(c.Control).Control; c.Control != "" && to != before.Control(c.Control).Control {
			w.controls[c.Control] = to
		}
	}
	if len(w.changes) == 0 {
		w.document = nil
	}
	return w, w.weighLists(tx, b, own)
}

// weighLists: a list of the level none never admits anybody, wherever it lies, and
// any other may, where it is more specific than what refuses. A list that a person
// has made, or has changed since, is only taken over by a person.
func (w *weighed) weighLists(tx *store.Tx, b *bundle, own map[string]string) error {
	show := func(l store.List) string { return fmt.Sprintf("%v %v %s", l.Level, Duration(l.Every), l.Origin) }
	for _, list := range b.lists {
		row, err := tx.List(list.Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		change := PolicyValue{Path: "lists." + list.Name, Value: show(list)}
		moved := list.Origin != row.Origin
		if err != nil {
			row = store.List{Name: list.Name}
			change.Loosens = list.Level > access.None
		} else {
			change.Was = show(row)
			change.Loosens = list.Level > row.Level || moved && (list.Level > access.None || own[list.Name] != row.Origin)
		}
		if moved { // also from nowhere
			w.own = append(w.own, list)
		}
		if change.Was == change.Value {
			continue
		}
		row.Origin, row.Level, row.Every = list.Origin, list.Level, list.Every
		w.lists, w.changes = append(w.lists, row), append(w.changes, change)
	}
	return nil
}

// gates refuses what would let a control bite more before enough is known of it.
func (x *transaction) gates(w *weighed) error {
	for _, name := range slices.Sorted(maps.Keys(w.controls)) {
		if err := x.throughTheGate(name, w.controls[name]); err != nil {
			return err
		}
	}
	return nil
}
