package advisory

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// entry is one vulnerability in the OSV format (ossf.github.io/osv-schema), as far as it is used.
type entry struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn"`
	Aliases   []string   `json:"aliases"`
	Summary   string     `json:"summary"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Ranges   []versionRange `json:"ranges"`
	Versions []string       `json:"versions"`
	Specific struct {
		Imports []imported `json:"imports"`
	} `json:"ecosystem_specific"`
}

// imported is a package of the module in which the fault is, and the functions that lead to it; none: the whole package.
type imported struct {
	Path    string   `json:"path"`
	Symbols []string `json:"symbols"`
	GOOS    []string `json:"goos"`
	GOARCH  []string `json:"goarch"`
}

type versionRange struct {
	Type   string       `json:"type"`
	Events []rangeEvent `json:"events"`
}

// rangeEvent holds exactly one of these.
type rangeEvent struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
	Limit        string `json:"limit"`
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,63}$`)

// parseEntry reads one vulnerability.
func parseEntry(data []byte) (*entry, error) {
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, errors.New("it is no vulnerability in the OSV format")
	}
	if !entryID.MatchString(e.ID) || e.Modified.IsZero() {
		return nil, errors.New("it is no vulnerability in the OSV format: no id, or no time")
	}
	e.Summary = oneLine(e.Summary)
	return &e, nil
}

// canonical makes a version of go.mod, of the data ("1.2.3") or of Go itself ("go1.26rc1") one that semver compares; "" when it
// is none.
func canonical(version string) string {
	if rest, ok := strings.CutPrefix(version, "go"); ok {
		version, _, _ = strings.Cut(rest, " ") // "go1.26.0 X:experiment"
		version, _, _ = strings.Cut(version, "-")
		for _, kind := range []string{"rc", "beta"} {
			if release, number, ok := strings.Cut(version, kind); ok {
				if strings.Count(release, ".") == 1 {
					release += ".0"
				}
				version = release + "-" + kind + "." + number
			}
		}
	}
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	if !semver.IsValid(version) {
		return ""
	}
	return semver.Canonical(version)
}

// matches says whether a version is among those that a describes, and the version that has it mended, "" for none.
// The error: the data does not tell.
func (a *affected) matches(version string) (hit bool, fixed string, err error) {
	v := canonical(version)
	if v == "" {
		return false, "", fmt.Errorf("version %q cannot be compared", version)
	}
	if len(a.Ranges) == 0 && len(a.Versions) == 0 {
		return false, "", errors.New("the data names no versions")
	}
	if slices.ContainsFunc(a.Versions, func(listed string) bool { return canonical(listed) == v }) {
		hit = true
	}
	for _, r := range a.Ranges {
		if r.Type != "SEMVER" {
			return false, "", fmt.Errorf("the data has versions of the kind %q", oneLine(r.Type))
		}
		in, until, err := r.holds(v)
		if err != nil {
			return false, "", err
		}
		if in {
			hit, fixed = true, until
		}
	}
	return hit, fixed, nil
}

// holds says whether v lies in the range, and where the part of it ends that v is in.
func (r *versionRange) holds(v string) (in bool, fixed string, err error) {
	type event struct {
		at   string
		kind int // at one version: affected until it comes before affected from it
	}
	const until, from, through = 0, 1, 2
	var events []event
	for _, e := range r.Events {
		for kind, text := range []string{until: e.Fixed, from: e.Introduced, through: e.LastAffected} {
			if text == "" {
				continue
			}
			at := canonical(text)
			if text == "0" {
				at = "" // before every version
			} else if at == "" {
				return false, "", fmt.Errorf("the data has the version %q", oneLine(text))
			}
			events = append(events, event{at, kind})
		}
		if e.Limit != "" {
			return false, "", errors.New("the data has a range with a limit")
		}
	}
	if len(events) == 0 {
		return false, "", errors.New("the data has an empty range")
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if c := semver.Compare(a.at, b.at); c != 0 {
			return c
		}
		return a.kind - b.kind
	})
	for _, e := range events {
		c := semver.Compare(v, e.at)
		switch {
		case e.kind == from && c >= 0:
			in = true
		case e.kind == until && c >= 0, e.kind == through && c > 0:
			in = false
		case e.kind == until && in && c < 0:
			return true, strings.TrimPrefix(e.at, "v"), nil
		}
	}
	return in, "", nil
}
