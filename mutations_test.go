package mtguard_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// removal is one line of scripts/mutations.sh.
type removal struct{ name, file, from, to string }

var (
	removalLine = regexp.MustCompile(`(?m)^mutate "([^"]+)" (\S+) '([^']*)' '([^']*)' \./\S+`)
	anyRemoval  = regexp.MustCompile(`(?m)^mutate "`)
	shellName   = regexp.MustCompile(`(?m)^(\w+)=(\S+\.go)$`)
)

func removals(t *testing.T) (all []removal) {
	t.Helper()
	script := read(t, "scripts/mutations.sh")
	files := make(map[string]string)
	for _, m := range shellName.FindAllStringSubmatch(script, -1) {
		files["$"+m[1]] = m[2]
	}
	for _, m := range removalLine.FindAllStringSubmatch(script, -1) {
		r := removal{m[1], m[2], m[3], m[4]}
		if file := files[r.file]; file != "" {
			r.file = file
		}
		all = append(all, r)
	}
	if n := len(anyRemoval.FindAllString(script, -1)); n != len(all) || n < 200 {
		t.Fatalf("%d removals are understood of %d", len(all), n)
	}
	return all
}

// TestRemovalsStillApply: what `make mutations` takes out is there, on one line, and each row of doc/mutations.md is one of
// them, with the names of tests that there are. That they go red only the script can show.
func TestRemovalsStillApply(t *testing.T) {
	tests := testNames(t)
	cell := func(text string) string {
		if text == "" {
			text = " "
		}
		return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
	}
	var rows []string
	for line := range strings.Lines(read(t, "doc/mutations.md")) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| ---") && !strings.HasPrefix(line, "| removed ") {
			rows = append(rows, strings.TrimSuffix(line, "\n"))
		}
	}
	for _, r := range removals(t) {
		found := false
		for line := range strings.Lines(read(t, r.file)) {
			found = found || strings.Contains(line, r.from)
		}
		if !found {
			t.Errorf("%s: %s has no %s any more", r.name, r.file, r.from)
		}
	}
	all := removals(t)
	for _, row := range rows {
		known := false
		for _, r := range all { // those without a row nobody has run yet
			red, ok := strings.CutPrefix(row, "| "+r.name+" | "+r.file+": "+cell(r.from)+" → "+cell(r.to)+" | ")
			if !ok {
				continue
			}
			known = true
			names := strings.Fields(strings.ReplaceAll(strings.TrimSuffix(red, " |"), "(never ends)", ""))
			if len(names) == 0 {
				t.Errorf("%s: no test is red", r.name)
			}
			for _, name := range names {
				if !tests[name] {
					t.Errorf("%s: there is no test %s", r.name, name)
				}
			}
		}
		if !known {
			t.Errorf("the script has no such removal: %s", row)
		}
	}
}

// TestTheSpecificationsTestsAreThere: doc/seed.md names tests, of which an ellipsis stands for several.
func TestTheSpecificationsTestsAreThere(t *testing.T) {
	tests := testNames(t)
	named := regexp.MustCompile("`((?:Test|Fuzz|Example)\\w*)(…?)`").FindAllStringSubmatch(read(t, "doc/seed.md"), -1)
	if len(named) < 30 {
		t.Fatalf("%d tests are named", len(named))
	}
	for _, m := range named {
		found := tests[m[1]]
		for name := range tests {
			found = found || m[2] != "" && strings.HasPrefix(name, m[1])
		}
		if !found {
			t.Errorf("there is no test %s%s", m[1], m[2])
		}
	}
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// testNames are those of all modules.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			names[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
