package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what a value is in the file.
type kind uint8

const (
	kindTable  kind = iota
	kindTables      // [[header]], or a list of inline tables
	kindList
	kindString
	kindInteger
	kindBool
	kindFloat // neither this nor a date is what any key takes
	kindDate
)

func (k kind) String() string {
	return [...]string{"a section", "a list of sections", "a list", "a string", "a number", "true or false", "a fraction", "a date"}[k]
}

// node is a value of the file with its place. The decoder of the library stops
// at the first wrong type and knows no place afterwards, so the tree is ours.
type node struct {
	kind   kind
	key    span
	value  span
	text   string // of a scalar: what it says, unquoted
	fields []*field
	items  []*node
	headed bool // a table that has had its [header], or is complete in itself
}

type field struct {
	name string
	node *node
}

func (n *node) child(name string) *node {
	for _, f := range n.fields {
		if f.name == name {
			return f.node
		}
	}
	return nil
}

func (n *node) add(name string, child *node) *node {
	n.fields = append(n.fields, &field{name, child})
	return child
}

// treeBuilder turns the expressions of a file into one tree.
type treeBuilder struct {
	src      *source
	parser   unstable.Parser
	root     *node
	current  *node
	problems []Problem
}

// parseTree reads the file of src. With a problem that breaks the syntax, what
// stands in front of it is still returned.
func parseTree(src *source) (*node, []Problem) {
	b := &treeBuilder{src: src, root: &node{}}
	b.current = b.root
	b.parser.Reset(src.data)
	for b.parser.NextExpression() {
		b.expression(b.parser.Expression())
	}
	if err := b.parser.Error(); err != nil {
		src.hideUnparsed()
		var syntax *unstable.ParserError
		if errors.As(err, &syntax) {
			r := b.parser.Range(syntax.Highlight)
			b.problems = append(b.problems, src.problemAt(spanOf(r), "", "not TOML: "+syntax.Message, ""))
		} else {
			b.problems = append(b.problems, Problem{Origin: src.name, Message: "not TOML: " + err.Error()})
		}
		return b.root, b.problems
	}
	if len(b.problems) == 0 {
		b.secondOpinion()
	}
	return b.root, b.problems
}

// secondOpinion lets the library's own decoder refuse what the tree accepts but
// TOML does not, such as a number with a leading zero.
func (b *treeBuilder) secondOpinion() {
	var all map[string]any
	err := toml.Unmarshal(b.src.data, &all)
	var refused *toml.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		b.src.hideUnparsed()
		row, column := refused.Position()
		start := len(b.src.data)
		if row >= 1 && row <= len(b.src.lines) {
			start = b.src.lines[row-1] + max(0, column-1)
		}
		message := "not TOML: " + strings.TrimPrefix(refused.Error(), "toml: ")
		b.problems = append(b.problems, b.src.problemAt(span{start, start + 1}, strings.Join(refused.Key(), "."), message, ""))
	default:
		b.problems = append(b.problems, Problem{Origin: b.src.name, Message: "not TOML: " + err.Error()})
	}
}

func (b *treeBuilder) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.Table, unstable.ArrayTable:
		b.header(e)
	case unstable.KeyValue:
		if b.current != nil {
			b.keyValue(b.current, e)
		}
	}
}

// header enters a [table] or [[table]]. When that is impossible the keys below it
// are skipped, since nobody knows where they belong.
func (b *treeBuilder) header(e *unstable.Node) {
	parts, whole := keyParts(e.Key())
	b.current = nil
	at := b.descend(b.root, parts[:len(parts)-1])
	if at == nil {
		return
	}
	last := parts[len(parts)-1]
	existing := at.child(last.name)
	if e.Kind == unstable.ArrayTable {
		list := existing
		if list == nil {
			list = at.add(last.name, &node{kind: kindTables, key: whole})
		} else if list.kind != kindTables || list.headed {
			b.duplicate(last, existing)
			return
		}
		b.current = &node{key: whole, headed: true}
		list.items = append(list.items, b.current)
		return
	}
	switch {
	case existing == nil:
		b.current = at.add(last.name, &node{key: whole, headed: true})
	case existing.kind == kindTable && !existing.headed:
		existing.headed, existing.key = true, whole
		b.current = existing
	default:
		b.duplicate(last, existing)
	}
}

func (b *treeBuilder) keyValue(at *node, e *unstable.Node) {
	parts, whole := keyParts(e.Key())
	if at = b.descend(at, parts[:len(parts)-1]); at == nil {
		return
	}
	last := parts[len(parts)-1]
	if existing := at.child(last.name); existing != nil {
		b.duplicate(last, existing)
		return
	}
	// Lists carry no range of their own: it is what follows the equals sign.
	end := int(e.Raw.Offset + e.Raw.Length)
	start := whole.end
	for start < end && strings.IndexByte(" \t=", b.src.data[start]) >= 0 {
		start++
	}
	child := at.add(last.name, b.valueNode(e.Value(), span{start, end}))
	child.key = whole
}

func (b *treeBuilder) valueNode(v *unstable.Node, where span) *node {
	n := &node{value: where, text: string(v.Data), headed: true}
	switch v.Kind {
	case unstable.String:
		n.kind = kindString
	case unstable.Integer:
		n.kind = kindInteger
	case unstable.Bool:
		n.kind = kindBool
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				b.keyValue(n, it.Node())
			}
		}
	case unstable.Array:
		n.kind = kindList
		for it := v.Children(); it.Next(); {
			item := it.Node()
			at := where
			if item.Raw.Length > 0 {
				at = spanOf(item.Raw)
			}
			n.items = append(n.items, b.valueNode(item, at))
			if item.Kind == unstable.InlineTable {
				n.kind = kindTables
			}
		}
	case unstable.Float:
		n.kind = kindFloat
	default:
		n.kind = kindDate
	}
	return n
}

// descend walks to the table that parts name, making it where it is missing.
func (b *treeBuilder) descend(at *node, parts []keyPart) *node {
	for _, part := range parts {
		next := at.child(part.name)
		switch {
		case next == nil:
			next = at.add(part.name, &node{key: part.where})
		case next.kind == kindTables && len(next.items) > 0 && !next.headed:
			next = next.items[len(next.items)-1]
		case next.kind != kindTable:
			b.duplicate(part, next)
			return nil
		}
		at = next
	}
	return at
}

func (b *treeBuilder) duplicate(part keyPart, existing *node) {
	line, _, _ := b.src.lineOf(existing.key.start)
	b.problems = append(b.problems, b.src.problemAt(part.where, part.name,
		fmt.Sprintf("%s is given twice", part.name), fmt.Sprintf("the first is on line %d", line)))
}

type keyPart struct {
	name  string
	where span
}

func keyParts(it unstable.Iterator) (parts []keyPart, whole span) {
	for it.Next() {
		parts = append(parts, keyPart{string(it.Node().Data), spanOf(it.Node().Raw)})
	}
	return parts, span{parts[0].where.start, parts[len(parts)-1].where.end}
}

func spanOf(r unstable.Range) span {
	return span{int(r.Offset), int(r.Offset + r.Length)}
}
