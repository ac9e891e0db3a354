package advisory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// SumDBKey verifies what the Go checksum database signs. It is the one that the go command has built in.
const SumDBKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

// SumDBAddress is where that database answers. A module proxy passes it on below /sumdb/sum.golang.org.
const SumDBAddress = "https://sum.golang.org"

// Files keeps small things that must outlive the process, such as the newest tree head. A missing file is fs.ErrNotExist.
type Files interface {
	ReadFile(name string) ([]byte, error)
	// WriteFile puts data in the place of the file, whole or not at all.
	WriteFile(name string, data []byte) error
}

// Proof says how Prove asks.
type Proof struct {
	// Source is a directory of recorded answers, or a server.
	Source Source
	// Key is the database's verifier in the form of golang.org/x/mod/sumdb/note; "": SumDBKey.
	Key string
	// Heads keeps the newest tree head that was seen, so that a tree that was rewritten since is found; nil: nothing is kept.
	Heads Files
	// Record, unless "", is a directory that all answers are written into, as a Source for machines without a network. A tree
	// head that an earlier recording left there is begun with, so that the new one proves that the tree has only grown; Heads is
	// not used then.
	Record string
}

// Standing is what became of one module's proof.
type Standing string

// The standings.
const (
	// Proven: the database's signed tree holds exactly this hash.
	Proven Standing = "proven"
	// Differs: it holds another hash for this version: these are not the files that everybody else builds with.
	Differs Standing = "differs"
	// Forged: what was answered does not fit the signed tree, or the tree does not fit the one that was seen before.
	Forged Standing = "forged"
	// Unproven: the build does not say the hash, as of a module that was replaced by a directory.
	Unproven Standing = "unproven"
	// Unasked: there was no answer.
	Unasked Standing = "unasked"
)

// ModuleProof is the proof of one module.
type ModuleProof struct {
	Path     string   `json:"path"`
	Version  string   `json:"version"`
	Sum      string   `json:"sum,omitempty" doc:"that the build says"`
	Standing Standing `json:"standing" enum:"proven,differs,forged,unproven,unasked"`
	Problem  string   `json:"problem,omitempty"`
}

// ProofReport is what Prove found.
type ProofReport struct {
	Source  string        `json:"source"`
	Tree    int64         `json:"tree" doc:"size of the newest signed tree that everything was proven in; 0: none was seen"`
	Root    string        `json:"root,omitempty" doc:"that tree's hash"`
	Modules []ModuleProof `json:"modules"`
}

// Count returns how many modules have that standing.
func (r *ProofReport) Count(s Standing) (n int) {
	for _, m := range r.Modules {
		if m.Standing == s {
			n++
		}
	}
	return n
}

// OK reports whether every module is Proven, and there are some.
func (r *ProofReport) OK() bool { return len(r.Modules) > 0 && r.Count(Proven) == len(r.Modules) }

// maxSumDBAnswer is far above a tile (8 KiB) and a record.
const maxSumDBAnswer = 256 << 10

// Prove compares the hashes of modules with the Go checksum database: each has to be in the tree whose head the database has
// signed, and that tree has to go on from the one that Heads knows. The error is one of the question, such as a key that is none;
// what is wrong with the answers stands in the report.
func Prove(ctx context.Context, modules []Module, p Proof) (*ProofReport, error) {
	key := orElse(p.Key, SumDBKey)
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("key of the checksum database: %w", err)
	}
	if p.Source.IsZero() {
		return nil, errors.New("no checksum database is named")
	}
	o := &sumOps{ctx: ctx, source: p.Source, key: key, heads: p.Heads}
	if p.Record != "" {
		o.heads = nil
		if err := o.recordTo(p.Record); err != nil {
			return nil, err
		}
		defer o.record.Close()
	}
	client := sumdb.NewClient(o)
	report := &ProofReport{Source: p.Source.String()}
	for _, m := range modules {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		report.Modules = append(report.Modules, o.prove(client, m))
	}
	if len(modules) == 0 {
		report.Modules = []ModuleProof{{Path: noModules, Standing: Unproven, Problem: noModulesWhy}}
	}
	if err := o.broken(); err != nil {
		return report, err
	}
	if n, err := note.Open(o.head(), note.VerifierList(verifier)); err == nil {
		if tree, err := tlog.ParseTree([]byte(n.Text)); err == nil {
			report.Tree, report.Root = tree.N, tree.Hash.String()
		}
	}
	return report, nil
}

// prove looks one module up.
func (o *sumOps) prove(client *sumdb.Client, m Module) ModuleProof {
	r := ModuleProof{Path: m.Path, Version: m.Version, Sum: m.Sum, Standing: Unproven, Problem: "the build does not say its hash"}
	if m.Sum == "" || m.Version == "" {
		return r
	}
	if gone := o.unreachable(); gone != nil {
		r.Standing, r.Problem = Unasked, "not asked any more: a question before had no answer"
		return r
	}
	lines, err := client.Lookup(m.Path, m.Version)
	want := fmt.Sprintf("%s %s %s", m.Path, m.Version, m.Sum)
	switch failed, alarm := o.judge(err); {
	case alarm != "":
		r.Standing, r.Problem = Forged, alarm
	case failed != "":
		r.Standing, r.Problem = Unasked, failed
	case err != nil:
		r.Standing, r.Problem = Forged, err.Error()
	case slices.Contains(lines, want):
		r.Standing, r.Problem = Proven, ""
	default:
		r.Standing, r.Problem = Differs, "the database has "+strings.Join(hashes(lines), ", ")
	}
	r.Problem = oneLine(r.Problem)
	return r
}

