package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"mtguard/control/store"
)

func check(id string, run func(context.Context, View) []Finding) Check {
	return Check{ID: id, Title: "title of " + id, Group: Host, Severity: High, Profile: Baseline, Run: run}
}

func clean(context.Context, View) []Finding { return nil }

func TestARunSortsAndCompletesWhatChecksSay(t *testing.T) {
	long := strings.Repeat("é", 2000)
	a := &Auditor{View: healthy(), Checks: []Check{
		check("b", func(context.Context, View) []Finding {
			return []Finding{{Subject: "2", Severity: Low}, {Subject: "1"}, {Subject: "1", Evidence: "twice"}, {Subject: "a\x00\xff", Evidence: long}}
		}),
		check("a", func(context.Context, View) []Finding {
			return []Finding{{Subject: "x", Severity: Critical}, {Subject: "x", Unknown: true}}
		}),
		check("c", clean),
	}}
	r, err := a.Run(t.Context(), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ids := make(map[string]bool)
	for _, f := range r.Findings {
		got = append(got, fmt.Sprint(f.Severity, " ", f.Check, " ", f.Subject))
		ids[f.ID] = true
		if f.Title != "title of "+f.Check || f.Group != Host || len(f.Evidence) > store.MaxText || !utf8.ValidString(f.Evidence) {
			t.Errorf("%+.80v", f)
		}
	}
	if want := []string{"critical a x", "high a x", "high b 1", "high b a\uFFFD\uFFFD", "low b 2"}; !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if len(ids) != len(got) || !slices.Equal(r.Asked, []string{"b", "a", "c"}) {
		t.Errorf("%d IDs, asked %v", len(ids), r.Asked)
	}
}

func TestACheckThatPanicsIsUnknown(t *testing.T) {
	a := &Auditor{View: healthy(), Checks: []Check{
		check("a", func(context.Context, View) []Finding { panic("secret 0123") }),
		check("b", func(context.Context, View) []Finding { return []Finding{{Subject: "x"}} }),
	}}
	r, err := a.Run(t.Context(), Selection{})
	if err != nil || len(r.Findings) != 2 || !r.Findings[0].Unknown || r.Findings[1].Check != "b" || strings.Contains(fmt.Sprint(r), "0123") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestARunEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ View) []Finding {
			select {
			case <-ctx.Done():
				return []Finding{Unknown("it", ctx.Err(), "")}
			case <-time.After(time.Hour):
				return nil
			}
		}
		a := &Auditor{View: healthy(), Checks: []Check{check("a", slow), check("b", clean)}}
		began := time.Now()
		r, err := a.Run(t.Context(), Selection{})
		if err != nil || time.Since(began) != Deadline || !slices.Equal(r.Unfinished, []string{"b"}) || len(r.Findings) != 2 || !r.Findings[1].Unknown {
			t.Errorf("after %v: %+v, %v", time.Since(began), r, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Run(ctx, Selection{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when the caller's time is over: %v", err)
		}
	})
}

func TestASelectionIsAsked(t *testing.T) {
	a := &Auditor{}
	for _, c := range []struct {
		s    Selection
		has  string
		hast string
	}{
		{Selection{}, "keys.expired", ""},
		{Selection{Profile: Baseline}, "host.root", ""},
		{Selection{Profile: Machine}, "host.root", "keys.expired"},
		{Selection{Only: []string{"keys"}}, "keys.expired", "host.root"},
		{Selection{Only: []string{"host.root", "dos"}}, "dos.failed", "host.disk"},
	} {
		list, err := a.Select(c.s)
		has := func(id string) bool { return slices.ContainsFunc(list, func(x Check) bool { return x.ID == id }) }
		if err != nil || !has(c.has) || has(c.hast) {
			t.Errorf("%+v: %d checks, %v", c.s, len(list), err)
		}
	}
	if all, _ := a.Select(Selection{}); len(all) != len(Checks()) {
		t.Errorf("%d of %d", len(all), len(Checks()))
	}
}

// book is what is known, as the store keeps it.
type book map[string]store.Finding

func (b book) merge(at time.Time, asked []string, found ...Finding) []store.Finding {
	r := Report{Started: at, Asked: asked}
	for _, f := range found {
		f.Severity = max(f.Severity, Low)
		f.ID = fingerprint(f)
		r.Findings = append(r.Findings, f)
	}
	changed := Merge(b, r)
	for _, f := range changed {
		b[f.ID] = f
	}
	return changed
}

func (b book) one(t *testing.T) store.Finding {
	t.Helper()
	if len(b) != 1 {
		t.Fatalf("%d findings are known", len(b))
	}
	for _, f := range b {
		return f
	}
	panic("unreachable")
}

// TestTheLifeOfAFinding: the same check and subject are one finding for ever.
func TestTheLifeOfAFinding(t *testing.T) {
	b := make(book)
	asked, f := []string{"a"}, Finding{Check: "a", Subject: "s", Evidence: "1"}
	at := func(n int) time.Time { return now.Add(time.Duration(n) * day) }
	want := func(n int, state string, returned int) {
		t.Helper()
		got := b.one(t)
		if StateAt(got, at(n)) != state || got.Returned != returned || got.FirstSeen != at(0) {
			t.Fatalf("day %d: %s, returned %d, first seen %v: want %s, %d", n, StateAt(got, at(n)), got.Returned, got.FirstSeen, state, returned)
		}
	}
	say := func(n int, state string, until int) {
		x := b.one(t)
		x.State, x.Until, x.Reason, x.Actor = state, at(until), "because", "uid 0"
		b[x.ID] = x
	}
	b.merge(at(0), asked, f)
	want(0, StateNew, 0)
	f.Evidence = "2"
	b.merge(at(1), asked, f)
	want(1, StateOpen, 0)
	if got := b.one(t); got.Evidence != "2" || got.LastSeen != at(1) {
		t.Errorf("%+v", got)
	}
	say(1, StateAcknowledged, 3)
	b.merge(at(2), asked, f)
	want(2, StateAcknowledged, 0)
	want(3, StateOpen, 0) // its time is over, before anybody audits
	b.merge(at(3), asked, f)
	want(3, StateOpen, 0)
	if got := b.one(t); got.Reason != "" || got.Actor != "" || !got.Until.IsZero() {
		t.Errorf("what was said stays: %+v", got)
	}
	say(3, StateAccepted, 9)
	b.merge(at(4), asked, f)
	want(4, StateAccepted, 0)
	f.Severity = Critical
	b.merge(at(5), asked, f) // worse than what was accepted
	want(5, StateOpen, 0)
	b.merge(at(6), []string{"b"})
	want(6, StateOpen, 0) // its check was not asked
	b.merge(at(7), asked, Finding{Check: "a", Subject: "s", Unknown: true})
	if len(b) != 2 {
		t.Fatalf("%+v", b)
	}
	for id, x := range b {
		if x.Unknown {
			delete(b, id)
		}
	}
	want(7, StateOpen, 0) // a check that could not be made fixes nothing
	b.merge(at(8), asked)
	want(8, StateFixed, 0)
	if got := b.one(t); got.Fixed != at(8) {
		t.Errorf("%+v", got)
	}
	if changed := b.merge(at(9), asked); len(changed) != 0 {
		t.Errorf("what is fixed is touched again: %+v", changed)
	}
	b.merge(at(10), asked, f)
	want(10, StateNew, 1)
	if got := b.one(t); !got.Fixed.IsZero() {
		t.Errorf("%+v", got)
	}
}

func TestAnUnknownIsFixedWhenItIsKnown(t *testing.T) {
	b := make(book)
	b.merge(now, []string{"a"}, Finding{Check: "a", Subject: "file", Unknown: true})
	b.merge(now.Add(day), []string{"a"}, Finding{Check: "a", Subject: "other file", Unknown: true})
	states := make(map[string]string)
	for _, f := range b {
		states[f.Subject] = f.State
	}
	if states["file"] != StateFixed || states["other file"] != StateNew {
		t.Errorf("%v", states)
	}
}

func TestFindingsOfOneCheckAreBounded(t *testing.T) {
	b := make(book)
	var many []Finding
	for i := range PerCheck + 100 {
		many = append(many, Finding{Check: "a", Subject: fmt.Sprintf("%04d", i+50)})
	}
	live := func() (n int, others string) {
		for _, f := range b {
			if f.State == StateFixed {
				continue
			}
			n++
			if f.Subject == overflow {
				others = f.Evidence
			}
		}
		return n, others
	}
	b.merge(now, []string{"a"}, many...)
	if n, others := live(); n != PerCheck+1 || !strings.HasPrefix(others, "100 more, ") {
		t.Errorf("%d findings, %q", n, others)
	}
	// Fifty come in front of all: those that are known stay, and none is taken for fixed.
	for i := range 50 {
		many = append([]Finding{{Check: "a", Subject: fmt.Sprintf("%04d", i)}}, many...)
	}
	b.merge(now.Add(day), []string{"a"}, many...)
	if n, others := live(); n != PerCheck+1 || !strings.HasPrefix(others, "150 more, ") || len(b) != n {
		t.Errorf("%d findings of %d, %q", n, len(b), others)
	}
	b.merge(now.Add(2*day), []string{"a"}, many[:10]...)
	if n, others := live(); n != 10 || others != "" {
		t.Errorf("%d findings, %q", n, others)
	}
}

func TestThePostureIsANumberWithReasons(t *testing.T) {
	list := func(check string, n int, severity Severity, state string, unknown bool) (all []store.Finding) {
		for range n {
			all = append(all, store.Finding{Check: check, Severity: severity.String(), State: state, Unknown: unknown, Until: now.Add(day)})
		}
		return all
	}
	all := slices.Concat(list("a", 5, High, StateOpen, false), list("b", 1, Medium, StateNew, true), list("c", 9, Critical, StateFixed, false),
		list("d", 2, Critical, StateAccepted, false), list("e", 1, Low, StateAcknowledged, false))
	score, reasons, accepted := Posture(all, now)
	want := []Reason{{Points: 30, Check: "a", Count: 5}, {Points: 2, Check: "b", Count: 1}, {Points: 1, Check: "e", Count: 1}}
	if score != 67 || accepted != 2 || !slices.Equal(reasons, want) {
		t.Errorf("%d, %+v, %d accepted", score, reasons, accepted)
	}
	if score, _, accepted := Posture(all, now.Add(day)); score != 17 || accepted != 0 {
		t.Errorf("when the time of what is accepted is over: %d", score)
	}
	if score, reasons, _ := Posture(nil, now); score != 100 || len(reasons) != 0 {
		t.Errorf("of nothing: %d, %v", score, reasons)
	}
	if score, _, _ := Posture(slices.Concat(list("a", 3, Critical, StateOpen, false), list("b", 3, Critical, StateOpen, false)), now); score != 0 {
		t.Errorf("of much: %d", score)
	}
}

func TestTheNextAuditIsDue(t *testing.T) {
	start := now.Add(-30 * day)
	for _, c := range []struct {
		what          string
		last          Past
		every         time.Duration
		earliest      time.Time
		from, through time.Time
	}{
		{"never", Past{}, 0, start, time.Time{}, time.Time{}},
		{"the first", Past{}, day, start, start, start},
		{"the next", Past{Started: now}, day, start, now.Add(day - day/10), now.Add(day + day/10)},
		{"missed", Past{Started: now.Add(-3 * day)}, day, now, now, now},
		{"failed", Past{Started: now, Failed: true}, day, start, now.Add(Again), now.Add(Again)},
		{"failed, and soon anyhow", Past{Started: now, Failed: true}, Again / 2, start, now.Add(Again/2 - Again/20), now.Add(Again/2 + Again/20)},
		{"of the future", Past{Started: now.Add(400 * day)}, day, start, start, start},
	} {
		got := Due(c.last, c.every, c.earliest, now)
		if got.Before(c.from) || got.After(c.through) || got != Due(c.last, c.every, c.earliest, now) {
			t.Errorf("%s: %v, want %v to %v", c.what, got, c.from, c.through)
		}
	}
	early, late := 0, 0
	for i := range 1000 {
		last := now.Add(-time.Duration(i) * time.Second)
		switch d := Due(Past{Started: last}, day, start, now).Sub(last); {
		case d < day-day/20:
			early++
		case d > day+day/20:
			late++
		}
	}
	if early < 150 || late < 150 {
		t.Errorf("of a thousand %d are more than a twentieth early, %d late", early, late)
	}
}

func TestACommandHoldsAnyPath(t *testing.T) {
	for path, want := range map[string]string{"/var/lib/mt-guard_1/a.b": "/var/lib/mt-guard_1/a.b", "/a b": "'/a b'", "/it's;rm": `'/it'\''s;rm'`, "": "''", "/é": "'/é'"} {
		if got := quoted(path); got != want {
			t.Errorf("%q is %s, want %s", path, got, want)
		}
	}
}
