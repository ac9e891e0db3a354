package auditlog

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion proves to whoever has a log's public key, and nothing else, that one row stands in the log.
type Inclusion struct {
	Row        Row
	After      Hash             // of the row before, zeroes for the first
	Proof      tlog.RecordProof // that the row is in the tree of Checkpoint
	Checkpoint []byte           // signed
}

// Include makes the proof of a row that Append gave for prev, with a checkpoint of the State that Append gave with it. It
// does not look at the checkpoint: see Verify.
func Include(prev State, row Row, checkpoint []byte) (Inclusion, error) {
	if link(prev.last, row.Canonical) != row.Hash {
		return Inclusion{}, errors.New("auditlog: the row does not follow on that state")
	}
	// On the way from the last leaf to the root stand on the left the complete subtrees of what was before it, and nothing on the right.
	proof, err := tlog.ProveRecord(prev.rows+1, prev.rows, &prev.peaks)
	if err != nil {
		return Inclusion{}, fmt.Errorf("auditlog: %w", err)
	}
	return Inclusion{Row: row, After: prev.last, Proof: proof, Checkpoint: checkpoint}, nil
}

// maxProof is more hashes than any path in a tree of MaxRows has.
const maxProof = levels + 1

// Verify returns the entry of the row, if one of keys signed a checkpoint of a tree that the row is in.
func (i Inclusion) Verify(keys ...note.Verifier) (Entry, Checkpoint, error) {
	checkpoint, err := OpenCheckpoint(i.Checkpoint, keys...)
	if err != nil {
		return Entry{}, Checkpoint{}, err
	}
	e, err := i.Row.Entry()
	if err != nil {
		return Entry{}, Checkpoint{}, err
	}
	switch {
	case link(i.After, i.Row.Canonical) != i.Row.Hash:
		return Entry{}, Checkpoint{}, fmt.Errorf("auditlog: row %d: its hash is not that of its content behind the row before", e.Seq)
	case e.Seq > checkpoint.Size:
		return Entry{}, Checkpoint{}, fmt.Errorf("auditlog: row %d is not covered by a checkpoint of %d rows", e.Seq, checkpoint.Size)
	case len(i.Proof) > maxProof:
		return Entry{}, Checkpoint{}, fmt.Errorf("auditlog: a proof of %d hashes", len(i.Proof))
	}
	if err := tlog.CheckRecord(i.Proof, checkpoint.Size, checkpoint.Root, e.Seq-1, tlog.RecordHash(i.Row.Hash[:])); err != nil {
		return Entry{}, Checkpoint{}, fmt.Errorf("auditlog: row %d is not in the tree that was signed", e.Seq)
	}
	return e, checkpoint, nil
}
