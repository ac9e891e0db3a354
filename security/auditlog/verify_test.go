package auditlog

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const length = 500 // rows of the log that is spoilt below

// whole is a log of 500 rows with checkpoints at 100, 200, … 500.
type whole struct {
	rows   []Row
	states []State
	with   Evidence
	signer note.Signer
	key    note.Verifier
	fresh  *checker // of with
	asked  int
}

func newWhole(t testing.TB) *whole {
	w := &whole{}
	w.rows, w.states = build(t, length)
	w.signer, w.key = newKey(t, "log", "one")
	w.with.Keys = []note.Verifier{w.key}
	for _, size := range []int{300, 100, 500, 200, 400} { // in any order
		w.with.Checkpoints = append(w.with.Checkpoints, sign(t, w.states[size], w.signer))
	}
	w.fresh = newChecker(w.with)
	return w
}

// verify is Verify(seq(rows), w.with) for rows whose first i are those of w, without going through these each time. Now and then it is
// compared with Verify.
func (w *whole) verify(t testing.TB, i int, rows []Row) Report {
	t.Helper()
	c := *w.fresh
	for len(c.pending) > 0 && c.pending[0].Size <= int64(i) {
		c.Witnessed, c.pending = c.pending[0].Size, c.pending[1:]
		c.Checkpoints++
	}
	if i > 0 {
		c.last = testEntry(i - 1).Time
	}
	r := resume(c, w.states[i], rows[i:])
	if w.asked++; w.asked%101 == 0 {
		if whole := Verify(seq(rows), w.with); !reflect.DeepEqual(r, whole) {
			t.Fatalf("from row %d: %+v; from the first: %+v", i+1, r, whole)
		}
	}
	return r
}

// chain is verify without any checkpoint.
func (w *whole) chain(i int, rows []Row) Report { return resume(checker{}, w.states[i], rows[i:]) }

func resume(c checker, s State, rows []Row) Report {
	c.State = s
	for _, row := range rows {
		if !c.row(row, nil) {
			break
		}
	}
	return c.end(nil)
}

func TestWholeLogVerifies(t *testing.T) {
	w := newWhole(t)
	head := w.states[length]
	w.with.Head = &head
	r := Verify(seq(w.rows), w.with)
	if r.Err() != nil || r.Intact != length || r.Witnessed != length || r.Checkpoints != 5 || r.State != head || r.Backwards != 0 {
		t.Errorf("%v: %d intact, %d witnessed, %d checkpoints, %d backwards", r.Err(), r.Intact, r.Witnessed, r.Checkpoints, r.Backwards)
	}
	empty := Verify(seq(nil), Evidence{Head: new(State)})
	if empty.Err() != nil || empty.Intact != 0 || empty.Witnessed != 0 || empty.State != (State{}) {
		t.Errorf("empty log: %+v", empty)
	}
	w.with.Checkpoints = w.with.Checkpoints[:2]
	if r := Verify(seq(w.rows), w.with); r.Err() != nil || r.Intact != length || r.Witnessed != 300 || r.Checkpoints != 2 {
		t.Errorf("checkpoints to 300: %v: %d intact, %d witnessed", r.Err(), r.Intact, r.Witnessed)
	}
	none := Verify(seq(w.rows), Evidence{Checkpoints: [][]byte{sign(t, State{}, w.signer)}, Keys: w.with.Keys})
	if none.Err() != nil || none.Witnessed != 0 || none.Checkpoints != 1 {
		t.Errorf("checkpoint of nothing: %+v", none)
	}
}

// edits change one field each of an entry.
var edits = map[string]func(*Entry){
	"seq up":      func(e *Entry) { e.Seq++ },
	"seq far up":  func(e *Entry) { e.Seq += 1000 },
	"seq down":    func(e *Entry) { e.Seq-- },
	"time":        func(e *Entry) { e.Time = e.Time.Add(1) },
	"time back":   func(e *Entry) { e.Time = e.Time.Add(-24 * time.Hour) },
	"actor":       func(e *Entry) { e.Actor += "0" },
	"action":      func(e *Entry) { e.Action = "key.revoke" },
	"object":      func(e *Entry) { e.Object = "user 7x" },
	"outcome":     func(e *Entry) { e.Outcome = e.Outcome%Failed + 1 },
	"reason":      func(e *Entry) { e.Reason += "." },
	"detail more": func(e *Entry) { e.Details = append(slices.Clone(e.Details), Detail{"x", ""}) },
	"detail key": func(e *Entry) {
		e.Details = append([]Detail{{"overlaps", "168h"}}, e.Details[min(1, len(e.Details)):]...)
	},
	"detail value": func(e *Entry) {
		e.Details = append([]Detail{{"overlap", "169h"}}, e.Details[min(1, len(e.Details)):]...)
	},
	"detail less":  func(e *Entry) { e.Details = e.Details[:max(0, len(e.Details)-1)] },
	"detail order": func(e *Entry) { e.Details = slices.Clone(e.Details); slices.Reverse(e.Details) },
}

