package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Record is what an audit leaves behind for reports: what was asked, what there was
// then, and how counters stood that nothing else keeps. Its encoding stands in the row
// of the audit, and the SHA-256 of that in the audit log, so nobody changes it later
// without a trace.
type Record struct {
	Asked []string          // IDs of the checks that were made
	Found map[string]string // severity, or "unknown", by ID of a finding, of all that were there then
	More  int               // how many findings more there were than there is room for
	Of    map[string]string // check by ID of a finding; of audits by earlier versions empty
	About map[string]About  // by ID of a finding, as far as there was room
	// Process names the process that counted Decisions; they begin with it.
	Process   string
	Began     time.Time
	Decisions map[string]Decisions // by control
	Hits      map[string]int64     // by exception, ever
}

// About is what a finding was about and what was seen.
type About struct {
	Subject  string `json:"s"`
	Evidence string `json:"e,omitempty"`
}

// Decisions are what a control decided since its process began.
type Decisions struct {
	Allowed, Refused, Would uint64
}

// UnknownCheck is the severity in a Record of a finding whose check could not be made.
const UnknownCheck = "unknown"

// MaxRecord is the most bytes of an encoded Record: what the store takes.
const MaxRecord = 64 << 10

// roomForAbout is what About may fill of that.
const roomForAbout = MaxRecord - (4 << 10)

// MostFound is how many findings a Record holds.
const MostFound = 2000

// wire is a Record in JSON. Findings stand by check and severity, so that one takes few bytes.
type wire struct {
	Version   int                            `json:"v"`
	Asked     []string                       `json:"asked"`
	Found     map[string]map[string][]string `json:"found,omitempty"`
	More      int                            `json:"more,omitempty"`
	Process   string                         `json:"process,omitempty"`
	Began     time.Time                      `json:"began,omitzero"`
	Decisions map[string][3]uint64           `json:"decisions,omitempty"`
	Hits      map[string]int64               `json:"hits,omitempty"`
	About     map[string]About               `json:"about,omitempty"`
}

// Encode is the one encoding of a record, of at most MaxRecord bytes: what findings
// were about is left out where there is no room, those named last in worst first.
func (r *Record) Encode(worst []string) (string, error) {
	w := wire{Version: 1, Asked: r.Asked, More: r.More, Process: r.Process, Began: r.Began.UTC(), Hits: r.Hits}
	for id, severity := range r.Found {
		check := r.Of[id]
		if w.Found == nil {
			w.Found = make(map[string]map[string][]string)
		}
		if w.Found[check] == nil {
			w.Found[check] = make(map[string][]string)
		}
		w.Found[check][severity] = append(w.Found[check][severity], id)
	}
	for _, of := range w.Found {
		for _, ids := range of {
			slices.Sort(ids)
		}
	}
	for name, d := range r.Decisions {
		if w.Decisions == nil {
			w.Decisions = make(map[string][3]uint64)
		}
		w.Decisions[name] = [3]uint64{d.Allowed, d.Refused, d.Would}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	size := len(text)
	for _, id := range worst {
		about, known := r.About[id]
		one, err := json.Marshal(about)
		if err != nil {
			return "", err
		}
		if size += len(id) + len(one) + 4; !known || size > roomForAbout {
			continue
		}
		if w.About == nil {
			w.About = make(map[string]About)
		}
		w.About[id] = about
	}
	text, err = json.Marshal(w)
	if err == nil && len(text) > MaxRecord {
		err = fmt.Errorf("the record of an audit has %d bytes", len(text))
	}
	return string(text), err
}

// letters are severities in records of earlier versions: a letter and an ID in a word.
var letters = map[byte]string{'c': "critical", 'h': "high", 'm': "medium", 'l': "low", 'u': UnknownCheck}

// ParseRecord reads what Encode wrote, and what versions before it wrote: those say
// neither which checks were asked nor of which check a finding is.
func ParseRecord(text string) (*Record, error) {
	r := &Record{Found: make(map[string]string), Of: make(map[string]string), About: make(map[string]About), Decisions: make(map[string]Decisions), Hits: make(map[string]int64)}
	if !strings.HasPrefix(text, "{") {
		for word := range strings.FieldsSeq(text) {
			if severity, known := letters[word[0]]; known {
				r.Found[word[1:]] = severity
			}
		}
		return r, nil
	}
	var w wire
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return nil, fmt.Errorf("record of an audit: %w", err)
	}
	if w.Version != 1 {
		return nil, fmt.Errorf("record of an audit: version %d is not known", w.Version)
	}
	r.Asked, r.More, r.Process, r.Began = w.Asked, w.More, w.Process, w.Began
	for check, of := range w.Found {
		for severity, ids := range of {
			for _, id := range ids {
				r.Found[id], r.Of[id] = severity, check
			}
		}
	}
	for name, d := range w.Decisions {
		r.Decisions[name] = Decisions{d[0], d[1], d[2]}
	}
	for id, n := range w.Hits {
		r.Hits[id] = n
	}
	for id, about := range w.About {
		r.About[id] = about
	}
	return r, nil
}

// Digest is the SHA-256 of a text in hexadecimal: of a record, of a policy's document.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
