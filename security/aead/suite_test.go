package aead

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// The registry is what is written in blobs and configurations: whoever changes it changes this test, and has read this.
func TestRegistryNeverChanges(t *testing.T) {
	want := []struct {
		id                 uint8
		name               string
		keySize, nonceSize int
		records            uint64
		constant           Suite
	}{
		{1, "aes-256-gcm", 32, 12, 16_777_216, AES256GCM},
		{2, "aes-128-gcm", 16, 12, 16_777_216, AES128GCM},
		{3, "chacha20-poly1305", 32, 12, 4_294_967_296, ChaCha20Poly1305},
		{4, "xchacha20-poly1305", 32, 24, 4_294_967_296, XChaCha20Poly1305},
	}
	if len(Suites()) != len(want) || len(registry) != len(want)+1 {
		t.Errorf("%d suites in a registry of %d", len(Suites()), len(registry)-1)
	}
	for i, w := range want {
		s := Suites()[i]
		if uint8(s) != w.id || s != w.constant || s.String() != w.name || s.KeySize() != w.keySize || s.NonceSize() != w.nonceSize || s.MaxRecords() != w.records {
			t.Errorf("suite %d is %v: %d, %d, %d", s, s, s.KeySize(), s.NonceSize(), s.MaxRecords())
		}
		if got, err := ParseSuite(w.name); err != nil || got != s {
			t.Errorf("ParseSuite(%q) = %d, %v", w.name, got, err)
		}
		a, err := s.New(make([]byte, w.keySize))
		if must(t, a, err); a.NonceSize() != w.nonceSize || a.Overhead() != TagSize {
			t.Errorf("%v: nonce %d, tag %d", s, a.NonceSize(), a.Overhead())
		}
	}
}

func TestOnlyTheFourSuitesAreValid(t *testing.T) {
	for n := range 256 {
		s := Suite(n)
		if want := slices.Contains(Suites(), s); s.Valid() != want {
			t.Errorf("suite %d is valid: %v", n, !want)
		}
		if !s.Valid() {
			if _, err := s.New(make([]byte, 32)); err == nil {
				t.Errorf("suite %d makes a cipher", n)
			}
			if _, err := NewSealer(s, make([]byte, 32), purpose); err == nil {
				t.Errorf("suite %d makes a Sealer", n)
			}
		}
	}
	if got := Suite(0).String(); got != "suite 0" {
		t.Errorf("the zero suite is %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("the zero suite has a key size")
		}
	}()
	Suite(0).KeySize()
}

func TestParseSuiteIsExact(t *testing.T) {
	for _, name := range []string{"", "AES-256-GCM", "aes-192-gcm", "aes256gcm", "xchacha20-poly1305 ", "suite 1", "1"} {
		if s, err := ParseSuite(name); err == nil {
			t.Errorf("ParseSuite(%q) = %v", name, s)
		} else if !strings.Contains(err.Error(), "xchacha20-poly1305") {
			t.Errorf("ParseSuite(%q): %v, which does not say what there is", name, err)
		}
	}
}

func TestNewTakesKeysOfOneSize(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		for n := range 70 {
			key := bytes.Repeat([]byte{0xc7}, n)
			_, err := s.New(key)
			if (err == nil) != (n == s.KeySize()) {
				t.Errorf("a key of %d bytes: %v", n, err)
			}
			if err != nil && strings.Contains(err.Error(), "c7") {
				t.Errorf("the error tells the key: %v", err)
			}
		}
	})
}

func TestPreference(t *testing.T) {
	for _, aes := range []bool{true, false} {
		got := Preference(aes)
		if first := got[0]; (first == AES128GCM || first == AES256GCM) != aes {
			t.Errorf("with AES %v the first is %v", aes, first)
		}
		if all := slices.Sorted(slices.Values(got)); !slices.Equal(all, Suites()) {
			t.Errorf("with AES %v the order is of %v", aes, all)
		}
		got[0] = 0 // a caller's copy
		if Preference(aes)[0] == 0 {
			t.Error("the order can be altered by whoever asked for it")
		}
	}
}

