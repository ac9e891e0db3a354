package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

func byPseudonym(a, b Sighting) int {
	switch {
	case a.Pseudonym < b.Pseudonym:
		return -1
	case a.Pseudonym > b.Pseudonym:
		return 1
	}
	return 0
}

func changed(s *Sightings) []Sighting {
	list := s.Changed()
	slices.SortFunc(list, byPseudonym)
	return list
}

func TestSightingsKeepTheLatestOfEachAddress(t *testing.T) {
	s := NewSightings([32]byte{1})
	if n, more := s.Count(); n != 0 || more || !s.First().IsZero() || !s.Last().IsZero() || s.Changed() != nil {
		t.Error("new, and has seen somebody")
	}
	one, two := addr("192.0.2.1"), addr("2001:db8::1")
	s.See(one, start)
	s.See(two, start.Add(2*time.Hour))
	s.See(one, start.Add(time.Hour))
	s.See(one, start.Add(-time.Hour)) // came late
	if n, more := s.Count(); n != 2 || more || s.First() != start.Add(-time.Hour) || s.Last() != start.Add(2*time.Hour) {
		t.Errorf("%d, %v, %v to %v", n, more, s.First(), s.Last())
	}
	list := s.Changed()
	slices.SortFunc(list, func(a, b Sighting) int { return a.Last.Compare(b.Last) })
	if len(list) != 2 || list[0].Last != start.Add(time.Hour) || list[1].Last != start.Add(2*time.Hour) || list[0].Pseudonym == list[1].Pseudonym {
		t.Errorf("%v", list)
	}
	if again := s.Changed(); again != nil {
		t.Errorf("changed again: %v", again)
	}
	s.See(one, start.Add(time.Hour)) // nothing new
	s.See(two, start.Add(3*time.Hour))
	if again := s.Changed(); len(again) != 1 || again[0] != (Sighting{list[1].Pseudonym, start.Add(3 * time.Hour)}) {
		t.Errorf("changed later: %v", again)
	}
	s.Reset()
	if n, _ := s.Count(); n != 0 || !s.Last().IsZero() {
		t.Error("reset, and still knows somebody")
	}
}

func TestSightingsSurviveARestart(t *testing.T) {
	key := [32]byte{1, 2, 3}
	before := NewSightings(key)
	for i := range 10 {
		before.See(v4(i), start.Add(time.Duration(i)*time.Minute))
	}
	saved := changed(before)
	after := NewSightings(key)
	after.Restore(saved)
	if after.Changed() != nil {
		t.Error("restoring is a change")
	}
	if n, more := after.Count(); n != 10 || more || after.First() != start || after.Last() != start.Add(9*time.Minute) {
		t.Errorf("%d, %v, %v to %v", n, more, after.First(), after.Last())
	}
	after.See(v4(3), start.Add(time.Hour))
	if n, _ := after.Count(); n != 10 || len(after.Changed()) != 1 {
		t.Errorf("%d after a known one came back", n)
	}
	after.Restore(saved)
	if after.Last() != start.Add(time.Hour) || after.Changed() != nil {
		t.Error("restoring made somebody older")
	}
}

// TestPseudonymIsTheHMAC computes it by the definition, so that what is stored stays valid.
func TestPseudonymIsTheHMAC(t *testing.T) {
	key := [32]byte{9, 8, 7}
	for text, raw := range map[string]string{
		"192.0.2.1":        "\x04\x00\x00\x00\x00\xc0\x00\x02\x01",
		"2001:db8:1:2::42": "\x06\x20\x01\x0d\xb8\x00\x01\x00\x02",
	} {
		s := NewSightings(key)
		s.See(addr(text), start)
		h := hmac.New(sha256.New, key[:])
		h.Write([]byte(raw))
		if got, want := s.Changed()[0].Pseudonym, Pseudonym(binary.BigEndian.Uint64(h.Sum(nil))); got != want {
			t.Errorf("%s: %x, want %x", text, got, want)
		}
		other := NewSightings([32]byte{1})
		other.See(addr(text), start)
		if s.Missing(other) != 1 {
			t.Errorf("%s: the same pseudonym under another key", text)
		}
	}
}

