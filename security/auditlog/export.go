package auditlog

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// An export is JSON Lines of three kinds, each with exactly these bytes around what differs:
//
//	{"row":CANONICAL,"hash":"BASE64"}   the rows in order
//	{"checkpoint":"NOTE"}               directly behind the row of its size
//	{"end":ROWS}                        the last line, against accidents; whoever cuts on purpose writes another
const (
	rowHead, rowHash, rowTail = `{"row":`, `,"hash":"`, `"}`
	noteHead, noteTail        = `{"checkpoint":`, `}`
	endHead, endTail          = `{"end":`, `}`

	hashText   = (tlog.HashSize + 2) / 3 * 4 // base64
	rowFrame   = len(rowHead) + len(rowHash) + hashText + len(rowTail)
	maxRowLine = MaxCanonical + rowFrame + 1
	maxLine    = 2*MaxCheckpoint + 64 // a note with every byte escaped
)

// A row must fit into a line.
var _ [maxLine - maxRowLine]struct{}

// Line is one line of an export: a row, a signed checkpoint, or the end with the number of rows.
type Line struct {
	Row        Row    // if Row.Canonical is not nil
	Checkpoint []byte // if not nil
	Rows       int64  // at the end
}

// Export writes rows and checkpoints to w as JSON Lines, which VerifyExport can judge without anything else but the public key. So that this
// proves something about all rows, let the last of checkpoints be one of all of them: sign it now.
//
// The order of checkpoints does not matter. Export does not judge: rows whose chain is broken and checkpoints of any key are written as they
// are, for they are the evidence. But a row that is no canonical entry has no place in the form, and is an error that names it.
func Export(w io.Writer, rows iter.Seq2[Row, error], checkpoints [][]byte) error {
	type sized struct {
		size   int64
		signed []byte
	}
	var pending []sized
	for i, signed := range checkpoints {
		size, err := claimedSize(signed)
		if err != nil {
			return fmt.Errorf("given checkpoint %d: %w", i+1, err)
		}
		pending = append(pending, sized{size, signed})
	}
	slices.SortStableFunc(pending, func(a, b sized) int { return cmp.Compare(a.size, b.size) })

	out := bufio.NewWriterSize(w, 1<<16)
	var b []byte
	upTo := func(n int64) error {
		for len(pending) > 0 && pending[0].size <= n {
			b = appendQuoted(append(b[:0], noteHead...), string(pending[0].signed))
			if _, err := out.Write(append(append(b, noteTail...), '\n')); err != nil {
				return err
			}
			pending = pending[1:]
		}
		return nil
	}
	err := upTo(0)
	n := int64(0)
	for row, from := range rows {
		n++
		if err == nil {
			err = from
		}
		if err == nil {
			if _, bad := parse(row.Canonical); bad != nil {
				err = fmt.Errorf("auditlog: row %d: %w", n, bad)
			}
		}
		if err != nil {
			return err
		}
		b = append(append(append(b[:0], rowHead...), row.Canonical...), rowHash...)
		b = append(append(append(b, row.Hash.String()...), rowTail...), '\n')
		if _, err = out.Write(b); err == nil {
			err = upTo(n)
		}
	}
	if err == nil {
		err = upTo(MaxRows) // of more rows than there are: that shows
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "%s%d%s\n", endHead, n, endTail)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// Import reads what Export wrote, line by line. It judges the form of lines, not what stands in rows and checkpoints, nor their order: give
// them to Verify and OpenCheckpoint, or use VerifyExport. After an error there are no more lines. An export without its end gives io.ErrUnexpectedEOF, wrapped.
// Import needs 33 KB, whatever it reads.
func Import(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		ended := false
		for n := 1; ; n++ {
			text, err := in.ReadSlice('\n')
			if err == io.EOF && len(text) == 0 && ended {
				return
			}
			line, err := parseLine(text, err)
			if err == nil && ended {
				err = errors.New("there is more behind the end")
			}
			if err != nil {
				yield(Line{}, fmt.Errorf("auditlog: line %d: %w", n, err))
				return
			}
			ended = line.Row.Canonical == nil && line.Checkpoint == nil
			if !yield(line, nil) {
				return
			}
		}
	}
}

func parseLine(text []byte, err error) (line Line, _ error) {
	switch {
	case err == io.EOF:
		return line, fmt.Errorf("the export is cut short: %w", io.ErrUnexpectedEOF)
	case err == bufio.ErrBufferFull:
		return line, fmt.Errorf("it has more than %d bytes", maxLine)
	case err != nil:
		return line, err
	}
	text = text[:len(text)-1]
	switch {
	case bytes.HasPrefix(text, []byte(rowHead)):
		line.Row, err = parseRow(text)
	case bytes.HasPrefix(text, []byte(noteHead)):
		line.Checkpoint, err = parseNote(text)
	case bytes.HasPrefix(text, []byte(endHead)):
		s := scanner{all: text, rest: text[len(endHead):]}
		line.Rows = s.number()
		if string(text) != endHead+strconv.FormatInt(line.Rows, 10)+endTail {
			err = errors.New("this is no end of an export")
		}
	default:
		err = errors.New("it is neither row nor checkpoint nor end")
	}
	return line, err
}

func parseRow(text []byte) (Row, error) {
	malformed := errors.New("it does not have the form of a row")
	if len(text) < rowFrame+1 {
		return Row{}, malformed
	}
	canonical, tail := text[len(rowHead):len(text)-(rowFrame-len(rowHead))], text[len(text)-(rowFrame-len(rowHead)):]
	encoded := string(tail[len(rowHash) : len(rowHash)+hashText])
	hash, err := tlog.ParseHash(encoded)
	if err != nil || string(tail) != rowHash+hash.String()+rowTail {
		return Row{}, malformed
	}
	return Row{Canonical: bytes.Clone(canonical), Hash: hash}, nil
}

func parseNote(text []byte) ([]byte, error) {
	s := scanner{all: text, rest: text[len(noteHead):]}
	signed := []byte(s.text())
	if s.err != nil || len(signed) == 0 || len(signed) > MaxCheckpoint ||
		string(text) != string(appendQuoted([]byte(noteHead), string(signed)))+noteTail {
		return nil, errors.New("it does not have the form of a checkpoint")
	}
	return signed, nil
}
