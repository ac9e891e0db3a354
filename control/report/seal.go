package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"mtguard/security/auditlog"
)

// Action is what rows of the audit log are called that stand for a sealed report.
const Action = "report.make"

// The details of such a row.
const (
	detailFormat = "format"
	detailSum    = "sha256" // of the body, in hexadecimal
	detailSince  = "since"
	detailUntil  = "until"
)

// Entry is what the audit log is to say of a body: the Time and the Actor are the caller's.
func (r *Report) Entry(f Format, body []byte) auditlog.Entry {
	object := string(r.Kind)
	if r.Profile != "" {
		object += " " + r.Profile
	}
	sum := sha256.Sum256(body)
	return auditlog.Entry{Action: Action, Object: object, Outcome: auditlog.Done, Details: []auditlog.Detail{
		{Key: detailFormat, Value: string(f)}, {Key: detailSum, Value: hex.EncodeToString(sum[:])},
		{Key: detailSince, Value: stamp(r.Since)}, {Key: detailUntil, Value: stamp(r.Until)},
	}}
}

// The text of a seal: a line each, none of which holds anything but what stands here.
const (
	sealHead   = "mtguard report seal v1\n"
	sealRow    = "row "
	sealHash   = "hash "
	sealAfter  = "after "
	sealProof  = "proof "
	sealNote   = "| " // a line of the checkpoint
	sealEnd    = "end\n"
	maxSeal    = 64 << 10
	maxBody    = 64 << 20
	maxReports = maxBody + 2*maxSeal
)

// MaxFile is the most bytes that a sealed report may have.
const MaxFile = maxReports

// Seal puts the proof that the log holds the row of body into it.
func Seal(f Format, body []byte, in auditlog.Inclusion) ([]byte, error) {
	return join(f, body, sealText(in))
}

func sealText(in auditlog.Inclusion) string {
	var b strings.Builder
	b.WriteString(sealHead)
	b.WriteString(sealRow + string(in.Row.Canonical) + "\n")
	b.WriteString(sealHash + in.Row.Hash.String() + "\n")
	b.WriteString(sealAfter + in.After.String() + "\n")
	for _, h := range in.Proof {
		b.WriteString(sealProof + h.String() + "\n")
	}
	for line := range strings.Lines(string(in.Checkpoint)) {
		b.WriteString(sealNote + line)
	}
	b.WriteString(sealEnd)
	return b.String()
}

var errSeal = errors.New("its seal has another form")

// parseSeal reads what sealText writes and refuses everything else.
func parseSeal(text string) (in auditlog.Inclusion, err error) {
	if len(text) > maxSeal || !strings.HasPrefix(text, sealHead) || !strings.HasSuffix(text, sealEnd) {
		return in, errSeal
	}
	for line := range strings.Lines(strings.TrimSuffix(strings.TrimPrefix(text, sealHead), sealEnd)) {
		value, note := strings.CutPrefix(line, sealNote)
		if note {
			in.Checkpoint = append(in.Checkpoint, value...)
			continue
		}
		kind, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch kind + " " {
		case sealRow:
			in.Row.Canonical = []byte(value)
		case sealHash:
			in.Row.Hash, err = tlog.ParseHash(value)
		case sealAfter:
			in.After, err = tlog.ParseHash(value)
		case sealProof:
			var h tlog.Hash
			h, err = tlog.ParseHash(value)
			in.Proof = append(in.Proof, h)
		default:
			err = errSeal
		}
		if err != nil {
			return in, errSeal
		}
	}
	if sealText(in) != text {
		return in, errSeal
	}
	return in, nil
}

// Verified is what a sealed report proves.
type Verified struct {
	Format       Format
	Object       string // kind and profile
	Since, Until string // as the row has them
	Row          int64  // of the audit log
	Made         time.Time
	By           string
	Sum          string // SHA-256 of the body
	Log          string // name of the log
	Signed       int64  // rows that the checkpoint covers
}

// Verify returns what a file proves, if it is what was made, byte for byte: its seal
// names a row of the audit log that holds the SHA-256 of all the rest, and a checkpoint
// that one of keys signed covers the row. It needs nothing else.
func Verify(file []byte, keys ...note.Verifier) (Verified, error) {
	if len(file) > maxReports {
		return Verified{}, fmt.Errorf("it has more than %d bytes", maxReports)
	}
	f, err := formatOf(file)
	if err != nil {
		return Verified{}, err
	}
	body, text, err := split(f, file)
	if err != nil {
		return Verified{}, err
	}
	in, err := parseSeal(text)
	if err != nil {
		return Verified{}, err
	}
	if err := strictNote(in.Checkpoint); err != nil {
		return Verified{}, err
	}
	e, err := in.Row.Entry()
	if err != nil {
		return Verified{}, err
	}
	details := make(map[string]string)
	for _, d := range e.Details {
		details[d.Key] = d.Value
	}
	sum := sha256.Sum256(body)
	v := Verified{Format: f, Object: e.Object, Since: details[detailSince], Until: details[detailUntil], Row: e.Seq, Made: e.Time, By: e.Actor, Sum: hex.EncodeToString(sum[:])}
	switch {
	case e.Action != Action || e.Outcome != auditlog.Done:
		return Verified{}, fmt.Errorf("row %d of the audit log is of no report", e.Seq)
	case details[detailFormat] != string(f):
		return Verified{}, fmt.Errorf("row %d of the audit log is of a report in another format", e.Seq)
	case details[detailSum] != v.Sum:
		return Verified{}, fmt.Errorf("it is not what was made: its SHA-256 is %s, and row %d of the audit log says %s", v.Sum, e.Seq, details[detailSum])
	}
	// So far the file agrees with itself, which anybody can bring about.
	_, checkpoint, err := in.Verify(keys...)
	if err != nil {
		return Verified{}, err
	}
	v.Log, v.Signed = checkpoint.Origin, checkpoint.Size
	return v, nil
}

// formatOf tells a format by how a file begins.
func formatOf(file []byte) (Format, error) {
	for f, begins := range map[Format]string{Markdown: "# ", HTML: "<!doctype html>\n", CSV: "report,", JSON: "{\n  \"schema\": \"mtguard/report."} {
		if bytes.HasPrefix(file, []byte(begins)) {
			return f, nil
		}
	}
	return "", errors.New("it is no report of mtguard")
}

// strictNote refuses what a signed note may have beside one signature, and a second way
// of writing that one: base64 has bits at its end that nobody reads.
func strictNote(signed []byte) error {
	_, lines, found := strings.Cut(string(signed), "\n\n")
	words := strings.Fields(lines)
	if !found || strings.Count(lines, "\n") != 1 || len(words) != 3 || lines != strings.Join(words, " ")+"\n" {
		return errSeal
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(words[2]); err != nil {
		return errSeal
	}
	return nil
}
