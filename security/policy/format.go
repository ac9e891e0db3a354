package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Format writes a document so that Parse reads it back: the preset, and what was given or differs from it, in a fixed order.
func Format(d *Document) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "schema = %d\n", Schema)
	if d.Preset != "" {
		fmt.Fprintf(&b, "preset = %q\n", d.Preset)
	}
	section := ""
	for _, f := range d.own() {
		switch s := f.setting.(type) {
		case rollout:
			s.write(&b)
		case candidate:
			s.write(&b)
		default:
			if f.section() != section {
				section = f.section()
				fmt.Fprintf(&b, "\n[%s]\n", section)
			}
			fmt.Fprintf(&b, "%s = %s\n", f.path[len(section)+1:], f.text())
		}
	}
	return []byte(b.String())
}

// own are the settings that the document gave, or that differ from its preset otherwise than by settle.
func (d *Document) own() []field {
	base := presetOf(d.Preset).fields()
	var own []field
	for i, f := range d.fields() {
		if _, given := d.given[f.path]; given || f.text() != base[i].text() && !d.lowered[f.path] {
			own = append(own, f)
		}
	}
	return own
}

func (r rollout) write(b *strings.Builder) {
	c := r.control()
	fmt.Fprintf(b, "\n[%s]\nmode = %q\n", shownPath(controlPath(r.name)), c.Mode)
	if c.Percent > 0 {
		fmt.Fprintf(b, "percent = %d\n", c.Percent)
	}
}

func (c candidate) write(b *strings.Builder) {
	values := c.d.Control(c.name).Candidate
	if len(values) == 0 {
		return // there is no way, and no need, to give none
	}
	fmt.Fprintf(b, "\n[%s]\n", shownPath(candidatePath(c.name)))
	for _, f := range c.d.candidates(c.name) {
		if text, ok := values[f.key()]; ok {
			fmt.Fprintf(b, "%s = %s\n", f.key(), text)
		}
	}
}

// Text returns one value as the document writes it: "20/s" in quotes for rates.new_per_prefix, "enforce 10%" for controls.rate.accept.
func (d *Document) Text(path string) (text string, ok bool) {
	for _, f := range d.fields() {
		if f.path == path {
			return f.text(), true
		}
	}
	return "", false
}

// Set gives one value, as the document writes it, and remembers the line it came from; 0 is none. For controls.NAME it is a word and,
// perhaps, a share: enforce 10%; for a candidate an inline table. It does not look at the other values: Validate does.
func (d *Document) Set(path, text string, line int) error {
	for _, f := range d.fields() {
		if f.path != path {
			continue
		}
		problem, hint := set(f, text)
		if problem == "" {
			problem, hint = f.check()
		}
		if problem != "" {
			return &Error{Problems: []Problem{{Origin: d.name, Line: line, Key: path, Message: shownPath(path) + " " + problem, Hint: hint}}}
		}
		d.mark(path, line)
		return nil
	}
	var known []string
	for _, f := range d.fields() {
		known = append(known, f.path)
	}
	return &Error{Problems: []Problem{{Origin: d.name, Line: line, Key: path, Message: "unknown key " + quote(path) + didYouMean(path, known)}}}
}

// SetCandidate gives a control's candidate one value, by the key without its section: "new_per_prefix". An empty text takes it away.
func (d *Document) SetCandidate(control, key, text string) error {
	refuse := func(problem, hint string) error {
		path := candidatePath(control)
		return &Error{Problems: []Problem{{Origin: d.name, Key: path + "." + key, Message: shownPath(path) + "." + key + " " + problem, Hint: hint}}}
	}
	trial := d.Clone()
	known := trial.candidates(control)
	i := slices.IndexFunc(known, func(f field) bool { return f.key() == key })
	if i < 0 {
		return refuse("is no key of the control", "known: "+strings.Join(keysOf(known), ", "))
	}
	p := trial.Control(control)
	if p.Candidate == nil {
		p.Candidate = make(map[string]string)
	}
	if text == "" {
		delete(p.Candidate, key)
	} else {
		problem, hint := set(known[i], text)
		if problem == "" {
			problem, hint = known[i].check()
		}
		if problem != "" {
			return refuse(problem, hint)
		}
		p.Candidate[key] = known[i].text()
	}
	d.setControl(control, p)
	d.mark(candidatePath(control), 0)
	return nil
}

func set(f field, text string) (problem, hint string) {
	switch s := f.setting.(type) {
	case rollout:
		c, ok := parseControl(text)
		if !ok {
			return "cannot be " + quote(text), `off, monitor, enforce, or "enforce 10%" with 1 to 100`
		}
		s.take(rolloutOf(s.name, c))
		return "", ""
	case candidate:
		return s.set(text)
	}
	v, err := literal(text)
	if err != nil {
		return "is no value: " + err.Error(), "a string stands in quotes"
	}
	return f.read(v)
}

// set reads a candidate as its text writes it.
func (c candidate) set(text string) (problem, hint string) {
	src := newSource("", []byte(shownPath(candidatePath(c.name))+" = "+text))
	values, problems := readTOML(src)
	p := &parser{src: src, doc: New(""), problems: problems, places: map[string]place{}}
	for _, v := range values {
		if len(v.parts) < 3 || pathOf(v.parts[:3]) != pathOf([]string{"controls", c.name, "candidate"}) {
			return "has no single value", "{ KEY = VALUE }"
		}
		p.control(v)
	}
	if len(p.problems) == 0 {
		p.problems = secondOpinion(src)
	}
	if len(p.problems) > 0 {
		return "is no candidate: " + p.problems[0].Message, p.problems[0].Hint
	}
	c.take(candidate{p.doc, c.name})
	return "", ""
}

func rolloutOf(name string, c Control) rollout {
	return rollout{&Document{Controls: map[string]ControlPolicy{name: {Control: c}}}, name}
}

// parseControl reads a Control as its String writes it.
func parseControl(text string) (c Control, ok bool) {
	word, share, partly := strings.Cut(strings.Trim(text, `"`), " ")
	mode, err := ParseMode(word)
	c.Mode = mode
	if err != nil || !partly {
		return c, err == nil
	}
	c.Percent, err = strconv.Atoi(strings.TrimSuffix(share, "%"))
	return c, err == nil && mode == Enforce && c.Percent >= 1 && c.Percent <= 100
}
