package threat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// again is a fresh world that remembers what w saved.
func (w *world) again(t *testing.T, d ...Detector) *world {
	t.Helper()
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	next := newWorld(t, policy.Enforce, nil, d...)
	if err := next.Restore(&b, w.at); err != nil {
		t.Fatal(err)
	}
	next.at, next.rules = w.at, w.rules
	next.load()
	return next
}

// TestBlocksGrowOverRestarts: whoever was blocked before is blocked for the next longer term, again and again, and is forgiven as ever.
func TestBlocksGrowOverRestarts(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	for _, want := range terms {
		w.attack(attacker)
		b := w.blocks()
		if len(b) != 1 || b[0].For != want {
			t.Fatalf("blocks %+v, want one of %v", b, want)
		}
		w = w.again(t)
		w.attack(attacker) // the block is in force still
		if b := w.blocks(); len(b) != 0 {
			t.Fatalf("blocked twice: %+v", b)
		}
		w.at = w.at.Add(want + time.Second)
		w = w.again(t)
	}
	w.at = w.at.Add(10 * forgive)
	w = w.again(t)
	w.attack(attacker)
	if b := w.blocks(); len(b) != 1 || b[0].For != terms[0] {
		t.Errorf("long after: %+v", b)
	}
}

// TestUsualBytesOutliveARestart: three weeks are learnt, then the process ends, and what is unusual is found in the next one; a fresh one finds nothing.
func TestUsualBytesOutliveARestart(t *testing.T) {
	tr := weeks(8, 4)
	for i := range tr.events {
		var n int
		fmt.Sscanf(tr.events[i].Key, "k%d", &n)
		tr.events[i].Key = fmt.Sprintf("%016x", n+1)
	}
	at := len(tr.events) - 24
	w := newWorld(t, policy.Enforce, nil, NewByteDrift())
	play := func(w *world, events []event.Event) uint64 {
		for _, e := range events {
			w.Observe(e)
			w.at = e.Time
		}
		return w.Status().Findings["byte_drift"]
	}
	if n := play(w, tr.events[:at]); n != 0 {
		t.Fatalf("%d findings in ordinary weeks", n)
	}
	if n := play(w.again(t, NewByteDrift()), tr.events[at:]); n == 0 {
		t.Error("after a restart nothing is unusual")
	}
	if n := play(newWorld(t, policy.Enforce, nil, NewByteDrift()), tr.events[at:]); n != 0 {
		t.Errorf("one that remembers nothing finds %d: this test shows nothing", n)
	}
}

// TestABadMemoryIsRefused, and leaves the engine as it was.
func TestABadMemoryIsRefused(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil, append(Detectors(Known{}), always(12))...)
	w.attack(attacker)
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty": {nil, "no memory"}, "foreign": {bytes.Repeat([]byte("x"), 1<<16), "no memory"}, "another version": {bytes.Replace(good, []byte("memory 1"), []byte("memory 2"), 1), "no memory"},
		"cut short": {good[:len(good)/2], "cut short"}, "only its head": {good[:len(memoryHeading)+9], "cut short"}, "altered": {flipped, "altered"},
		"longer": {append(bytes.Clone(good), 0), "altered"}, "huge": {append(bytes.Clone(good), make([]byte, mostMemory)...), "more than"},
	} {
		fresh := newWorld(t, policy.Enforce, nil)
		if err := fresh.Restore(bytes.NewReader(c.file), w.at); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		fresh.attack(attacker)
		if blocks := fresh.blocks(); len(blocks) != 1 || blocks[0].For != terms[0] {
			t.Errorf("%s: afterwards %+v", name, blocks)
		}
	}
	fresh := newWorld(t, policy.Enforce, nil)
	for name, body := range map[string][]byte{
		"more than there may be": binary.LittleEndian.AppendUint32(nil, 1<<31), "fewer than it says": binary.LittleEndian.AppendUint32(nil, 3), "nothing": nil,
	} {
		if err := fresh.recall(bytes.NewReader(body), 0); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestAMemoryFromTheFutureBlocksNobodyForLonger: a clock that was ahead.
func TestAMemoryFromTheFutureBlocksNobodyForLonger(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	w.at = day0.Add(1000 * dayLong)
	w.attack(attacker)
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	next := newWorld(t, policy.Enforce, nil)
	if err := next.Restore(&b, day0); err != nil {
		t.Fatal(err)
	}
	next.at = day0.Add(7*dayLong + time.Hour)
	next.attack(attacker)
	if blocks := next.blocks(); len(blocks) != 1 {
		t.Errorf("%+v", blocks)
	}
}

// FuzzRestore: whatever a file holds, it is refused or leaves an engine that works.
func FuzzRestore(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	w := newWorld(new(testing.T), policy.Enforce, nil, Detectors(Known{})...)
	f.Add(w.remember())
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t, policy.Enforce, nil, Detectors(Known{})...)
		if w.recall(bytes.NewReader(body), day0.UnixMilli()) == nil {
			w.Observe(event.Event{Time: day0, Kind: event.Relayed, Addr: attacker, Key: "00000000000000ff", Sent: 1 << 20, Took: time.Minute})
			w.remember()
		}
	})
}
