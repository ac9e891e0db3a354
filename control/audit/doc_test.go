package audit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of doc/audit.md")

// TestTheDocumentationHasEveryCheck compares the table of doc/audit.md with the checks
// and what they say of the faults that are planted for them.
func TestTheDocumentationHasEveryCheck(t *testing.T) {
	const path, begin, end = "../../doc/audit.md", "<!-- checks -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("the marks of the table are gone")
	}
	var want strings.Builder
	want.WriteString("| check | severity | finds that | such as | mended by |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range Checks() {
		f := exampleOf(t, c.ID)
		where := ""
		if c.Profile == Machine {
			where = ", `doctor`"
		}
		fmt.Fprintf(&want, "| `%s`%s | %v | %s | %s: %s | %s |\n", c.ID, where, c.Severity, c.Title, f.Subject, f.Evidence, code(f.Remedy))
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want.String() {
		t.Errorf("the table is not true any more (run with -update if that is meant); want\n%s", want.String())
	}
}

// code sets a command in the type of one.
func code(remedy string) string {
	if strings.HasPrefix(remedy, "mtguard ") && !strings.ContainsAny(remedy, ",;") {
		return "`" + remedy + "`"
	}
	return remedy
}

// exampleOf is what a check says of the first fault that is planted for it.
func exampleOf(t *testing.T, id string) Finding {
	t.Helper()
	for _, p := range planted {
		if p.check != id || p.unknown {
			continue
		}
		w := healthy()
		p.plant(w)
		r, err := (&Auditor{View: w}).Run(t.Context(), Selection{Only: []string{id}})
		if err != nil || len(r.Findings) != 1 {
			t.Fatalf("%s: %+v, %v", id, r.Findings, err)
		}
		return r.Findings[0]
	}
	t.Fatalf("nothing is planted for %s", id)
	return Finding{}
}
