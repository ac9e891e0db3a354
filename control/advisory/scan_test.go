package advisory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var today = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// planted is a vulnerability of note, a package that this test has in it, as the Go database writes one.
func planted(id, module, versions, imports string) string {
	return fmt.Sprintf(`{"schema_version":"1.3.1","id":%q,"modified":"2026-11-20T10:00:00Z","published":"2026-11-19T10:00:00Z","aliases":["CVE-2026-0001"],
"summary":"Planted in %s","details":"…","affected":[{"package":{"name":%q,"ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[%s]}],
"ecosystem_specific":{"imports":[%s]}}],"database_specific":{"url":"https://example.com","review_status":"REVIEWED"}}`, id, module, module, versions, imports)
}

const (
	allVersions = `{"introduced":"0"}`
	note0_43    = `{"introduced":"0"},{"fixed":"0.43.0"}`
	openNote    = `{"path":"golang.org/x/mod/sumdb/note","symbols":["Open"]}`
)

var testInventory = Inventory{Go: "go1.26.8", Modules: []Module{
	{Path: "golang.org/x/mod", Version: "v0.42.0"}, {Path: "golang.org/x/crypto", Version: "v0.58.0"}, {Path: "example.com/replaced"},
}}

func ownSymbols(t *testing.T) Symbols {
	t.Helper()
	s, err := ReadSymbols()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// entries writes a directory of them.
func entries(t *testing.T, texts ...string) Source {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return atHome(t, dir)
}

// classOf scans for one entry and returns what became of one module.
func classOf(t *testing.T, module, text string) ModuleScan {
	t.Helper()
	r, err := Scan(t.Context(), entries(t, text), testInventory, ownSymbols(t), today)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Modules {
		if m.Path == module {
			return m
		}
	}
	t.Fatalf("no %s in %+v", module, r.Modules)
	return ModuleScan{}
}

func TestAPlantedVulnerabilityIsFound(t *testing.T) {
	const mod = "golang.org/x/mod"
	elsewhere := "plan9"
	if runtime.GOOS == elsewhere {
		elsewhere = "linux"
	}
	for _, c := range []struct {
		name, versions, imports string
		want                    Class
		why                     string
	}{
		{"a function that is here", note0_43, openNote, Reachable, "note.Open is in the binary"},
		{"a method that is here", note0_43, `{"path":"golang.org/x/mod/sumdb","symbols":["Client.Lookup"]}`, Reachable, "Client.Lookup"},
		{"a whole package that is here", note0_43, `{"path":"golang.org/x/mod/sumdb/note"}`, Reachable, "package"},
		{"a function that was left out", note0_43, `{"path":"golang.org/x/mod/zip","symbols":["Unzip","CreateFromVCS"]}`, Unreachable, "none of its functions"},
		{"a package that was left out", note0_43, `{"path":"golang.org/x/mod/zip"}`, Unreachable, "none of its functions"},
		{"one of two functions", note0_43, `{"path":"golang.org/x/mod/zip","symbols":["Unzip"]},` + openNote, Reachable, "note.Open"},
		{"on another system", note0_43, `{"path":"golang.org/x/mod/sumdb/note","symbols":["Open"],"goos":["` + elsewhere + `"]}`, Unreachable, "not on"},
		{"on this system", note0_43, `{"path":"golang.org/x/mod/sumdb/note","symbols":["Open"],"goos":["` + elsewhere + `","` + runtime.GOOS + `"]}`, Reachable, "note.Open"},
		{"nobody says where", note0_43, "", Unknown, "does not say where"},
		{"nobody says which package", note0_43, `{"symbols":["Open"]}`, Unknown, "does not say where"},
		{"no version is good", allVersions, openNote, Reachable, "note.Open"},
		{"mended before", `{"introduced":"0"},{"fixed":"0.42.0"}`, openNote, Unaffected, ""},
		{"came later", `{"introduced":"0.43.0"}`, openNote, Unaffected, ""},
		{"came back", `{"introduced":"0"},{"fixed":"0.40.0"},{"introduced":"0.42.0"},{"fixed":"0.42.1"}`, openNote, Reachable, "note.Open"},
		{"between two", `{"introduced":"0"},{"fixed":"0.40.0"},{"introduced":"0.42.1"}`, openNote, Unaffected, ""},
		{"until this one", `{"introduced":"0"},{"last_affected":"0.42.0"}`, openNote, Reachable, "note.Open"},
		{"until the one before", `{"introduced":"0"},{"last_affected":"0.41.9"}`, openNote, Unaffected, ""},
		{"no versions", ``, openNote, Unknown, "empty range"},
		{"a version that is none", `{"introduced":"soon"}`, openNote, Unknown, "soon"},
	} {
		m := classOf(t, mod, planted("GO-2026-0001", mod, c.versions, c.imports))
		if m.Class != c.want {
			t.Errorf("%s: %s, want %s: %+v", c.name, m.Class, c.want, m)
			continue
		}
		if c.want == Unaffected {
			continue
		}
		if v := m.Vulnerabilities[0]; v.ID != "GO-2026-0001" || v.Class != c.want || !strings.Contains(v.Why, c.why) || v.Summary == "" || v.Aliases[0] != "CVE-2026-0001" {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	if m := classOf(t, mod, planted("GO-2026-0001", mod, note0_43, openNote)); m.Vulnerabilities[0].Fixed != "0.43.0" {
		t.Errorf("mended in %q", m.Vulnerabilities[0].Fixed)
	}
}

func TestOtherFormsOfTheData(t *testing.T) {
	const mod = "golang.org/x/mod"
	good := planted("GO-2026-0001", mod, note0_43, openNote)
	for _, c := range []struct {
		name, from, to string
		want           Class
	}{
		{"taken back", `"id":`, `"withdrawn":"2026-11-21T00:00:00Z","id":`, Unaffected},
		{"of another ecosystem", `"ecosystem":"Go"`, `"ecosystem":"npm"`, Unaffected},
		{"versions of another kind", `"SEMVER"`, `"GIT"`, Unknown},
		{"a limit", `{"fixed":"0.43.0"}`, `{"limit":"0.43.0"}`, Unknown},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: nothing replaced", c.name)
		}
		if m := classOf(t, mod, text); m.Class != c.want {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
	listed := `{"id":"GO-2026-0002","modified":"2026-11-20T10:00:00Z","affected":[{"package":{"name":"golang.org/x/mod","ecosystem":"Go"},"versions":["0.41.0","0.42.0"],"ecosystem_specific":{"imports":[` + openNote + `]}}]}`
	if m := classOf(t, mod, listed); m.Class != Reachable {
		t.Errorf("versions by name: %+v", m)
	}
	if m := classOf(t, mod, strings.Replace(listed, `,"versions":["0.41.0","0.42.0"]`, "", 1)); m.Class != Unknown {
		t.Errorf("no versions: %+v", m)
	}
	if m := classOf(t, "stdlib", planted("GO-2026-0003", "stdlib", `{"introduced":"1.26.0-0"},{"fixed":"1.26.9"}`, `{"path":"crypto/ed25519","symbols":["Verify"]}`)); m.Class != Reachable {
		t.Errorf("Go itself: %+v", m)
	}
	if m := classOf(t, "stdlib", planted("GO-2026-0003", "stdlib", `{"introduced":"1.26.0-0"},{"fixed":"1.26.8"}`, `{"path":"crypto/ed25519","symbols":["Verify"]}`)); m.Class != Unaffected {
		t.Errorf("Go itself, mended: %+v", m)
	}
	if m := classOf(t, "example.com/replaced", good); m.Class != Unknown || m.Problem == "" {
		t.Errorf("a module without a version: %+v", m)
	}
}

// Nothing passes because nothing could be seen.
func TestNothingPassesByDefault(t *testing.T) {
	const mod = "golang.org/x/mod"
	source := entries(t, planted("GO-2026-0001", mod, note0_43, `{"path":"golang.org/x/mod/zip","symbols":["Unzip"]}`))
	r, err := Scan(t.Context(), source, testInventory, Symbols{}, today)
	if err != nil || r.Modules[1].Path != mod || r.Modules[1].Class != Unknown || r.OK() {
		t.Errorf("without symbols: %v, %+v", err, r)
	}
	r, err = Scan(t.Context(), source, testInventory, ownSymbols(t), today.Add(60*24*time.Hour))
	if err != nil || !r.Stale || r.OK() || r.Modules[0].Class != Unknown || r.Modules[1].Class != Unreachable || r.Modules[2].Class != Unknown {
		t.Errorf("with old data: %v, %+v", err, r)
	}
	clean := Inventory{Go: "go1.26.8", Modules: testInventory.Modules[:2]}
	if r, err = Scan(t.Context(), source, clean, ownSymbols(t), today); err != nil || !r.OK() || r.Count(Unaffected) != 2 || r.Count(Unreachable) != 1 {
		t.Errorf("a clean build: %v, %+v", err, r)
	}
	if (&ScanReport{}).OK() {
		t.Error("a report of nothing is good")
	}
	for name, source := range map[string]Source{
		"an empty directory": entries(t), "no directory": atHome(t, filepath.Join(t.TempDir(), "none")), "no source": {},
		"something else": entries(t, `{"id":"GO-2026-0001"}`), "half an entry": entries(t, planted("GO-2026-0001", mod, note0_43, openNote)[:200]),
		"one twice":  entries(t, planted("GO-2026-0001", mod, note0_43, openNote), planted("GO-2026-0001", mod, note0_43, openNote)),
		"a long one": entries(t, planted("GO-2026-0001", mod, note0_43, openNote)+strings.Repeat(" ", maxEntry)),
	} {
		if r, err := Scan(t.Context(), source, testInventory, ownSymbols(t), today); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// site serves files as the Go vulnerability database does.
func site(t *testing.T, files map[string]string) Source {
	t.Helper()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[strings.TrimPrefix(r.URL.Path, "/db/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(web.Close)
	return Source{base: web.URL + "/db", client: web.Client()}
}

func TestADatabaseIsAskedForWhatMatters(t *testing.T) {
	const mod = "golang.org/x/mod"
	files := map[string]string{
		"index/db.json": `{"modified":"2026-11-25T10:00:00Z"}`,
		"index/modules.json": `[{"path":"golang.org/x/mod","vulns":[{"id":"GO-2020-0001","modified":"2020-01-01T00:00:00Z","fixed":"0.3.0"},{"id":"GO-2026-0001","modified":"2026-11-20T10:00:00Z","fixed":"0.43.0"}]},
			{"path":"toolchain","vulns":[{"id":"GO-2026-0009","modified":"2026-11-20T10:00:00Z"}]}]`,
		"ID/GO-2026-0001.json": planted("GO-2026-0001", mod, note0_43, openNote),
	}
	clean := Inventory{Go: "go1.26.8", Modules: testInventory.Modules[:2]}
	scan := func() *ScanReport {
		t.Helper()
		r, err := Scan(t.Context(), site(t, files), clean, ownSymbols(t), today)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// The entry of 2020, which was mended long ago, is not there: it is not asked for.
	if r := scan(); r.Modules[1].Class != Reachable || len(r.Modules[1].Vulnerabilities) != 1 || r.Count(Unaffected) != 2 || !r.Data.Equal(time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", r)
	}
	files["ID/GO-2026-0001.json"] = planted("GO-2026-0007", mod, note0_43, openNote)
	if r := scan(); r.Modules[1].Class != Unknown || !strings.Contains(r.Modules[1].Problem, "GO-2026-0007") {
		t.Errorf("another entry than asked for: %+v", r.Modules[1])
	}
	delete(files, "ID/GO-2026-0001.json")
	if r := scan(); r.Modules[1].Class != Unknown || r.Modules[1].Problem == "" {
		t.Errorf("an entry is missing: %+v", r.Modules[1])
	}
	files["index/modules.json"] = `[{"path":"golang.org/x/mod","vulns":[{"id":"../../etc/passwd"}]}]`
	if r := scan(); r.Modules[1].Class != Unknown {
		t.Errorf("an id that leads away: %+v", r.Modules[1])
	}
	files["index/modules.json"] = `[]`
	if r, err := Scan(t.Context(), site(t, files), clean, ownSymbols(t), today); err == nil {
		t.Errorf("an empty index: %+v", r)
	}
	delete(files, "index/db.json")
	if r, err := Scan(t.Context(), site(t, files), clean, ownSymbols(t), today); err == nil {
		t.Errorf("no database: %+v", r)
	}
}

func TestSymbolsOfThisProgram(t *testing.T) {
	s := ownSymbols(t)
	for _, c := range []struct {
		path, symbol string
		want         bool
	}{
		{"golang.org/x/mod/sumdb/note", "Open", true},
		{"golang.org/x/mod/sumdb", "Client.Lookup", true},
		{"net/http", "Server.Serve", true},
		{"sync/atomic", "Pointer.Load", true}, // of a generic type
		{"sync/atomic", "Pointer.Loa", false},
		{"time", "Time.Equal", true}, // a value receiver
		{"golang.org/x/mod/sumdb/note", "Ope", false},
		{"golang.org/x/mod/sumdb", "Client.Lookdown", false},
		{"golang.org/x/mod/zip", "Unzip", false},
		{"x/mod/sumdb/note", "Open", false},
	} {
		if got := s.Symbol(c.path, c.symbol); got != c.want {
			t.Errorf("%s.%s: %v", c.path, c.symbol, got)
		}
	}
	if !s.Package("golang.org/x/mod/sumdb/note") || s.Package("golang.org/x/mod/zip") || s.Package("golang.org/x/mod/sumdb/not") {
		t.Error("packages")
	}
	for path, want := range map[string]string{"gopkg.in/yaml.v3": "gopkg.in/yaml%2ev3", "example.com/a": "example.com/a", "a%b": "a%25b", "filippo.io/age": "filippo.io/age"} {
		if got := prefix(path); got != want {
			t.Errorf("prefix(%q) = %q", path, got)
		}
	}
}

func TestFilesThatAreNoProgram(t *testing.T) {
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("#!/bin/sh\n"), "half": []byte("\x7fELF\x02\x01\x01")} {
		if s, err := readSymbols(bytes.NewReader(data)); err == nil || s.Known() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if (Symbols{}).Known() {
		t.Error("the zero value knows something")
	}
}

func TestVersionsOfGo(t *testing.T) {
	for text, want := range map[string]string{
		"go1.26.8": "v1.26.8", "go1.26": "v1.26.0", "go1.26rc1": "v1.26.0-rc.1", "go1.26.0 X:jsonv2": "v1.26.0", "go1.26.8-custom": "v1.26.8", "devel go1.27-abc": "",
		"1.2.3": "v1.2.3", "v1.2.3-0.20260101000000-abcdefabcdef": "v1.2.3-0.20260101000000-abcdefabcdef", "v2.0.0+incompatible": "v2.0.0", "": "", "(devel)": "", "go": "",
	} {
		if got := canonical(text); got != want {
			t.Errorf("canonical(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(planted("GO-2026-0001", "golang.org/x/mod", note0_43, openNote)))
	f.Add([]byte(`{"id":"GO-1","modified":"2026-01-01T00:00:00Z","affected":[{"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1"},{"last_affected":"2"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseEntry(data)
		if err != nil {
			return
		}
		for i := range e.Affected {
			for _, version := range []string{"v0.1.0", "v1.0.0", "v3.0.0-rc.1"} {
				first, fixed, err := e.Affected[i].matches(version)
				again, same, errAgain := e.Affected[i].matches(version)
				if first != again || fixed != same || (err == nil) != (errAgain == nil) {
					t.Errorf("%s: %v, then %v", version, first, again)
				}
			}
		}
		if v := judge(e, Module{Path: "golang.org/x/mod", Version: "v0.42.0"}, Symbols{}); v.Class == Reachable || v.Class == Unreachable {
			t.Errorf("without symbols it is known to be %s", v.Class)
		}
		if text, err := json.Marshal(e.Summary); err != nil || bytes.ContainsAny(text, "\n") {
			t.Errorf("summary %q", e.Summary)
		}
	})
}
