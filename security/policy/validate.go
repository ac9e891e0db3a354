package policy

import (
	"fmt"
	"maps"
	"slices"

	"mtguard/mtproto"
)

// complaint is what is wrong with the value at a path, perhaps together with another.
type complaint struct{ path, message, hint, other string }

// Validate refuses a document that cannot be used, with all its problems. The error is an *Error.
func (d *Document) Validate() error {
	var problems []Problem
	if d.Preset != "" && !isPreset(d.Preset) {
		problems = append(problems, Problem{Origin: d.name, Key: "preset", Message: "preset cannot be " + quote(d.Preset)})
	}
	for _, c := range d.problems() {
		problems = append(problems, Problem{Origin: d.name, Key: c.path, Message: shownPath(c.path) + " " + c.message, Hint: c.hint})
	}
	return report(problems)
}

func (d *Document) problems() (found []complaint) {
	for _, name := range slices.Sorted(maps.Keys(d.Controls)) {
		if MemoryBound(name) {
			found = append(found, complaint{path: controlPath(name), message: "has no mode: it bounds memory and is always enforced", hint: "remove it"})
		} else if !slices.Contains(controlNames, name) {
			found = append(found, complaint{path: controlPath(name), message: "is no control"})
		}
	}
	for _, f := range d.fields() {
		if problem, hint := f.check(); problem != "" {
			found = append(found, complaint{path: f.path, message: problem, hint: hint})
		}
	}
	if len(found) > 0 {
		return found
	}
	found = d.contradictions()
	for t := mtproto.Classic; t < d.Protocol.MinTransport; t++ {
		if !d.Encryption.Until[t].IsZero() {
			found = append(found, complaint{
				path: "encryption.until." + t.String(), other: "protocol.min_transport", hint: "lower protocol.min_transport until then",
				message: "gives an end to a transport below protocol.min_transport, which is " + d.Protocol.MinTransport.String(),
			})
		}
	}
	return found
}

// contradictions are values that are right each for itself and not together, not even to try them out.
func (d *Document) contradictions() (found []complaint) {
	refuse := func(path, other, hint, format string, args ...any) {
		found = append(found, complaint{path, fmt.Sprintf(format, args...), hint, other})
	}
	const allowed = "encryption.transports"
	for t := mtproto.Classic; t <= mtproto.FakeTLS; t++ {
		if !d.Encryption.Until[t].IsZero() && !slices.Contains(d.Encryption.Transports, t) {
			refuse("encryption.until."+t.String(), allowed, "remove it, or add the transport to "+allowed, "gives an end to a transport that is not allowed")
		}
	}
	if best := slices.Max(d.Encryption.Transports); d.Protocol.MinTransport > best {
		refuse("protocol.min_transport", allowed, "no client could connect", "is %v, and %s has nothing above %v", d.Protocol.MinTransport, allowed, best)
	}
	if d.Protocol.RequireKeyShare && !slices.Contains(d.Encryption.Transports, mtproto.FakeTLS) {
		refuse("protocol.require_key_share", allowed, "only fake-TLS hellos have key shares", "needs the transport faketls, which is not allowed")
	}
	for _, n := range d.nested() {
		if *n.wide == 0 || *n.narrow <= *n.wide {
			continue
		}
		add := fmt.Sprintf("%s = %d", n.path, *n.wide)
		if _, given := d.given[n.wider]; !given {
			add = fmt.Sprintf("%s = %d", n.wider, *n.narrow)
		}
		refuse(n.path, n.wider, "it would never be reached: give "+add, "is %d, above %s, which is %d", *n.narrow, n.wider, *n.wide)
	}
	for _, m := range d.Geography.Block {
		if slices.Contains(d.Geography.Allow, m) {
			refuse("geography.block", "geography.allow", "take it out of one of them", "holds %s, and so does geography.allow", m)
		}
	}
	return found
}

// nesting is a bound on connections that are among those of a wider bound.
type nesting struct {
	path, wider  string
	narrow, wide *int
}

func (d *Document) nested() []nesting {
	c := &d.Connections
	return []nesting{
		{"connections.per_address", "connections.per_prefix", &c.PerAddress, &c.PerPrefix},
		{"connections.per_key", "connections.per_user", &c.PerKey, &c.PerUser},
		{"connections.read_only", "connections.per_user", &c.ReadOnly, &c.PerUser},
	}
}

// settle lowers bounds that nobody gave to the wider ones that they are within: whoever lowers per_user means each secret of the user, too. It
// returns those that it lowered.
func (d *Document) settle() (lowered []nesting) {
	for _, n := range d.nested() {
		if _, given := d.given[n.path]; !given && *n.wide > 0 && *n.narrow > *n.wide {
			*n.narrow = *n.wide
			if d.lowered == nil {
				d.lowered = make(map[string]bool)
			}
			d.lowered[n.path] = true
			lowered = append(lowered, n)
		}
	}
	return lowered
}

// try applies the candidate of a control, and returns the path of the value that cannot be, with the rest of the sentence and a hint.
func (d *Document) try(control string) (path, problem, hint string) {
	known := d.candidates(control)
	for _, key := range slices.Sorted(maps.Keys(d.Controls[control].Candidate)) {
		i := slices.IndexFunc(known, func(f field) bool { return f.key() == key })
		if i < 0 {
			return key, "is unknown", ""
		}
		v, err := literal(d.Controls[control].Candidate[key])
		if err != nil {
			return known[i].path, "is no value: " + err.Error(), ""
		}
		if problem, hint = known[i].read(v); problem == "" {
			problem, hint = known[i].check()
		}
		if problem != "" {
			return known[i].path, problem, hint
		}
		d.mark(known[i].path, 0)
	}
	d.settle()
	if found := d.contradictions(); len(found) > 0 {
		return found[0].path, found[0].message, found[0].hint
	}
	return "", "", ""
}