// TestEveryEditIsFound changes every field of every row of 500, leaving the stored hash, and every row's hash and bytes.
func TestEveryEditIsFound(t *testing.T) {
	w := newWhole(t)
	for i, row := range w.rows {
		e, err := row.Entry()
		if err != nil {
			t.Fatal(err)
		}
		n := int64(i + 1)
		spoilt := slices.Clone(w.rows)
		try := func(what string, bad Row) {
			if bytes.Equal(bad.Canonical, row.Canonical) && bad.Hash == row.Hash {
				return // no detail to take away
			}
			spoilt[i] = bad
			what = fmt.Sprintf("row %d: %s", n, what)
			wantProblem(t, what, w.verify(t, i, spoilt), Edited, n, n)
			r := w.chain(i, spoilt)
			if r.Bad != nil && n == length && r.Bad.Kind == Duplicated && r.Bad.At == n {
				return // nothing knows that a last row was there which is no copy
			}
			wantProblem(t, what, r, Edited, n, n)
			if r.Intact != n-1 {
				t.Fatalf("%s: %d intact", what, r.Intact)
			}
		}
		for what, edit := range edits {
			other := e
			edit(&other)
			try(what, Row{Canonical: other.encode(nil), Hash: row.Hash})
		}
		hash := row.Hash
		hash[i%32] ^= 1 << (i % 8)
		try("hash", Row{Canonical: row.Canonical, Hash: hash})
		try("no hash", Row{Canonical: row.Canonical})
		try("no entry", Row{Hash: row.Hash})
		try("cut", Row{Canonical: row.Canonical[:len(row.Canonical)-1], Hash: row.Hash})
		at := (i * 37) % len(row.Canonical)
		flipped := bytes.Clone(row.Canonical)
		flipped[at] ^= 1 << (i % 8)
		try(fmt.Sprintf("bit of byte %d", at), Row{Canonical: flipped, Hash: row.Hash})
		if i > 0 {
			try("copy of the row before", w.rows[i-1])
		}
		if i > 2 {
			try("copy of row 2", w.rows[1])
		}
		if i+2 < length {
			// A copy of the very next row leaves the same rows as a deletion and a duplicate do: see TestCopiesOfNeighbours.
			try("copy of a row behind", w.rows[i+2])
		}
	}
}

// TestEveryBitOfARowIsHeld flips each bit of one row.
func TestEveryBitOfARowIsHeld(t *testing.T) {
	w := newWhole(t)
	const i = 41
	spoilt := slices.Clone(w.rows)
	for at := range w.rows[i].Canonical {
		for bit := range 8 {
			spoilt[i] = Row{Canonical: bytes.Clone(w.rows[i].Canonical), Hash: w.rows[i].Hash}
			spoilt[i].Canonical[at] ^= 1 << bit
			wantProblem(t, fmt.Sprintf("byte %d, bit %d", at, bit), Verify(seq(spoilt), Evidence{}), Edited, i+1, i+1)
		}
	}
}

func TestEveryDeletionIsFound(t *testing.T) {
	w := newWhole(t)
	for _, count := range []int{1, 2, 7} {
		for i := 0; i+count <= length; i++ {
			spoilt := slices.Delete(slices.Clone(w.rows), i, i+count)
			kind, last := Missing, int64(i+count)
			if i+count == length {
				kind = Truncated
			}
			r := w.verify(t, i, spoilt)
			wantProblem(t, fmt.Sprintf("%d rows from row %d", count, i+1), r, kind, int64(i+1), last)
			if r.Intact != int64(i) {
				t.Fatalf("row %d: %d intact", i+1, r.Intact)
			}
		}
	}
}

