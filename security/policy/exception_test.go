package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExceptionsThatAreRefused(t *testing.T) {
	good := Exception{ID: "e", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Controls: []string{RateAccept}, Until: noon.Add(time.Hour), Reason: "office", Owner: "nadia"}
	if err := good.Check(noon); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Exception){
		"has no ID":                      func(e *Exception) { e.ID = "" },
		"it is for nobody":               func(e *Exception) { e.Prefix = netip.Prefix{} },
		"did you mean 192.0.2.0/24":      func(e *Exception) { e.Prefix = netip.MustParsePrefix("192.0.2.7/24") },
		"is everybody":                   func(e *Exception) { e.Prefix = netip.MustParsePrefix("::/0") },
		`"de" is no country`:             func(e *Exception) { e.Country = "de" },
		"it names no control":            func(e *Exception) { e.Controls = nil },
		"it names rate.accept twice":     func(e *Exception) { e.Controls = []string{RateAccept, RateAccept} },
		"conns.total bounds memory":      func(e *Exception) { e.Controls = []string{ConnsTotal} },
		"did you mean rate.accept":       func(e *Exception) { e.Controls = []string{"rate.acept"} },
		"it has no end":                  func(e *Exception) { e.Until = time.Time{} },
		"it ends before it begins":       func(e *Exception) { e.From = e.Until },
		"say why it is needed":           func(e *Exception) { e.Reason = "" },
		"say who answers for it":         func(e *Exception) { e.Owner = "" },
		"it is over since 2026-05-04T11": func(e *Exception) { e.Until = noon.Add(-time.Hour) },
		"it lives longer than a year":    func(e *Exception) { e.Until = noon.Add(367 * day) },
		"its prefix is none":             func(e *Exception) { e.Prefix = netip.PrefixFrom(netip.MustParseAddr("192.0.2.7"), 77) },
	} {
		e := good
		change(&e)
		if err := e.Check(noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if _, err := NewExceptions([]Exception{good, good}, nil); err == nil || !strings.Contains(err.Error(), "two with this ID") {
		t.Errorf("twice the same ID: %v", err)
	}
	if _, err := NewExceptions(make([]Exception, MaxExceptions+1), nil); err == nil || !strings.Contains(err.Error(), "more than 1000") {
		t.Errorf("too many: %v", err)
	}
}

func TestExceptionMatchesAllThatItNames(t *testing.T) {
	x := exceptions(t,
		Exception{ID: "user", User: "nadia", Controls: []string{ConnsUser, RateAccept}, Until: noon.Add(1)},
		Exception{ID: "mapped", Prefix: netip.MustParsePrefix("::ffff:192.0.2.0/120"), Controls: []string{ConnsAddr}, Until: noon.Add(1)},
		Exception{ID: "all", Prefix: netip.MustParsePrefix("2001:db8::/32"), User: "omar", Country: "DE", Controls: []string{ConnsAddr}, From: noon, Until: noon.Add(1)},
		Exception{ID: "nowhere", Country: "unknown", Controls: []string{GeoCountry}, Until: noon.Add(1)},
	)
	v6 := netip.MustParseAddr("2001:db8::7")
	for _, c := range []struct {
		control string
		subj    Subject
		at      time.Time
		want    string
	}{
		{ConnsUser, Subject{User: "nadia"}, noon, "user"},
		{RateAccept, Subject{User: "nadia"}, noon, "user"},
		{ConnsKey, Subject{User: "nadia"}, noon, ""},
		{ConnsUser, Subject{User: "Nadia"}, noon, ""},
		{ConnsUser, Subject{}, noon, ""},
		{ConnsAddr, Subject{Addr: netip.MustParseAddr("192.0.2.7")}, noon, "mapped"},
		{ConnsAddr, Subject{Addr: netip.MustParseAddr("::ffff:192.0.2.7")}, noon, "mapped"},
		{ConnsAddr, Subject{Addr: netip.MustParseAddr("192.0.3.7")}, noon, ""},
		{ConnsAddr, Subject{Addr: v6, User: "omar", Country: "DE"}, noon, "all"},
		{ConnsAddr, Subject{Addr: v6.WithZone("eth0"), User: "omar", Country: "DE"}, noon, "all"},
		{ConnsAddr, Subject{Addr: v6, User: "omar", Country: "FR"}, noon, ""},
		{ConnsAddr, Subject{Addr: v6, User: "pia", Country: "DE"}, noon, ""},
		{ConnsAddr, Subject{Addr: netip.MustParseAddr("2001:db9::7"), User: "omar", Country: "DE"}, noon, ""},
		{ConnsAddr, Subject{Addr: v6, User: "omar", Country: "DE"}, noon.Add(-1), ""},
		{GeoCountry, Subject{Country: "unknown"}, noon, "nowhere"},
		{GeoCountry, Subject{Country: ""}, noon, ""}, // nobody looked: that is not the same
		{GeoCountry, Subject{Country: "unknown"}, noon.Add(1), ""},
	} {
		if id, ok := x.Match(c.control, c.subj, c.at); id != c.want || ok != (c.want != "") {
			t.Errorf("%s %+v at %v: got %q, want %q", c.control, c.subj, c.at, id, c.want)
		}
	}
}

func TestExceptionsCountAcrossRecompiles(t *testing.T) {
	list := []Exception{
		{ID: "a", User: "nadia", Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)},
		{ID: "b", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)},
	}
	first := exceptions(t, list...)
	list[1].Until = noon.Add(2 * time.Hour)
	second, err := NewExceptions(append(list, Exception{ID: "c", User: "pia", Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)}), first)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		x := []*Exceptions{first, second}[i%2] // old snapshots go on counting
		wg.Go(func() {
			for range 100 {
				x.Match(ConnsUser, Subject{User: "nadia"}, noon)
				x.Find(ConnsUser, Subject{User: "nadia"}, noon)
			}
		})
	}
	wg.Wait()
	if id, ok := second.Find(ConnsUser, Subject{User: "nadia"}, noon); id != "a" || !ok {
		t.Errorf("found %q", id)
	}
	if id, ok := second.Find(ConnsUser, Subject{User: "omar"}, noon); ok {
		t.Errorf("found %q for a stranger", id)
	}
	if n, last := second.Hits("a"); n != 400 || !last.Equal(noon) {
		t.Errorf("a was hit %d times, last at %v; want 400 at %v", n, last, noon)
	}
	for _, id := range []string{"b", "c", "nobody"} {
		if n, last := second.Hits(id); n != 0 || !last.IsZero() {
			t.Errorf("%s was hit %d times, last at %v", id, n, last)
		}
	}
	if all := second.All(); len(all) != 3 || all[0].ID != "a" || !all[1].Until.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("all: %+v", all)
	}
	var none *Exceptions
	if _, ok := none.Match(ConnsUser, Subject{User: "nadia"}, noon); ok || none.All() != nil {
		t.Error("no exceptions have one")
	}
	if n, _ := none.Hits("a"); n != 0 {
		t.Error("no exceptions were hit")
	}
}

