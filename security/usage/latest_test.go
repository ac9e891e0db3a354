package usage

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// TestLatestKnowsWhomAnySightingsSaw, restored ones too, and whom they have forgotten since.
func TestLatestKnowsWhomAnySightingsSaw(t *testing.T) {
	var l Latest
	a, b := NewSightings([32]byte{1}).Telling(&l), NewSightings([32]byte{1}).Telling(&l)
	one, two, three := addr("192.0.2.1"), addr("2001:db8::1"), addr("192.0.2.3")
	a.See(one, start)
	b.See(one, start.Add(time.Hour))
	a.See(one, start.Add(time.Minute)) // came late
	b.Restore([]Sighting{{b.Pseudonym(two), start.Add(-time.Hour)}})
	a.Reset()
	for who, want := range map[netip.Addr]time.Time{one: start.Add(time.Hour), two: start.Add(-time.Hour), addr("2001:db8::2"): start.Add(-time.Hour), three: {}} {
		if got := l.Seen(a.Pseudonym(who)); !got.Equal(want) {
			t.Errorf("%v: %v, want %v", who, got, want)
		}
	}
	var none *Latest
	NewSightings([32]byte{1}).Telling(none).See(one, start)
	if !none.Seen(a.Pseudonym(one)).IsZero() {
		t.Error("nobody knows somebody")
	}
}

// TestLatestForgetsOnlyWhatIsOld: its memory is of two days, whoever comes, and whatever the order.
func TestLatestForgetsOnlyWhatIsOld(t *testing.T) {
	var l Latest
	const each = 4000
	from := func(day, i int) netip.Addr {
		var b [16]byte
		b[0] = 0x20
		binary.BigEndian.PutUint32(b[4:], uint32(day*each+i))
		return netip.AddrFrom16(b)
	}
	var s *Sightings
	for day := range 20 {
		for i := range each {
			if i%1000 == 0 {
				s = NewSightings([32]byte{1}).Telling(&l)
			}
			s.See(from(day, i), start.Add(time.Duration(day)*24*time.Hour))
		}
		for back := range min(day+1, 2) {
			for i := range each {
				if l.Seen(s.Pseudonym(from(day-back, i))).IsZero() {
					t.Fatalf("day %d: who came %d days ago is forgotten", day, back)
				}
			}
		}
	}
	n := 0
	for i := range l.shards {
		n += len(l.shards[i].last)
	}
	if n > 7*each {
		t.Errorf("%d are remembered of %d a day", n, each)
	}
}

func TestLatestIsForAll(t *testing.T) {
	var l Latest
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			s := NewSightings([32]byte{1}).Telling(&l)
			for j := range 1000 {
				who := netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)})
				s.See(who, start)
				if !l.Seen(s.Pseudonym(who)).Equal(start) {
					t.Error("not seen")
				}
			}
		})
	}
	work.Wait()
}
