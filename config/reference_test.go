package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write doc/config.md and examples/mtguard.toml")

// The reference and the example are generated from the comments of the fields, so that
// there is one text to keep right. Write them again with
//
//	go test ./config -run Generated -update
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	reference, example := generate(readComments(t))
	for name, want := range map[string]string{"../doc/config.md": reference, "../examples/mtguard.toml": example} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s differs from the comments in config.go: go test ./config -run Generated -update", name)
		}
	}
}

func TestExampleEqualsTheDefaults(t *testing.T) {
	data, err := os.ReadFile("../examples/mtguard.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("mtguard.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	got.src, want.src = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// The lines that the example has commented out must be right as well.
func TestExampleWithItsCommentsRemovedIsValid(t *testing.T) {
	data, err := os.ReadFile("../examples/mtguard.toml")
	if err != nil {
		t.Fatal(err)
	}
	var active []string
	for line := range strings.Lines(string(data)) {
		if code, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(code, " ") && code != "\n" && !strings.HasPrefix(code, "secret_file") {
			line = code
			key, _, _ := strings.Cut(code, " = ")
			for i := len(active) - 1; i >= 0 && !strings.HasPrefix(active[i], "["); i-- {
				if strings.HasPrefix(active[i], key+" = ") {
					active[i] = "\n" // the example replaces the default
				}
			}
		}
		active = append(active, line)
	}
	file, err := Parse("mtguard.toml", []byte(strings.Join(active, "")))
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Users) != 1 || len(file.Upstream.DC) != 1 || len(file.Policy.Controls) != 1 || len(file.Alerts) != 1 || len(file.Alerting.Thresholds) != 1 || len(file.Proxy.ProxyProtocolFrom) != 1 || file.Upstream.Socks5 == "" {
		t.Errorf("an example was not read: %+v", file)
	}
}

// comments holds the text of every type and field: "Proxy", "Proxy.Listen".
type comments map[string]string

func readComments(t *testing.T) comments {
	t.Helper()
	found := comments{}
	var decls []ast.Decl
	for _, name := range []string{"config.go", "admin.go", "alerts.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, file.Decls...)
	}
	for _, decl := range decls {
		decl, ok := decl.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			continue
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		found[spec.Name.Name] = oneLine(decl.Doc.Text())
		for _, field := range body.Fields.List {
			if len(field.Names) == 1 {
				found[spec.Name.Name+"."+field.Names[0].Name] = oneLine(field.Doc.Text())
			}
		}
	}
	return found
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

const referenceIntro = `# Configuration

<!-- Generated from the comments in config/config.go: go test ./config -run Generated -update -->

A node needs no configuration: without a file it serves one user on port 443 and prints the link.
With ` + "`--config FILE`" + `, or with ` + DefaultPath + ` when that exists, it reads a file in
[TOML](https://toml.io). Unknown keys, wrong types and contradictions are errors, reported all at once by
` + "`mtguard config check`" + `; ` + "`mtguard config example`" + ` prints a file with everything at its default.

- A flag wins over a variable, that over the file, that over the default.
- The variable of a key is its name in capitals behind ` + "`MTGUARD__`" + `, with two underscores for each dot:
  ` + "`MTGUARD__PROXY__LISTEN=127.0.0.1:8443,[::1]:8443`" + `. Lists are separated by commas. Unknown variables of this
  form are errors. Users and receivers of alerts cannot be set by variables.
- Durations are texts: ` + "`\"90s\"`, `\"1h30m\"`, `\"2d\"`, `\"1w\"`" + `. Numbers may have underscores: ` + "`32_768`" + `.
- SIGHUP reads file and variables again. With any error the old configuration stays in force.
- A file that contains a secret must be readable by its owner only.
`

const exampleIntro = `# mtguard.toml: how this node runs. Every line shows its default and may be left
# out; lines that begin with # and no space are examples.
# Check with: mtguard config check --config FILE    Apply with: kill -HUP
`

// generate writes the reference and the example.
func generate(text comments) (reference, example string) {
	var ref, ex strings.Builder
	ref.WriteString(referenceIntro)
	ex.WriteString(exampleIntro)
	defaults := reflect.ValueOf(*Default())
	for i := range defaults.NumField() {
		field := defaults.Type().Field(i)
		section := field.Tag.Get("toml")
		if section == "" {
			continue
		}
		values, header, prefix := defaults.Field(i), "["+section+"]", ""
		if field.Type.Kind() == reflect.Slice {
			values, header, prefix = reflect.New(field.Type.Elem()).Elem(), "[["+section+"]]", "#"
		}
		about := strings.Replace(text[values.Type().Name()], values.Type().Name(), "`"+header+"`", 1)
		fmt.Fprintf(&ref, "\n## %s\n\n%s\n", header, about)
		fmt.Fprintf(&ex, "\n\n%s\n%s%s\n", wrap(strings.ReplaceAll(about, "`", "")), prefix, header)
		for j := range values.NumField() {
			describeField(&ref, &ex, text, values, j, section, prefix)
		}
	}
	return ref.String(), ex.String()
}

func describeField(ref, ex *strings.Builder, text comments, values reflect.Value, j int, section, prefix string) {
	field := values.Type().Field(j)
	key := field.Tag.Get("toml")
	about, reload, _ := strings.Cut(text[values.Type().Name()+"."+field.Name], " Reload: ")
	about = strings.Replace(about, field.Name+" ", "`"+key+"` ", 1)
	value := literal(values.Field(j))
	sample := field.Tag.Get("example")

	fmt.Fprintf(ref, "\n### %s.%s\n\n%s\n\n- Type: %s\n", section, key, about, typeName(field.Type))
	if value != "" && prefix == "" {
		fmt.Fprintf(ref, "- Default: `%s`\n", value)
	}
	if sample != "" {
		fmt.Fprintf(ref, "- Example: `%s`\n", sample)
	}
	fmt.Fprintf(ref, "- Reload: %s\n", strings.TrimSuffix(reload, "."))

	ex.WriteString("\n" + wrap(about))
	switch {
	case field.Type.Kind() == reflect.Map:
		fmt.Fprintf(ex, "\n[%s.%s]\n#%s\n", section, key, sample)
	case prefix != "":
		fmt.Fprintf(ex, "\n#%s = %s\n", key, sample)
	default:
		fmt.Fprintf(ex, "\n%s = %s\n", key, value)
		if sample != "" {
			fmt.Fprintf(ex, "#%s = %s\n", key, sample)
		}
	}
}

func wrap(text string) string {
	var lines []string
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 80 {
			lines, line = append(lines, line), "#"
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[string]():
		return "string"
	case reflect.TypeFor[Secret]():
		return "string, never printed"
	case reflect.TypeFor[bool]():
		return "`true` or `false`"
	case reflect.TypeFor[int]():
		return "number"
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[[]string]():
		return "list of strings"
	case reflect.TypeFor[[]netip.Prefix]():
		return "list of prefixes"
	case reflect.TypeFor[map[string]string]():
		return "section of strings"
	case reflect.TypeFor[map[string][]string]():
		return "section of lists of strings"
	}
	panic("no name for " + t.String())
}

// literal writes a default as the file would; "" for sections.
func literal(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case string:
		return strconv.Quote(value)
	case bool:
		return strconv.FormatBool(value)
	case int:
		return number(value)
	case time.Duration:
		return strconv.Quote(FormatDuration(value))
	case []string:
		quoted := make([]string, len(value))
		for i := range value {
			quoted[i] = strconv.Quote(value[i])
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []netip.Prefix:
		if len(value) == 0 {
			return "[]"
		}
	}
	return ""
}

// Every exported field must tell an operator what he needs.
func TestEveryKeyIsDescribed(t *testing.T) {
	text := readComments(t)
	file := reflect.TypeFor[File]()
	for i := range file.NumField() {
		section := file.Field(i).Type
		if section.Kind() == reflect.Slice {
			section = section.Elem()
		}
		if section.Kind() != reflect.Struct {
			continue
		}
		if !strings.HasPrefix(text[section.Name()], section.Name()+" ") {
			t.Errorf("type %s: the comment does not begin with the name", section.Name())
		}
		for j := range section.NumField() {
			name := section.Name() + "." + section.Field(j).Name
			if !strings.HasPrefix(text[name], section.Field(j).Name+" ") || !strings.Contains(text[name], " Reload: ") {
				t.Errorf("%s: the comment lacks the name in front, or \"Reload:\"", name)
			}
			if kind := section.Field(j).Type; kind == reflect.TypeFor[int]() || kind == reflect.TypeFor[time.Duration]() {
				if !strings.Contains(text[name], "Range: ") {
					t.Errorf("%s: the comment lacks \"Range:\"", name)
				}
			}
		}
	}
}
