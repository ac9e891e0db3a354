package policy

import (
	"errors"
	"slices"
	"strconv"
)

// Layer is a document with the name of where it is from, such as "policy r7". Without a name its values are from its text: "mtguard.toml:12".
type Layer struct {
	Origin   string
	Document *Document
}

// Effective is what several documents say together. It is complete, and does not change.
type Effective struct {
	Document
	origins map[string]string
}

// Value is one value with its origin, as `policy explain` shows it.
type Value struct {
	Path    string `json:"path"`
	Text    string `json:"text"`
	Control string `json:"control,omitempty"`
	// Origin is "preset community", "mtguard.toml:12", "policy r7".
	Origin string `json:"origin"`
}

// Merge lays documents over each other: the preset is that of the last layer that names one, and each value is from the last layer that gives
// it. mode and percent of a control come together, and so do the values of a candidate. It fails, with an *Error that names origins,
// when the result contradicts itself. A bound on connections that only the preset gives is lowered to the bound that it is within. A layer
// without a document says nothing.
func Merge(layers ...Layer) (*Effective, error) {
	preset, from := "", ""
	layers = slices.DeleteFunc(slices.Clone(layers), func(l Layer) bool { return l.Document == nil })
	for _, l := range layers {
		if l.Document.Preset != "" {
			preset, from = l.Document.Preset, l.origin("preset")
		}
	}
	e := &Effective{Document: *New(preset), origins: map[string]string{"preset": from}}
	fields := e.fields()
	for _, f := range fields {
		e.origins[f.path] = "preset " + e.presetName()
	}
	byPath := make(map[string]field, len(fields))
	for _, f := range fields {
		byPath[f.path] = f
	}
	for _, l := range layers {
		for _, f := range l.Document.own() {
			byPath[f.path].take(f.setting)
			e.origins[f.path] = l.origin(f.path)
			e.mark(f.path, l.Document.given[f.path])
		}
	}
	for _, n := range e.settle() {
		e.origins[n.path] += ", at most " + n.wider
	}
	err := e.Validate()
	if refused, ok := errors.AsType[*Error](err); ok {
		for i := range refused.Problems {
			refused.Problems[i].Origin = e.origins[refused.Problems[i].Key]
		}
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (l Layer) origin(path string) string {
	if l.Origin != "" {
		return l.Origin
	}
	name := l.Document.name
	if name == "" {
		name = "policy"
	}
	if line := l.Document.given[path]; line > 0 {
		return name + ":" + strconv.Itoa(line)
	}
	return name
}

func (d *Document) presetName() string {
	if d.Preset == "" {
		return defaultPreset
	}
	return d.Preset
}

// Origin says where the value at a path comes from; empty for a path that there is not.
func (e *Effective) Origin(path string) string { return e.origins[path] }

// Values returns all values in the order in which documents are written, the preset first. Controls without a candidate have no value for it.
func (e *Effective) Values() []Value {
	origin := e.origins["preset"]
	if origin == "" {
		origin = "default"
	}
	all := []Value{{Path: "preset", Text: strconv.Quote(e.presetName()), Origin: origin}}
	for _, f := range e.fields() {
		if _, isCandidate := f.setting.(candidate); isCandidate && len(e.Control(f.control).Candidate) == 0 {
			continue
		}
		all = append(all, Value{Path: f.path, Text: f.text(), Control: f.control, Origin: e.origins[f.path]})
	}
	return all
}
