package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtguard/config/spelling"
)

// maxDocument bounds the text of a document in bytes. Full lists take a fifth of it.
const maxDocument = 256 << 10

// Parse reads a document. name is what the text is called in messages, such as its file. It refuses a document with any problem, and the
// error is an *Error that names all of them with their places.
func Parse(name string, data []byte) (*Document, error) {
	src := newSource(name, data)
	if len(data) > maxDocument {
		return nil, report([]Problem{{Origin: name, Message: fmt.Sprintf("the document has %d bytes", len(data)), Hint: "at most 256 KiB"}})
	}
	values, problems := readTOML(src)
	p := &parser{src: src, problems: problems, places: map[string]place{}}
	p.begin(values)
	p.doc.name = name
	p.index()
	for _, v := range values {
		if p.take(v); len(p.problems) > 10*maxProblems {
			break // this is no policy
		}
	}
	p.doc.settle()
	for _, c := range p.doc.problems() {
		p.locate(c)
	}
	if len(p.problems) == 0 {
		p.problems = secondOpinion(src)
	}
	if err := report(p.problems); err != nil {
		return nil, err
	}
	return p.doc, nil
}

type parser struct {
	src      *source
	doc      *Document
	problems []Problem
	byPath   map[string]field // by the parts of the path
	sections map[string][]string
	places   map[string]place // of what was given, by path
}

func (p *parser) refuse(where place, key, message, hint string) {
	p.problems = append(p.problems, p.src.problem(where, key, message, hint))
}

// begin looks for what everything else depends on: the schema and the preset.
func (p *parser) begin(values []*value) {
	find := func(name string) *value {
		i := slices.IndexFunc(values, func(v *value) bool { return len(v.parts) == 1 && v.parts[0] == name })
		if i < 0 {
			return nil
		}
		return values[i]
	}
	switch v := find("schema"); {
	case v == nil:
		if len(p.problems) == 0 {
			p.refuse(place{}, "schema", "the document has no schema", "begin with: schema = 1")
		}
	case v.header:
	case v.kind != kindInteger || v.text != strconv.Itoa(Schema):
		p.refuse(v.place(), "schema", "schema cannot be "+v.shown(), "this program reads schema = 1; a later one may have written it")
	}
	preset := ""
	if v := find("preset"); v != nil && !v.header {
		if v.kind == kindString && isPreset(v.text) {
			preset = v.text
			p.places["preset"] = v.where
		} else {
			hint := "known: " + strings.Join(Presets(), ", ")
			if near := spelling.Nearest(v.text, Presets()); near != "" {
				hint = "did you mean " + near + "?"
			}
			p.refuse(v.place(), "preset", "preset cannot be "+v.shown(), hint)
		}
	}
	p.doc = New(preset)
	if preset != "" {
		p.doc.mark("preset", p.src.line(p.places["preset"].start))
	}
}

// index makes the paths that a document may have.
func (p *parser) index() {
	p.byPath, p.sections = map[string]field{}, map[string][]string{}
	add := func(section, child string) {
		if !slices.Contains(p.sections[section], child) {
			p.sections[section] = append(p.sections[section], child)
		}
	}
	add("", "schema")
	add("", "preset")
	for _, f := range p.doc.values() {
		parts := strings.Split(f.path, ".")
		p.byPath[joined(parts)] = f
		for i := range parts {
			add(joined(parts[:i]), parts[i])
		}
	}
	add("", "controls")
}

// joined makes one string of parts that cannot be read in two ways: TOML has no NUL.
func joined(parts []string) string { return strings.Join(parts, "\x00") }

// take takes one value of the text.
func (p *parser) take(v *value) {
	top := len(v.parts) == 1 && (v.parts[0] == "schema" || v.parts[0] == "preset")
	switch f, known := p.byPath[joined(v.parts)]; {
	case top && !v.header:
		p.once(v.parts[0]+" ", v) // begin has read it
	case top:
		p.refuse(v.key, v.parts[0], v.parts[0]+" is no section", "write "+v.parts[0]+" = … above the first section")
	case v.double && (known || p.sections[joined(v.parts)] != nil || v.parts[0] == "controls"):
		p.refuse(v.key, pathOf(v.parts)+" doubled", pathOf(v.parts)+" cannot be given several times", "write ["+pathOf(v.parts)+"] in single brackets")
	case v.parts[0] == "controls":
		p.control(v)
	case known && v.header:
		p.refuse(v.key, f.path, f.path+" is no section", "write "+f.path[strings.LastIndexByte(f.path, '.')+1:]+" = … under ["+f.section()+"]")
	case known:
		p.set(f, v)
	case v.header && p.sections[joined(v.parts)] != nil:
	case p.sections[joined(v.parts)] != nil:
		p.refuse(v.place(), pathOf(v.parts), fmt.Sprintf("%s must be a section, not %v", pathOf(v.parts), v.kind), "write ["+pathOf(v.parts)+"] on a line of its own")
	default:
		p.unknown(v)
	}
}

// once refuses what is given a second time.
func (p *parser) once(path string, v *value) bool {
	if first, given := p.places[path]; given {
		p.refuse(v.key, path+" again", pathOf(v.parts)+" is given twice", fmt.Sprintf("the first is on line %d", p.src.line(first.start)))
		return false
	}
	p.places[path] = v.place()
	return true
}

func (p *parser) set(f field, v *value) {
	if !p.once(f.path, v) {
		return
	}
	if problem, hint := f.read(v); problem != "" {
		p.refuse(v.place(), f.path, f.path+" "+problem, hint)
	}
	p.doc.mark(f.path, p.src.line(v.key.start))
}

func (p *parser) unknown(v *value) {
	// The first part that is not known is the one to speak about.
	depth := 0
	for p.sections[joined(v.parts[:depth+1])] != nil && depth < len(v.parts)-1 {
		depth++
	}
	section := v.parts[:depth]
	if f, leaf := p.byPath[joined(v.parts[:depth+1])]; leaf {
		p.refuse(v.key, f.path, f.path+" has no keys of its own", "")
		return
	}
	word, known, what := v.parts[depth], p.sections[joined(section)], "key"
	if v.header || depth < len(v.parts)-1 {
		what = "section"
	}
	hint := ""
	if home := p.homeOf(word); home != "" {
		hint = "it belongs to [" + home + "]"
	} else if near := spelling.Nearest(word, known); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(known) > 0 {
		hint = "known: " + strings.Join(known, ", ")
	}
	p.refuse(v.key, pathOf(v.parts[:depth+1]), "unknown "+what+" "+pathOf(v.parts[:depth+1]), hint)
}

// homeOf returns the one section that knows a key, for keys put into a wrong one.
func (p *parser) homeOf(key string) (home string) {
	for _, f := range p.doc.values() {
		if strings.HasSuffix(f.path, "."+key) {
			if home != "" {
				return ""
			}
			home = f.section()
		}
	}
	return home
}

// locate turns a problem of the document into one of the text: it points at the value, at what it contradicts, or at the preset.
func (p *parser) locate(c complaint) {
	message := shownPath(c.path) + " " + c.message
	for _, path := range []string{c.path, c.other, "preset"} {
		if where, ok := p.places[path]; ok {
			p.refuse(where, c.path, message, c.hint)
			return
		}
	}
	p.problems = append(p.problems, Problem{Origin: p.src.name, Key: c.path, Message: message, Hint: c.hint, order: len(p.src.data)})
}
