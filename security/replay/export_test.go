package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

func exported(t interface{ Fatal(...any) }, c *Cache) []byte {
	var b bytes.Buffer
	if err := c.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func imported(t interface{ Fatal(...any) }, capacity int, start time.Time, export []byte) *Cache {
	c := New(capacity, start)
	if err := c.Import(bytes.NewReader(export)); err != nil {
		t.Fatal(err)
	}
	return c
}

// history draws handshakes as they may come: few keys, clocks of every kind, also ours running back, and copies of earlier ones.
type history struct {
	t    *rapid.T
	now  time.Time
	sent map[uint64][]time.Time
}

func (h *history) next() (key uint64, sentAt time.Time) {
	h.now = h.now.Add(time.Duration(rapid.IntRange(-2, 20).Draw(h.t, "elapsed")) * time.Second)
	key = rapid.Uint64Range(0, 120).Draw(h.t, "key")
	sentAt = h.now.Add(time.Duration(rapid.IntRange(-300, 300).Draw(h.t, "skew")) * time.Second)
	if past := h.sent[key]; len(past) > 0 && rapid.Bool().Draw(h.t, "verbatim") {
		sentAt = rapid.SampledFrom(past).Draw(h.t, "past")
	}
	h.sent[key] = append(h.sent[key], sentAt)
	return key, sentAt
}

// Without a restart of the floor, exported and imported caches cannot be told apart by any later history.
func TestImportGivesTheSameVerdicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		old := New(capacity, start)
		h := history{t, start, make(map[uint64][]time.Time)}
		for range rapid.IntRange(0, 300).Draw(t, "before") {
			key, sentAt := h.next()
			old.FirstSeen(numbered(key), sentAt, h.now)
		}
		again := imported(t, capacity, start.Add(-time.Hour), exported(t, old))
		for range rapid.IntRange(1, 200).Draw(t, "after") {
			key, sentAt := h.next()
			if a, b := old.FirstSeen(numbered(key), sentAt, h.now), again.FirstSeen(numbered(key), sentAt, h.now); a != b {
				t.Fatalf("key %d sent %v: the exported cache says %v, the imported one %v", key, sentAt, a, b)
			}
			if a, b := old.Floor(), again.Floor(); !a.Equal(b) || old.Len() != again.Len() {
				t.Fatalf("floors %v and %v, lengths %d and %d", a, b, old.Len(), again.Len())
			}
		}
	})
}

// The same for a cache of many shards whose generations turn at different moments.
func TestImportOfManyShards(t *testing.T) {
	const capacity, total = 1 << 14, 100_000
	at := func(i uint64) time.Time { // some clocks run ahead, so that entries are carried
		return start.Add(time.Duration(i)*time.Millisecond + time.Duration(i%100/99)*5*time.Minute)
	}
	old := New(capacity, start)
	step := func(i uint64, caches ...*Cache) (v Verdict) {
		now := start.Add(time.Duration(i) * time.Millisecond)
		for n, c := range caches {
			got := c.FirstSeen(numbered(i), at(i), now)
			if past := i * 31 % (3 * capacity); past < i && i%3 == 0 { // also copies, moved in time and not
				got = 10*got + c.FirstSeen(numbered(i-past), []time.Time{now, at(i - past)}[i/3%2], now)
			}
			if n > 0 && got != v {
				t.Fatalf("handshake %d: verdicts %d and %d", i, v, got)
			}
			v = got
		}
		return v
	}
	for i := range uint64(total / 2) {
		step(i, old)
	}
	if len(old.shards) < 8 || old.shards[0].fresh == old.shards[1].fresh {
		t.Fatalf("%d shards with %d and %d: this tests nothing", len(old.shards), old.shards[0].fresh, old.shards[1].fresh)
	}
	again := imported(t, capacity, start, exported(t, old))
	counts := make(map[Verdict]int)
	for i := uint64(total / 2); i < total; i++ {
		counts[step(i, old, again)]++
	}
	for _, v := range []Verdict{Fresh, 10*Fresh + Seen, 10*Fresh + BelowFloor} {
		if counts[v] == 0 {
			t.Errorf("verdict %d never came: %v", v, counts)
		}
	}
	if old.Floor().Before(start) || !old.Floor().Equal(again.Floor()) {
		t.Errorf("floors %v and %v, want one that has risen", old.Floor(), again.Floor())
	}
}

