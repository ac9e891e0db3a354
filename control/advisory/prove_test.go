package advisory

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// Recorded are answers of the real checksum database about the modules with cryptography of a build of ours. Record them anew with
//
//	go test ./control/advisory -run TestTheRealDatabase -record
//
// through the module proxy, which passes the database on, from the modules that this package is tested with.
var record = flag.Bool("record", false, "ask the checksum database, and keep its answers in testdata/sumdb")

const (
	recorded     = "testdata/sumdb"
	recordedList = "testdata/sumdb.modules"
	viaProxy     = "https://proxy.golang.org/sumdb/sum.golang.org"
)

// recordedModules reads the modules that answers were recorded of, with the hashes that the build said then.
func recordedModules(t *testing.T) (all []Module) {
	t.Helper()
	text, err := os.ReadFile(recordedList)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		all = append(all, Module{Path: words[0], Version: words[1], Sum: words[2]})
	}
	if len(all) < 5 {
		t.Fatalf("only %d modules are recorded", len(all))
	}
	return all
}

// atHome returns the source of a directory below this one.
func atHome(t *testing.T, dir string) Source {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func prove(t *testing.T, modules []Module, p Proof) *ProofReport {
	t.Helper()
	r, err := Prove(t.Context(), modules, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheRealDatabaseProvesOurModules(t *testing.T) {
	modules := recordedModules(t)
	if *record {
		source, err := ParseSource(viaProxy)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(recorded); err != nil {
			t.Fatal(err)
		}
		if r := prove(t, modules, Proof{Source: source, Record: recorded}); !r.OK() {
			t.Fatalf("%+v", r)
		}
	}
	kept := newMemory()
	r := prove(t, modules, Proof{Source: atHome(t, recorded), Heads: kept})
	for _, m := range r.Modules {
		if m.Standing != Proven {
			t.Errorf("%s %s: %s: %s", m.Path, m.Version, m.Standing, m.Problem)
		}
	}
	if !r.OK() || r.Tree < 70_000_000 || r.Root == "" {
		t.Errorf("the tree has %d records, the root is %q", r.Tree, r.Root)
	}
	if head := kept.files["sum.golang.org.head"]; !strings.HasPrefix(head, "go.sum database tree\n") {
		t.Errorf("kept is %q", head)
	}
}

// TestOneAlteredByteIsRefused alters every part of what is compared: the hash that the build says, and each recorded answer.
func TestOneAlteredByteIsRefused(t *testing.T) {
	modules := recordedModules(t)
	for i := range modules {
		altered := append([]Module(nil), modules...)
		at := 3 + i%40
		sum := []byte(altered[i].Sum)
		sum[at] = flipped(sum[at])
		altered[i].Sum = string(sum)
		r := prove(t, altered, Proof{Source: atHome(t, recorded)})
		if r.OK() || r.Modules[i].Standing != Differs || r.Count(Proven) != len(modules)-1 {
			t.Errorf("%s: %+v", modules[i].Path, r.Modules[i])
		}
	}
	answers := 0
	err := filepath.WalkDir(recorded, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == latestName {
			return err
		}
		answers++
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(recorded)); err != nil {
			return err
		}
		name, err := filepath.Rel(recorded, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := len(data) / 2
		if strings.HasPrefix(name, "lookup") {
			at = bytes.Index(data, []byte("h1:")) + 5 // of the first hash
		}
		data[at] = flipped(data[at])
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
		if r := prove(t, modules, Proof{Source: atHome(t, dir)}); r.OK() || r.Count(Forged) == 0 {
			t.Errorf("%s with byte %d altered: %+v", name, at, r.Modules)
		}
		return nil
	})
	if err != nil || answers < 10 {
		t.Errorf("%d answers: %v", answers, err)
	}
}

// flipped returns another letter or digit than b.
func flipped(b byte) byte {
	if b == 'A' {
		return 'B'
	}
	return 'A'
}

func TestWhatWasNotRecordedIsUnasked(t *testing.T) {
	modules := append(recordedModules(t), Module{Path: "example.com/m", Version: "v1.0.0", Sum: "h1:x"}, Module{Path: "example.com/dir"})
	r := prove(t, modules, Proof{Source: atHome(t, recorded)})
	last := r.Modules[len(r.Modules)-2:]
	if r.OK() || last[0].Standing != Unasked || !strings.Contains(last[0].Problem, "not recorded") || last[1].Standing != Unproven {
		t.Errorf("%+v", last)
	}
	if r = prove(t, modules, Proof{Source: atHome(t, filepath.Join(t.TempDir(), "nothing"))}); r.Count(Unasked) != len(modules)-1 || r.OK() {
		t.Errorf("of no directory: %+v", r.Modules)
	}
	if r = prove(t, nil, Proof{Source: atHome(t, recorded)}); r.OK() || r.Count(Unproven) != 1 {
		t.Error("nothing at all is proven")
	}
	for name, p := range map[string]Proof{"no source": {}, "a key that is none": {Source: atHome(t, recorded), Key: "sum.golang.org"}} {
		if r, err := Prove(t.Context(), modules, p); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	other, _ := newDatabase(t, nil)
	if r = prove(t, modules[:2], Proof{Source: atHome(t, recorded), Key: other}); r.Count(Forged) != 2 {
		t.Errorf("with the key of somebody else: %+v", r.Modules)
	}
}

// newDatabase runs a checksum database of our own on loopback.
func newDatabase(t *testing.T, sums map[string]string) (key string, source Source) {
	t.Helper()
	private, public, err := note.GenerateKey(nil, "sums.example")
	if err != nil {
		t.Fatal(err)
	}
	return public, serveDatabase(t, private, sums)
}

func serveDatabase(t *testing.T, private string, sums map[string]string) Source {
	t.Helper()
	server := sumdb.NewTestServer(private, func(path, vers string) ([]byte, error) {
		sum, ok := sums[path+"@"+vers]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod h1:mod\n", path, vers, sum, path, vers), nil
	})
	web := httptest.NewTLSServer(sumdb.NewServer(server))
	t.Cleanup(web.Close)
	return Source{base: web.URL, client: web.Client()}
}

func TestATreeThatWasRewrittenIsFound(t *testing.T) {
	private, public, err := note.GenerateKey(nil, "sums.example")
	if err != nil {
		t.Fatal(err)
	}
	honest := map[string]string{"example.com/a@v1.0.0": "h1:a", "example.com/b@v1.0.0": "h1:b", "example.com/c@v1.0.0": "h1:c"}
	a, b, c := Module{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}, Module{Path: "example.com/b", Version: "v1.0.0", Sum: "h1:b"}, Module{Path: "example.com/c", Version: "v1.0.0", Sum: "h1:c"}
	first := serveDatabase(t, private, honest)
	kept := newMemory()
	if r := prove(t, []Module{a}, Proof{Source: first, Key: public, Heads: kept}); !r.OK() || r.Tree != 1 {
		t.Fatalf("%+v", r)
	}
	before := kept.files["sums.example.head"]
	// The tree goes on: that is what trees do.
	if r := prove(t, []Module{b, c}, Proof{Source: first, Key: public, Heads: kept}); !r.OK() || r.Tree != 3 || kept.files["sums.example.head"] == before {
		t.Fatalf("%+v", r)
	}
	before = kept.files["sums.example.head"]
	// Another tree of the same signer, in which a was another one.
	second := serveDatabase(t, private, map[string]string{"example.com/a@v1.0.0": "h1:evil", "example.com/b@v1.0.0": "h1:b", "example.com/c@v1.0.0": "h1:c"})
	evil := Module{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:evil"}
	// Who remembers nothing cannot see it: that is what the head is kept for.
	if r := prove(t, []Module{evil, b, c}, Proof{Source: second, Key: public}); !r.OK() {
		t.Errorf("without a head: %+v", r.Modules)
	}
	r := prove(t, []Module{evil, b, c}, Proof{Source: second, Key: public, Heads: kept})
	if r.Count(Proven) != 0 || r.Modules[0].Standing != Forged {
		t.Errorf("%+v", r.Modules)
	}
	if !strings.Contains(r.Modules[0].Problem, "inconsistent") {
		t.Errorf("it says %q", r.Modules[0].Problem)
	}
	if kept.files["sums.example.head"] != before {
		t.Error("the head of the rewritten tree is kept")
	}
}

func TestAServerThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	public, source := newDatabase(t, nil)
	source.base = strings.Replace(source.base, "https://127.0.0.1:", "https://127.0.0.1:1", 1) // a port that is none
	r := prove(t, recordedModules(t), Proof{Source: source, Key: public})
	if r.Count(Unasked) != len(r.Modules) || !strings.Contains(r.Modules[1].Problem, "not asked any more") || strings.Contains(r.Modules[1].Problem, "127.0.0.1") || !strings.Contains(r.Modules[0].Problem, "127.0.0.1") {
		t.Errorf("%+v", r.Modules)
	}
	public, source = newDatabase(t, map[string]string{"example.com/a@v1.0.0": "h1:a"})
	r = prove(t, []Module{{Path: "example.com/b", Version: "v1.0.0", Sum: "h1:b"}, {Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}}, Proof{Source: source, Key: public})
	if r.Modules[0].Standing != Unasked || r.Modules[1].Standing != Proven {
		t.Errorf("one that the database does not know: %+v", r.Modules)
	}
}

func TestARecordingGoesOnFromTheOneBefore(t *testing.T) {
	public, source := newDatabase(t, map[string]string{"example.com/a@v1.0.0": "h1:a", "example.com/b@v1.0.0": "h1:b"})
	a, b := Module{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}, Module{Path: "example.com/b", Version: "v1.0.0", Sum: "h1:b"}
	dir, offline := t.TempDir(), newMemory()
	for i, modules := range [][]Module{{a}, {a, b}} {
		if r := prove(t, modules, Proof{Source: source, Key: public, Record: dir}); !r.OK() {
			t.Fatalf("%+v", r)
		}
		if r := prove(t, modules, Proof{Source: atHome(t, dir), Key: public, Heads: offline}); !r.OK() || r.Tree != int64(i+1) {
			t.Errorf("offline, recording %d: %+v", i, r)
		}
	}
}

func TestAHeadThatCannotBeKeptIsAnError(t *testing.T) {
	public, source := newDatabase(t, map[string]string{"example.com/a@v1.0.0": "h1:a"})
	for name, keep := range map[string]*memory{"write": {fail: errors.New("disk full")}, "read": {broken: errors.New("no permission")}} {
		r, err := Prove(context.Background(), []Module{{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}}, Proof{Source: source, Key: public, Heads: keep})
		if err == nil || r.OK() {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// memory is Files in memory.
type memory struct {
	mu           sync.Mutex
	files        map[string]string
	fail, broken error
}

func newMemory() *memory { return &memory{files: make(map[string]string)} }

func (m *memory) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	text, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (m *memory) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.files[name] = string(data)
	return nil
}