func TestEverySwapIsFound(t *testing.T) {
	w := newWhole(t)
	for i := range length {
		for _, j := range []int{i + 1, i + 2, i + 50, length - 1} {
			if j <= i || j >= length {
				continue
			}
			spoilt := slices.Clone(w.rows)
			spoilt[i], spoilt[j] = spoilt[j], spoilt[i]
			r := w.verify(t, i, spoilt)
			wantProblem(t, fmt.Sprintf("rows %d and %d", i+1, j+1), r, Swapped, int64(i+1), int64(i+1))
			if want := fmt.Sprintf("row %d stands in its place", j+1); !strings.Contains(r.Bad.Error(), want) {
				t.Fatalf("%v; want %q", r.Bad, want)
			}
			// Numbers put right after the swap: then the contents are what is wrong.
			a, _ := w.rows[i].Entry()
			b, _ := w.rows[j].Entry()
			a.Seq, b.Seq = b.Seq, a.Seq
			spoilt[i].Canonical, spoilt[j].Canonical = b.encode(nil), a.encode(nil)
			wantProblem(t, fmt.Sprintf("contents of rows %d and %d", i+1, j+1), w.verify(t, i, spoilt), Edited, int64(i+1), int64(i+1))
		}
	}
}

func TestEveryDuplicateIsFound(t *testing.T) {
	w := newWhole(t)
	for i := range length {
		for _, to := range []int{i + 1, i - 1, 0, i + 30, length} { // before which row it is put
			if to < 0 || to > length || to == i {
				continue
			}
			spoilt := slices.Insert(slices.Clone(w.rows), to, w.rows[i])
			at := int64(to + 1)
			r := w.verify(t, to, spoilt)
			wantProblem(t, fmt.Sprintf("row %d before row %d", i+1, to+1), r, Duplicated, int64(i+1), int64(i+1))
			if r.Bad.At != at || r.Intact != at-1 {
				t.Fatalf("row %d before row %d: at %d, %d intact", i+1, to+1, r.Bad.At, r.Intact)
			}
		}
	}
}

