package advisory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// Class is what is known of a module, or of one vulnerability in it.
type Class string

// The classes, the worst first.
const (
	// Reachable: an affected version is in the binary, and so is code that the data names. Whether it is ever called is not known.
	Reachable Class = "affected-reachable"
	// Unknown: it cannot be told.
	Unknown Class = "unknown"
	// Unreachable: an affected version, but the linker left all of that code out.
	Unreachable Class = "affected-unreachable"
	// Unaffected: the data names nothing for this version.
	Unaffected Class = "unaffected"
)

var worstFirst = []Class{Reachable, Unknown, Unreachable, Unaffected}

func worse(a, b Class) Class {
	if slices.Index(worstFirst, a) < slices.Index(worstFirst, b) {
		return a
	}
	return b
}

// Vulnerability is one that has to do with a module of the binary.
type Vulnerability struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases,omitempty"`
	Summary string   `json:"summary,omitempty"`
	Fixed   string   `json:"fixed,omitempty" doc:"version that has it mended; left out: none"`
	Class   Class    `json:"class" enum:"affected-reachable,unknown,affected-unreachable,unaffected"`
	Why     string   `json:"why" doc:"what decided the class"`
}

// ModuleScan is what is known of one module. The standard library is the module stdlib.
type ModuleScan struct {
	Path            string          `json:"path"`
	Version         string          `json:"version"`
	Class           Class           `json:"class" enum:"affected-reachable,unknown,affected-unreachable,unaffected"`
	Problem         string          `json:"problem,omitempty" doc:"why it cannot be told"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities,omitempty"`
}

// ScanReport is what Scan found.
type ScanReport struct {
	Source  string       `json:"source"`
	Data    time.Time    `json:"data" doc:"when the data was changed last"`
	Stale   bool         `json:"stale,omitempty" doc:"the data is older than a month, so that nothing counts as unaffected by it"`
	Modules []ModuleScan `json:"modules"`
}

// Count returns how many modules are of that class.
func (r *ScanReport) Count(c Class) (n int) {
	for _, m := range r.Modules {
		if m.Class == c {
			n++
		}
	}
	return n
}

// OK reports whether no module is Reachable or Unknown, and there are some.
func (r *ScanReport) OK() bool {
	return len(r.Modules) > 0 && r.Count(Reachable) == 0 && r.Count(Unknown) == 0
}

// GoVulnDB is where the Go vulnerability database answers.
const GoVulnDB = "https://vuln.go.dev"

const (
	maxIndex   = 32 << 20
	maxEntry   = 1 << 20
	maxEntries = 20_000 // of a directory of entries
	maxAsked   = 200    // entries of one module
	maxDataAge = 30 * 24 * time.Hour
)

// Scan compares the modules of an inventory, and the Go version, with vulnerability data: a source laid out like the Go
// vulnerability database (index/db.json, index/modules.json, ID/GO-….json), or a directory of entries in the OSV format, one in a
// file whose name ends with .json. The error says that there is no such data; what it does not tell of a module is in the report.
func Scan(ctx context.Context, source Source, v Inventory, symbols Symbols, now time.Time) (*ScanReport, error) {
	db, err := openDatabase(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("vulnerability data: %w", err)
	}
	report := &ScanReport{Source: source.String(), Data: db.modified, Stale: now.Sub(db.modified) > maxDataAge}
	modules := append([]Module{{Path: "stdlib", Version: v.Go}}, v.Modules...)
	for _, m := range modules {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s := db.scan(ctx, m, symbols)
		if report.Stale && s.Class == Unaffected {
			s.Class, s.Problem = Unknown, "the data is of "+db.modified.UTC().Format(time.DateOnly)
		}
		report.Modules = append(report.Modules, s)
	}
	if len(v.Modules) == 0 {
		report.Modules = append(report.Modules, ModuleScan{Path: noModules, Class: Unknown, Problem: noModulesWhy})
	}
	return report, nil
}

// database is an index of entries.
type database struct {
	source   Source
	modified time.Time
	modules  map[string][]indexed
	entries  map[string]*entry // of a directory of entries; else they are asked for
}

type indexed struct {
	ID    string `json:"id"`
	Fixed string `json:"fixed"`
}