// Processes export, accept more, and die; the next one imports. Nothing is accepted twice, and of the last capacity handshakes no copy moved in
// time, except for what was accepted after an export: of that only what was sent before the start is refused. Clocks may be set back meanwhile.
func TestRestartAfterAGap(t *testing.T) {
	type handshake struct {
		key    uint64
		sentAt time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		h := history{t, start, make(map[uint64][]time.Time)}
		var accepted []handshake
		c, floor := New(capacity, h.now), h.now.Add(-time.Second)
		last := struct {
			export   []byte
			accepted int
			floor    time.Time
		}{exported(t, c), 0, floor}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch rapid.IntRange(0, 30).Draw(t, "what") {
			case 0:
				last.export, last.accepted, last.floor = exported(t, c), len(accepted), floor
			case 1:
				h.now = h.now.Add(time.Duration(rapid.IntRange(-30, 60).Draw(t, "down")) * time.Second)
				c, accepted, floor = imported(t, capacity, h.now, last.export), accepted[:last.accepted], h.now.Add(-time.Second)
				if floor.Before(last.floor) {
					floor = last.floor
				}
			}
			key, sentAt := h.next()
			if c.FirstSeen(numbered(key), sentAt, h.now) != Fresh {
				continue
			}
			switch {
			case sentAt.Before(floor):
				t.Fatalf("key %d sent %v is fresh below a start's floor %v", key, sentAt, floor)
			case slices.Contains(accepted, handshake{key, sentAt}):
				t.Fatalf("key %d sent %v was accepted twice", key, sentAt)
			case slices.ContainsFunc(accepted[max(0, len(accepted)-capacity):], func(k handshake) bool { return k.key == key }):
				t.Fatalf("key %d, one of the last %d, was accepted moved in time", key, capacity)
			}
			accepted = append(accepted, handshake{key, sentAt})
		}
	})
}

// filled returns a cache of two generations and some, four shards, and its export.
func filled(t interface{ Fatal(...any) }) (*Cache, []byte) {
	c := New(4096, start)
	for i := range uint64(7000) {
		now := start.Add(time.Duration(i) * time.Millisecond)
		c.FirstSeen(numbered(i), now, now)
	}
	return c, exported(t, c)
}

