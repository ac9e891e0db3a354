// Package auditlog is an append-only log in which every later change shows: of each row a hash over itself and the row before, over all rows
// a Merkle tree, and of the tree, now and then, a signed checkpoint.
//
// It is for the record of what was done to the proxy and by whom. The chain alone finds what was edited, taken out, put in or moved by
// somebody who did not recompute it. Recomputing it needs no key; the checkpoint does. A checkpoint that was copied elsewhere proves that no
// row before it was altered by anybody, whoever holds the store, the program or even the signing key today. What a checkpoint does not cover
// yet hangs on the chain and on the State alone: sign often, and seal the State where it is kept.
//
// It keeps nothing: no file, no clock, no key. The caller stores rows, State and checkpoints. A State is a value, so the row, the State and
// the change that the row tells of go into one transaction, and a rolled back transaction leaves nothing to undo here:
//
//	row, next, err := auditlog.Append(state, auditlog.Entry{Time: now, Actor: "uid 0", Action: "key.rotate", …})
//	// store row.Canonical, row.Hash and next.MarshalBinary() together with the change
//	signed, err := auditlog.Sign(next, signer) // every so often, after the commit
//	report := auditlog.Verify(rows, auditlog.Evidence{Keys: keys, Checkpoints: kept})
//
// It is no place for secrets: rows are kept, exported and shown as they are, and can never be taken back. Keeping them out of every field of
// an Entry is the caller's duty; nothing here could tell.
//
// The tree is that of RFC 6962; a leaf is the hash of a row. Checkpoints are signed notes in the form of c2sp.org/tlog-checkpoint, whose
// origin is the name of the key. Rows count from 1, so the checkpoint of size n covers the rows up to n.
//
// All functions may be called from several goroutines; no value changes once it is made, except by UnmarshalBinary.
package auditlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash, printed in base64.
type Hash = tlog.Hash

// levels bounds the depth of the tree. At 1,000 rows a second MaxRows lasts 34 years.
const levels = 40

// MaxRows is how many rows a log can have.
const MaxRows = 1<<levels - 1

// Row is one row as it is stored.
type Row struct {
	Canonical []byte // the entry's one encoding, see Entry.Canonical
	Hash      Hash   // SHA-256 of the hash of the row before (32 zero bytes before the first) and of Canonical
}

// Entry decodes the row's canonical bytes. It does not look at the hash: see Verify.
func (r Row) Entry() (Entry, error) { return ParseEntry(r.Canonical) }

// link is the hash of the row that follows prev.
func link(prev Hash, canonical []byte) Hash {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(canonical)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// State is what is needed of a log to append to it and to sign it: how many rows, the hash of the last one, and the roots of the tree's
// complete subtrees. The zero State is the empty log. States can be compared with ==: equal states come from equal logs.
type State struct {
	rows  int64
	last  Hash
	peaks peaks
}

// peaks holds, at each level whose bit is set in the number of rows, the root of the complete subtree of 2^level rows; elsewhere zeroes.
// Whatever tlog asks for while a log only grows is among them.
type peaks [levels]Hash

func (p *peaks) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		hashes[i] = p[level]
	}
	return hashes, nil
}

// Append gives the row that e becomes behind prev, and the state of the log with it. It sets e.Seq; an e that names another number than the
// next one was made for another state and is refused, as is what Entry.Canonical refuses.
//
// Store all or nothing of row, next and what the row tells of; the row exists once that is durable.
func Append(prev State, e Entry) (row Row, next State, err error) {
	if e.Seq != 0 && e.Seq != prev.rows+1 {
		return Row{}, State{}, fmt.Errorf("auditlog: the entry is for row %d, the next one is %d", e.Seq, prev.rows+1)
	}
	e.Seq = prev.rows + 1
	canonical, err := e.Canonical()
	if err != nil {
		return Row{}, State{}, err
	}
	row = Row{Canonical: canonical, Hash: link(prev.last, canonical)}
	next = prev
	next.add(row.Hash)
	return row, next, nil
}

// add takes in the row with hash h. Only the caller knows whether h is right.
func (s *State) add(h Hash) {
	grown, err := tlog.StoredHashesForRecordHash(s.rows, tlog.RecordHash(h[:]), &s.peaks)
	if err != nil {
		panic("auditlog: " + err.Error()) // ReadHashes returns none
	}
	top := len(grown) - 1 // the subtrees below have become part of this one
	clear(s.peaks[:top])
	s.peaks[top] = grown[top]
	s.last = h
	s.rows++
}

// Rows returns how many rows the log has.
func (s State) Rows() int64 { return s.rows }

// Last returns the hash of the last row, zeroes for an empty log.
func (s State) Last() Hash { return s.last }

// Root returns the root of the Merkle tree over all rows.
func (s State) Root() Hash {
	root, err := tlog.TreeHash(s.rows, &s.peaks)
	if err != nil {
		panic("auditlog: " + err.Error()) // ReadHashes returns none
	}
	return root
}

const (
	stateVersion = 1
	stateHeader  = 1 + 8 + tlog.HashSize
)

// MarshalBinary encodes s in 41 bytes and 32 for each bit that is set in the number of rows: 649 at most for a million rows. The error is
// always nil. Whoever can change these bytes where they are kept can cut off rows that no checkpoint covers yet without a trace.
func (s State) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, stateHeader+bits.OnesCount64(uint64(s.rows))*tlog.HashSize)
	b = append(b, stateVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.rows))
	b = append(b, s.last[:]...)
	for level := range s.peaks {
		if s.rows>>level&1 == 1 {
			b = append(b, s.peaks[level][:]...)
		}
	}
	return b, nil
}

// UnmarshalBinary decodes what MarshalBinary wrote and refuses everything else; s stays as it was on error. It cannot tell whether the hashes
// are those of the stored rows: give the State to Verify for that.
func (s *State) UnmarshalBinary(b []byte) error {
	if len(b) < stateHeader || b[0] != stateVersion {
		return errors.New("auditlog: this is no state of version 1")
	}
	rows := binary.BigEndian.Uint64(b[1:])
	if rows > MaxRows || len(b) != stateHeader+bits.OnesCount64(rows)*tlog.HashSize {
		return errors.New("auditlog: the state's length does not fit its number of rows")
	}
	got := State{rows: int64(rows), last: Hash(b[9:stateHeader])}
	if rows == 0 && got != (State{}) {
		return errors.New("auditlog: the state of an empty log has a last row")
	}
	for level, rest := 0, b[stateHeader:]; len(rest) > 0; level++ {
		if rows>>level&1 == 1 {
			got.peaks[level], rest = Hash(rest[:tlog.HashSize]), rest[tlog.HashSize:]
		}
	}
	*s = got
	return nil
}
