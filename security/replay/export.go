package replay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// An export is, with all numbers little endian:
//
//	magic        8 bytes
//	version      uint32
//	shards       uint32
//	limit        uint64   fresh handshakes per generation of a shard
//	seed         16 bytes
//	for each shard:
//	  floor      int64
//	  ended      int64
//	  fresh      uint64
//	  cur, prev  uint64   entries of each
//	  entries    24 bytes each, those of cur first
//	SHA-256 of all the above
//
// The checksum is against accidents. Whoever can write the file on purpose can also delete it.
const (
	magic      = "mtgreply"
	version    = 1
	headerSize = 8 + 4 + 4 + 8 + 16
	shardSize  = 5 * 8
	entrySize  = 16 + 8
)

// Export writes everything c knows to w: 24 bytes for each of its entries and some 700 more. It copies one shard at a time, holding that
// shard's lock for some 0.1 ms, and writes without any lock, so FirstSeen may go on meanwhile; of the handshakes accepted while Export runs,
// some are in it.
func (c *Cache) Export(w io.Writer) error {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	b := append(make([]byte, 0, headerSize), magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.shards)))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.shards[0].limit))
	_, err := out.Write(append(b, c.seed[:]...))
	copied := make([]entry, 0, 2*tableSize(c.shards[0].limit))
	for i := 0; i < len(c.shards) && err == nil; i++ {
		copied, err = c.shards[i].export(out, copied)
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	return err
}

// export writes one shard. copied is room for a copy of both tables, and is returned to be used again.
func (s *shard) export(out *bufio.Writer, copied []entry) ([]entry, error) {
	s.mu.Lock()
	floor, ended, fresh, cur, prev := s.floor, s.ended, s.fresh, s.cur.count, s.prev.count
	copied = append(append(copied[:0], s.cur.slots...), s.prev.slots...)
	s.mu.Unlock()

	b := make([]byte, 0, shardSize)
	for _, v := range [...]uint64{uint64(floor), uint64(ended), uint64(fresh), uint64(cur), uint64(prev)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	_, err := out.Write(b)
	for i := 0; i < len(copied) && err == nil; i++ {
		if e := &copied[i]; e.sentAt != 0 {
			_, err = out.Write(binary.LittleEndian.AppendUint64(append(b[:0], e.key[:]...), uint64(e.sentAt)))
		}
	}
	return copied, err
}

// Import puts what Export wrote into c, which must be new: no handshake was fresh yet, and no other method is called meanwhile. From then on
// c gives the verdicts that the exporting Cache would have given, with one difference: c keeps its own floor where that is the higher one.
// For what the other process accepted after its export is unknown to c, and only the floor stands against copies of it. From that gap two
// kinds of copies pass, once each: those whose time was moved, and those whose own time is not below the floor, because the client's clock
// ran ahead or the start followed within a second.
//
// An export that is cut short, altered, longer than its counts say, of another version or from a Cache of another capacity is an error, and
// c stays as it was. Import takes no more memory than c can hold, whatever it reads.
func (c *Cache) Import(r io.Reader) error {
	if c.Accepted() > 0 {
		return errors.New("replay: import into a cache that is in use")
	}
	in := importer{from: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
	shards, err := in.read(c)
	switch {
	case in.err == io.EOF || in.err == io.ErrUnexpectedEOF:
		return errors.New("replay: the export is cut short")
	case in.err != nil:
		return in.err
	case err != nil:
		return fmt.Errorf("replay: %w", err)
	}
	c.seed = shards[0].seed
	for i := range c.shards {
		s, got := &c.shards[i], &shards[i]
		s.mu.Lock()
		s.seed, s.floor, s.ended, s.fresh = got.seed, max(s.floor, got.floor), got.ended, got.fresh
		s.cur, s.prev = got.cur, got.prev
		s.mu.Unlock()
	}
	return nil
}

// importer reads an export and sums what it has read. It keeps the first error of the reader in err and goes on with zeroes, so that err is
// looked at where something depends on it, and before any other error.
type importer struct {
	from *bufio.Reader
	sum  hash.Hash
	err  error
	b    [headerSize]byte // room for any part
}

// next returns the next n bytes, valid until it is called again.
func (in *importer) next(n int) []byte {
	b := in.b[:n]
	if in.err == nil {
		_, in.err = io.ReadFull(in.from, b)
	}
	if in.err != nil {
		clear(b)
	}
	in.sum.Write(b)
	return b
}

func (in *importer) read(c *Cache) ([]shard, error) {
	num := binary.LittleEndian
	b, limit := in.next(headerSize), c.shards[0].limit
	switch {
	case string(b[:8]) != magic:
		return nil, errors.New("this is no export of a replay memory")
	case num.Uint32(b[8:]) != version:
		return nil, fmt.Errorf("the export has version %d, not %d", num.Uint32(b[8:]), version)
	case num.Uint32(b[12:]) != uint32(len(c.shards)) || num.Uint64(b[16:]) != uint64(limit):
		return nil, fmt.Errorf("the export is from a memory of %d × %d handshakes, not %d × %d", num.Uint32(b[12:]), num.Uint64(b[16:]), len(c.shards), limit)
	}
	key := seed(b[24:])
	shards := make([]shard, len(c.shards))
	for i := range shards {
		shards[i].seed, shards[i].limit = key, limit
		if err := in.shard(&shards[i], func(h uint64) bool { return h>>c.shift == uint64(i) }); err != nil {
			return nil, fmt.Errorf("shard %d of the export: %w", i, err)
		}
	}
	sum := in.sum.Sum(nil)
	if !bytes.Equal(in.next(len(sum)), sum) {
		return nil, errors.New("the export was altered: its checksum is wrong")
	}
	if _, err := in.from.ReadByte(); err == nil {
		return nil, errors.New("the export goes on after its end")
	} else if err != io.EOF {
		in.err = err
	}
	return shards, nil
}

// shard reads one shard. Whatever passes is a state that some history leads to, so nothing after Import needs to be on its guard.
func (in *importer) shard(s *shard, mine func(h uint64) bool) error {
	num := binary.LittleEndian
	b := in.next(shardSize)
	s.floor, s.ended = int64(num.Uint64(b)), int64(num.Uint64(b[8:]))
	fresh, cur, prev := num.Uint64(b[16:]), num.Uint64(b[24:]), num.Uint64(b[32:])
	limit, carry := uint64(s.limit), uint64(s.limit/carryShare)
	if fresh >= limit || cur < fresh || cur > fresh+carry || prev > limit+carry || prev > 0 && prev < limit || prev == 0 && cur > fresh {
		return fmt.Errorf("it cannot hold %d and %d handshakes, %d of them fresh", cur, prev, fresh)
	}
	s.fresh = int(fresh)
	s.cur = newGeneration(s.limit)
	if prev > 0 {
		s.prev = newGeneration(s.limit)
	}
	for n := range cur + prev {
		b := in.next(entrySize)
		if in.err != nil {
			return in.err
		}
		e := entry{key: [16]byte(b), sentAt: int64(num.Uint64(b[16:]))}
		h := s.seed.hash(&e.key)
		at, twice := s.cur.find(&e.key, h)
		into := &s.cur
		if n >= cur && !twice {
			into = &s.prev
			at, twice = into.find(&e.key, h)
		}
		if twice || !mine(h) || e.sentAt == 0 {
			return errors.New("an entry that cannot be there")
		}
		into.put(at, &e.key, e.sentAt)
	}
	return nil
}
