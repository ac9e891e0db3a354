package auditlog

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestCheckpointForm(t *testing.T) {
	_, states := build(t, 20)
	signer, key := newKey(t, "proxy.example/audit", "one")
	signed := sign(t, states[20], signer)
	text, signature, _ := strings.Cut(string(signed), "\n\n")
	if want := "proxy.example/audit\n20\n" + states[20].Root().String(); text != want {
		t.Errorf("text %q, want %q", text, want)
	}
	if !strings.HasPrefix(signature, "— proxy.example/audit ") || strings.Count(signature, "\n") != 1 {
		t.Errorf("signature %q", signature)
	}
	for _, s := range []State{states[0], states[1], states[20]} {
		got, err := OpenCheckpoint(sign(t, s, signer), key)
		if want := (Checkpoint{"proxy.example/audit", s.Rows(), s.Root()}); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

// TestCheckpointOfAnother opens the example of c2sp.org/tlog-checkpoint as far as this goes without its key.
func TestCheckpointOfAnother(t *testing.T) {
	const example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
		"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
	if size, err := claimedSize([]byte(example)); size != 20852163 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	_, key := newKey(t, "example.com/behind-the-sofa", "guess")
	if c, err := OpenCheckpoint([]byte(example), key); err == nil {
		t.Errorf("opened with a foreign key: %+v", c)
	}
}

func TestCheckpointsThatAreRefused(t *testing.T) {
	_, states := build(t, 20)
	signer, key := newKey(t, "log", "one")
	foreign, foreignKey := newKey(t, "log", "two")
	elsewhere, elsewhereKey := newKey(t, "other", "three")
	good := sign(t, states[20], signer)
	root := states[20].Root().String()
	text := func(s string) []byte {
		b, err := note.Sign(&note.Note{Text: s}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, err := OpenCheckpoint(text("log\n20\n"+root+"\nan extension line\n"), key); err != nil {
		t.Errorf("extension line: %v", err)
	}
	for name, signed := range map[string][]byte{
		"nothing":            {},
		"another key":        sign(t, states[20], foreign),
		"another log":        sign(t, states[20], elsewhere),
		"no signature":       []byte("log\n20\n" + root + "\n"),
		"signature cut":      good[:len(good)-8],
		"origin of another":  text("other\n20\n" + root + "\n"),
		"no origin":          text("\n20\n" + root + "\n"),
		"no size":            text("log\n\n" + root + "\n"),
		"leading zero":       text("log\n020\n" + root + "\n"),
		"plus":               text("log\n+20\n" + root + "\n"),
		"negative":           text("log\n-20\n" + root + "\n"),
		"too large":          text("log\n1099511627776\n" + root + "\n"),
		"beyond 64 bits":     text("log\n99999999999999999999\n" + root + "\n"),
		"hash cut":           text("log\n20\n" + root[:40] + "\n"),
		"hash in other form": text("log\n20\n" + strings.TrimRight(root, "=") + "\n"),
		"hash, spare bits":   text("log\n20\n" + strings.Repeat("A", 42) + "B=\n"),
		"two lines":          text("log\n20\n"),
		"empty extension":    text("log\n20\n" + root + "\n\nmore\n"),
		"root of none":       text("log\n0\n" + root + "\n"),
		"huge":               text("log\n20\n" + root + "\n" + strings.Repeat("x", MaxCheckpoint) + "\n"),
	} {
		if c, err := OpenCheckpoint(signed, key); err == nil {
			t.Errorf("%s: opened to %+v", name, c)
		}
	}
	// The last digit of the signature has four bits that say nothing, and package note does not look at them. All else is looked at.
	spare := bytes.LastIndexByte(good, '=') - 1
	for i := range good {
		for bit := range 8 {
			other := bytes.Clone(good)
			other[i] ^= 1 << bit
			c, err := OpenCheckpoint(other, key)
			if err == nil && (i != spare || c != Checkpoint{"log", 20, states[20].Root()}) {
				t.Errorf("byte %d, bit %d flipped: opened to %+v", i, bit, c)
			}
		}
	}
	if _, err := OpenCheckpoint(good); err == nil {
		t.Error("opened without any key")
	}
	if _, err := OpenCheckpoint(good, elsewhereKey, foreignKey, key); err != nil {
		t.Errorf("with several keys: %v", err)
	}
	// A note that others have signed too, as witnesses do.
	n, err := note.Open(good, note.VerifierList(key))
	if err != nil {
		t.Fatal(err)
	}
	both, err := note.Sign(n, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(both, key); err != nil {
		t.Errorf("with a witness: %v", err)
	}
	if c, err := OpenCheckpoint(both, elsewhereKey); err == nil {
		t.Errorf("a witness alone speaks for the log: %+v", c)
	}
}

func TestSignRefusesANameThatIsNone(t *testing.T) {
	for _, name := range []string{"", "a b", "a\nb", "a+b"} {
		if signed, err := Sign(State{}, named(name)); err == nil {
			t.Errorf("%q: %s", name, signed)
		}
	}
}

type named string

func (n named) Name() string                { return string(n) }
func (n named) KeyHash() uint32             { return 1 }
func (n named) Sign([]byte) ([]byte, error) { return []byte("signature"), nil }
