package advisory

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"mtguard/security/aead"
)

// A test has no modules in its build information: those of a real build are in testdata.
func TestTheInventoryIsOfThisBinary(t *testing.T) {
	v, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if v.Go != runtime.Version() || v.OS != runtime.GOOS || len(v.Suites) != len(aead.Suites()) || !v.Suites[0].On || len(v.TLS.Suites) < 3 || v.FIPS.Version == "" {
		t.Errorf("%+v", v)
	}
	c := &Checker{Files: newMemory(), Now: func() time.Time { return today }}
	o, err := c.Check(t.Context(), Sources{
		Vulnerabilities: entries(t, planted("GO-2026-0001", "golang.org/x/mod", `{"introduced":"0"},{"fixed":"0.1.0"}`, openNote)), Checksums: atHome(t, recorded),
	})
	if err != nil || o.Verdict != Doubt || len(o.Findings) != 2 || o.Scan.OK() || o.Proof.OK() {
		t.Errorf("a build that names no modules: %+v, %v", o, err)
	}
}

func TestModulesThatWereReplaced(t *testing.T) {
	v := inventory(&debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Deps: []*debug.Module{
		{Path: "example.com/z", Version: "v1.0.0", Sum: "h1:z"},
		{Path: "golang.org/x/crypto", Version: "v0.58.0", Sum: "h1:x", Replace: &debug.Module{Path: "example.com/fork", Version: "v0.58.1", Sum: "h1:fork"}},
		{Path: "golang.org/x/mod", Version: "v0.42.0", Replace: &debug.Module{Path: "../mod"}},
	}})
	got := make(map[string]string)
	for _, m := range v.Modules {
		got[m.Path] = m.Version + " " + m.Sum
	}
	if v.Program != "devel" || len(got) != 3 || got["example.com/fork"] != "v0.58.1 h1:fork" || got["../mod"] != " " || got["example.com/z"] != "v1.0.0 h1:z" {
		t.Errorf("%q: %v", v.Program, got)
	}
}

// answers are good ones to all questions about this test's own modules.
func answers(t *testing.T) (Sources, *Checker, *memory) {
	t.Helper()
	by := newSigner(t)
	s := Sources{
		Checksums:       atHome(t, recorded),
		Vulnerabilities: entries(t, planted("GO-2026-0001", "golang.org/x/mod", `{"introduced":"0"},{"fixed":"0.1.0"}`, openNote)),
		Releases:        published(t, releasesOf1_5, by.sign([]byte(releasesOf1_5), "list")), ReleaseKey: by.public,
		Bulletin: site(t, map[string]string{"bulletin": "signed"}),
	}
	s.Bulletin.file = "bulletin"
	keep := newMemory()
	return s, &Checker{Files: keep, Now: func() time.Time { return today }, read: func() (Inventory, error) { return readTest(t) }}, keep
}

// readTest is the inventory of this test, with modules.
func readTest(t *testing.T) (Inventory, error) {
	v, err := Read()
	v.Modules = recordedModules(t)
	return v, err
}

func TestACheckAsksEverybody(t *testing.T) {
	s, c, keep := answers(t)
	var taken string
	c.Bulletin = func(_ context.Context, signed []byte) error { taken = string(signed); return nil }
	o, err := c.Check(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	// Only the version of this program, which is a test, cannot be told.
	if taken != "signed" || !o.Time.Equal(today) || !o.Scan.OK() || !o.Proof.OK() || o.Release.Verdict != Untold || o.Verdict != Doubt || len(o.Findings) != 1 || keep.files[releaseName] == "" {
		t.Errorf("%+v, taken %q", o, taken)
	}
	if o, err = c.Check(t.Context(), Sources{Vulnerabilities: s.Vulnerabilities}); err != nil || o.Verdict != Fine || len(o.Findings) != 0 || o.Release != nil || o.Proof != nil {
		t.Errorf("one source: %+v, %v", o, err)
	}
	if (&Sources{}).Any() || !s.Any() {
		t.Error("whom there is to ask")
	}
}

func TestACheckSaysWhatIsWrong(t *testing.T) {
	good, c, _ := answers(t)
	c.Bulletin = func(context.Context, []byte) error { return errors.New("it would loosen") }
	sums := make(map[string]string)
	for _, m := range recordedModules(t) {
		sums[m.Path+"@"+m.Version] = m.Sum
	}
	_, other := newDatabase(t, sums) // that says the same, and is somebody else's
	for name, change := range map[string]struct {
		s       Sources
		verdict string
		finding string
	}{
		"a vulnerability":     {Sources{Vulnerabilities: entries(t, planted("GO-2026-0001", "golang.org/x/mod", note0_43, openNote))}, Concern, "golang.org/x/mod v0.42.0 has GO-2026-0001"},
		"no data":             {Sources{Vulnerabilities: entries(t)}, Doubt, "vulnerability data"},
		"one that is unknown": {Sources{Vulnerabilities: entries(t, planted("GO-2026-0001", "golang.org/x/mod", note0_43, ""))}, Doubt, "of 1 modules, such as golang.org/x/mod: GO-2026-0001"},
		"another database":    {Sources{Checksums: other}, Concern, "forged"},
		"no database":         {Sources{Checksums: entries(t)}, Doubt, "not proven"},
		"a forged list":       {Sources{Releases: good.Releases, ReleaseKey: newSigner(t).public}, Concern, "signature"},
		"no list":             {Sources{Releases: Source{dir: t.TempDir(), file: "releases.json"}, ReleaseKey: good.ReleaseKey}, Doubt, "list of releases"},
		"a refused bulletin":  {Sources{Bulletin: good.Bulletin}, Concern, "it would loosen"},
		"no bulletin":         {Sources{Bulletin: Source{dir: t.TempDir(), file: "bulletin"}}, Doubt, "crypto bulletin"},
	} {
		o, err := c.Check(t.Context(), change.s)
		if err != nil || o.Verdict != change.verdict || !strings.Contains(strings.Join(o.Findings, "\n"), change.finding) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestANewerReleaseIsAConcern(t *testing.T) {
	o := &Outcome{Verdict: Doubt, Release: &ReleaseReport{Verdict: Newer, Newest: &Release{Version: "1.5.0"}, Security: true}}
	if o.released(nil); o.Verdict != Concern || len(o.Findings) != 1 || !strings.Contains(o.Findings[0], "1.5.0") || !strings.Contains(o.Findings[0], "attacker") {
		t.Errorf("%+v", o)
	}
	if o.add(Doubt, "x"); o.Verdict != Concern {
		t.Error("a doubt took the place of a concern")
	}
}
