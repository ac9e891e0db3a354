package mtguard_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is a statement of policy: who may import whom. Read upwards: a
// package imports only packages on lines above its own. A package on no line
// fails, so that the list cannot rot.
//
// In "tests" stand packages that only tests, the demonstration and the
// simulator's own command may import.
const layers = `
config/spelling config/disk fw
fw/fwtest
security/aead security/access telemetry/event telemetry/stats security/ratelimit security/replay security/auditlog mtproto config examples
security/token control/admin/web control/passkey/softkey
control/passkey
security/aead security/access telemetry/event telemetry/stats telemetry/history security/ratelimit security/replay security/auditlog mtproto config examples
security/aead security/access telemetry/event telemetry/live telemetry/stats security/ratelimit security/replay security/auditlog mtproto config examples
security/usage control/advisory
security/keys security/vault mtproto/frame mtproto/obfs2 mtproto/faketls config/statedir
security/policy
proxy/guard proxy/auth proxy/relay control/store control/backup tgsim
proxy/handshake proxy/guard/guardtest node/links control/store/sqlite control/store/storetest control/preview control/alert
proxy/handshake proxy/guard/guardtest node/links control/store/sqlite control/store/storetest control/preview control/audit
proxy/handshake proxy/guard/guardtest node/links control/store/sqlite control/store/storetest control/preview control/threat
control/report
proxy/upstream
proxy control control/admin/web
control/serving
control/admin control/pages
node
cmd/mtguard cmd/tgsim
`

// wings never import one another; node joins them. What stands in contracts is
// the exception: packages that say what the other wing may do to this one.
var (
	wings     = []string{"proxy", "control"}
	contracts = []string{"proxy/guard", "proxy/auth"}
)

// restricted packages may be imported only by these, and by tests.
var restricted = map[string][]string{
	"config":                  {"config/statedir", "node", "node/links", "cmd/mtguard"},
	"tgsim":                   {"cmd/tgsim", "cmd/mtguard"},
	"fw":                      {"fw/fwtest", "cmd/mtguard"},
	"fw/fwtest":               {},
	"proxy/guard/guardtest":   {},
	"control/store/storetest": {},
	"control/passkey/softkey": {},
}

func TestPackagesImportOnlyWhatLiesBelow(t *testing.T) {
	level := make(map[string]int)
	for i, line := range strings.Split(strings.TrimSpace(layers), "\n") {
		for _, name := range strings.Fields(line) {
			level[name] = i
		}
	}
	seen := make(map[string]bool)
	eachFile(t, func(path, name string, imports []string) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			return
		}
		seen[dir] = true
		own, listed := level[dir]
		if !listed {
			t.Errorf("%s: package %s stands in no layer", path, dir)
			return
		}
		test := strings.HasSuffix(name, "_test.go")
		for _, imported := range imports {
			other, ours := strings.CutPrefix(imported, "mtguard/")
			if !ours {
				continue
			}
			if only, ok := restricted[other]; ok && !test && !slices.Contains(only, dir) {
				t.Errorf("%s: %s may not import %s", path, dir, other)
			}
			if test {
				continue // a test may look at anything that does not look back
			}
			if level[other] >= own {
				t.Errorf("%s: %s (line %d) imports %s (line %d), which is not above it", path, dir, own, other, level[other])
			}
			for _, wing := range wings {
				if wingOf(dir) != "" && wingOf(dir) != wing && wingOf(other) == wing && !slices.Contains(contracts, other) {
					t.Errorf("%s: %s reaches into the wing %s", path, dir, wing)
				}
			}
		}
	})
	for name := range level {
		if !seen[name] {
			t.Errorf("layer rule: there is no package %s", name)
		}
	}
}

func wingOf(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	if slices.Contains(wings, first) {
		return first
	}
	return ""
}

// TestDependenciesAreReviewed compares go.mod with doc/dependencies.md, so that
// a new dependency is a visible, reasoned change.
func TestDependenciesAreReviewed(t *testing.T) {
	doc, err := os.ReadFile("doc/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([^` ]+)` \\| ([^ |]+) \\|")
	var reviewed, required []string
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		reviewed = append(reviewed, m[1]+" "+m[2])
	}
	line := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`)
	for _, m := range line.FindAllStringSubmatch(string(mod), -1) {
		required = append(required, m[1]+" "+m[2])
	}
	slices.Sort(reviewed)
	slices.Sort(required)
	if !slices.Equal(reviewed, required) {
		t.Errorf("doc/dependencies.md and go.mod differ\ndoc:    %s\ngo.mod: %s", strings.Join(reviewed, "\n        "), strings.Join(required, "\n        "))
	}
}

// TestFilesAreReadable: no product file is longer than somebody reads in one go.
func TestFilesAreReadable(t *testing.T) {
	const most = 520
	eachFile(t, func(path, name string, _ []string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n > most && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s has %d lines; the most is %d", path, n, most)
		}
	})
}

// eachFile calls visit for every Go file of this module. It reads the files
// itself, not through go list: the test cache tracks what a test opens.
func eachFile(t *testing.T, visit func(path, name string, imports []string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "e2e" || d.Name() == "bench") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		var imports []string
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, p)
		}
		visit(path, d.Name(), imports)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
