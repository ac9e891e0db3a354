package access

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the first lines of examples/lists/invalid")

// TestExamplesOfListsAreRead, each in one of the forms that lists have.
func TestExamplesOfListsAreRead(t *testing.T) {
	names, err := filepath.Glob("../../examples/lists/*.*")
	if err != nil || len(names) < 3 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ParseList(bytes.NewReader(data), ListOptions{Name: "example"})
		if err != nil || l.Len() < 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInvalidListsAreRefusedWithTheirMessage: it stands in their first line, behind the line that it is about.
func TestInvalidListsAreRefusedWithTheirMessage(t *testing.T) {
	names, err := filepath.Glob("../../examples/lists/invalid/*.*")
	if err != nil || len(names) < 12 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, rest, _ := bytes.Cut(data, []byte("\n"))
		l, err := ParseList(bytes.NewReader(data), ListOptions{Name: "example"})
		if err == nil || l != nil {
			t.Errorf("%s was taken", name)
			continue
		}
		got := "# " + err.Error()
		if e, ok := errors.AsType[*ListError](err); ok && e.Line > 0 {
			got = fmt.Sprintf("# %d  %s", e.Line, e.Problem)
		}
		if *update {
			if err := os.WriteFile(name, append([]byte(got+"\n"), rest...), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got != string(want) {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, want)
		}
	}
}
