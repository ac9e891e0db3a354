package auditlog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpoint is the most bytes that a signed checkpoint may have. Ours have some 250; the rest is room for signatures of others.
const MaxCheckpoint = 16 << 10

// Checkpoint says what a log was at a size.
type Checkpoint struct {
	Origin string // the log's name, which is that of the key
	Size   int64  // rows
	Root   Hash   // of the Merkle tree over these rows
}

// Sign makes a checkpoint of s, a note that by has signed; the log's name is by's. Use note.GenerateKey to make a key; its public half is
// what verifiers need. Sign only a State that is durable: a checkpoint of rows that a crash took back says for ever that they were cut off.
func Sign(s State, by note.Signer) ([]byte, error) {
	text := by.Name() + "\n" + strconv.FormatInt(s.rows, 10) + "\n" + s.Root().String() + "\n"
	if _, err := parseCheckpoint(text); err != nil {
		return nil, err // the name has a line break
	}
	signed, err := note.Sign(&note.Note{Text: text}, by)
	if err != nil {
		return nil, fmt.Errorf("auditlog: checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint returns what a signed note says if one of keys signed it and the note's origin is that key's name. Several keys are for a log
// whose key was changed. Signatures by others are ignored, a wrong one by one of keys is not.
func OpenCheckpoint(signed []byte, keys ...note.Verifier) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("auditlog: checkpoint has more than %d bytes", MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(keys...))
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		return Checkpoint{}, errors.New("auditlog: checkpoint is signed by none of the given keys")
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("auditlog: checkpoint: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if !slices.ContainsFunc(n.Sigs, func(sig note.Signature) bool { return sig.Name == c.Origin }) {
		return Checkpoint{}, errors.New("auditlog: checkpoint is of another log than its key")
	}
	return c, nil
}

// claimedSize reads the size that a note claims, for the order of an export only.
func claimedSize(signed []byte) (int64, error) {
	if len(signed) > MaxCheckpoint {
		return 0, fmt.Errorf("auditlog: checkpoint has more than %d bytes", MaxCheckpoint)
	}
	_, err := note.Open(signed, nil)
	unverified := (*note.UnverifiedNoteError)(nil)
	if !errors.As(err, &unverified) {
		return 0, fmt.Errorf("auditlog: checkpoint: %w", err) // not nil: with no key nothing is verified
	}
	c, err := parseCheckpoint(unverified.Note.Text)
	return c.Size, err
}

func parseCheckpoint(text string) (Checkpoint, error) {
	malformed := errors.New("auditlog: checkpoint does not have the form of c2sp.org/tlog-checkpoint")
	lines := strings.Split(text, "\n") // of which the last is empty
	if len(lines) < 4 || slices.Contains(lines[:len(lines)-1], "") {
		return Checkpoint{}, malformed
	}
	size, err1 := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := tlog.ParseHash(lines[2])
	if err1 != nil || err2 != nil || size < 0 || size > MaxRows || strconv.FormatInt(size, 10) != lines[1] || root.String() != lines[2] {
		return Checkpoint{}, malformed
	}
	if size == 0 && root != (State{}).Root() {
		return Checkpoint{}, malformed
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}
