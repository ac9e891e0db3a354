package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func exceptions(t testing.TB, list ...Exception) *Exceptions {
	t.Helper()
	x, err := NewExceptions(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestJudge(t *testing.T) {
	nadia := Subject{Addr: netip.MustParseAddr("192.0.2.7"), User: "nadia", Country: "DE"}
	spare := exceptions(t, Exception{ID: "e1", User: "nadia", Controls: []string{ConnsAddr}, Until: noon.Add(time.Hour)})
	in := func(m Mode) map[string]Control { return map[string]Control{ConnsAddr: {Mode: m}} }
	for _, c := range []struct {
		name    string
		s       *Snapshot
		control string
		at      time.Time
		mode    Mode
		id      string
	}{
		{"without a policy", nil, ConnsAddr, noon, Monitor, ""},
		{"a bound without a policy", nil, ConnsTotal, noon, Enforce, ""},
		{"enforced", &Snapshot{Controls: in(Enforce)}, ConnsAddr, noon, Enforce, ""},
		{"spared", &Snapshot{Controls: in(Enforce), Exceptions: spare}, ConnsAddr, noon, Monitor, "e1"},
		{"spared until the end", &Snapshot{Controls: in(Enforce), Exceptions: spare}, ConnsAddr, noon.Add(time.Hour - 1), Monitor, "e1"},
		{"not spared from the end on", &Snapshot{Controls: in(Enforce), Exceptions: spare}, ConnsAddr, noon.Add(time.Hour), Enforce, ""},
		{"spared another control", &Snapshot{Controls: map[string]Control{RateAccept: {Mode: Enforce}}, Exceptions: spare}, RateAccept, noon, Enforce, ""},
		{"spared what is only watched", &Snapshot{Controls: in(Monitor), Exceptions: spare}, ConnsAddr, noon, Monitor, "e1"},
		{"spared what is off", &Snapshot{Controls: in(Off), Exceptions: spare}, ConnsAddr, noon, Off, ""},
		{"broken glass", &Snapshot{Controls: in(Enforce), Glass: noon.Add(1)}, ConnsAddr, noon, Monitor, ""},
		{"broken glass does not turn a control on", &Snapshot{Controls: in(Off), Glass: noon.Add(1)}, ConnsAddr, noon, Off, ""},
		{"broken glass ends by itself", &Snapshot{Controls: in(Enforce), Glass: noon}, ConnsAddr, noon, Enforce, ""},
		{"broken glass and memory", &Snapshot{Glass: noon.Add(time.Hour)}, HalfOpen, noon, Enforce, ""},
	} {
		if m, id := c.s.Judge(c.control, nadia, c.at); m != c.mode || id != c.id {
			t.Errorf("%s: got %v %q, want %v %q", c.name, m, id, c.mode, c.id)
		}
	}
}

// TestAccessRulesDrawOnce: what judges an address before its user is known judges it the same afterwards, whoever the user is.
func TestAccessRulesDrawOnce(t *testing.T) {
	s := &Snapshot{Seed: [16]byte{7}, Controls: map[string]Control{}}
	for _, name := range []string{AccessLevel, AccessPattern, GeoCountry} {
		s.Controls[name] = Control{Enforce, 10}
		enforced := 0
		for i := range 5000 {
			before, _ := s.Judge(name, Subject{Addr: client(i)}, noon)
			after, _ := s.Judge(name, Subject{Addr: client(i), User: "user-" + strconv.Itoa(i)}, noon)
			if before != after {
				t.Fatalf("%s: %v is in %v, and with a user in %v", name, client(i), before, after)
			}
			if after == Enforce {
				enforced++
			}
		}
		if enforced < 350 || enforced > 650 {
			t.Errorf("%s: %d of 5000 are a tenth", name, enforced)
		}
	}
}

// A user is the same subject wherever she comes from, and everybody unknown at an address is one.
func TestShareGoesByUserWhereOneIsKnown(t *testing.T) {
	s := &Snapshot{Seed: [16]byte{7}, Controls: map[string]Control{ConnsUser: {Enforce, 50}}}
	enforced, differ := 0, 0
	for i := range 1000 {
		user := fmt.Sprintf("user%d", i)
		m, _ := s.Judge(ConnsUser, Subject{Addr: client(i), User: user}, noon)
		if again, _ := s.Judge(ConnsUser, Subject{Addr: client(i + 5000), User: user, Country: "FR"}, noon); again != m {
			t.Fatalf("%s is %v from one address and %v from another", user, m, again)
		}
		if m == Enforce {
			enforced++
		}
		if byAddr, _ := s.Judge(ConnsUser, Subject{Addr: client(i)}, noon); byAddr != m {
			differ++
		}
	}
	if enforced < 420 || enforced > 580 {
		t.Errorf("50 %%: enforced for %d of 1000 users", enforced)
	}
	if differ < 400 || differ > 600 {
		t.Errorf("the lot of %d of 1000 users differs from that of their address, want about half", differ)
	}
}

func TestRaisingThePercentageOnlyAddsSubjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seed [16]byte
		copy(seed[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed"))
		control := rapid.SampledFrom(rollable()).Draw(t, "control")
		subj := Subject{Addr: client(rapid.IntRange(0, 1<<20).Draw(t, "addr")), User: rapid.StringN(0, 40, 200).Draw(t, "user")}
		was := Monitor
		for percent := 1; percent <= 100; percent++ {
			s := &Snapshot{Seed: seed, Controls: map[string]Control{control: {Enforce, percent}}}
			m, _ := s.Judge(control, subj, noon)
			if was == Enforce && m != Enforce {
				t.Fatalf("%+v was enforced below %d %% and is %v there", subj, percent, m)
			}
			was = m
		}
		if was != Enforce {
			t.Fatalf("%+v is %v at 100 %%", subj, was)
		}
	})
}

// naive is Judge written again, plainly: from the words of the design, with its own data and its own hash.
type naive struct {
	controls   map[string]Control
	seed       [16]byte
	exceptions []Exception
	glass      time.Time
}

func (n naive) judge(control string, subj Subject, now time.Time) (Mode, string) {
	if control == "conns.total" || control == "conns.half_open" {
		return Enforce, ""
	}
	c, named := n.controls[control]
	if !named {
		c.Mode = Monitor
	}
	if c.Mode == Off {
		return Off, ""
	}
	var ids []string
	for _, e := range n.exceptions {
		applies := slices.Contains(e.Controls, control)
		if e.User != "" && e.User != subj.User {
			applies = false
		}
		if e.Country != "" && e.Country != subj.Country {
			applies = false
		}
		if e.Prefix.IsValid() && !e.Prefix.Contains(subj.Addr.Unmap()) {
			applies = false
		}
		if now.Before(e.From) || !now.Before(e.Until) {
			applies = false
		}
		if applies {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) > 0 {
		return Monitor, slices.Min(ids)
	}
	if c.Mode == Monitor || now.Before(n.glass) {
		return Monitor, ""
	}
	if c.Percent == 0 || n.lot(control, subj) < float64(c.Percent)/100 {
		return Enforce, ""
	}
	return Monitor, ""
}

// lot is a number from 0 to 1.
func (n naive) lot(control string, subj Subject) float64 {
	var who []byte
	switch {
	case subj.User != "" && control != "access.level" && control != "access.pattern" && control != "geo.country":
		padded := make([]byte, min(len(subj.User), 128))
		copy(padded, subj.User)
		sum := sha256.Sum256(padded)
		who = sum[:16]
	case subj.Addr.Unmap().Is4():
		b := netip.AddrFrom4(subj.Addr.Unmap().As4()).As16()
		who = b[:]
	default:
		b := subj.Addr.As16()
		who = append(bytes.Clone(b[:8]), make([]byte, 8)...)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{n.seed[:], who, []byte(control)}, nil))
	return float64(binary.BigEndian.Uint64(sum[:8])%10_000) / 10_000
}

// long is a number of rounds: few, or with MTGUARD_LONG=1 all.
func long(few, all int) int {
	if os.Getenv("MTGUARD_LONG") == "1" {
		return all
	}
	return few
}

func TestJudgeAgreesWithANaiveImplementation(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2026))
	requests := long(100_000, 1_000_000)
	const each = 500 // requests of one policy
	outcomes := map[string]int{}
	for range requests / each {
		n := randomPolicy(r)
		s := &Snapshot{Seed: n.seed, Controls: n.controls, Exceptions: exceptions(t, n.exceptions...), Glass: n.glass}
		for range each {
			control := pick(r, controlNames)
			subj := randomSubject(r)
			now := noon.Add(time.Duration(r.IntN(240)-120) * time.Minute)
			m, id := s.Judge(control, subj, now)
			if wantMode, wantID := n.judge(control, subj, now); m != wantMode || id != wantID {
				t.Fatalf("%s for %+v at %v: got %v %q, the naive one %v %q\npolicy: %+v", control, subj, now, m, id, wantMode, wantID, n)
			}
			outcomes[fmt.Sprintf("%v %t", m, id != "")]++
		}
	}
	for _, outcome := range []string{"off false", "monitor false", "monitor true", "enforce false"} {
		if outcomes[outcome] < requests/200 {
			t.Errorf("outcome %q came %d times of %d: %v", outcome, outcomes[outcome], requests, outcomes)
		}
	}
	t.Logf("%d requests: %v", requests, outcomes)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