// TestCopiesOfNeighbours: written over with the next row, a row is gone and that one is there twice. Any name for it names the row.
func TestCopiesOfNeighbours(t *testing.T) {
	w := newWhole(t)
	for i := range length - 1 {
		spoilt := slices.Clone(w.rows)
		spoilt[i] = w.rows[i+1]
		r := w.verify(t, i, spoilt)
		if r.Bad == nil || r.Bad.Row != int64(i+1) || r.Intact != int64(i) {
			t.Fatalf("row %d is a copy of the next: %v", i+1, r.Bad)
		}
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	w := newWhole(t)
	head := w.states[length]
	for n := range length {
		cut := seq(w.rows[:n])
		wantProblem(t, fmt.Sprintf("cut behind row %d", n), w.verify(t, n, w.rows[:n]), Truncated, int64(n+1), length)
		wantProblem(t, fmt.Sprintf("cut behind row %d, by the state", n), Verify(cut, Evidence{Head: &head}), Truncated, int64(n+1), length)
	}
	// Behind the last checkpoint only the state knows.
	upTo400 := Evidence{Keys: w.with.Keys, Checkpoints: [][]byte{sign(t, w.states[400], w.signer)}}
	if r := Verify(seq(w.rows[:450]), upTo400); r.Err() != nil || r.Intact != 450 || r.Witnessed != 400 {
		t.Errorf("cut behind the last checkpoint: %+v", r)
	}
	upTo400.Head = &head
	wantProblem(t, "cut behind the last checkpoint", Verify(seq(w.rows[:450]), upTo400), Truncated, 451, length)
	old := w.states[450]
	upTo400.Head = &old
	wantProblem(t, "rows that the state does not know", Verify(seq(w.rows), upTo400), Added, 451, length)
	if r := Verify(seq(w.rows), upTo400); r.Intact != 450 || r.State != (State{}) {
		t.Errorf("%d intact", r.Intact)
	}
}

// TestRechainedChangesAreFoundByCheckpoints: whoever recomputes the chain is found out at the next checkpoint, and the rows from there back to
// the last that agrees are named.
func TestRechainedChangesAreFoundByCheckpoints(t *testing.T) {
	w := newWhole(t)
	for i := 0; i < length; i += 29 {
		check := func(what string, i int, rows []Row) { // of which the first i are true
			t.Helper()
			low, high := int64(i/100*100), int64(i/100*100+100)
			if r := w.chain(i, rows); r.Err() != nil {
				t.Fatalf("%s: the chain was not recomputed: %v", what, r.Err())
			}
			r := w.verify(t, i, rows)
			wantProblem(t, what, r, Rewritten, low+1, high)
			if r.Intact != low || r.Witnessed != low || r.Bad.At != high {
				t.Fatalf("%s: %d intact, %d witnessed", what, r.Intact, r.Witnessed)
			}
		}
		for what, edit := range edits {
			if strings.HasPrefix(what, "seq") {
				continue // the chain's own
			}
			spoilt := slices.Clone(w.rows)
			e, _ := spoilt[i].Entry()
			edit(&e)
			spoilt[i].Canonical = e.encode(nil)
			if bytes.Equal(spoilt[i].Canonical, w.rows[i].Canonical) {
				continue
			}
			rows, forged := rechain(t, spoilt, i, w.states[i])
			check(fmt.Sprintf("row %d: %s", i+1, what), i, rows)
			if i > 400 {
				honest := w.states[length]
				upTo400 := Evidence{Keys: w.with.Keys, Checkpoints: [][]byte{sign(t, w.states[400], w.signer)}, Head: &honest}
				wantProblem(t, "by the state", Verify(seq(rows), upTo400), Rewritten, 401, length)
			}
			if forged == w.states[length] {
				t.Fatal("the same state of other rows")
			}
		}
		if i+1 < length {
			swapped := slices.Clone(w.rows)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			rows, _ := rechain(t, swapped, i, w.states[i])
			check(fmt.Sprintf("rows %d and %d swapped", i+1, i+2), i, rows)
		}
		if i+1 < length {
			twice, _ := rechain(t, slices.Insert(slices.Clone(w.rows), i+1, w.rows[i]), i+1, w.states[i+1])
			check(fmt.Sprintf("row %d twice", i+1), i+1, twice)
		}
		if i < 400 {
			shorter, _ := rechain(t, slices.Delete(slices.Clone(w.rows), i, i+1), i, w.states[i])
			check(fmt.Sprintf("row %d deleted", i+1), i, shorter)
		}
	}
}

func TestRollbackIsFound(t *testing.T) {
	w := newWhole(t)
	kept := [][]byte{sign(t, w.states[500], w.signer)} // elsewhere
	old := w.states[400]
	r := Verify(seq(w.rows[:400]), Evidence{Keys: w.with.Keys, Checkpoints: append([][]byte{sign(t, old, w.signer)}, kept...), Head: &old})
	wantProblem(t, "all of it as it was at row 400", r, Truncated, 401, 500)
	if r.Witnessed != 400 {
		t.Errorf("%d witnessed", r.Witnessed)
	}

	// And grown again by other rows, properly signed.
	rows, state := slices.Clone(w.rows[:400]), old
	for i := range 100 {
		row, next, err := Append(state, testEntry(1000+i))
		if err != nil {
			t.Fatal(err)
		}
		rows, state = append(rows, row), next
	}
	signed := sign(t, state, w.signer)
	if r := Verify(seq(rows), Evidence{Keys: w.with.Keys, Checkpoints: [][]byte{signed}, Head: &state}); r.Err() != nil {
		t.Fatal(r.Err())
	}
	for _, both := range [][][]byte{{signed, kept[0]}, {kept[0], signed}} {
		r = Verify(seq(rows), Evidence{Keys: w.with.Keys, Checkpoints: both, Head: &state})
		wantProblem(t, "two histories", r, Rewritten, 1, 500)
	}
}

func TestCheckpointWithAnotherKeyIsRefused(t *testing.T) {
	w := newWhole(t)
	other, otherKey := newKey(t, "log", "two")
	rows, state := rechain(t, w.rows[1:], 0, State{}) // a forged log with a checkpoint of the forger
	r := Verify(seq(rows), Evidence{Keys: w.with.Keys, Checkpoints: [][]byte{sign(t, state, other)}})
	if r.Bad != nil || len(r.Refused) != 1 || r.Err() == nil || r.Witnessed != 0 || r.Checkpoints != 0 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Err().Error(), "given checkpoint 1") || !strings.Contains(r.Err().Error(), "none of the given keys") {
		t.Error(r.Err())
	}
	// After a change of keys both are trusted.
	r = Verify(seq(w.rows), Evidence{Keys: []note.Verifier{w.key, otherKey}, Checkpoints: append(w.with.Checkpoints, sign(t, w.states[450], other))})
	if r.Err() != nil || r.Checkpoints != 6 {
		t.Errorf("two keys: %v, %d checkpoints", r.Err(), r.Checkpoints)
	}
	r = Verify(seq(w.rows), Evidence{Checkpoints: w.with.Checkpoints})
	if r.Err() == nil || len(r.Refused) != 5 {
		t.Errorf("without a key: %+v", r)
	}
	r = Verify(seq(w.rows), Evidence{Checkpoints: slices.Repeat(w.with.Checkpoints, 50)})
	if len(r.Refused) != maxRefused {
		t.Errorf("%d errors", len(r.Refused))
	}
	forged := w.states[450]
	forged.last[0]++
	forged.rows = length
	r = Verify(seq(w.rows), Evidence{Keys: w.with.Keys, Checkpoints: w.with.Checkpoints, Head: &forged})
	if r.Bad != nil || r.Err() == nil {
		t.Errorf("a state that contradicts the checkpoint of all rows: %v", r.Err())
	}
}