func TestNegotiate(t *testing.T) {
	const a, b, c, x = AES256GCM, AES128GCM, ChaCha20Poly1305, XChaCha20Poly1305
	cases := []struct {
		name             string
		offered, allowed []Suite
		want             Suite
	}{
		{"our order counts", []Suite{a, b, c, x}, []Suite{x, c, a, b}, x},
		{"only what was offered", []Suite{b, c}, []Suite{x, a, c, b}, c},
		{"only what is allowed", []Suite{a, b, c, x}, []Suite{b}, b},
		{"nothing in common", []Suite{a, b}, []Suite{c, x}, 0},
		{"nothing offered", nil, []Suite{a}, 0},
		{"nothing allowed", []Suite{a}, nil, 0},
		{"numbers of a newer peer", []Suite{0, 5, 200, a}, []Suite{a}, a},
		{"no number of both that is none", []Suite{0, 5}, []Suite{0, 5}, 0},
		{"the same twice", []Suite{c, c}, []Suite{c, c}, c},
	}
	for _, test := range cases {
		got, err := Negotiate(test.offered, test.allowed)
		if got != test.want || errors.Is(err, ErrNoCommonSuite) != (test.want == 0) || (err == nil) != (test.want != 0) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func TestDerive(t *testing.T) {
	secret := counting(1, 32)
	base, err := Derive(secret, nil, "one", 32)
	must(t, base, err)
	again, err := Derive(secret, nil, "one", 32)
	if must(t, again, err); !bytes.Equal(base, again) {
		t.Error("the same arguments give another key")
	}
	others := []struct {
		name    string
		secret  []byte
		salt    string
		purpose Purpose
		size    int
	}{
		{"secret", counting(2, 32), "", "one", 32},
		{"salt", secret, "salt", "one", 32},
		{"purpose", secret, "", "two", 32},
		{"longer purpose", secret, "", "one\x00", 32},
		{"shorter size", secret, "", "one", 31},
		{"longer size", secret, "", "one", 33},
	}
	for _, o := range others {
		got, err := Derive(o.secret, []byte(o.salt), o.purpose, o.size)
		if must(t, got, err); len(got) != o.size || bytes.HasPrefix(got, base[:16]) {
			t.Errorf("another %s: %x", o.name, got)
		}
	}
	refused := []struct {
		name    string
		secret  []byte
		purpose Purpose
		size    int
	}{
		{"no secret", nil, "one", 32},
		{"short secret", secret[:15], "one", 32},
		{"no purpose", secret, "", 32},
		{"long purpose", secret, Purpose(strings.Repeat("p", MaxPurpose+1)), 32},
		{"no size", secret, "one", 0},
		{"negative size", secret, "one", -1},
		{"large size", secret, "one", 8161},
	}
	for _, r := range refused {
		if got, err := Derive(r.secret, nil, r.purpose, r.size); err == nil || got != nil {
			t.Errorf("%s: %x, %v", r.name, got, err)
		}
	}
}

// Whatever goes into a label differs in it: moving a byte from one part to the next gives another label.
func TestLabelsAreInjective(t *testing.T) {
	seen := make(map[string]string)
	for _, use := range []string{useDerive, useRecordSecret, useRecordKey, useRecordIV, useRecordNext, useBlob} {
		if strings.Contains(use, "\x00") {
			t.Errorf("%q would end early", use)
		}
		for _, s := range []Suite{0, 1, 2} {
			for _, size := range []int{1, 256, 257} {
				for _, p := range []Purpose{"", "\x00", "a", "ab", "\x01a"} {
					for _, context := range []string{"", "\x00", "a", "b", "\x00a"} {
						l := label(use, s, size, p, []byte(context))
						what := strings.Join([]string{use, s.String(), string(p), context}, "|")
						if other, ok := seen[l]; ok {
							t.Errorf("%q and %q have one label", what, other)
						}
						seen[l] = what
					}
				}
			}
		}
	}
}