var (
	someUsers     = []string{"", "", "nadia", "omar", "pia", "a-user-with-a-name-that-is-rather-long-but-still-a-name.of.one"}
	someCountries = []string{"", "DE", "FR", "unknown"}
)

func randomSubject(r *rand.Rand) Subject {
	addr := netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(3)), byte(r.IntN(8))})
	switch r.IntN(3) {
	case 0:
		addr = netip.AddrFrom16(addr.As16())
	case 1:
		addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(r.IntN(3)), 15: byte(r.IntN(4))})
	}
	return Subject{Addr: addr, User: pick(r, someUsers), Country: pick(r, someCountries)}
}

func randomPolicy(r *rand.Rand) naive {
	n := naive{controls: map[string]Control{}}
	for i := range n.seed {
		n.seed[i] = byte(r.Uint32())
	}
	for _, name := range controlNames {
		if r.IntN(4) > 0 {
			n.controls[name] = Control{Mode: Mode(r.IntN(3)), Percent: r.IntN(101)}
		}
	}
	if r.IntN(3) == 0 {
		n.glass = noon.Add(time.Duration(r.IntN(240)-120) * time.Minute)
	}
	for i := range r.IntN(12) {
		e := Exception{ID: fmt.Sprintf("e%d", r.IntN(1000)*100+i), User: pick(r, someUsers), Country: pick(r, someCountries)}
		if e.User == "" && e.Country == "" || r.IntN(3) == 0 {
			e.Prefix = pick(r, []netip.Prefix{netip.MustParsePrefix("192.0.1.0/24"), netip.MustParsePrefix("192.0.0.0/29"),
				netip.MustParsePrefix("2001:db8::/48"), netip.MustParsePrefix("2001:db8:0:1::/64"), netip.MustParsePrefix("192.0.2.3/32")})
		}
		for range 1 + r.IntN(4) {
			if control := pick(r, rollable()); !slices.Contains(e.Controls, control) {
				e.Controls = append(e.Controls, control)
			}
		}
		if r.IntN(2) == 0 {
			e.From = noon.Add(time.Duration(r.IntN(200)-100) * time.Minute)
		}
		e.Until = noon.Add(time.Duration(r.IntN(200)+20) * time.Minute)
		if !e.Until.After(e.From) {
			e.From = time.Time{}
		}
		n.exceptions = append(n.exceptions, e)
	}
	return n
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	s := &Snapshot{Controls: map[string]Control{ConnsUser: {Enforce, 50}}, Exceptions: exceptions(t,
		Exception{ID: "a", User: "nadia", Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)},
		Exception{ID: "b", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)})}
	for _, subj := range []Subject{{Addr: client(1), User: "nadia"}, {Addr: client(1), User: "omar"}, {Addr: netip.MustParseAddr("192.0.2.1")}} {
		if n := testing.AllocsPerRun(100, func() { s.Judge(ConnsUser, subj, noon) }); n != 0 {
			t.Errorf("%+v: %v allocations, want none", subj, n)
		}
	}
}