func openDatabase(ctx context.Context, source Source) (*database, error) {
	data, err := source.read(ctx, "index/db.json", maxEntry)
	if errors.Is(err, fs.ErrNotExist) && source.dir != "" {
		return openEntries(ctx, source)
	}
	if err != nil {
		return nil, err
	}
	var head struct {
		Modified time.Time `json:"modified"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Modified.IsZero() {
		return nil, errors.New("index/db.json does not say when the data was changed")
	}
	if data, err = source.read(ctx, "index/modules.json", maxIndex); err != nil {
		return nil, err
	}
	var rows []struct {
		Path  string    `json:"path"`
		Vulns []indexed `json:"vulns"`
	}
	if err := json.Unmarshal(data, &rows); err != nil || len(rows) == 0 {
		return nil, errors.New("index/modules.json is no list of modules")
	}
	db := &database{source: source, modified: head.Modified, modules: make(map[string][]indexed, len(rows))}
	for _, row := range rows {
		db.modules[row.Path] = append(db.modules[row.Path], row.Vulns...)
	}
	return db, nil
}

// openEntries reads a directory of entries. One that cannot be read spoils all: it may be about anything.
func openEntries(ctx context.Context, source Source) (*database, error) {
	files, err := os.ReadDir(source.dir)
	if err != nil {
		return nil, err
	}
	db := &database{source: source, modules: make(map[string][]indexed), entries: make(map[string]*entry)}
	for _, f := range files {
		if f.IsDir() || path.Ext(f.Name()) != ".json" {
			continue
		}
		if len(db.entries) == maxEntries {
			return nil, fmt.Errorf("%s holds more than %d entries", source.dir, maxEntries)
		}
		data, err := source.read(ctx, f.Name(), maxEntry)
		var e *entry
		if err == nil {
			e, err = parseEntry(data)
		}
		if err == nil && db.entries[e.ID] != nil {
			err = fmt.Errorf("%s comes twice", e.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		db.entries[e.ID] = e
		if e.Modified.After(db.modified) {
			db.modified = e.Modified
		}
		var names []string
		for _, a := range e.Affected {
			if a.Package.Ecosystem == "Go" && !slices.Contains(names, a.Package.Name) {
				names = append(names, a.Package.Name)
				db.modules[a.Package.Name] = append(db.modules[a.Package.Name], indexed{ID: e.ID})
			}
		}
	}
	if len(db.entries) == 0 {
		return nil, fmt.Errorf("%s holds neither index/db.json nor entries in the OSV format", source.dir)
	}
	return db, nil
}

func (db *database) entry(ctx context.Context, id string) (*entry, error) {
	if e := db.entries[id]; e != nil {
		return e, nil
	}
	if !entryID.MatchString(id) {
		return nil, fmt.Errorf("the index names %q", oneLine(id))
	}
	data, err := db.source.read(ctx, "ID/"+id+".json", maxEntry)
	if err != nil {
		return nil, err
	}
	e, err := parseEntry(data)
	if err == nil && e.ID != id {
		err = fmt.Errorf("ID/%s.json is of %s", id, e.ID)
	}
	return e, err
}

// scan says what the data knows of one module.
func (db *database) scan(ctx context.Context, m Module, symbols Symbols) ModuleScan {
	s := ModuleScan{Path: m.Path, Version: m.Version, Class: Unaffected}
	doubt := func(problem string) {
		s.Class = worse(s.Class, Unknown)
		if s.Problem == "" {
			s.Problem = oneLine(problem)
		}
	}
	version := canonical(m.Version)
	if version == "" {
		doubt(fmt.Sprintf("version %q cannot be compared", m.Version))
		return s
	}
	asked := 0
	for _, row := range db.modules[m.Path] {
		if fixed := canonical(row.Fixed); row.Fixed != "" && fixed != "" && semver.Compare(version, fixed) >= 0 {
			continue // mended for good before this version
		}
		if asked++; asked > maxAsked {
			doubt(fmt.Sprintf("the data has more than %d vulnerabilities of it", maxAsked))
			break
		}
		e, err := db.entry(ctx, row.ID)
		if err != nil {
			doubt(fmt.Sprintf("%s cannot be read: %v", row.ID, err))
			continue
		}
		if found := judge(e, m, symbols); found.Class != Unaffected {
			s.Vulnerabilities = append(s.Vulnerabilities, found)
			s.Class = worse(s.Class, found.Class)
		}
	}
	return s
}

// judge says what one vulnerability is to a module.
func judge(e *entry, m Module, symbols Symbols) Vulnerability {
	v := Vulnerability{ID: e.ID, Aliases: e.Aliases, Summary: e.Summary, Class: Unaffected}
	if e.Withdrawn != nil {
		return v
	}
	for i := range e.Affected {
		a := &e.Affected[i]
		if a.Package.Name != m.Path || a.Package.Ecosystem != "Go" {
			continue
		}
		class, why := Unaffected, ""
		hit, fixed, err := a.matches(m.Version)
		switch {
		case err != nil:
			class, why = Unknown, err.Error()
		case hit:
			class, why = a.reach(symbols)
		}
		if class != Unaffected && (v.Class == Unaffected || worse(class, v.Class) != v.Class) {
			v.Class, v.Why, v.Fixed = class, why, fixed
		}
	}
	return v
}

// reach says whether the code that a describes is in the binary.
func (a *affected) reach(symbols Symbols) (Class, string) {
	switch {
	case !symbols.Known():
		return Unknown, "the functions of this binary cannot be listed"
	case len(a.Specific.Imports) == 0:
		return Unknown, "the data does not say where in the module it is"
	}
	why := fmt.Sprintf("not on %s/%s", runtime.GOOS, runtime.GOARCH)
	for _, in := range a.Specific.Imports {
		if len(in.GOOS) > 0 && !slices.Contains(in.GOOS, runtime.GOOS) || len(in.GOARCH) > 0 && !slices.Contains(in.GOARCH, runtime.GOARCH) {
			continue
		}
		if in.Path == "" {
			return Unknown, "the data does not say where in the module it is"
		}
		why = "none of its functions is in the binary"
		if len(in.Symbols) == 0 && symbols.Package(in.Path) {
			return Reachable, "package " + oneLine(in.Path) + " is in the binary"
		}
		for _, symbol := range in.Symbols {
			if symbols.Symbol(in.Path, symbol) {
				return Reachable, oneLine(strings.TrimSuffix(in.Path, "/")+"."+symbol) + " is in the binary"
			}
		}
	}
	return Unreachable, why
}