func TestMissingAreThoseWhoHaveNotMoved(t *testing.T) {
	old, fresh := NewSightings([32]byte{1}), NewSightings([32]byte{1})
	if old.Missing(fresh) != 0 || old.Missing(nil) != 0 {
		t.Error("somebody is missing among nobody")
	}
	for i := range 5 {
		old.See(v4(i), start)
	}
	if old.Missing(fresh) != 5 || old.Missing(nil) != 5 || old.Missing(old) != 0 || fresh.Missing(old) != 0 {
		t.Error("not everybody is missing")
	}
	for i := 3; i < 9; i++ {
		fresh.See(v4(i), start)
	}
	if got := old.Missing(fresh); got != 3 {
		t.Errorf("%d are missing, want 3", got)
	}
}

func TestSightingsAreBounded(t *testing.T) {
	s := NewSightings([32]byte{1})
	for i := range MaxSightings {
		s.See(v4(i), start)
	}
	if n, more := s.Count(); n != MaxSightings || more {
		t.Errorf("%d, more %v", n, more)
	}
	for i := range 3 * MaxSightings {
		s.See(v4(MaxSightings+i), start.Add(time.Minute))
	}
	if n, more := s.Count(); n != MaxSightings || !more || s.Last() != start.Add(time.Minute) || s.String() != "sightings of 1024 or more" {
		t.Errorf("%d, more %v, %v", n, more, s)
	}
	saved := s.Changed()
	again := NewSightings([32]byte{1})
	again.Restore(saved)
	if n, more := again.Count(); n != MaxSightings || !more {
		t.Errorf("restored %d, more %v", n, more)
	}
	again.Restore([]Sighting{{Pseudonym: 1, Last: start}})
	if n, _ := again.Count(); n != MaxSightings {
		t.Errorf("restored to %d", n)
	}
	again.Reset()
	if _, more := again.Count(); more {
		t.Error("more after a reset")
	}
}

func TestNoSightingsSeeNobody(t *testing.T) {
	var s *Sightings
	s.See(addr("192.0.2.1"), start)
	s.Restore([]Sighting{{1, start}})
	s.Reset()
	if n, more := s.Count(); n != 0 || more || s.Changed() != nil || !s.First().IsZero() || !s.Last().IsZero() || s.Missing(NewSightings([32]byte{})) != 0 {
		t.Error("nobody was seen")
	}
	if got := s.String(); got != "sightings of 0" {
		t.Error(got)
	}
}

// TestSightingsAreSharedByMany sees from all sides; no change may be lost and none be given twice.
func TestSightingsAreSharedByMany(t *testing.T) {
	s, other := NewSightings([32]byte{1}), NewSightings([32]byte{1})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 100 {
				s.See(v4(i*100+n), start)
				other.See(v4(n), start)
			}
		})
	}
	var list []Sighting
	for range 50 {
		list = append(list, s.Changed()...)
		s.Missing(other)
		other.Missing(s) // crosswise, which must not lock up
	}
	wg.Wait()
	list = append(list, s.Changed()...)
	slices.SortFunc(list, byPseudonym)
	if whole := len(list); whole != 400 || len(slices.Compact(list)) != 400 || s.Missing(other) != 300 {
		t.Errorf("%d changes, %d missing", whole, s.Missing(other))
	}
}

func TestSightingsDoNotPrintTheirKey(t *testing.T) {
	s := NewSightings([32]byte([]byte("canary-leak-testcanary-leak-test")))
	s.See(addr("192.0.2.77"), start)
	for _, v := range []any{s, struct{ s *Sightings }{s}, struct{ S *Sightings }{s}, []*Sightings{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			text := fmt.Sprintf(verb, v)
			for _, leak := range []string{"canary", "63616e617279", "99 97 110", "0x63, 0x61", "192.0.2.77"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s prints %q", verb, text)
				}
			}
		}
	}
}

func BenchmarkSee(b *testing.B) {
	s := NewSightings([32]byte{1})
	at := start
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		s.See(netip.AddrFrom4([4]byte{192, 0, 2, 1}), at)
	}
}

func ExampleSightings() {
	key := [32]byte{ /* drawn once, and kept */ }
	old, fresh := NewSightings(key), NewSightings(key)
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	old.See(netip.MustParseAddr("192.0.2.1"), at)
	old.See(netip.MustParseAddr("2001:db8::1"), at.Add(time.Hour))
	fresh.See(netip.MustParseAddr("192.0.2.1"), at.Add(2*time.Hour))
	fmt.Printf("%d still on the old secret, last used %v\n", old.Missing(fresh), old.Last())
	// Output:
	// 1 still on the old secret, last used 2026-01-02 04:04:00 +0000 UTC
}
