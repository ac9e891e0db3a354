package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what a value is in the text.
type kind uint8

const (
	kindTable kind = iota
	kindList
	kindString
	kindInteger
	kindBool
	kindFloat
	kindDate
)

func (k kind) String() string {
	return [...]string{"a section", "a list", "a string", "a number", "true or false", "a fraction", "a date"}[k]
}

// value is a value of the text, or a [header].
type value struct {
	parts []string // of the path
	kind  kind
	text  string // of a scalar: what it says, unquoted
	items []*value
	key   place
	where place
	// header says that this is no value but a section that begins here, double that it stands in [[double]] brackets.
	header, double bool
}

// wrong is the rest of the sentence about a value of another kind.
func (v *value) wrong(want string) string { return "must be " + want + ", not " + v.kind.String() }

// shown is the value as a sentence may quote it.
func (v *value) shown() string {
	if v.kind == kindTable || v.kind == kindList {
		return v.kind.String()
	}
	return quote(v.text)
}

// place is where a problem with the value is shown.
func (v *value) place() place {
	if v.where.end > v.where.start {
		return v.where
	}
	return v.key
}

// reader turns the expressions of a text into one flat list: a document has a fixed set of paths, so that no tree is needed. The library's own
// decoder stops at the first wrong type, and knows no place afterwards.
type reader struct {
	src      *source
	parser   unstable.Parser
	section  []string
	skip     bool // the section is in double brackets, and no document has one
	values   []*value
	problems []Problem
}

// readTOML reads a text. With a problem that breaks the syntax, what stands in front of it is still returned.
func readTOML(src *source) ([]*value, []Problem) {
	r := &reader{src: src}
	r.parser.Reset(src.data)
	for r.parser.NextExpression() {
		switch e := r.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			r.header(e)
		case unstable.KeyValue:
			if !r.skip {
				r.keyValue(r.section, e)
			}
		}
	}
	if err := r.parser.Error(); err != nil {
		var syntax *unstable.ParserError
		if errors.As(err, &syntax) {
			r.notTOML(placeOf(r.parser.Range(syntax.Highlight)), syntax.Message)
		} else {
			r.notTOML(place{}, err.Error())
		}
		return r.values, r.problems
	}
	return r.values, r.problems
}

func (r *reader) notTOML(where place, message string) {
	r.problems = append(r.problems, r.src.problem(where, "", "not TOML: "+message, ""))
}

// secondOpinion lets the library's own decoder refuse what the list accepts but TOML does not, such as a section given twice. It comes after
// everything else, whose messages are better.
func secondOpinion(src *source) []Problem {
	r := &reader{src: src}
	var all map[string]any
	err := toml.Unmarshal(r.src.data, &all)
	var refused *toml.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		row, column := refused.Position()
		start := len(r.src.data)
		if row >= 1 && row <= len(r.src.lines) {
			start = min(start, r.src.lines[row-1]+max(0, column-1))
		}
		r.notTOML(place{start, start + 1}, strings.TrimPrefix(refused.Error(), "toml: "))
	default:
		r.notTOML(place{}, strings.TrimPrefix(err.Error(), "toml: "))
	}
	return r.problems
}

func (r *reader) header(e *unstable.Node) {
	parts, where := keyOf(e.Key())
	r.section, r.skip = parts, e.Kind == unstable.ArrayTable
	r.values = append(r.values, &value{parts: parts, key: where, header: true, double: r.skip})
}

func (r *reader) keyValue(section []string, e *unstable.Node) {
	parts, where := keyOf(e.Key())
	parts = append(section[:len(section):len(section)], parts...)
	// Lists carry no range of their own: it is what follows the equals sign.
	start, end := where.end, int(e.Raw.Offset+e.Raw.Length)
	for start < end && strings.IndexByte(" \t=", r.src.data[start]) >= 0 {
		start++
	}
	v := r.valueOf(e.Value(), place{start, end})
	v.parts, v.key = parts, where
	if v.kind != kindTable {
		r.values = append(r.values, v)
		return
	}
	r.values = append(r.values, &value{parts: parts, key: where, header: true})
	for it := e.Value().Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			r.keyValue(parts, it.Node())
		}
	}
}

func (r *reader) valueOf(n *unstable.Node, where place) *value {
	v := &value{where: where, text: string(n.Data)}
	switch n.Kind {
	case unstable.String:
		v.kind = kindString
	case unstable.Integer:
		v.kind = kindInteger
	case unstable.Bool:
		v.kind = kindBool
	case unstable.Float:
		v.kind = kindFloat
	case unstable.InlineTable:
		v.kind = kindTable
	case unstable.Array:
		v.kind = kindList
		for it := n.Children(); it.Next(); {
			item := it.Node()
			at := where
			if item.Raw.Length > 0 {
				at = placeOf(item.Raw)
			}
			v.items = append(v.items, r.valueOf(item, at))
		}
	default:
		v.kind = kindDate
	}
	return v
}

func keyOf(it unstable.Iterator) (parts []string, whole place) {
	whole.start = -1
	for it.Next() {
		at := placeOf(it.Node().Raw)
		if whole.start < 0 {
			whole.start = at.start
		}
		whole.end = at.end
		parts = append(parts, string(it.Node().Data))
	}
	return parts, whole
}

func placeOf(r unstable.Range) place { return place{int(r.Offset), int(r.Offset + r.Length)} }

// literal reads one value as a document writes it.
func literal(text string) (*value, error) {
	src := newSource("", []byte("x = "+text))
	values, problems := readTOML(src)
	if len(problems) == 0 {
		problems = secondOpinion(src)
	}
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	if len(values) != 1 || values[0].header || len(values[0].parts) != 1 {
		return nil, fmt.Errorf("%s is no single value", quote(text))
	}
	return values[0], nil
}
