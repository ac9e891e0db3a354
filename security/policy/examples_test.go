package policy

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the first lines of examples/policy/invalid, and the presets that have no comments")

const examples = "../../examples/policy/"

func readExample(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExamplesAreValid(t *testing.T) {
	names, err := filepath.Glob(examples + "*.toml")
	if err != nil || len(names) < 6 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	for _, name := range names {
		d, err := Parse(filepath.Base(name), readExample(t, name))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if err := d.Apply(new(Snapshot)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The file of each preset gives every value, and the same as the preset without it.
func TestExamplesOfPresetsAreComplete(t *testing.T) {
	for _, preset := range Presets() {
		name := examples + preset + ".toml"
		if *update && preset != "personal" {
			d := New(preset)
			for _, f := range d.values() {
				d.mark(f.path, 0)
			}
			text := fmt.Sprintf("# Every value of the preset %q. What each key means stands in personal.toml.\n%s", preset, Format(d))
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Parse(name, readExample(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if d.Preset != preset {
			t.Errorf("%s has the preset %q", name, d.Preset)
		}
		for _, c := range Diff(New(preset), d) {
			t.Errorf("%s: %s is %s in the preset and %s in the file: go test ./security/policy -run Presets -update", name, c.Path, c.From, c.To)
		}
		for _, f := range d.values() {
			if _, given := d.given[f.path]; !given {
				t.Errorf("%s does not give %s", name, f.path)
			}
		}
	}
}

// Each file of examples/policy/invalid begins with place, message and hint of its only problem.
func TestInvalidExamplesAreRefusedWithTheirMessage(t *testing.T) {
	names, err := filepath.Glob(examples + "invalid/*.toml")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	for _, name := range names {
		data := readExample(t, name)
		first, rest, _ := strings.Cut(string(data), "\n")
		_, err := Parse(name, data)
		refused, ok := errors.AsType[*Error](err)
		if !ok || len(refused.Problems) != 1 {
			t.Errorf("%s: got %v, want one problem", name, err)
			continue
		}
		p := refused.Problems[0]
		got := fmt.Sprintf("# %d:%d  %s", p.Line, p.Column, p.Message)
		if p.Hint != "" {
			got += " | " + p.Hint
		}
		if *update {
			if err := os.WriteFile(name, []byte(got+"\n"+rest), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got != first {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, first)
		}
	}
}