// resum replaces the checksum of an export by the right one.
func resum(export []byte) []byte {
	if len(export) < sha256.Size {
		return export
	}
	body := export[: len(export)-sha256.Size : len(export)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// A bad export is refused with its reason, and the cache is as if nothing had been tried.
func TestImportRefuses(t *testing.T) {
	_, good := filled(t)
	changed := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return resum(b)
	}
	put := func(at int, v uint64) []byte {
		return changed(func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) })
	}
	const firstShard, firstEntry = headerSize, headerSize + shardSize
	fresh := binary.LittleEndian.Uint64(good[firstShard+16:])
	var small bytes.Buffer
	if err := New(100, start).Export(&small); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[firstEntry+16] ^= 1 // a time
	for _, c := range []struct {
		name   string
		export []byte
		want   string
	}{
		{"nothing", nil, "cut short"},
		{"a part of the header", good[:headerSize-1], "cut short"},
		{"no shards", good[:headerSize], "cut short"},
		{"no entries", good[:firstEntry], "cut short"},
		{"half an entry", good[:firstEntry+entrySize/2], "cut short"},
		{"no checksum", good[:len(good)-sha256.Size], "cut short"},
		{"half a checksum", good[:len(good)-1], "cut short"},
		{"something else", []byte(strings.Repeat("other file\n", 1000)), "no export"},
		{"the next version", changed(func(b []byte) { b[8]++ }), "version 2, not 1"},
		{"another capacity", small.Bytes(), "1 × 100 handshakes, not 4 ×"},
		{"a flipped bit", flipped, "checksum"},
		{"another seed", changed(func(b []byte) { b[headerSize-1] ^= 1 }), "shard 0 of the export: an entry that cannot"},
		{"more after the end", append(bytes.Clone(good), 0), "after its end"},
		{"as many entries as memory", put(firstShard+24, 1<<63), "cannot hold"},
		{"more fresh ones than entries", put(firstShard+16, fresh+1), "cannot hold"},
		{"a full generation", put(firstShard+16, 1<<40), "cannot hold"},
		{"too many carried", put(firstShard+16, fresh-fresh/2), "cannot hold"},
		{"half a generation before", put(firstShard+32, 5), "cannot hold"},
		{"an entry twice", changed(func(b []byte) { copy(b[firstEntry:][:entrySize], b[firstEntry+entrySize:]) }), "an entry that cannot"},
		{"an entry without time", put(firstEntry+16, 0), "an entry that cannot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			into := New(4096, start.Add(time.Hour))
			seed := into.seed
			err := into.Import(bytes.NewReader(c.export))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "replay: ") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if into.Len() != 0 || !into.Floor().Equal(start.Add(time.Hour-time.Second)) || into.seed != seed {
				t.Errorf("the cache was changed: %d entries, floor %v", into.Len(), into.Floor())
			}
			if v := into.FirstSeen(numbered(1), start.Add(time.Hour), start.Add(time.Hour)); v != Fresh {
				t.Errorf("afterwards a handshake is %v", v)
			}
		})
	}
}

func TestImportIntoACacheInUse(t *testing.T) {
	_, good := filled(t)
	c := New(4096, start)
	c.FirstSeen(numbered(9999), start, start)
	if err := c.Import(bytes.NewReader(good)); err == nil || c.Len() != 1 {
		t.Errorf("error %v with %d entries, want a refusal that keeps the one", err, c.Len())
	}
}

