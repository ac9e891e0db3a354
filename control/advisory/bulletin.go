package advisory

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"mtguard/security/aead"
)

// Use says what a bulletin thinks of a suite. The zero Use is Allowed.
type Use uint8

// The uses, each tighter than the one before.
const (
	Allowed Use = iota
	// Deprecated suites work, and the audit log says who still uses one.
	Deprecated
	// Forbidden suites seal nothing from a date on. What they sealed goes on opening.
	Forbidden
)

var useNames = [...]string{"allowed", "deprecated", "forbidden"}

// String returns "allowed", "deprecated" or "forbidden".
func (u Use) String() string { return useNames[u] }

// Ruling is what a bulletin says of one suite.
type Ruling struct {
	Use  Use
	From time.Time // of Forbidden
}

// Bulletin is a signed statement on cipher suites.
type Bulletin struct {
	Number int64
	Time   time.Time
	// Rulings are by the suite's name, also of suites that this program does not have.
	Rulings map[string]Ruling
	Text    string
}

const (
	bulletinTitle = "mtguard crypto bulletin"
	maxBulletin   = 64 << 10
	maxRulings    = 64
)

var suiteName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,63}$`)

// OpenBulletin takes the signed form, a note of golang.org/x/mod/sumdb/note, and the publisher's verifier. Signatures of others do
// not matter.
func OpenBulletin(signed []byte, key string) (*Bulletin, error) {
	if len(signed) > maxBulletin {
		return nil, fmt.Errorf("it is longer than %d KiB", maxBulletin>>10)
	}
	text, err := OpenNote(signed, key)
	if err != nil {
		return nil, err
	}
	return ParseBulletin(text)
}

// ParseBulletin reads
//
//	mtguard crypto bulletin
//	number 3
//	time 2026-11-26T12:00:00Z
//	suite aes-128-gcm forbidden 2026-12-01T00:00:00Z
//	suite chacha20-poly1305 deprecated
//
// with up to 64 suites, each once, and no other way to write any of it.
func ParseBulletin(text string) (*Bulletin, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	number, at, err := ParseHead(lines, bulletinTitle)
	switch {
	case err != nil:
		return nil, err
	case !strings.HasSuffix(text, "\n"):
		return nil, errors.New("it does not end with a line")
	case len(lines)-3 > maxRulings:
		return nil, fmt.Errorf("it has more than %d suites", maxRulings)
	}
	b := &Bulletin{Number: number, Time: at, Text: text, Rulings: make(map[string]Ruling)}
	for i, line := range lines[3:] {
		name, ruling, err := parseRuling(line)
		if _, twice := b.Rulings[name]; err == nil && twice {
			err = fmt.Errorf("suite %s comes twice", name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+4, err)
		}
		b.Rulings[name] = ruling
	}
	return b, nil
}

func parseRuling(line string) (name string, r Ruling, err error) {
	words := strings.Split(line, " ")
	if len(words) < 3 || words[0] != "suite" || !suiteName.MatchString(words[1]) {
		return "", r, errors.New("want suite, its name, and allowed, deprecated or forbidden with a time")
	}
	switch use := words[2]; {
	case use == "allowed" && len(words) == 3:
	case use == "deprecated" && len(words) == 3:
		r.Use = Deprecated
	case use == "forbidden" && len(words) == 4:
		r.Use = Forbidden
		if r.From, err = exactTime(words[3]); err != nil {
			return "", r, errors.New("forbidden is from a time like 2026-12-01T00:00:00Z on")
		}
	default:
		return "", r, errors.New("a suite is allowed, deprecated, or forbidden with a time")
	}
	return words[1], r, nil
}

// Loosens returns why b may not take the place of before: the first suite of which it allows more, or that it leaves none that
// this program has. "" when it only tightens. before may be nil.
func (b *Bulletin) Loosens(before *Bulletin) string {
	if before != nil {
		for _, name := range sortedNames(before.Rulings) {
			was, is := before.Rulings[name], b.Rulings[name]
			if is.Use < was.Use {
				return fmt.Sprintf("suite %s would be %v, and is %v", name, is.Use, was.Use)
			}
			if was.Use == Forbidden && is.From.After(was.From) {
				return fmt.Sprintf("suite %s would be forbidden from %s on, and is from %s on", name, is.From.Format(time.RFC3339), was.From.Format(time.RFC3339))
			}
		}
	}
	for _, s := range aead.Suites() {
		if b.Rulings[s.String()].Use != Forbidden {
			return ""
		}
	}
	return "it leaves no suite to seal with"
}

// Use returns what b says of a suite at a time. A nil b says nothing.
func (b *Bulletin) Use(s aead.Suite, now time.Time) Use {
	if b == nil {
		return Allowed
	}
	r := b.Rulings[s.String()]
	if r.Use == Forbidden && now.Before(r.From) {
		return Deprecated
	}
	return r.Use
}

// Digest tells two bulletins of one number apart.
func (b *Bulletin) Digest() string {
	sum := sha256.Sum256([]byte(b.Text))
	return hex.EncodeToString(sum[:])
}
