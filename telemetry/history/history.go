// Package history keeps what a node's numbers were, in a file of fixed size: by the minute for a day, by the quarter of an hour for thirty
// days, by the hour for ninety.
//
// A row holds one number of every column. Whoever adds one names the time; the row of that minute, that quarter and that hour take it in,
// by sum or by maximum as the column says. A row's place follows from its time, so the file needs no tidying, and a clock that was set back
// makes no second row for the same minute: the old one grows.
//
//	h, err := history.Open(path, []history.Column{{Name: "accepted", Unit: "count"}, {Name: "open", Unit: "count", Max: true}}, log)
//	h.Add(time.Now(), []float64{12, 40})
//	series, err := h.Query(history.Query{Names: []string{"accepted"}, From: then, To: now}, now)
//
// Nothing is kept in memory but the names. Rows are written without waiting for the disk: after a power cut some of the last are missing,
// and what was half written is taken for missing. Safe for concurrent use.
package history

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

// Column is one number of every row.
type Column struct {
	Name string
	Unit string // seconds, bytes, ratio or count
	// Max says that the larger of two values stands for both; otherwise their sum does.
	Max bool
}

// tier is one resolution.
type tier struct {
	step  int64 // seconds
	rows  int64
	first int64 // of its rows, in rows of the file
}

var tiers = [...]tier{
	{60, 24 * 60, 0},                 // a day
	{15 * 60, 30 * 24 * 4, 24 * 60},  // thirty days
	{3600, 90 * 24, 24*60 + 30*24*4}, // ninety days
}

// Rows and Size are how many rows the file has, and how many bytes at most.
const (
	Rows = 24*60 + 30*24*4 + 90*24
	Size = headSize + Rows*rowSize
)

// A file begins with a head of fixed size: a word, and the names of the columns in their order. A row is the second it begins with, since
// 1970, a checksum of all the rest, four bytes of nothing, and the columns' values; NaN is none.
const (
	maxColumns = 128
	headSize   = 16 << 10
	rowHead    = 16
	rowSize    = rowHead + 8*maxColumns
	magic      = "mtguard history 1\n"
)

// History is an open file.
type History struct {
	mu      sync.Mutex
	f       *os.File
	columns []Column // those of Open
	place   []int    // of each in a row
}

// Open opens a file, or makes one. A column that it does not have yet it gets; one that columns do not name keeps its place, in case it
// comes back. A file that is damaged, or full of other columns, is begun anew, and the log says so.
func Open(path string, columns []Column, log *slog.Logger) (*History, error) {
	if len(columns) > maxColumns {
		return nil, fmt.Errorf("history: %d columns, at most %d", len(columns), maxColumns)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	h := &History{f: f, columns: slices.Clone(columns)}
	names, err := h.head()
	if err == nil {
		err = h.settle(names)
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			log.Warn("history of the node's numbers begins anew", "file", path, "error", err)
		}
		if err = f.Truncate(0); err == nil {
			err = h.settle(nil)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

var errDamaged = errors.New("it is damaged")

// head reads the names; io.EOF means an empty file.
func (h *History) head() (names []string, err error) {
	b := make([]byte, headSize)
	if n, err := h.f.ReadAt(b, 0); err != nil {
		if err == io.EOF && n > 0 {
			return nil, errDamaged
		}
		return nil, err
	}
	text, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || binary.LittleEndian.Uint32(b[headSize-4:]) != crc32.ChecksumIEEE(b[:headSize-4]) {
		return nil, errDamaged
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	if json.Unmarshal(text, &names) != nil || len(names) > maxColumns {
		return nil, errDamaged
	}
	return names, nil
}

// settle finds a place for every column, and writes the head if there are new ones.
func (h *History) settle(names []string) error {
	had := len(names)
	h.place = h.place[:0]
	for _, c := range h.columns {
		i := slices.Index(names, c.Name)
		if i < 0 {
			i = len(names)
			names = append(names, c.Name)
		}
		h.place = append(h.place, i)
	}
	if len(names) == had {
		return nil
	}
	if len(names) > maxColumns {
		return errors.New("it has no room for more columns")
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	b := make([]byte, headSize)
	if len(magic)+len(text)+5 > headSize {
		return errors.New("the names of the columns are too long")
	}
	copy(b[copy(b, magic):], append(text, '\n'))
	_, err = h.f.WriteAt(sealHead(b), 0)
	return err
}

func sealHead(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[headSize-4:], crc32.ChecksumIEEE(b[:headSize-4]))
	return b
}

// Add takes one value of every column in, NaN for none, at a time.
func (h *History) Add(at time.Time, values []float64) error {
	if len(values) != len(h.columns) {
		return fmt.Errorf("history: %d values of %d columns", len(values), len(h.columns))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := make([]byte, rowSize)
	for _, t := range tiers {
		start := floor(at.Unix(), t.step)
		if start < 0 {
			return fmt.Errorf("history: %v is no time", at)
		}
		row := h.read(t, start, b)
		for i, v := range values {
			p := h.place[i]
			row[p] = merge(h.columns[i].Max, row[p], v)
		}
		if err := h.write(t, start, row, b); err != nil {
			return err
		}
	}
	return nil
}

func merge(most bool, a, b float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	case most:
		return max(a, b)
	}
	return a + b
}

func floor(unix, step int64) int64 { return unix - (unix%step+step)%step }

func (t tier) offset(start int64) int64 {
	return headSize + (t.first+start/t.step%t.rows)*rowSize
}

// read returns the row that begins at start; one of nothing when it is not there. b is room for it.
func (h *History) read(t tier, start int64, b []byte) (row [maxColumns]float64) {
	if n, err := h.f.ReadAt(b, t.offset(start)); err == nil && n == rowSize {
		if at, ok := decode(b, &row); ok && at == start {
			return row
		}
	}
	for i := range row {
		row[i] = math.NaN()
	}
	return row
}

func (h *History) write(t tier, start int64, row [maxColumns]float64, b []byte) error {
	binary.LittleEndian.PutUint64(b, uint64(start))
	clear(b[8:rowHead])
	for i, v := range row {
		binary.LittleEndian.PutUint64(b[rowHead+8*i:], math.Float64bits(v))
	}
	binary.LittleEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b))
	_, err := h.f.WriteAt(b, t.offset(start))
	return err
}

// decode reads a row; ok is false for one that was never written, or not as a whole.
func decode(b []byte, row *[maxColumns]float64) (start int64, ok bool) {
	sum := binary.LittleEndian.Uint32(b[8:])
	clear(b[8:12])
	if start = int64(binary.LittleEndian.Uint64(b)); start == 0 || sum != crc32.ChecksumIEEE(b) {
		return 0, false
	}
	for i := range row {
		row[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[rowHead+8*i:]))
	}
	return start, true
}

// Close closes the file.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.f.Close()
}
