package auditlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Evidence is what a log is held against. All of it may be missing; then only the chain is.
type Evidence struct {
	Keys        []note.Verifier // who may have signed checkpoints: see OpenCheckpoint
	Checkpoints [][]byte        // signed notes, in any order; those kept elsewhere prove most
	Head        *State          // the State stored with the rows: finds what was cut off or put on behind the last checkpoint
}

// Kind says what is wrong with a row.
type Kind uint8

const (
	Edited     Kind = iota + 1 // the row or its hash is not what it was, or another row was written over it
	Missing                    // the row was taken out, and Last says up to which
	Swapped                    // the row stands further down; At is where it belongs
	Duplicated                 // the row stands once more, at At
	Truncated                  // the log ends before the row; it had rows up to Last
	Added                      // the row came after the last one that the State or the export knows
	Rewritten                  // some row from Row to Last is another one than when the checkpoint of size Last was signed
	Unreadable                 // the source of rows gave an error instead of the row
)

var kinds = [...]string{Edited: "edited", Missing: "missing", Swapped: "swapped", Duplicated: "duplicated", Truncated: "truncated",
	Added: "added", Rewritten: "rewritten", Unreadable: "unreadable"}

// String returns the kind in one lower-case word.
func (k Kind) String() string {
	if k < Edited || k > Unreadable {
		return "kind " + strconv.Itoa(int(k))
	}
	return kinds[k]
}

// Problem is the first thing that is wrong with the rows of a log.
type Problem struct {
	Kind Kind
	Row  int64 // the number of the row concerned, the first if there are several
	Last int64 // the last row concerned: Row, unless Kind says otherwise
	At   int64 // where it was noticed: a place in the sequence of rows, from 1
	Err  error // how it was noticed
}

