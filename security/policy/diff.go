package policy

// Change is one value that differs between two documents.
type Change struct {
	// Path is the key: "rates.new_per_prefix", "controls.rate.accept", "controls.rate.accept.candidate".
	Path string `json:"path"`
	// From and To are the values as documents write them.
	From string `json:"from"`
	To   string `json:"to"`
	// Control is the control whose value it is; empty when it has none.
	Control string `json:"control,omitempty"`
	// Loosens says that the new value admits something the old one did not.
	Loosens bool `json:"loosens,omitempty"`
}

// Diff returns what changes from a to b, in the order in which documents are written. Presets are compared by their values: a change of the
// name alone is no change.
func Diff(a, b *Document) []Change {
	var changes []Change
	old := a.fields()
	for i, f := range b.fields() {
		from, to := old[i].text(), f.text()
		if from != to {
			changes = append(changes, Change{Path: f.path, From: from, To: to, Control: f.control, Loosens: f.looser(old[i].setting)})
		}
	}
	return changes
}

// Equal reports whether two documents have the same values.
func Equal(a, b *Document) bool { return len(Diff(a, b)) == 0 }

// Loosens returns those of the changes that admit something. A document that comes by itself may be applied when there are none.
func Loosens(changes []Change) (loose []Change) {
	for _, c := range changes {
		if c.Loosens {
			loose = append(loose, c)
		}
	}
	return loose
}
