package preview

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The file begins with one slot's room for its header: the magic, the version, the
// size of a slot and how many there are, and a CRC-32C of all that.
const (
	magic      = "mtguard preview\n"
	version    = 2
	headerSize = 32
	// chunk is how many slots are read at a time.
	chunk = 512
	// maxNumber keeps numbers of records from running over: at a million a second
	// it lasts for a hundred thousand years.
	maxNumber = 1 << 62
)

// ErrForeign is the error for a file that is something else.
var ErrForeign = errors.New("it is no record of connections")

// ring is the file. One goroutine at a time writes; any number may read meanwhile,
// up to a last that they were told.
type ring struct {
	f     *os.File
	slots uint64
	last  uint64 // number of the newest record
	buf   []byte
}

// openRing opens the file, or makes it. One of another version or size begins
// anew: what was recorded helps somebody to decide, and is not worth a failure.
func openRing(path string, size int64) (*ring, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	r := &ring{f: f, slots: uint64(max(size/slotSize-1, 1))}
	if err := r.prepare(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *ring) prepare() error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return ErrForeign
	}
	if info.Mode().Perm() != 0o600 {
		if err := r.f.Chmod(0o600); err != nil {
			return err
		}
	}
	var found [headerSize]byte
	n, err := r.f.ReadAt(found[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	want := r.header()
	switch {
	case bytes.Equal(found[:n], want):
	case n == 0, n == headerSize && found == [headerSize]byte{}, bytes.HasPrefix(found[:n], []byte(magic)):
		return r.format(want)
	default:
		return ErrForeign
	}
	if err := r.f.Truncate(r.offset(r.slots)); err != nil {
		return err
	}
	return r.find()
}

func (r *ring) header() []byte {
	h := make([]byte, 0, headerSize)
	h = append(h, magic...)
	h = binary.LittleEndian.AppendUint32(h, version)
	h = binary.LittleEndian.AppendUint32(h, slotSize)
	h = binary.LittleEndian.AppendUint32(h, uint32(r.slots))
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

func (r *ring) format(header []byte) error {
	if err := r.f.Truncate(0); err != nil {
		return err
	}
	if _, err := r.f.WriteAt(header, 0); err != nil {
		return err
	}
	return r.f.Truncate(r.offset(r.slots))
}

// offset is where the slot with that index lies.
func (r *ring) offset(index uint64) int64 { return int64(index+1) * slotSize }

// find looks for the newest record.
func (r *ring) find() error {
	return r.scan(0, r.slots, func(index uint64, slot []byte) bool {
		if number, ok := numberOf(slot); ok && number <= maxNumber && (number-1)%r.slots == index && number > r.last {
			r.last = number
		}
		return true
	})
}

// scan reads n slots from an index on, and goes on at the beginning when it comes to
// the end of the file.
func (r *ring) scan(from, n uint64, each func(index uint64, slot []byte) bool) error {
	buf := make([]byte, chunk*slotSize)
	for n > 0 {
		part := min(n, chunk, r.slots-from)
		got, err := r.f.ReadAt(buf[:part*slotSize], r.offset(from))
		if err != nil && err != io.EOF {
			return err
		}
		clear(buf[got:])
		for i := range part {
			if !each(from+i, buf[i*slotSize:(i+1)*slotSize]) {
				return nil
			}
		}
		from, n = (from+part)%r.slots, n-part
	}
	return nil
}

// write appends records. written is how many found room in their slots; the others
// are left out.
func (r *ring) write(list []Record) (written int, err error) {
	for len(list) > 0 {
		first := r.last
		index := first % r.slots
		r.buf = r.buf[:0]
		n := uint64(0)
		for len(list) > 0 && n < chunk && index+n < r.slots {
			at := len(r.buf)
			r.buf = append(r.buf, make([]byte, slotSize)...)
			if encode(r.buf[at:], first+n+1, &list[0]) {
				n++
			} else {
				r.buf = r.buf[:at]
			}
			list = list[1:]
		}
		if _, err := r.f.WriteAt(r.buf, r.offset(index)); err != nil {
			return written, err
		}
		r.last = first + n
		written += int(n)
	}
	return written, nil
}

// read calls each with the records that are there up to number last, in the order in
// which they were written, until it returns false. Torn ones are left out, and those
// that are overwritten meanwhile.
func (r *ring) read(last uint64, each func(Record) bool) error {
	number := last - min(last, r.slots)
	texts := make(map[string]string)
	intern := func(b []byte) string {
		text, ok := texts[string(b)]
		if !ok {
			text = string(b)
			texts[text] = text
		}
		return text
	}
	return r.scan(number%r.slots, last-number, func(_ uint64, slot []byte) bool {
		number++
		if found, ok := numberOf(slot); !ok || found != number {
			return true
		}
		record, ok := decode(slot, intern)
		return !ok || each(record)
	})
}

func (r *ring) close() error { return errors.Join(r.f.Sync(), r.f.Close()) }
