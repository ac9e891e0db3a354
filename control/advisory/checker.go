package advisory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Sources are where a Checker asks. What is zero is not asked for.
type Sources struct {
	Vulnerabilities Source
	Checksums       Source
	Releases        Source // a ParseFile source; the signature is beside it
	ReleaseKey      PublicKey
	Bulletin        Source // a ParseFile source
}

// Any reports whether there is anything to ask.
func (s *Sources) Any() bool {
	return !s.Vulnerabilities.IsZero() || !s.Checksums.IsZero() || !s.Releases.IsZero() || !s.Bulletin.IsZero()
}

// Verdicts of a check, each worse than the one before.
const (
	Fine    = "ok"      // everything that was asked for was answered, and nothing is to be done
	Doubt   = "unknown" // something could not be told
	Concern = "found"   // somebody has to do something
)

// Outcome is what a check found. Parts that were not asked for are nil.
type Outcome struct {
	Time     time.Time      `json:"time"`
	Verdict  string         `json:"verdict" enum:"ok,unknown,found"`
	Findings []string       `json:"findings,omitempty" doc:"what somebody should know, one line each"`
	Scan     *ScanReport    `json:"scan,omitempty"`
	Proof    *ProofReport   `json:"proof,omitempty"`
	Release  *ReleaseReport `json:"release,omitempty"`
}

// Checker asks all sources, one check at a time.
type Checker struct {
	// Files keeps what must outlive the process: the tree head, and the time of the newest list of releases. Required.
	Files Files
	// Bulletin takes a bulletin that was read; nil: none is read.
	Bulletin func(ctx context.Context, signed []byte) error
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time

	checking sync.Mutex
	read     func() (Inventory, error) // nil is Read
}

// checkTimeout bounds a check: some forty modules with a few answers each.
const checkTimeout = 4 * time.Minute

// Check asks the sources now. It fails only when the program does not know what it was built from; whatever goes wrong with a
// source is part of the outcome.
func (c *Checker) Check(ctx context.Context, s Sources) (*Outcome, error) {
	c.checking.Lock()
	defer c.checking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	read := Read
	if c.read != nil {
		read = c.read
	}
	v, err := read()
	if err != nil {
		return nil, err
	}
	o := &Outcome{Time: now().UTC(), Verdict: Fine}
	if !s.Vulnerabilities.IsZero() {
		symbols, _ := ReadSymbols() // without them the report says Unknown of what they matter to
		o.Scan, err = Scan(ctx, s.Vulnerabilities, v, symbols, now())
		o.scanned(err)
	}
	if !s.Checksums.IsZero() {
		o.Proof, err = Prove(ctx, v.Modules, Proof{Source: s.Checksums, Heads: c.Files})
		o.proved(err)
	}
	if !s.Releases.IsZero() {
		o.Release, err = Latest(ctx, s.Releases, s.ReleaseKey, v.Program, c.Files, now())
		o.released(err)
	}
	if !s.Bulletin.IsZero() && c.Bulletin != nil {
		signed, err := s.Bulletin.read(ctx, s.Bulletin.file, maxBulletin)
		if err != nil {
			o.add(Doubt, fmt.Sprintf("crypto bulletin: %v", err))
		} else if err := c.Bulletin(ctx, signed); err != nil {
			o.add(Concern, fmt.Sprintf("crypto bulletin: %v", err))
		}
	}
	return o, nil
}

// add notes a finding.
func (o *Outcome) add(verdict, text string) {
	o.Findings = append(o.Findings, oneLine(text))
	if verdict == Concern || o.Verdict == Fine {
		o.Verdict = verdict
	}
}

func (o *Outcome) scanned(err error) {
	if err != nil {
		o.Scan = nil
		o.add(Doubt, err.Error())
		return
	}
	for _, m := range o.Scan.Modules {
		for _, v := range m.Vulnerabilities {
			if v.Class == Reachable {
				o.add(Concern, fmt.Sprintf("%s %s has %s: %s; mended in %s", m.Path, m.Version, v.ID, orElse(v.Summary, v.Why), orElse(v.Fixed, "no version yet")))
			}
		}
	}
	if n := o.Scan.Count(Unknown); n > 0 {
		why := ""
		for _, m := range o.Scan.Modules {
			if m.Class == Unknown && why == "" {
				why = m.Path + ": " + orElse(m.Problem, firstUnknown(m.Vulnerabilities))
			}
		}
		o.add(Doubt, fmt.Sprintf("whether something vulnerable is in here is unknown of %d modules, such as %s", n, why))
	}
}

func firstUnknown(list []Vulnerability) string {
	for _, v := range list {
		if v.Class == Unknown {
			return v.ID + ": " + v.Why
		}
	}
	return ""
}

func (o *Outcome) proved(err error) {
	if o.Proof != nil {
		for _, m := range o.Proof.Modules {
			if m.Standing == Differs || m.Standing == Forged {
				o.add(Concern, fmt.Sprintf("%s %s: hash %s: %s", m.Path, m.Version, m.Standing, m.Problem))
			}
		}
		if n := o.Proof.Count(Unasked) + o.Proof.Count(Unproven); n > 0 {
			o.add(Doubt, fmt.Sprintf("the hashes of %d modules were not proven", n))
		}
	}
	if err != nil {
		o.add(Doubt, err.Error())
	}
}

func (o *Outcome) released(err error) {
	switch {
	case errors.Is(err, ErrSignature):
		o.add(Concern, err.Error())
	case err != nil:
		o.add(Doubt, err.Error())
	case o.Release.Verdict == Newer:
		what := "version " + o.Release.Newest.Version + " is there"
		if o.Release.Security {
			what += ", and mends something that an attacker can use"
		}
		o.add(Concern, what)
	case o.Release.Verdict == Untold:
		o.add(Doubt, "releases: "+o.Release.Why)
	}
}

func sortedNames[T any](of map[string]T) []string { return slices.Sorted(maps.Keys(of)) }
