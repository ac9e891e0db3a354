package faketls

import (
	"bytes"
	"crypto/rand"
	"testing"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// inThePrimeGroup takes an X25519 public key back to a point of Ed25519's form, y =
// (u-1)/(u+1), and reports whether it is one of the group of prime order.
func inThePrimeGroup(t *testing.T, key []byte) bool {
	t.Helper()
	u, err := new(field.Element).SetBytes(key)
	if err != nil {
		t.Fatal(err)
	}
	one := new(field.Element).One()
	y := new(field.Element).Multiply(new(field.Element).Subtract(u, one), new(field.Element).Invert(new(field.Element).Add(u, one)))
	p, err := new(edwards25519.Point).SetBytes(y.Bytes())
	if err != nil {
		return false // on the twist
	}
	// l times the point is neutral: (l-1)P = -P.
	minusOne := edwards25519.NewScalar().Negate(scalarOne(t))
	return new(edwards25519.Point).ScalarMult(minusOne, p).Equal(new(edwards25519.Point).Negate(p)) == 1
}

func scalarOne(t *testing.T) *edwards25519.Scalar {
	t.Helper()
	b := make([]byte, 32)
	b[0] = 1
	s, err := edwards25519.NewScalar().SetCanonicalBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSharesAreKeysAsRealOnesAre(t *testing.T) {
	s, err := NewShares(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for range 300 {
		key, err := s.key(rand.Reader)
		if err != nil || len(key) != x25519Size {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		if seen[string(key)] {
			t.Fatal("a key came twice")
		}
		seen[string(key)] = true
		if !inThePrimeGroup(t, key) {
			t.Fatalf("%x is no public key", key)
		}
	}
	genuine, err := x25519Key(rand.Reader)
	if err != nil || !inThePrimeGroup(t, genuine) {
		t.Errorf("a genuine key does not pass: %v", err)
	}
	odd := 0
	for range 100 {
		key := make([]byte, x25519Size)
		rand.Read(key)
		key[31] &= 0x7f
		if !inThePrimeGroup(t, key) {
			odd++
		}
	}
	if odd < 60 {
		t.Errorf("only %d of 100 random strings fail: this test sees nothing", odd)
	}
	if _, err := NewShares(bytes.NewReader(nil)); err == nil {
		t.Error("no randomness, no error")
	}
	if _, err := s.key(bytes.NewReader(nil)); err == nil {
		t.Error("no randomness, no error")
	}
}

func BenchmarkShare(b *testing.B) {
	s, err := NewShares(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.key(rand.Reader)
	}
}
