package auditlog

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// TestARowIsProvenByItself: of a log of any size, and whatever is altered is noticed.
func TestARowIsProvenByItself(t *testing.T) {
	private, public, err := note.GenerateKey(rand.Reader, "log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	var state State
	var before Inclusion
	for n := range 70 {
		row, next, err := Append(state, Entry{Time: time.Unix(int64(n), 0), Actor: "a", Action: "x", Object: fmt.Sprint(n), Outcome: Done})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Sign(next, signer)
		if err != nil {
			t.Fatal(err)
		}
		in, err := Include(state, row, signed)
		if err != nil {
			t.Fatal(err)
		}
		if e, c, err := in.Verify(verifier); err != nil || e.Seq != int64(n+1) || c.Size != int64(n+1) {
			t.Fatalf("row %d: %+v, %+v, %v", n+1, e, c, err)
		}
		for name, alter := range map[string]func(*Inclusion){
			"content":    func(i *Inclusion) { i.Row.Canonical[len(i.Row.Canonical)-2] ^= 1 },
			"object":     func(i *Inclusion) { i.Row.Canonical[slices.Index(i.Row.Canonical, 'x')] = 'y' },
			"hash":       func(i *Inclusion) { i.Row.Hash[0] ^= 1 },
			"before":     func(i *Inclusion) { i.After[31] ^= 1 },
			"proof":      func(i *Inclusion) { i.Proof = append(i.Proof, Hash{}) },
			"checkpoint": func(i *Inclusion) { i.Checkpoint = i.Checkpoint[:len(i.Checkpoint)-4] },
			"hash and content": func(i *Inclusion) { // the chain is right, the tree is another
				e, _ := i.Row.Entry()
				e.Reason = "forged"
				i.Row.Canonical, _ = e.Canonical()
				i.Row.Hash = link(i.After, i.Row.Canonical)
			},
			"a row behind": func(i *Inclusion) {
				if n > 0 {
					i.Checkpoint = before.Checkpoint
					return
				}
				i.Checkpoint = nil
			},
		} {
			bad := Inclusion{Row: Row{Canonical: slices.Clone(in.Row.Canonical), Hash: in.Row.Hash}, After: in.After, Proof: slices.Clone(in.Proof), Checkpoint: slices.Clone(in.Checkpoint)}
			alter(&bad)
			if _, _, err := bad.Verify(verifier); err == nil {
				t.Fatalf("row %d: %s is altered, and nobody minds", n+1, name)
			}
		}
		if _, err := Include(next, row, signed); err == nil {
			t.Fatalf("row %d follows on itself", n+1)
		}
		state, before = next, in
	}
}
