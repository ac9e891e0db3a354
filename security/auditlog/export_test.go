package auditlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/mod/sumdb/note"
)

func export(t testing.TB, rows []Row, checkpoints [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Export(&out, seq(rows), checkpoints); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExportVerifiesWithNothingButTheKey(t *testing.T) {
	w := newWhole(t)
	file := export(t, w.rows, w.with.Checkpoints)
	r := VerifyExport(iotest.HalfReader(bytes.NewReader(file)), Evidence{Keys: w.with.Keys})
	if r.Err() != nil || r.Intact != length || r.Witnessed != length || r.Checkpoints != 5 || r.State != w.states[length] {
		t.Errorf("%v: %d intact, %d witnessed, %d checkpoints", r.Err(), r.Intact, r.Witnessed, r.Checkpoints)
	}
	for n, line := range bytes.Split(bytes.TrimSuffix(file, []byte("\n")), []byte("\n")) {
		if !json.Valid(line) {
			t.Errorf("line %d is not JSON: %s", n+1, line)
		}
	}
	var rows []Row
	var checkpoints [][]byte
	var end int64
	for line, err := range Import(bytes.NewReader(file)) {
		switch {
		case err != nil:
			t.Fatal(err)
		case line.Checkpoint != nil:
			checkpoints = append(checkpoints, line.Checkpoint)
		case line.Row.Canonical != nil:
			rows = append(rows, line.Row)
		default:
			end = line.Rows
		}
	}
	if again := export(t, rows, checkpoints); !bytes.Equal(again, file) || end != length {
		t.Errorf("imported and exported again, it is another file of %d rows", end)
	}
	if got := string(export(t, nil, nil)); got != "{\"end\":0}\n" {
		t.Errorf("empty log: %q", got)
	}
	if r := VerifyExport(strings.NewReader("{\"end\":0}\n"), Evidence{}); r.Err() != nil {
		t.Error(r.Err())
	}
}

// rowAt says which row stands on each line of an export: for a checkpoint and the end, the row behind.
func rowAt(lines [][]byte) []int64 {
	at, row := make([]int64, len(lines)), int64(0)
	for i, line := range lines {
		at[i] = row + 1
		if bytes.HasPrefix(line, []byte(rowHead)) {
			row++
		}
	}
	return at
}

// TestEveryChangeOfAnExportIsFound: line by line, each is taken out, doubled, swapped with the next, cut and edited.
func TestEveryChangeOfAnExportIsFound(t *testing.T) {
	const length = 120
	rows, states := build(t, length)
	signer, key := newKey(t, "log", "one")
	kept := [][]byte{sign(t, states[50], signer), sign(t, states[length], signer)}
	lines := bytes.SplitAfter(export(t, rows, kept), []byte("\n"))
	lines = lines[:len(lines)-1]
	at := rowAt(lines)
	with := Evidence{Keys: []note.Verifier{key}}
	judge := func(what string, changed [][]byte) Report {
		t.Helper()
		r := VerifyExport(bytes.NewReader(bytes.Join(changed, nil)), with)
		if r.Err() == nil {
			t.Fatalf("%s was not found", what)
		}
		return r
	}
	for i, line := range lines {
		isRow := bytes.HasPrefix(line, []byte(rowHead))
		named := func(what string, r Report) {
			t.Helper()
			if isRow && (r.Bad == nil || r.Bad.Row != at[i]) {
				t.Fatalf("%s line %d: %v; want row %d", what, i+1, r.Err(), at[i])
			}
		}
		if isRow || i == len(lines)-1 { // a checkpoint less is a file that proves less
			named("without", judge(fmt.Sprintf("a missing line %d", i+1), slices.Delete(slices.Clone(lines), i, i+1)))
		}
		if isRow {
			named("twice", judge(fmt.Sprintf("line %d twice", i+1), slices.Insert(slices.Clone(lines), i, line)))
		}
		if i+1 < len(lines) {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			named("swapped", judge(fmt.Sprintf("lines %d and %d swapped", i+1, i+2), swapped))
		}
		changed := slices.Clone(lines)
		for _, b := range [][]byte{line[:len(line)/2], append(bytes.Clone(line[:len(line)/2]), '\n'), append([]byte(" "), line...),
			append(bytes.TrimSuffix(bytes.Clone(line), []byte("\n")), '\r', '\n'), []byte("\n"), []byte("{}\n"), []byte("null\n"),
			bytes.Replace(line, []byte(":"), []byte(": "), 1), bytes.ToUpper(line)} {
			changed[i] = b
			named("edited", judge(fmt.Sprintf("line %d as %q", i+1, b), changed))
		}
		// One bit of a byte, another byte on each line. The last digit of a signature has bits without meaning.
		changed[i] = bytes.Clone(line)
		p := (i * 41) % len(line)
		if spare := bytes.LastIndexByte(line, '=') - 1; isRow || p != spare {
			changed[i][p] ^= 1 << (i % 8)
			named(fmt.Sprintf("bit of byte %d", p), judge(fmt.Sprintf("a bit of byte %d of line %d", p, i+1), changed))
		}
		// Cut behind the line by an accident, and by somebody who ends the file properly and left no checkpoint of more.
		r := judge(fmt.Sprintf("cut before line %d", i+1), lines[:i])
		if r.Bad == nil || r.Bad.Kind != Truncated || r.Bad.Row != at[i] {
			t.Fatalf("cut before line %d: %v", i+1, r.Err())
		}
		if at[i] <= length {
			proper := append(slices.Clone(lines[:i]), fmt.Appendf(nil, "{\"end\":%d}\n", at[i]-1))
			r = VerifyExport(bytes.NewReader(bytes.Join(proper, nil)), Evidence{Keys: with.Keys, Checkpoints: kept})
			wantProblem(t, fmt.Sprintf("properly cut before line %d", i+1), r, Truncated, at[i], length)
		}
	}
}

func TestCheckpointsInAnExportAreJudged(t *testing.T) {
	w := newWhole(t)
	other, _ := newKey(t, "log", "two")
	with := Evidence{Keys: w.with.Keys}
	verify := func(rows []Row, checkpoints ...[]byte) Report {
		t.Helper()
		return VerifyExport(bytes.NewReader(export(t, rows, checkpoints)), with)
	}
	r := verify(w.rows, sign(t, w.states[500], other))
	if r.Bad != nil || len(r.Refused) != 1 || r.Witnessed != 0 || !strings.Contains(r.Err().Error(), "checkpoint behind row 500") {
		t.Errorf("another key: %+v", r)
	}
	wantProblem(t, "a checkpoint of more rows", verify(w.rows[:450], sign(t, w.states[500], w.signer)), Missing, 451, 500)
	forged, _ := rechain(t, w.rows[1:], 0, State{})
	wantProblem(t, "a checkpoint of other rows", verify(forged, sign(t, w.states[300], w.signer)), Rewritten, 1, 300)

	lines := bytes.SplitAfter(export(t, w.rows, [][]byte{sign(t, w.states[100], w.signer)}), []byte("\n"))
	moved := slices.Concat(lines[:100], lines[101:200], lines[100:101], lines[200:])
	if r := VerifyExport(bytes.NewReader(bytes.Join(moved, nil)), with); r.Bad != nil || len(r.Refused) != 1 {
		t.Errorf("moved down: %v", r.Err())
	}
	added, _ := rechain(t, append(slices.Clone(w.rows[:50]), w.rows[60]), 50, w.states[50])
	more := bytes.Join(bytes.SplitAfter(export(t, added, nil), []byte("\n"))[:51], nil)
	wantProblem(t, "one row more than the end says", VerifyExport(bytes.NewReader(append(more, "{\"end\":50}\n"...)), with), Added, 51, 51)
}

func TestExportRefuses(t *testing.T) {
	w := newWhole(t)
	damaged := slices.Clone(w.rows)
	damaged[6].Canonical = []byte("{}\n{}")
	broken := errors.New("broken")
	failing := iter.Seq2[Row, error](func(yield func(Row, error) bool) {
		if yield(w.rows[0], nil) {
			yield(Row{}, broken)
		}
	})
	if err := Export(io.Discard, seq(damaged), nil); err == nil || !strings.Contains(err.Error(), "row 7") {
		t.Errorf("a damaged row: %v", err)
	}
	if err := Export(io.Discard, failing, nil); err != broken {
		t.Errorf("an error of the source: %v", err)
	}
	for _, signed := range []string{"", "log\n1\n\n— log AAAA\n", strings.Repeat("x", MaxCheckpoint+1)} {
		if err := Export(io.Discard, seq(w.rows), [][]byte{w.with.Checkpoints[0], []byte(signed)}); err == nil || !strings.Contains(err.Error(), "given checkpoint 2") {
			t.Errorf("%.20q: %v", signed, err)
		}
	}
	// Wherever the writer fails, Export says so.
	size := len(export(t, w.rows, w.with.Checkpoints))
	for n := 0; n < size; n += 30_000 {
		if err := Export(&full{n}, seq(w.rows), w.with.Checkpoints); err != errFull {
			t.Errorf("full at byte %d: %v", n, err)
		}
	}
}

type full struct{ room int }

var errFull = errors.New("full")

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestImportStopsAtTheFirstError(t *testing.T) {
	w := newWhole(t)
	file := export(t, w.rows[:20], nil)
	for name, c := range map[string]struct {
		in   io.Reader
		want string
		is   error
	}{
		"nothing":        {strings.NewReader(""), "line 1", io.ErrUnexpectedEOF},
		"no end":         {bytes.NewReader(file[:bytes.LastIndex(file, []byte("{"))]), "line 21", io.ErrUnexpectedEOF},
		"half a line":    {bytes.NewReader(file[:len(file)-1]), "line 21", io.ErrUnexpectedEOF},
		"behind the end": {bytes.NewReader(append(bytes.Clone(file), file...)), "line 22", nil},
		"rubbish behind": {strings.NewReader(string(file) + "x"), "line 22", nil},
		"endless line":   {strings.NewReader(strings.Repeat("x", 10*maxLine)), "more than", nil},
		"failing reader": {io.MultiReader(bytes.NewReader(file[:99]), iotest.ErrReader(errFull)), "line 1", errFull},
		"end, minus":     {strings.NewReader("{\"end\":-1}\n"), "line 1", nil},
		"end, zero":      {strings.NewReader("{\"end\":01}\n"), "line 1", nil},
		"end, empty":     {strings.NewReader("{\"end\":}\n"), "line 1", nil},
		"no note":        {strings.NewReader("{\"checkpoint\":\"\"}\n"), "line 1", nil},
		"note escaped":   {strings.NewReader("{\"checkpoint\":\"\\u0061\"}\n"), "line 1", nil},
		"no row":         {strings.NewReader(`{"row":,"hash":"` + strings.Repeat("A", 43) + "=\"}\n"), "line 1", nil},
		"spare bits":     {strings.NewReader(`{"row":x,"hash":"` + strings.Repeat("A", 42) + "B=\"}\n"), "line 1", nil},
	} {
		var failed error
		for line, err := range Import(c.in) {
			if failed != nil {
				t.Fatalf("%s: %+v behind %v", name, line, failed)
			}
			failed = err
		}
		if failed == nil || !strings.Contains(failed.Error(), c.want) || (c.is != nil && !errors.Is(failed, c.is)) {
			t.Errorf("%s: %v", name, failed)
		}
	}
	for range Import(bytes.NewReader(file)) {
		break // somebody who wants no more gets no more
	}
}

// FuzzVerifyExport: whatever is read, an export that is found good is, byte by byte, the one that its rows and checkpoints make.
func FuzzVerifyExport(f *testing.F) {
	rows, states := build(f, 12)
	signer, key := newKey(f, "log", "one")
	other, _ := newKey(f, "log", "two")
	good := export(f, rows, [][]byte{sign(f, states[5], signer), sign(f, states[12], signer)})
	f.Add(good)
	f.Add(export(f, rows, [][]byte{sign(f, states[5], other)}))
	f.Add(export(f, nil, nil))
	f.Add(bytes.Replace(good, []byte("\n"), []byte("\r\n"), 1))
	f.Add(good[:len(good)/2])
	f.Add(append(bytes.Clone(good), good...))
	f.Fuzz(func(t *testing.T, file []byte) {
		r := VerifyExport(bytes.NewReader(file), Evidence{Keys: []note.Verifier{key}})
		if r.Bad != nil && (r.Bad.Kind < Edited || r.Bad.Kind > Unreadable || r.Bad.Row < 1 || r.Bad.Last < r.Bad.Row || strings.ContainsAny(r.Bad.Error(), "\n\x1b")) {
			t.Fatalf("%q: %+v", file, r.Bad)
		}
		if r.Witnessed > r.Intact || r.Intact < 0 {
			t.Fatalf("%q: %d intact, %d witnessed", file, r.Intact, r.Witnessed)
		}
		// The key signed these two states and no other.
		if r.Witnessed == 5 && r.Bad == nil && !bytes.HasPrefix(file, good[:bytes.Index(good, []byte(noteHead))]) ||
			r.Witnessed != 0 && r.Witnessed != 5 && r.Witnessed != 12 {
			t.Fatalf("%q: %d witnessed", file, r.Witnessed)
		}
		if r.Err() != nil {
			return
		}
		var rows []Row
		var checkpoints [][]byte
		for line, err := range Import(bytes.NewReader(file)) {
			if err != nil {
				t.Fatalf("%q: verified, but %v", file, err)
			}
			if line.Row.Canonical != nil {
				rows = append(rows, line.Row)
			} else if line.Checkpoint != nil {
				checkpoints = append(checkpoints, line.Checkpoint)
			}
		}
		if again := export(t, rows, checkpoints); !bytes.Equal(again, file) {
			t.Fatalf("%q\nverified, but it is exported as\n%q", file, again)
		}
	})
}

// BenchmarkVerifyExport verifies a file of a million rows with a checkpoint after each thousand.
func BenchmarkVerifyExport(b *testing.B) {
	const rows = 1_000_000
	signer, key := newKey(b, "log", "one")
	var checkpoints [][]byte
	var state State
	for i := range rows {
		_, next, err := Append(state, testEntry(i))
		if err != nil {
			b.Fatal(err)
		}
		if state = next; state.Rows()%1000 == 0 {
			checkpoints = append(checkpoints, sign(b, state, signer))
		}
	}
	name := filepath.Join(b.TempDir(), "log.jsonl")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := Export(f, generate(rows, func(int) {}), checkpoints); err != nil {
		b.Fatal(err)
	}
	checkpoints = nil
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		r := VerifyExport(bufio.NewReader(f), Evidence{Keys: []note.Verifier{key}})
		if r.Err() != nil || r.Witnessed != rows {
			b.Fatalf("%v, %d witnessed", r.Err(), r.Witnessed)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB-heap")
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	var state State
	for i := 0; b.Loop(); i++ {
		_, next, err := Append(state, testEntry(i))
		if err != nil {
			b.Fatal(err)
		}
		state = next
	}
}