func TestCandidateOf(t *testing.T) {
	l := &Limits{ConnectionsPerUser: 8}
	s := &Snapshot{Candidates: map[string]*Limits{ConnsUser: l}, Glass: noon}
	if s.CandidateOf(ConnsUser, noon) != l || s.CandidateOf(ConnsKey, noon) != nil || (*Snapshot)(nil).CandidateOf(ConnsUser, noon) != nil {
		t.Error("a candidate is that of its control")
	}
	if s.CandidateOf(ConnsUser, noon.Add(-1)) != nil {
		t.Error("candidates are asked while glass is broken")
	}
}

func BenchmarkJudge(b *testing.B) {
	var many []Exception
	for i := range 200 {
		e := Exception{ID: fmt.Sprintf("e%03d", i), Prefix: netip.PrefixFrom(client(1<<16+i), 32), Controls: []string{ConnsUser}, Until: noon.Add(time.Hour)}
		if i%2 == 0 {
			e.Prefix, e.User = netip.Prefix{}, fmt.Sprintf("user%d", i)
		}
		many = append(many, e)
	}
	share := map[string]Control{ConnsUser: {Enforce, 50}}
	for _, c := range []struct {
		name string
		s    *Snapshot
		subj Subject
	}{
		{"all", &Snapshot{Controls: map[string]Control{ConnsUser: {Mode: Enforce}}}, Subject{Addr: client(1), User: "nadia"}},
		{"share of users", &Snapshot{Controls: share}, Subject{Addr: client(1), User: "nadia"}},
		{"200 exceptions", &Snapshot{Controls: map[string]Control{ConnsUser: {Mode: Enforce}}, Exceptions: exceptions(b, many...)}, Subject{Addr: client(1), User: "nadia"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.s.Judge(ConnsUser, c.subj, noon)
			}
		})
	}
}
