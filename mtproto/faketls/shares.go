package faketls

import (
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// Shares makes X25519 public keys that nobody knows the private half of, for a
// quarter of what a key pair costs: a fake answer shows a key and never uses it.
//
// A key is the sum of shareTerms points, drawn from a table of random multiples
// of the base point. It lies in the group of prime order, as an observer can
// check. There are more than 2^75 such sums, and whoever does not know the table
// would have to find out which of them share terms to tell them from other
// points. It holds nothing secret of anybody. Safe for concurrent use.
type Shares struct {
	table [shareTable]edwards25519.Point
}

const (
	shareTable = 512
	shareTerms = 12 // of 9 random bits each
)

// NewShares draws the table from r, which takes some milliseconds.
func NewShares(r io.Reader) (*Shares, error) {
	s := new(Shares)
	var seed [64]byte
	for i := range s.table {
		if _, err := io.ReadFull(r, seed[:]); err != nil {
			return nil, fmt.Errorf("random bytes: %w", err)
		}
		scalar, err := edwards25519.NewScalar().SetUniformBytes(seed[:])
		if err != nil {
			return nil, err
		}
		s.table[i].ScalarBaseMult(scalar)
	}
	return s, nil
}

// key draws a public key.
func (s *Shares) key(r io.Reader) ([]byte, error) {
	draw := make([]byte, 2*shareTerms)
	if _, err := io.ReadFull(r, draw); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	sum := edwards25519.NewIdentityPoint()
	for ; len(draw) > 0; draw = draw[2:] {
		sum.Add(sum, &s.table[binary.LittleEndian.Uint16(draw)%shareTable])
	}
	return sum.BytesMontgomery(), nil
}

// keyOr is key, or a key from scratch when s is nil.
func (s *Shares) keyOr(r io.Reader) ([]byte, error) {
	if s == nil {
		return x25519Key(r)
	}
	return s.key(r)
}