func TestClockSetBackIsToldAndNoError(t *testing.T) {
	var rows []Row
	var state State
	for i, minute := range []int{0, 1, 1, 5, 3, 4, 6, 2} {
		e := testEntry(i)
		e.Time = day.Add(time.Duration(minute) * time.Minute)
		row, next, err := Append(state, e)
		if err != nil {
			t.Fatal(err)
		}
		rows, state = append(rows, row), next
	}
	r := Verify(seq(rows), Evidence{Head: &state})
	if r.Err() != nil || r.Backwards != 2 || r.FirstBackwards != 5 {
		t.Errorf("%v, %d backwards, the first at %d", r.Err(), r.Backwards, r.FirstBackwards)
	}
}

func TestErrorOfTheSourceNamesTheRow(t *testing.T) {
	w := newWhole(t)
	broken := errors.New("disk")
	failing := func(at int, rows []Row) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			for _, r := range rows[:at] {
				if !yield(r, nil) {
					return
				}
			}
			if yield(Row{}, broken) {
				t.Error("read on behind an error")
			}
		}
	}
	r := Verify(failing(120, w.rows), w.with)
	wantProblem(t, "error at row 121", r, Unreadable, 121, 121)
	if !errors.Is(r.Err(), broken) || r.Intact != 120 || r.Witnessed != 100 {
		t.Errorf("%v, %d intact", r.Err(), r.Intact)
	}
	// Even while looking what became of a row.
	spoilt := slices.Delete(slices.Clone(w.rows), 50, 51)
	wantProblem(t, "error behind a gap", Verify(failing(120, spoilt), w.with), Missing, 51, 51)
	spoilt = slices.Delete(slices.Clone(w.rows), 50, 51)
	spoilt[70].Canonical = nil
	wantProblem(t, "no entry behind a gap", Verify(seq(spoilt), w.with), Missing, 51, 51)
	spoilt = slices.Clone(w.rows)
	spoilt[50], spoilt[90] = spoilt[90], spoilt[50]
	spoilt[51].Canonical = nil
	wantProblem(t, "no entry behind a swapped row", Verify(seq(spoilt), w.with), Swapped, 51, 51)
}

// generate appends n rows and hands each on, keeping none.
func generate(n int, each func(i int)) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var state State
		for i := range n {
			each(i)
			row, next, err := Append(state, testEntry(i))
			if !yield(row, err) {
				return
			}
			state = next
		}
	}
}

func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const rows = 40_000 // of some 250 bytes: 10 MB
	var early, late uint64
	r := Verify(generate(rows, func(i int) {
		switch i {
		case 100:
			early = heap()
		case rows - 1:
			late = heap()
		}
	}), Evidence{})
	if r.Err() != nil || r.Intact != rows {
		t.Fatalf("%v, %d intact", r.Err(), r.Intact)
	}
	if late > early+256<<10 {
		t.Errorf("%d bytes on the heap at row 100, %d at row %d", early, late, rows)
	}
}
