package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/config/spelling"
)

// decode lays the file over the defaults. Everything that cannot be understood is
// a problem and leaves the default in place, so that the rest is still checked.
func decode(name string, data []byte) (*File, []Problem) {
	f := Default()
	f.src = newSource(name, data)
	root, problems := parseTree(f.src)
	d := &decoder{src: f.src, file: reflect.TypeFor[File]()}
	d.hideSecrets(root)
	d.table(root, reflect.ValueOf(f).Elem(), "")
	return f, append(problems, d.problems...)
}

type decoder struct {
	src      *source
	file     reflect.Type
	problems []Problem
}

func (d *decoder) refuse(where span, path, message, hint string) {
	d.problems = append(d.problems, d.src.problemAt(where, path, message, hint))
}

// shown are the keys of [[user]] and [[alert]] that hold no secret.
var shown = []string{"name", "secret_file", "kind", "min_severity", "format", "chat", "ca_file"}

// hideSecrets marks everything in [[user]] and [[alert]] that could be a secret,
// whatever its key is called: a misspelt key must not print what it was meant to
// hold.
func (d *decoder) hideSecrets(root *node) {
	for _, section := range []string{"user", "alert"} {
		if list := root.child(section); list != nil {
			d.hideBelow(list)
		}
	}
	if upstream := root.child("upstream"); upstream != nil {
		if socks := upstream.child("socks5"); socks != nil && strings.Contains(socks.text, "@") {
			d.hideBelow(socks)
		}
	}
}

func (d *decoder) hideBelow(n *node) {
	if n.kind != kindTable && n.kind != kindTables {
		d.src.secrets = append(d.src.secrets, n.value)
	}
	for _, f := range n.fields {
		if !slices.Contains(shown, f.name) {
			d.hideBelow(f.node)
		}
	}
	for _, item := range n.items {
		d.hideBelow(item)
	}
}

// table fills the struct into from the fields of n.
func (d *decoder) table(n *node, into reflect.Value, path string) {
	if n.kind != kindTable {
		d.refuse(n.place(), path, fmt.Sprintf("%s must be a section, not %s", path, n.kind), fmt.Sprintf("write [%s] on a line of its own", path))
		return
	}
	for _, f := range n.fields {
		full := join(path, f.name)
		target, ok := fieldByKey(into, f.name)
		if !ok {
			d.unknown(f, into.Type(), path)
			continue
		}
		d.src.keys[full] = f.node.key
		switch {
		case target.Kind() == reflect.Struct && target.Type() != reflect.TypeFor[Secret]():
			d.table(f.node, target, full)
		case target.Kind() == reflect.Slice && target.Type().Elem().Kind() == reflect.Struct && target.Type().Elem().PkgPath() == reflect.TypeFor[User]().PkgPath():
			d.sections(f.node, target, full)
		default:
			d.src.values[full] = f.node.value
			d.value(f.node, target, full)
		}
	}
}

// sections fills a list of structs of this package.
func (d *decoder) sections(n *node, into reflect.Value, path string) {
	if n.kind == kindList && len(n.items) == 0 {
		return
	}
	if n.kind != kindTables {
		d.refuse(n.place(), path, fmt.Sprintf("%s must be a list of sections, not %s", path, n.kind), "write [["+path+"]] for each "+map[string]string{"user": "user", "alert": "receiver"}[path])
		return
	}
	for i, item := range n.items {
		full := fmt.Sprintf("%s[%d]", path, i)
		d.src.keys[full] = item.place()
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		d.table(item, into.Index(i), full)
	}
}

// value sets one key. Each type has one spelling in the file; what else was
// meant is guessed only for the hint.
func (d *decoder) value(n *node, into reflect.Value, path string) {
	if problem, hint := assign(n, into); problem != "" {
		d.refuse(n.place(), path, display(path)+" "+problem, hint)
		return
	}
	switch into.Type() {
	case reflect.TypeFor[[]string](), reflect.TypeFor[[]netip.Prefix]():
		d.strings(n, into, path)
	case reflect.TypeFor[map[string]string](), reflect.TypeFor[map[string][]string]():
		d.entries(n, into, path)
	}
}

func (d *decoder) strings(n *node, into reflect.Value, path string) {
	list := reflect.MakeSlice(into.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		full := fmt.Sprintf("%s[%d]", path, i)
		d.src.values[full] = item.value
		if problem, hint := assign(item, list.Index(i)); problem != "" {
			d.refuse(item.place(), full, path+" "+problem, hint)
		}
	}
	into.Set(list)
}

func (d *decoder) entries(n *node, into reflect.Value, path string) {
	for _, f := range n.fields {
		full := join(path, f.name)
		d.src.keys[full] = f.node.key
		d.src.values[full] = f.node.value
		entry := reflect.New(into.Type().Elem()).Elem()
		before := len(d.problems)
		d.value(f.node, entry, full)
		if len(d.problems) == before {
			into.SetMapIndex(reflect.ValueOf(f.name), entry)
		}
	}
}

