package advisory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// Release is one in a signed list of releases.
type Release struct {
	Version  string    `json:"version" doc:"such as 1.4.0"`
	Time     time.Time `json:"time"`
	Security bool      `json:"security,omitempty" doc:"mends something that an attacker can use"`
	Notes    string    `json:"notes,omitempty" doc:"address of what is new"`
}

// Verdicts of a list of releases.
const (
	Current = "current" // nothing newer is listed
	Newer   = "newer"   // a newer release is listed
	Untold  = "unknown" // this build has no version that compares, or the list is too old to go by
)

// ReleaseReport says whether there is a newer release.
type ReleaseReport struct {
	Source   string    `json:"source"`
	Signer   string    `json:"signer" doc:"number of the key that signed the list"`
	Time     time.Time `json:"time" doc:"when the list was signed"`
	Running  string    `json:"running" doc:"version of this program"`
	Verdict  string    `json:"verdict" enum:"current,newer,unknown"`
	Why      string    `json:"why,omitempty" doc:"it is unknown"`
	Newest   *Release  `json:"newest,omitempty"`
	Security bool      `json:"security,omitempty" doc:"a newer release mends something that an attacker can use"`
}

const (
	maxReleases    = 1 << 20
	maxReleaseRows = 1000
	// A publisher signs the list anew within this time. Who can hold lists back, but cannot sign, is noticed by that.
	maxReleaseAge = 30 * 24 * time.Hour
	maxAhead      = time.Hour // that our clock may be behind the publisher's
)

// releaseName is the file of the newest list's time, so that an older one is refused.
const releaseName = "releases.seen"

var releaseVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// Latest reads a list of releases and its signature, which is beside it with ".minisig" at the end, and compares it with the
// version that runs. seen keeps when the newest list was signed, so that an older one is refused; nil: it is not kept. The list is
//
//	{"schema": 1, "time": "2026-11-26T12:00:00Z", "releases": [{"version": "1.4.0", "time": "…", "security": true, "notes": "https://…"}]}
//
// The error says that there is no list to go by; nothing of one whose signature does not hold is looked at.
func Latest(ctx context.Context, source Source, key PublicKey, running string, seen Files, now time.Time) (*ReleaseReport, error) {
	if source.file == "" {
		return nil, errors.New("list of releases: none is named")
	}
	text, err := source.read(ctx, source.file, maxReleases)
	if err != nil {
		return nil, fmt.Errorf("list of releases: %w", err)
	}
	signature, err := source.read(ctx, source.file+".minisig", maxSignature)
	if err != nil {
		return nil, fmt.Errorf("signature of the list of releases: %w", err)
	}
	s, err := ParseSignature(signature)
	if err == nil {
		_, err = key.Verify(bytes.NewReader(text), s)
	}
	if err != nil {
		return nil, fmt.Errorf("list of releases: %w", err)
	}
	at, releases, err := parseReleases(text)
	if err == nil && at.After(now.Add(maxAhead)) {
		err = fmt.Errorf("it is of %s, which is to come", at.Format(time.RFC3339))
	}
	if err == nil && seen != nil {
		err = notOlder(seen, key, at)
	}
	if err != nil {
		return nil, fmt.Errorf("list of releases: %w", err)
	}
	r := &ReleaseReport{Source: source.String(), Signer: key.ID(), Time: at, Running: running, Verdict: Current}
	r.compare(releases)
	if r.Verdict == Current && now.Sub(at) > maxReleaseAge {
		r.Verdict, r.Why = Untold, "nothing was signed since "+at.Format(time.DateOnly)+": the publisher has stopped, or somebody holds lists back"
	}
	return r, nil
}

func (r *ReleaseReport) compare(releases []Release) {
	running := canonical(strings.TrimPrefix(r.Running, "v"))
	if running == "" {
		r.Verdict, r.Why = Untold, fmt.Sprintf("this build has no version to compare: %q", r.Running)
	}
	for i := range releases {
		release := &releases[i]
		v := canonical(release.Version)
		// Nobody is told to take a preliminary version.
		if semver.Prerelease(v) != "" && semver.Prerelease(running) == "" {
			continue
		}
		if r.Newest == nil || semver.Compare(v, canonical(r.Newest.Version)) > 0 {
			r.Newest = release
		}
		if running != "" && semver.Compare(v, running) > 0 {
			r.Verdict, r.Security = Newer, r.Security || release.Security
		}
	}
}

func parseReleases(text []byte) (at time.Time, releases []Release, err error) {
	var list struct {
		Schema   int       `json:"schema"`
		Time     time.Time `json:"time"`
		Releases []Release `json:"releases"`
	}
	if err := json.Unmarshal(text, &list); err != nil || list.Schema != 1 || list.Time.IsZero() || len(list.Releases) == 0 || len(list.Releases) > maxReleaseRows {
		return at, nil, errors.New("it is no list of releases of schema 1")
	}
	for i := range list.Releases {
		r := &list.Releases[i]
		if !releaseVersion.MatchString(r.Version) || canonical(r.Version) == "" {
			return at, nil, fmt.Errorf("it has the version %q", oneLine(r.Version))
		}
		r.Notes = oneLine(r.Notes)
	}
	return list.Time.UTC(), list.Releases, nil
}

// notOlder refuses a list that was signed before one that was seen already, and notes a newer one.
func notOlder(seen Files, key PublicKey, at time.Time) error {
	text, err := seen.ReadFile(releaseName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	signer, last, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if before, err := time.Parse(time.RFC3339Nano, last); err == nil && signer == key.ID() && !at.After(before) {
		if at.Before(before) {
			return fmt.Errorf("it is of %s, and one of %s was seen already", at.Format(time.RFC3339), before.Format(time.RFC3339))
		}
		return nil
	}
	return seen.WriteFile(releaseName, []byte(key.ID()+" "+at.Format(time.RFC3339Nano)+"\n"))
}