// Readers and writers that fail, or give little at a time.
func TestExportAndImportMeetErrors(t *testing.T) {
	c, good := filled(t)
	broken := errors.New("broken")
	if err := New(4096, start).Import(io.MultiReader(bytes.NewReader(good[:5000]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("Import: %v, want the reader's error", err)
	}
	if err := New(4096, start).Import(io.MultiReader(bytes.NewReader(good), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("Import with an error at the end: %v, want the reader's", err)
	}
	again := New(4096, start)
	if err := again.Import(iotest.OneByteReader(bytes.NewReader(good))); err != nil || again.Len() != c.Len() {
		t.Errorf("Import byte by byte: %v, %d of %d entries", err, again.Len(), c.Len())
	}
	for _, room := range []int{0, 10, 1 << 16, len(good) - 1} {
		if err := c.Export(&fullDisk{room, broken}); !errors.Is(err, broken) {
			t.Errorf("Export with room for %d bytes: %v, want the writer's error", room, err)
		}
	}
}

type fullDisk struct {
	room int
	err  error
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return d.room, d.err
	}
	d.room -= len(b)
	return len(b), nil
}

// While a cache is exported it goes on; what comes out is whole, and holds all that was there before.
func TestExportWhileInUse(t *testing.T) {
	c, _ := filled(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := uint64(7000); ; i++ {
			select {
			case <-stop:
				return
			default:
				c.FirstSeen(numbered(i), start.Add(time.Minute), start.Add(time.Minute))
			}
		}
	}()
	for range 50 {
		before := c.Accepted()
		again := imported(t, 4096, start, exported(t, c))
		if n := uint64(again.Len()); n < min(before, 4096) {
			t.Errorf("%d entries after %d acceptances", n, before)
		}
	}
	close(stop)
	<-stopped
}

func TestAcceptedTellsWhatIsNew(t *testing.T) {
	c, _ := filled(t)
	n := c.Accepted()
	c.FirstSeen(numbered(1), start, start)                    // seen, or below the floor
	c.FirstSeen(numbered(8000), start.Add(-time.Hour), start) // below the floor
	if c.Accepted() != n || n != 7000 {
		t.Errorf("%d, then %d after refusals, want 7000", n, c.Accepted())
	}
	c.FirstSeen(numbered(8000), start.Add(time.Hour), start)
	if c.Accepted() != n+1 {
		t.Errorf("%d after one more, want %d", c.Accepted(), n+1)
	}
}

// The size that Export's comment promises.
func TestExportSize(t *testing.T) {
	for _, capacity := range []int{1, 100, 1 << 17} {
		c := New(capacity, start)
		for i := range uint64(2*capacity + 7) {
			c.FirstSeen(numbered(i), start, start)
		}
		if n := len(exported(t, c)) - c.Len()*entrySize; n <= 0 || n > 720 {
			t.Errorf("capacity %d: %d bytes beside the entries", capacity, n)
		}
	}
}

// FuzzImport: what is accepted is a state like any other. All its entries are seen, the cache works on within its bounds, and the export of it
// is accepted, too. What is refused leaves no trace. Half of the inputs get a right checksum, else none would come far.
func FuzzImport(f *testing.F) {
	const capacity = 10
	for _, n := range []uint64{0, 3, 10, 14, 25, 100} {
		c := New(capacity, start)
		for i := range n {
			now := start.Add(time.Duration(i) * time.Second)
			c.FirstSeen(numbered(i), now.Add(time.Duration(i%5/4)*time.Hour), now)
		}
		f.Add(exported(f, c), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum {
			b = resum(b)
		}
		c := New(capacity, start)
		if err := c.Import(bytes.NewReader(b)); err != nil {
			if c.Len() != 0 || !c.Floor().Equal(start.Add(-time.Second)) {
				t.Fatalf("refused (%v), and there are %d entries, floor %v", err, c.Len(), c.Floor())
			}
			return
		}
		entries := b[headerSize+shardSize : len(b)-sha256.Size]
		if len(entries) != c.Len()*entrySize {
			t.Fatalf("%d entries of %d bytes", c.Len(), len(entries))
		}
		again := imported(t, capacity, start, exported(t, c))
		if again.Len() != c.Len() || !again.Floor().Equal(c.Floor()) {
			t.Fatalf("%d entries and floor %v became %d and %v", c.Len(), c.Floor(), again.Len(), again.Floor())
		}
		now := c.Floor().Add(time.Hour)
		for e := entries; len(e) > 0; e = e[entrySize:] {
			if v := c.FirstSeen([16]byte(e), now, now); v != Seen {
				t.Fatalf("an entry is %v", v)
			}
		}
		for i := range uint64(5 * capacity) {
			key := numbered(1<<32 + i)
			if a, b := c.FirstSeen(key, now, now), again.FirstSeen(key, now, now); a != b {
				t.Fatalf("handshake %d is %v and %v", i, a, b)
			}
			if n := c.Len(); n > 2*(capacity+capacity/carryShare) {
				t.Fatalf("%d entries in a cache for %d", n, capacity)
			}
		}
	})
}

func BenchmarkExport(b *testing.B) {
	c := New(1<<17, start)
	for i := range uint64(1 << 18) {
		c.FirstSeen(numbered(i), start, start)
	}
	b.SetBytes(int64(len(exported(b, c))))
	for b.Loop() {
		c.Export(io.Discard)
	}
}

func BenchmarkImport(b *testing.B) {
	c := New(1<<17, start)
	for i := range uint64(1 << 18) {
		c.FirstSeen(numbered(i), start, start)
	}
	export := exported(b, c)
	b.SetBytes(int64(len(export)))
	for b.Loop() {
		imported(b, 1<<17, start, export)
	}
}