// hashes are the last words of the lines.
func hashes(lines []string) (all []string) {
	for _, line := range lines {
		all = append(all, line[strings.LastIndexByte(line, ' ')+1:])
	}
	return all
}

// sumOps is what the checksum database's client has of the world.
type sumOps struct {
	ctx    context.Context
	source Source
	key    string
	heads  Files
	record *os.Root

	mu     sync.Mutex // guards what follows
	latest []byte     // the newest head, where nothing keeps it
	failed []string   // what was said of answers that could not be had
	gone   error      // the source does not answer at all
	alarm  string     // the database contradicts itself
	fault  error      // of the disk
}

var _ sumdb.ClientOps = (*sumOps)(nil)

// judge says why a lookup failed: an answer could not be had, now or earlier, for the client remembers that and keeps the text alone;
// or the database contradicts itself. Neither: what was answered is wrong.
func (o *sumOps) judge(err error) (failed, alarm string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		return "", o.alarm
	}
	for _, text := range o.failed {
		if strings.Contains(err.Error(), text) {
			failed = text
		}
	}
	return failed, o.alarm
}

// unreachable is why the source is not asked any more: each question would wait until it times out.
func (o *sumOps) unreachable() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone
}

func (o *sumOps) broken() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault
}

func (o *sumOps) head() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.latest
}

// ReadRemote asks the source.
func (o *sumOps) ReadRemote(path string) ([]byte, error) {
	data, err := o.source.read(o.ctx, strings.TrimPrefix(path, "/"), maxSumDBAnswer)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		what := "the database does not know it"
		if o.source.dir != "" {
			what = "it was not recorded"
		}
		err = fmt.Errorf("%s: %w", what, err)
	}
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.failed = append(o.failed, err.Error())
		if !missing && o.gone == nil {
			o.gone = err
		}
		return nil, err
	}
	if o.record != nil {
		if err := o.keep(strings.TrimPrefix(path, "/"), data); err != nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.fault = err
			return nil, err
		}
	}
	return data, nil
}

// latestName is the newest tree head among recorded answers; in a state directory it is named after the database.
const latestName = "latest"

// ReadConfig returns the key, or the newest tree head that is known.
func (o *sumOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.key), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	if o.latest == nil && o.record != nil {
		o.latest, err = o.record.ReadFile(latestName)
	}
	if o.latest == nil && err == nil && o.heads != nil {
		o.latest, err = o.heads.ReadFile(headName(file))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.fault = fmt.Errorf("the tree head that was seen last: %w", err)
		return nil, o.fault
	}
	return o.latest, nil
}

// headName is the file of a database's newest tree head: sum.golang.org.head.
func headName(file string) string {
	name, _, _ := strings.Cut(file, "/")
	return name + ".head"
}

// WriteConfig keeps a newer tree head. Two processes at once may leave the older of theirs, which is a good head too.
func (o *sumOps) WriteConfig(file string, old, fresh []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !bytes.Equal(old, o.latest) {
		return sumdb.ErrWriteConflict
	}
	var err error
	if o.heads != nil {
		err = o.heads.WriteFile(headName(file), fresh)
	}
	if err == nil && o.record != nil {
		err = o.keep(latestName, fresh)
	}
	if err != nil {
		o.fault = fmt.Errorf("the tree head cannot be kept: %w", err)
		return o.fault
	}
	o.latest = fresh
	return nil
}

// ReadCache finds nothing: the client keeps what it has seen, and another run proves it anew.
func (o *sumOps) ReadCache(string) ([]byte, error) { return nil, fs.ErrNotExist }

// WriteCache does nothing.
func (o *sumOps) WriteCache(string, []byte) {}

// Log does nothing: what matters is in errors.
func (o *sumOps) Log(string) {}

// SecurityError notes that the database contradicts itself. Every later lookup fails too.
func (o *sumOps) SecurityError(msg string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first, _, _ := strings.Cut(strings.TrimSpace(msg), "\n")
	o.alarm = "the database has rewritten its history: " + first
}

func (o *sumOps) recordTo(dir string) (err error) {
	if err = os.MkdirAll(dir, 0o755); err == nil {
		o.record, err = os.OpenRoot(dir)
	}
	return err
}

// keep records an answer.
func (o *sumOps) keep(name string, data []byte) error {
	name = filepath.FromSlash(name)
	if err := o.record.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return o.record.WriteFile(name, data, 0o644)
}

// oneLine makes what somebody else has written fit for a table.
func oneLine(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