// assign sets a scalar, or checks that a list or table is one. It returns the
// rest of the sentence "KEY …" and a hint.
func assign(n *node, into reflect.Value) (problem, hint string) {
	wrong := func(want, hint string) (string, string) {
		return "must be " + want + ", not " + n.kind.String(), hint
	}
	switch into.Interface().(type) {
	case string:
		if n.kind != kindString {
			return wrong("a string in quotes", n.quoted())
		}
		into.SetString(n.text)
	case Secret:
		if n.kind != kindString {
			return wrong("a string in quotes", "put it in quotes")
		}
		into.Set(reflect.ValueOf(NewSecret(n.text)))
	case bool:
		if n.kind != kindBool {
			return wrong("true or false", "one of these words, without quotes")
		}
		into.SetBool(n.text == "true")
	case int:
		if n.kind != kindInteger {
			return wrong("a whole number", "such as 4_096, without quotes")
		}
		number, err := strconv.ParseInt(strings.TrimPrefix(n.text, "+"), 0, 0)
		if err != nil {
			return "is not a number this machine can count to", ""
		}
		into.SetInt(number)
	case time.Duration:
		if n.kind == kindInteger {
			return wrong("a duration in quotes", "a number needs a unit: \""+n.text+"s\"")
		}
		if n.kind != kindString {
			return wrong("a duration in quotes", `such as "10s"`)
		}
		return assignText(n.text, into)
	case netip.Prefix:
		if n.kind != kindString {
			return wrong("a prefix in quotes", `such as "10.0.0.0/8"`)
		}
		return assignText(n.text, into)
	case []string, []netip.Prefix:
		if n.kind != kindList {
			return wrong("a list", n.listed())
		}
	case map[string]string, map[string][]string:
		if n.kind != kindTable {
			return wrong("a section", "")
		}
	}
	return "", ""
}

// assignText sets a value that is written as text, in the file or in a variable.
func assignText(text string, into reflect.Value) (problem, hint string) {
	switch into.Interface().(type) {
	case string:
		into.SetString(text)
	case bool:
		if text != "true" && text != "false" {
			return "must be true or false", ""
		}
		into.SetBool(text == "true")
	case int:
		number, err := strconv.ParseInt(text, 0, 0)
		if err != nil {
			return "must be a whole number", "such as 4096"
		}
		into.SetInt(number)
	case time.Duration:
		d, err := ParseDuration(text)
		if err != nil {
			return "is no duration: " + err.Error(), `such as "10s", "1h30m", "2d" or "1w"`
		}
		into.SetInt(int64(d))
	case netip.Prefix:
		p, problem, hint := parsePrefix(text)
		if problem != "" {
			return problem, hint
		}
		into.Set(reflect.ValueOf(p))
	}
	return "", ""
}

// place is where a problem with the value is shown.
func (n *node) place() span {
	if n.value.end > n.value.start {
		return n.value
	}
	return n.key
}

func (n *node) quoted() string {
	if n.kind == kindTable {
		return `a name with a dot stands in quotes: "rate.accept" = "monitor"`
	}
	if n.kind == kindInteger || n.kind == kindBool {
		return fmt.Sprintf("write %q", n.text)
	}
	return ""
}

func (n *node) listed() string {
	if n.kind == kindString {
		return fmt.Sprintf("write [%q]", n.text)
	}
	return ""
}

func (d *decoder) unknown(f *field, in reflect.Type, path string) {
	full := join(path, f.name)
	what := "key"
	if f.node.kind == kindTable || f.node.kind == kindTables {
		what = "section"
	}
	hint := ""
	if near := spelling.Nearest(f.name, keysOf(in)); near != "" {
		hint = "did you mean " + near + "?"
	} else if home := d.homeOf(f.name); home != "" && home != path {
		hint = "it belongs to [" + home + "]"
	} else if path == "" {
		hint = "known sections: " + strings.Join(keysOf(in), ", ")
	}
	d.refuse(f.node.key, full, "unknown "+what+" "+display(full), hint)
}

// homeOf returns the one section that knows a key, for keys put into a wrong one.
func (d *decoder) homeOf(key string) string {
	home := ""
	for i := range d.file.NumField() {
		section := d.file.Field(i)
		if section.Type.Kind() != reflect.Struct {
			continue
		}
		for _, known := range keysOf(section.Type) {
			if known != key {
				continue
			}
			if home != "" {
				return ""
			}
			home = section.Tag.Get("toml")
		}
	}
	return home
}

// keysOf lists the keys of a section in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// display is a path as the file spells it: without the numbers of its sections.
func display(path string) string { return index.ReplaceAllString(path, "") }
