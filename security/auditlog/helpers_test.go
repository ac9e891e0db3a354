package auditlog

import (
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testEntry is the n-th of a log with all shapes of entries in it.
func testEntry(n int) Entry {
	e := Entry{
		Time: day.Add(time.Duration(n) * 1234567891), Actor: fmt.Sprintf("uid %d", n%3), Action: "key.rotate", Object: fmt.Sprintf("user %d", n),
		Outcome: Outcome(n%3) + Done, Reason: `as "agreed" \ 约定`, Details: []Detail{{"overlap", "168h"}, {"generation", fmt.Sprint(n)}},
	}
	switch n % 5 {
	case 0:
		e.Details = nil
	case 1:
		e.Reason, e.Object = "", ""
	}
	return e
}

// build gives a log of n rows and its state after each number of them.
func build(t testing.TB, n int) ([]Row, []State) {
	t.Helper()
	rows, states := make([]Row, 0, n), make([]State, 1, n+1)
	for i := range n {
		row, next, err := Append(states[i], testEntry(i))
		if err != nil {
			t.Fatal(err)
		}
		rows, states = append(rows, row), append(states, next)
	}
	return rows, states
}

// newKey makes a key from a seed.
func newKey(t testing.TB, name, seed string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(&seeded{next: []byte(seed)}, name)
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
	return signer, verifier
}

type seeded struct{ next []byte }

func (s *seeded) Read(b []byte) (int, error) {
	sum := sha256.Sum256(s.next)
	s.next = sum[:]
	return copy(b, sum[:]), nil
}

var _ io.Reader = (*seeded)(nil)

func sign(t testing.TB, s State, by note.Signer) []byte {
	t.Helper()
	signed, err := Sign(s, by)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func seq(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// rechain is what somebody does who hides a change from the chain: numbers and hashes from row i on are made anew.
func rechain(t testing.TB, rows []Row, from int, state State) ([]Row, State) {
	t.Helper()
	out := append([]Row(nil), rows[:from]...)
	for _, r := range rows[from:] {
		e, err := r.Entry()
		if err != nil {
			t.Fatal(err)
		}
		e.Seq = 0
		row, next, err := Append(state, e)
		if err != nil {
			t.Fatal(err)
		}
		out, state = append(out, row), next
	}
	return out, state
}

func wantProblem(t *testing.T, what string, r Report, kind Kind, row, last int64) {
	t.Helper()
	if r.Bad == nil {
		t.Fatalf("%s: nothing was found; want row %d %s", what, row, kind)
	}
	if r.Bad.Kind != kind || r.Bad.Row != row || r.Bad.Last != last {
		t.Fatalf("%s: %v (kind %s, rows %d to %d); want %s, rows %d to %d", what, r.Bad, r.Bad.Kind, r.Bad.Row, r.Bad.Last, kind, row, last)
	}
	if r.Err() == nil {
		t.Fatalf("%s: Err is nil beside %v", what, r.Bad)
	}
}
