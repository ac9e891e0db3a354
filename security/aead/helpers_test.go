package aead

import (
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// counting returns n bytes that differ from one another as far as they can.
func counting(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

const purpose Purpose = "test client to server"

// pair returns the two ends of a direction, always with the same keys.
func pair(t testing.TB, s Suite) (*Sealer, *Opener) {
	t.Helper()
	salt := [SaltSize]byte(counting(64, SaltSize))
	d, err := newDirection(s, counting(0, 32), salt[:], purpose)
	return &Sealer{must(t, d, err), salt}, opener(t, s)
}

func opener(t testing.TB, s Suite) *Opener {
	t.Helper()
	o, err := NewOpener(s, counting(0, 32), counting(64, SaltSize), purpose)
	return must(t, o, err)
}

func testKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(counting(128, KeySize))
	return must(t, k, err)
}

// ring is a Lookup of these keys.
func ring(keys ...Key) Lookup {
	return func(id KeyID) (Key, bool) {
		for _, k := range keys {
			if k.ID() == id {
				return k, true
			}
		}
		return Key{}, false
	}
}

func eachSuite(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range Suites() {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// dirty returns a buffer with a prefix, room for n bytes behind it, and a pattern in that room.
func dirty(n int) []byte {
	b := make([]byte, len("prefix")+n) // exactly, as append would round up
	for i := range b[copy(b, "prefix"):] {
		b[len("prefix")+i] = 0xa5
	}
	return b[:len("prefix")]
}

// untold fails the test when there is anything behind dst but the pattern of dirty and zeros.
func untold(t *testing.T, dst []byte, what string) {
	t.Helper()
	if string(dst) != "prefix" {
		t.Fatalf("%s: the prefix became %q", what, dst)
	}
	for i, b := range dst[len(dst):cap(dst)] {
		if b != 0 && b != 0xa5 {
			t.Fatalf("%s: byte %d behind dst is %#x", what, i, b)
		}
	}
}