// Error says it in one line, without anything of the rows' contents.
func (p *Problem) Error() string {
	rows := "row " + strconv.FormatInt(p.Row, 10)
	if p.Last != p.Row {
		rows = fmt.Sprintf("rows %d to %d", p.Row, p.Last)
	}
	return fmt.Sprintf("auditlog: %s %s: %v", rows, p.Kind, p.Err)
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

// maxRefused bounds Report.Refused: a file can hold any number of bad checkpoints.
const maxRefused = 16

// Report is the result of Verify.
type Report struct {
	Bad     *Problem // the first problem with the rows, nil if there is none
	Refused []error  // the first 16 checkpoints that prove nothing: malformed, not signed by a given key, of another log; a State that contradicts one

	Intact      int64 // rows before the problem: their chain is whole and agrees with every checkpoint up to there
	Witnessed   int64 // rows that the largest agreeing checkpoint covers; those behind it could have been changed by who recomputed the chain
	Checkpoints int   // how many checkpoints agree
	State       State // after all rows, if none is bad

	// A clock set back is no sign of tampering, so it is told and no error: how many rows are older than the one before, and the first.
	Backwards      int64
	FirstBackwards int64
}

// Err returns nil if nothing is wrong: neither with a row nor with a checkpoint. It says nothing about rows behind Witnessed.
func (r Report) Err() error {
	var errs []error
	if r.Bad != nil {
		errs = append(errs, r.Bad)
	}
	return errors.Join(append(errs, r.Refused...)...)
}

// Verify reads rows once, from the first on, and reports the first that is not what was appended. It stops there, or, where the rows that
// follow tell what happened, at their end. It keeps one row at a time and the checkpoints of with.
//
// Which row is named exactly depends on who changed it. Without the chain recomputed, it is that row. With the chain recomputed, checkpoints
// alone disagree, and the report names the range between the last that agrees and the first that does not.
func Verify(rows iter.Seq2[Row, error], with Evidence) Report {
	c := newChecker(with)
	for row, err := range rows {
		if !c.row(row, err) {
			break
		}
	}
	return c.end(with.Head)
}

// VerifyExport is Verify for a file that Export wrote: it also looks at the checkpoints in it and at its end.
func VerifyExport(r io.Reader, with Evidence) Report {
	c := newChecker(with)
	for line, err := range Import(r) {
		more := false
		switch {
		case err != nil:
			more = c.row(Row{}, err)
		case line.Checkpoint != nil:
			more = c.inPlace(line.Checkpoint)
		case line.Row.Canonical != nil:
			more = c.row(line.Row, nil)
		default:
			more = c.size(line.Rows, "the export's end")
		}
		if !more {
			break
		}
	}
	return c.end(with.Head)
}

// checker goes through a log row by row. Its methods return false when nothing that follows matters.
type checker struct {
	Report
	keys    []note.Verifier
	pending []Checkpoint // not reached yet, ascending
	last    time.Time
	doubt   *doubt
}

// doubt is a row that stands where another belongs: what that means, the rows behind it tell.
type doubt struct {
	want, got int64 // row numbers; want is also the place
	next      int64 // the number in the row that follows directly, 0 if none does, -1 if it has none
	sawWant   bool  // further down
	sawGot    bool
	known     int64 // how many rows there are, as far as somebody knows
}

func newChecker(with Evidence) *checker {
	c := &checker{keys: with.Keys}
	for i, signed := range with.Checkpoints {
		if checkpoint, ok := c.open(signed, "given checkpoint "+strconv.Itoa(i+1)); ok {
			c.pending = append(c.pending, checkpoint)
		}
	}
	slices.SortStableFunc(c.pending, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	c.reached()
	return c
}

func (c *checker) open(signed []byte, which string) (Checkpoint, bool) {
	checkpoint, err := OpenCheckpoint(signed, c.keys...)
	if err != nil {
		c.refuse(fmt.Errorf("%s: %w", which, err))
	}
	return checkpoint, err == nil
}

func (c *checker) refuse(err error) {
	if len(c.Refused) < maxRefused {
		c.Refused = append(c.Refused, err)
	}
}

func (c *checker) bad(kind Kind, row, last int64, err error) bool {
	c.Bad = &Problem{Kind: kind, Row: row, Last: last, At: c.State.rows + 1, Err: err}
	return false
}

// row takes the next row, or the error that came instead.
func (c *checker) row(row Row, err error) bool {
	want := c.State.rows + 1
	if c.doubt != nil {
		return err == nil && c.doubt.look(row)
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return c.bad(Truncated, want, want, err)
		}
		return c.bad(Unreadable, want, want, err)
	}
	e, err := parse(row.Canonical)
	switch {
	case err != nil:
		return c.bad(Edited, want, want, err)
	case e.Seq == want && link(c.State.last, row.Canonical) != row.Hash:
		return c.bad(Edited, want, want, errors.New("its hash is not that of its content behind the row before"))
	case e.Seq != want:
		if renumbered(c.State.last, e, want) == row.Hash {
			return c.bad(Edited, want, want, fmt.Errorf("it says that it is row %d", e.Seq))
		}
		c.doubt = &doubt{want: want, got: e.Seq}
		return true
	}
	if e.Time.Before(c.last) {
		if c.Backwards++; c.Backwards == 1 {
			c.FirstBackwards = want
		}
	}
	c.last = e.Time
	c.State.add(row.Hash)
	return c.reached()
}

// renumbered is the hash of the row that e would be with another number.
func renumbered(prev Hash, e Entry, seq int64) Hash {
	e.Seq = seq
	return link(prev, e.encode(nil))
}

// reached compares with the checkpoints of the size that the log has now.
func (c *checker) reached() bool {
	for len(c.pending) > 0 && c.pending[0].Size == c.State.rows {
		checkpoint := c.pending[0]
		c.pending = c.pending[1:]
		if !c.agrees(checkpoint) {
			return false
		}
	}
	return true
}

func (c *checker) agrees(checkpoint Checkpoint) bool {
	size := checkpoint.Size
	if checkpoint.Root == c.State.Root() {
		c.Witnessed = size
		c.Checkpoints++
		return true
	}
	from := c.Witnessed + 1
	if c.Witnessed == size { // two that contradict each other say nothing about where
		from = 1
	}
	c.bad(Rewritten, from, size, fmt.Errorf("the checkpoint of %d rows was signed for others", size))
	c.Bad.At = size
	return false
}

// inPlace takes a checkpoint that stands between rows, directly behind those it covers.
func (c *checker) inPlace(signed []byte) bool {
	if c.doubt != nil {
		return true
	}
	rows := c.State.rows
	checkpoint, ok := c.open(signed, fmt.Sprintf("checkpoint behind row %d", rows))
	switch {
	case !ok:
		return true
	case checkpoint.Size == rows:
		return c.agrees(checkpoint)
	case checkpoint.Size < rows:
		c.refuse(fmt.Errorf("checkpoint behind row %d: it belongs behind row %d", rows, checkpoint.Size))
		return true
	}
	return c.bad(Missing, rows+1, checkpoint.Size, fmt.Errorf("a checkpoint of %d rows follows", checkpoint.Size))
}

// size compares with the number of rows that somebody knows.
func (c *checker) size(known int64, who string) bool {
	rows := c.State.rows
	switch {
	case c.doubt != nil:
		c.doubt.known = max(c.doubt.known, known)
	case known > rows:
		return c.bad(Truncated, rows+1, known, fmt.Errorf("%s tells of %d rows", who, known))
	case known < rows:
		return c.bad(Added, known+1, rows, fmt.Errorf("%s tells of %d rows", who, known))
	}
	return true
}

func (c *checker) end(head *State) Report {
	if c.Bad == nil && len(c.pending) > 0 {
		c.size(c.pending[len(c.pending)-1].Size, "a checkpoint")
	}
	if c.Bad == nil && head != nil {
		switch same := c.size(head.rows, "the state"); {
		case !same || c.doubt != nil || *head == c.State:
		case c.Witnessed == c.State.rows:
			c.Refused = append(c.Refused, errors.New("auditlog: the state is of other rows, though a checkpoint agrees with these"))
		default:
			c.bad(Rewritten, c.Witnessed+1, c.State.rows, errors.New("the state is of other rows"))
		}
	}
	if c.doubt != nil {
		c.Bad = c.doubt.resolve()
	}
	c.Intact = c.State.rows
	if c.Bad != nil {
		if c.Bad.Kind == Rewritten || c.Bad.Kind == Added {
			c.Intact = c.Bad.Row - 1
		}
		c.State = State{}
	}
	return c.Report
}

// look takes a row further down. Nothing of it was checked, and nothing is looked at but its number.
func (d *doubt) look(row Row) bool {
	s := scanner{rest: row.Canonical}
	s.literal(`{"v":1,"seq":`)
	seq := s.number()
	if s.err != nil {
		seq = -1
	}
	if d.next == 0 {
		d.next = seq
	}
	d.sawWant = d.sawWant || seq == d.want
	d.sawGot = d.sawGot || seq == d.got
	return !d.sawWant || !d.sawGot
}

func (d *doubt) resolve() *Problem {
	p := &Problem{Row: d.want, Last: d.want, At: d.want, Err: fmt.Errorf("row %d stands in its place", d.got)}
	switch {
	case d.sawWant && (d.sawGot || d.got < d.want):
		p.Kind, p.Row, p.Last = Duplicated, d.got, d.got
		p.Err = fmt.Errorf("it also stands where row %d belongs", d.want)
	case d.sawWant:
		p.Kind = Swapped
	case d.next == d.want+1, d.next == 0 && d.known == d.want: // with this row in its place the sequence is whole
		p.Kind = Edited
	case d.got < d.want:
		p.Kind, p.Row, p.Last = Duplicated, d.got, d.got
		p.Err = fmt.Errorf("it also stands where row %d belongs", d.want)
	default:
		p.Kind, p.Last = Missing, d.got-1
		p.Err = fmt.Errorf("row %d follows on row %d", d.got, d.want-1)
	}
	return p
}