// What is compiled does not follow what the caller does with the list later.
func TestExceptionsAreCopied(t *testing.T) {
	list := []Exception{{ID: "a", User: "nadia", Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)}}
	x := exceptions(t, list...)
	list[0].Controls[0], list[0].User = RateAccept, "omar"
	if _, ok := x.Match(ConnsUser, Subject{User: "nadia"}, noon); !ok {
		t.Error("the exception changed")
	}
}

func ExampleSnapshot_Judge() {
	spare, err := NewExceptions([]Exception{{
		ID: "office", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Controls: []string{ConnsAddr},
		Until: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), Reason: "forty people behind one address", Owner: "nadia",
	}}, nil)
	if err != nil {
		panic(err)
	}
	snap := &Snapshot{Controls: map[string]Control{ConnsAddr: {Mode: Enforce}}, Exceptions: spare}
	for _, addr := range []string{"192.0.2.7", "198.51.100.7"} {
		mode, exception := snap.Judge(ConnsAddr, Subject{Addr: netip.MustParseAddr(addr)}, time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
		fmt.Printf("%s %v %q\n", addr, mode, exception)
	}
	// Output:
	// 192.0.2.7 enforce ""
	// 198.51.100.7 monitor "office"
}

// An exception that could never spare anybody is not made.
func TestExceptionsOfWhomTheControlNeverSees(t *testing.T) {
	there := netip.MustParsePrefix("203.0.113.0/24")
	for _, c := range []struct {
		e    Exception
		want string // in the error; "": none
	}{
		{Exception{User: "nadia", Controls: []string{ConnsAddr}}, "conns.addr judges before it is known who comes"},
		{Exception{User: "nadia", Controls: []string{ConnsUser, ConnsPrefix}}, "conns.prefix judges before"},
		{Exception{User: "nadia", Prefix: there, Controls: []string{RateAccept}}, "rate.accept judges before"},
		{Exception{User: "nadia", Country: "DE", Controls: []string{RateFailures}}, "rate.failures judges before"},
		{Exception{Prefix: there, Country: "DE", Controls: []string{ConnsAddr, ConnsPrefix, RateAccept, RateFailures}}, ""},
		{Exception{Prefix: there, Controls: []string{BytesUser}}, "bytes.user counts a user's bytes"},
		{Exception{User: "nadia", Prefix: there, Controls: []string{BytesUser}}, "bytes.user counts a user's bytes"},
		{Exception{User: "nadia", Country: "DE", Controls: []string{BytesUser}}, "bytes.user counts a user's bytes"},
		{Exception{User: "nadia", Controls: []string{BytesUser, ConnsUser, ConnsKey, AddrsUser, AccessLevel, AuthStrength, EncryptionRequired}}, ""},
	} {
		c.e.ID, c.e.Reason, c.e.Owner, c.e.Until = "e", "r", "o", noon.Add(time.Hour)
		if err := c.e.Check(noon); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.e, err, c.want)
		}
		exceptions(t, c.e) // one of before is read still
	}
}
