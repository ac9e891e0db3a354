package auditlog

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestAppendRefusesAnEntryForAnotherState(t *testing.T) {
	_, states := build(t, 3)
	for _, number := range []int64{-1, 1, 3, 5} {
		e := testEntry(3)
		e.Seq = number
		if _, next, err := Append(states[3], e); err == nil || next != (State{}) {
			t.Errorf("entry %d behind row 3: %v, %v", number, next.Rows(), err)
		}
	}
	e := testEntry(3)
	e.Seq = 4
	if _, next, err := Append(states[3], e); err != nil || next.Rows() != 4 {
		t.Errorf("entry 4 behind row 3: %d rows, %v", next.Rows(), err)
	}
	if _, next, err := Append(states[3], Entry{}); err == nil || next != (State{}) {
		t.Errorf("empty entry: %v", err)
	}
	full := State{rows: MaxRows}
	if _, _, err := Append(full, testEntry(0)); err == nil {
		t.Error("a full log took a row")
	}
}

// TestStateIsAValue: a transaction that is rolled back leaves the State it began with as it was.
func TestStateIsAValue(t *testing.T) {
	rows, states := build(t, 40)
	for i, s := range states[:40] {
		for range 2 {
			row, next, err := Append(s, testEntry(i))
			if err != nil || row.Hash != rows[i].Hash || !bytes.Equal(row.Canonical, rows[i].Canonical) || next != states[i+1] {
				t.Fatalf("row %d again is another one: %v", i+1, err)
			}
		}
		if _, other, err := Append(s, testEntry(i+1)); err != nil || other == states[i+1] {
			t.Fatalf("another row %d makes the same state: %v", i+1, err)
		}
	}
}

// TestStateAgreesWithTheDefinitions computes chain and tree the slow way, from the texts of the design and of RFC 6962.
func TestStateAgreesWithTheDefinitions(t *testing.T) {
	var tree func(leaves [][]byte) Hash
	tree = func(leaves [][]byte) Hash {
		switch n := len(leaves); n {
		case 0:
			return sha256.Sum256(nil)
		case 1:
			return sha256.Sum256(append([]byte{0}, leaves[0]...))
		default:
			k := 1
			for 2*k < n {
				k *= 2
			}
			left, right := tree(leaves[:k]), tree(leaves[k:])
			return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
		}
	}
	rows, states := build(t, 130)
	var prev []byte = make([]byte, 32)
	var leaves [][]byte
	for i, s := range states {
		if got, want := s.Root(), tree(leaves); got != want {
			t.Fatalf("root of %d rows: %v, want %v", i, got, want)
		}
		if s.Rows() != int64(i) || (i > 0 && s.Last() != rows[i-1].Hash) || (i == 0 && s.Last() != tlog.Hash{}) {
			t.Fatalf("state %d: %d rows, last %v", i, s.Rows(), s.Last())
		}
		if i < len(rows) {
			sum := sha256.Sum256(append(bytes.Clone(prev), rows[i].Canonical...))
			if rows[i].Hash != sum {
				t.Fatalf("hash of row %d: %v", i+1, rows[i].Hash)
			}
			prev = sum[:]
			leaves = append(leaves, sum[:])
		}
	}
}

func TestStateSurvivesBytes(t *testing.T) {
	_, states := build(t, 130)
	for i, s := range states {
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got := State{rows: 5}
		if err := got.UnmarshalBinary(b); err != nil || got != s {
			t.Fatalf("state of %d rows: %v", i, err)
		}
	}
	whole, _ := states[70].MarshalBinary()
	empty, _ := State{}.MarshalBinary()
	refused := map[string][]byte{"nothing": nil, "one more byte": append(bytes.Clone(whole), 0), "another version": append([]byte{2}, whole[1:]...)}
	for n := range len(whole) {
		refused["cut "+string(rune(n))] = whole[:n]
	}
	for bit := range 8 * 8 {
		other := bytes.Clone(whole)
		other[1+bit/8] ^= 1 << (bit % 8)
		refused["rows, bit "+string(rune(bit))] = other // one more or less hash than is there, or too many rows
	}
	odd := bytes.Clone(empty)
	odd[20] = 1
	refused["empty with a last row"] = odd
	many := bytes.Repeat([]byte{0xff}, stateHeader+levels*32)
	many[0] = stateVersion
	refused["too many rows"] = many
	oneMore := make([]byte, stateHeader+32) // a log of MaxRows+1 rows is one complete subtree
	oneMore[0], oneMore[3] = stateVersion, 1
	refused["one row too many"] = oneMore
	for name, b := range refused {
		got := states[3]
		if err := got.UnmarshalBinary(b); err == nil || got != states[3] {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzState(f *testing.F) {
	_, states := build(f, 9)
	for _, s := range states {
		b, _ := s.MarshalBinary()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if again, err := s.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		s.Root()
		if s.rows < MaxRows {
			s.add(Hash{})
		}
	})
}
