package control

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control/advisory"
	"mtguard/control/audit"
	"mtguard/control/preview"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/security/vault"
)

// surrounded gives the plane a host, a site and a load of which nothing is to be said.
func (b *bench) surrounded() *audit.HostFacts {
	at := []netip.Addr{netip.MustParseAddr("203.0.113.7")}
	host := &audit.HostFacts{UID: 990, OpenFiles: 1 << 20, MaxConnections: 10, DiskFree: audit.Share{Part: 1, Whole: 2}, ClockSynced: true, PublicHost: "a", PublicAddresses: at, OwnAddresses: at}
	b.parts.Around = Around{
		Load: func(context.Context) (*audit.LoadFacts, error) { return &audit.LoadFacts{Window: day}, nil },
		Host: func(context.Context) (*audit.HostFacts, error) { f := *host; return &f, nil },
		Site: func(context.Context) (*audit.SiteFacts, error) { return &audit.SiteFacts{}, nil },
	}
	b.recorded()
	b.parts.Watch = looked{b.clock(), nil}
	return host
}

// looked is a watch that found so much in the program.
type looked struct {
	at    time.Time
	found []advisory.ModuleScan
}

func (l looked) Standing(c *CryptoInfo) {
	c.Last = &advisory.Outcome{Time: l.at, Scan: &advisory.ScanReport{Modules: l.found}}
}

func (looked) Check(context.Context) (*advisory.Outcome, error) { return nil, errors.New("not here") }

// TestVulnerabilitiesAreFindings: one whose code is in the program; not one whose code the linker left out, and nothing is known where nobody looked.
func TestVulnerabilitiesAreFindings(t *testing.T) {
	b := newBench(t)
	b.surrounded()
	b.parts.Watch = looked{b.clock(), []advisory.ModuleScan{{Path: "stdlib", Version: "go1.26.0", Class: advisory.Reachable, Vulnerabilities: []advisory.Vulnerability{
		{ID: "GO-1", Class: advisory.Reachable, Fixed: "go1.26.1"}, {ID: "GO-2", Class: advisory.Unreachable},
	}}}}
	if r := b.audit("care.vulnerable"); strings.Join(subjects(r), "; ") != "care.vulnerable: stdlib GO-1" || r.Findings[0].Unknown {
		t.Errorf("%+v", r.Findings)
	}
	b.parts.Watch = nil
	if r := b.audit("care.vulnerable"); len(r.Findings) != 2 || !r.Findings[0].Unknown || r.Findings[0].Subject != "program" { // the one of before stays, since nobody looked
		t.Errorf("where nobody looked: %+v", r.Findings)
	}
}

func (b *bench) audit(only ...string) AuditResult {
	b.t.Helper()
	r, err := b.Audit(context.Background(), operator, AuditRequest{Only: only})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// subjects are what an audit found, as "check: subject".
func subjects(r AuditResult) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.Check+": "+f.Subject)
	}
	slices.Sort(all)
	return all
}

func (b *bench) audited(want ...string) AuditResult {
	b.t.Helper()
	r := b.audit()
	if got := subjects(r); !slices.Equal(got, want) {
		b.t.Fatalf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return r
}

// always is what a node has to say on which nobody did anything.
var always = []string{"access.asns: providers of clients", "access.countries: countries of clients"}

func with(more ...string) []string {
	all := append(slices.Clone(always), more...)
	slices.Sort(all)
	return all
}

// TestTheAuditSeesTheStoreAndTheModel: each fact that the plane gathers reaches its
// check, by a fault in the real store and a twin without.
func TestTheAuditSeesTheStoreAndTheModel(t *testing.T) {
	b := newBench(t)
	host := b.surrounded()
	b.apply(SetSchedule{Schedule{Every: Duration(90 * day), Overlap: Duration(7 * day), Tripwire: Duration(90 * day), Announce: Duration(time.Hour), Window: Duration(day)}}, Options{})
	key := b.add("alice")
	b.audited(always...)

	b.apply(BreakGlass{}, Options{Reason: "x"})
	b.audited(with("policy.glass: the policy")...)
	b.apply(EndGlass{}, Options{})
	b.audited(always...)

	b.apply(AddException{Controls: []string{policy.ConnsUser}, User: "alice", Until: b.clock().Add(40 * day)}, Options{Reason: "x"})
	b.audited(always...)
	id := b.exceptionIDs()[0]
	b.apply(SetMode{Control: policy.GeoCountry, Mode: "off"}, Options{Reason: "x"})
	b.audited(with("policy.off: control geo.country")...)
	b.apply(SetMode{Control: policy.GeoCountry, Mode: "monitor"}, Options{Reason: "x"})

	// What connections meet is not what the policy says.
	wrong := *b.live.Load()
	wrong.Controls = map[string]policy.Control{policy.RateAccept: {Mode: policy.Off}}
	right := b.live.Load()
	b.live.Publish(&wrong)
	b.audited(with("policy.drift: control rate.accept")...)
	b.live.Publish(right)

	host.UID = 0
	b.audited(with("host.root: process")...)
	host.UID = 990

	// One secret from many addresses, and from many networks.
	var visits []preview.Record
	for i := range 30 {
		visits = append(visits, b.visit("alice", fmt.Sprintf("198.51.%d.7", i), time.Minute))
	}
	for i := range 70 {
		key.Use().See(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), b.clock().Add(-time.Hour))
	}
	if err := b.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.recorded(visits...)
	of := fmt.Sprintf("key %s of alice", key.ID())
	b.audited(with("access.addresses: "+of, "access.networks: "+of)...)
	b.recorded(visits[:25]...)
	b.pass(25 * time.Hour) // and none of the sightings is of the last day
	b.audited(always...)

	// Somebody tries a revoked secret.
	b.apply(RevokeKey{ID: key.ID(), Replace: true}, Options{Reason: "lost"})
	key.Trips().See(netip.MustParseAddr("192.0.2.9"), b.clock())
	if err := b.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.audited(with("access.revoked: " + of)...)
	b.pass(8 * day)
	b.audited(with("care.backup: backup")...) // and the store is a week old

	b.pass(24 * day)
	r := b.audit()
	got := strings.Join(subjects(r), "\n")
	for _, want := range []string{"policy.monitor: control rate.accept", "policy.exception.unused: exception " + id, "keys.unused: key " + string(b.active("alice").ID()) + " of alice"} {
		if !strings.Contains(got, want) {
			t.Errorf("after a month: no %s in\n%s", want, got)
		}
	}
	if !strings.Contains(got, "policy.monitor: control geo.country") {
		t.Error("a control whose mode changed a month ago is forgotten")
	}
	b.pass(400 * day)
	got = strings.Join(subjects(b.audit("keys")), "\n")
	for _, want := range []string{"keys.master", "keys.store"} {
		if !strings.Contains(got, want) {
			t.Errorf("after a year: no %s in\n%s", want, got)
		}
	}
	b.apply(RotateStoreKey{}, Options{})
	b.apply(RotateMasterKey{}, Options{})
	if got := strings.Join(subjects(b.audit("keys")), "\n"); strings.Contains(got, "keys.master") || strings.Contains(got, "keys.store") {
		t.Errorf("after they were rotated:\n%s", got)
	}
}

func (b *bench) exceptionIDs() (ids []string) {
	b.t.Helper()
	list, err := b.Exceptions(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

// A control that is put in monitor lately is not old, whatever the age of the store.
func TestAControlIsAsOldAsItsMode(t *testing.T) {
	b := newBench(t)
	b.surrounded()
	b.add("alice")
	b.audit()
	b.pass(29 * day)
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, Options{Reason: "x", Force: true})
	b.audit()
	b.apply(SetMode{Control: policy.RateAccept, Mode: "monitor"}, Options{Reason: "x"})
	b.audit()
	b.restart()
	b.surrounded()
	b.pass(2 * day)
	got := strings.Join(subjects(b.audit("policy")), "\n")
	if !strings.Contains(got, "control geo.country") || strings.Contains(got, "control rate.accept") {
		t.Errorf("found\n%s", got)
	}
}

func TestASleeperThatWakesIsSeen(t *testing.T) {
	b := newBench(t)
	b.surrounded()
	alice, bob := b.add("alice"), b.add("bob")
	usedBy := func(k *keys.Key) {
		k.Account().Enter(home)
		k.Account().Leave(home)
		if err := b.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	usedBy(alice)
	usedBy(bob)
	b.pass(20 * day)
	usedBy(bob)
	b.pass(20 * day)
	usedBy(alice)
	usedBy(bob)
	got := subjects(b.audit("access.dormant"))
	if !slices.Equal(got, []string{"access.dormant: user alice"}) {
		t.Errorf("found %v", got)
	}
	b.pass(2 * day)
	if got := subjects(b.audit("access.dormant")); len(got) != 0 {
		t.Errorf("two days later: %v", got)
	}
}

// TestFindingsAreKeptAndAnswered: what somebody says of a finding holds until its end,
// over a restart, and stands in the audit log.
func TestFindingsAreKeptAndAnswered(t *testing.T) {
	b := newBench(t)
	host := b.surrounded()
	b.add("alice")
	host.UID = 0
	first := b.audit()
	id := ""
	for _, f := range first.Findings {
		if f.Check == "host.root" {
			id = f.ID
			if f.State != audit.StateNew || f.Remedy == "" {
				t.Errorf("%+v", f)
			}
		}
	}
	if id == "" {
		t.Fatal("it is not found")
	}
	b.refuses(Invalid, AckFinding{ID: id, Until: b.clock().Add(day)}, Options{})
	b.refuses(Invalid, AckFinding{ID: id, Until: b.clock()}, Options{Reason: "x"})
	b.refuses(Invalid, AckFinding{ID: id, Until: b.clock().Add(31 * day)}, Options{Reason: "x"})
	b.refuses(Invalid, AcceptFinding{ID: id, Until: b.clock().Add(367 * day)}, Options{Reason: "x"})
	b.refuses(NotFound, AckFinding{ID: "0000000000000000", Until: b.clock().Add(day)}, Options{Reason: "x"})
	b.refuses(NotFound, AckFinding{ID: "", Until: b.clock().Add(day)}, Options{Reason: "x"})
	_, err := b.Apply(t.Context(), Actor{Name: "a", Level: access.Admin}, AcceptFinding{ID: id, Until: b.clock().Add(day)}, Options{Reason: "x"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Denied {
		t.Errorf("an administrator accepts a risk: %v", err)
	}
	r := b.apply(AckFinding{ID: id[:6], Until: b.clock().Add(day)}, Options{Reason: "a ticket"})
	if r.Finding == nil || r.Finding.State != audit.StateAcknowledged || r.Finding.By != "uid 0" || r.Finding.Reason != "a ticket" {
		t.Errorf("%+v", r.Finding)
	}
	if r := b.apply(AcceptFinding{ID: id, Until: b.clock().Add(day)}, Options{Reason: "x", DryRun: true}); !r.DryRun {
		t.Errorf("%+v", r)
	}
	b.restart()
	host = b.surrounded()
	host.UID = 0
	b.audit()
	state := func() FindingInfo {
		t.Helper()
		f, err := b.Finding(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := state(); f.State != audit.StateAcknowledged || f.Reason != "a ticket" || !f.FirstSeen.Equal(first.Started) {
		t.Errorf("%+v", f)
	}
	b.pass(day)
	if f := state(); f.State != audit.StateOpen || f.Reason != "" {
		t.Errorf("when its time is over: %+v", f)
	}
	score := b.audit().Score
	b.apply(AcceptFinding{ID: id, Until: b.clock().Add(100 * day)}, Options{Reason: "a container"})
	if r := b.audit(); r.Score != score+3 || r.Accepted != 1 {
		t.Errorf("score %d after %d, %d accepted", r.Score, score, r.Accepted)
	}
	host.UID = 990
	before := b.audit()
	if f := state(); f.State != audit.StateFixed || f.Fixed == nil {
		t.Errorf("%+v", f)
	}
	b.refuses(Refused, AckFinding{ID: id, Until: b.clock().Add(day)}, Options{Reason: "x"})
	host.UID = 0
	b.pass(time.Second)
	after := b.audit()
	if f := state(); f.State != audit.StateNew || f.Returned != 1 || !f.FirstSeen.Equal(first.Started) {
		t.Errorf("%+v", f)
	}
	diff, err := b.AuditDiff(t.Context(), 0, 0)
	if err != nil || len(diff) != 1 || diff[0].Change != "appeared" || diff[0].Finding.ID != id || diff[0].Is != "medium" {
		t.Errorf("%+v, %v", diff, err)
	}
	diff, err = b.AuditDiff(t.Context(), after.Number, before.Number)
	if err != nil || len(diff) != 1 || diff[0].Change != "gone" || diff[0].Was != "medium" {
		t.Errorf("%+v, %v", diff, err)
	}
	rows, err := b.AuditTail(t.Context(), operator, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, row := range rows {
		if strings.HasPrefix(row.Action, "audit.") && row.Outcome == "done" {
			actions = append(actions, row.Action)
		}
	}
	if got := strings.Join(actions, " "); got != "audit.run audit.ack audit.run audit.run audit.accept audit.run audit.run audit.run" {
		t.Errorf("in the audit log: %s", got)
	}
}

func TestFindingsAreChosen(t *testing.T) {
	b := newBench(t)
	host := b.surrounded()
	b.add("alice")
	host.UID, host.DiskFree = 0, audit.Share{}
	b.audit()
	host.UID = 990
	b.audit()
	for _, c := range []struct {
		f    FindingFilter
		want string
	}{
		{FindingFilter{}, "host.disk access.asns access.countries keys.schedule"},
		{FindingFilter{All: true}, "host.disk host.root access.asns access.countries keys.schedule"},
		{FindingFilter{State: audit.StateFixed}, "host.root"},
		{FindingFilter{State: audit.StateOpen}, "host.disk access.asns access.countries keys.schedule"},
		{FindingFilter{State: audit.StateNew}, ""},
		{FindingFilter{Check: "access"}, "access.asns access.countries"},
		{FindingFilter{Check: "access.asns"}, "access.asns"},
		{FindingFilter{Least: "medium"}, "host.disk"},
		{FindingFilter{Limit: 2}, "host.disk access.asns"},
		{FindingFilter{Limit: 2, After: "2"}, "access.countries keys.schedule"},
		{FindingFilter{After: "9"}, ""},
	} {
		items, next, err := b.Findings(t.Context(), c.f)
		var got []string
		for _, f := range items {
			got = append(got, f.Check)
		}
		if strings.Join(got, " ") != c.want || err != nil || (next == "2") != (c.f.Limit == 2 && c.f.After == "") {
			t.Errorf("%+v: %v, next %q, %v; want %s", c.f, got, next, err, c.want)
		}
	}
	for _, f := range []FindingFilter{{Least: "x"}, {After: "x"}, {After: "-1"}} {
		if _, _, err := b.Findings(t.Context(), f); err == nil {
			t.Errorf("%+v is not refused", f)
		}
	}
	if _, err := b.Audit(t.Context(), operator, AuditRequest{Only: []string{"no.such"}}); err == nil {
		t.Error("a check that is none was asked")
	}
	if _, err := b.Audit(t.Context(), Actor{Name: "a", Level: access.ReadOnly}, AuditRequest{}); err == nil {
		t.Error("somebody who may only read has audited")
	}
}

// TestAuditsRunByTheSchedule: daily, made up after a downtime, soon again after one that
// failed, and never when switched off.
func TestAuditsRunByTheSchedule(t *testing.T) {
	b := newBench(t)
	b.surrounded()
	runs := func() int {
		t.Helper()
		list, err := b.Audits(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	// hours lets them go by, and looks each minute whether one is due.
	hours := func(n int) {
		t.Helper()
		for range n * 60 {
			b.mu.Lock()
			b.now = b.now.Add(time.Minute)
			b.mu.Unlock()
			b.auditIfDue(t.Context())
		}
	}
	if s, err := b.AuditSchedule(t.Context()); err != nil || time.Duration(s.Every) != day || s.Last != nil || s.Next == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if status, err := b.Status(t.Context()); err != nil || status.Audit != nil {
		t.Errorf("%+v, %v", status.Audit, err)
	}
	hours(1)
	if n := runs(); n != 1 {
		t.Fatalf("%d audits in the first hour", n)
	}
	hours(20)
	if n := runs(); n != 1 {
		t.Fatalf("%d audits in 21 hours", n)
	}
	hours(6)
	if n := runs(); n != 2 {
		t.Fatalf("%d audits in 27 hours", n)
	}
	if status, err := b.Status(t.Context()); err != nil || status.Audit == nil || status.Audit.Score == 0 || status.Audit.Next == nil {
		t.Errorf("%+v, %v", status.Audit, err)
	}
	b.audit("keys") // one of some checks is none of the schedule's
	b.pass(3 * day)
	b.restart()
	b.surrounded()
	hours(1)
	if n := runs(); n != 4 {
		t.Fatalf("%d audits after a downtime", n)
	}
	b.apply(SetAuditSchedule{Every: Duration(2 * time.Hour)}, Options{})
	b.restart()
	b.surrounded()
	hours(23)
	if n := runs(); n < 4+9 || n > 4+13 {
		t.Errorf("%d audits in a day of every two hours", n-4)
	}
	b.apply(SetAuditSchedule{Every: Duration(10 * day)}, Options{})
	b.parts.Around.Host = func(ctx context.Context) (*audit.HostFacts, error) { return nil, errors.New("broken") }
	before := runs()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Audit(ended, operator, AuditRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	b.apply(SetAuditSchedule{Every: 0}, Options{})
	hours(24)
	if n := runs(); n > before+1 {
		t.Errorf("%d audits while they are off", n-before)
	}
	if s, err := b.AuditSchedule(t.Context()); err != nil || s.Next != nil || s.Last == nil {
		t.Errorf("%+v, %v", s, err)
	}
	b.refuses(Invalid, SetAuditSchedule{Every: Duration(time.Minute)}, Options{})
	b.refuses(Invalid, SetAuditSchedule{Every: Duration(1000 * day)}, Options{})
}

// TestTheScheduleRunsByTheClock is RunAudits itself, through a downtime.
func TestTheScheduleRunsByTheClock(t *testing.T) {
	dir, master := t.TempDir(), &memoryMaster{kek: vault.GenerateKEK()}
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, dir: dir, master: master}
		// run lets a plane audit itself for so long, and tells when it did.
		run := func(long time.Duration) (at []time.Duration) {
			t.Helper()
			b.now = time.Now()
			b.open()
			b.parts.Now = time.Now
			b.surrounded()
			began := time.Now()
			ctx, stop := context.WithTimeout(context.Background(), long)
			defer stop()
			b.RunAudits(ctx)
			list, err := b.Audits(context.Background(), 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range slices.Backward(list) {
				if !a.Started.Before(began) {
					at = append(at, a.Started.Sub(began))
				}
			}
			if err := b.Plane.store.Close(); err != nil {
				t.Fatal(err)
			}
			return at
		}
		at := run(49 * time.Hour)
		if len(at) < 2 || len(at) > 3 || at[0] < audit.Grace || at[0] > audit.Grace+time.Second || at[1]-at[0] < 21*time.Hour || at[1]-at[0] > 27*time.Hour {
			t.Errorf("the first two days: %v", at)
		}
		time.Sleep(100 * time.Hour)
		if at := run(3 * time.Hour); len(at) != 1 || at[0] < audit.Grace || at[0] > audit.Grace+time.Second {
			t.Errorf("after a downtime: %v", at)
		}
		if at := run(3 * time.Hour); len(at) != 0 {
			t.Errorf("after a restart: %v", at)
		}
	})
}

// An audit that does not come to its end is written down, and made again within the
// hour.
func TestAnAuditThatFailsIsMadeAgain(t *testing.T) {
	b := newBench(t)
	b.surrounded()
	b.audit()
	b.pass(2 * day)
	ctx, cancel := context.WithCancel(t.Context())
	b.parts.Around.Host = func(context.Context) (*audit.HostFacts, error) { cancel(); return nil, ctx.Err() }
	if err := b.auditIfDue(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	list, err := b.Audits(t.Context(), 0, 1)
	if err != nil || len(list) != 1 || list[0].Problem == "" {
		t.Errorf("%+v, %v", list, err)
	}
	counts, last := b.AuditCounts()
	if b.clock().Sub(last) < day || counts["low"]+counts["unknown"] == 0 {
		t.Errorf("%v, last %v", counts, last)
	}
	b.surrounded()
	b.pass(59 * time.Minute)
	if err := b.auditIfDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, _ := b.Audits(t.Context(), 0, 9); len(list) != 2 {
		t.Errorf("%d audits before the hour is over", len(list))
	}
	b.pass(time.Minute)
	if err := b.auditIfDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, last := b.AuditCounts(); !last.Equal(b.clock()) {
		t.Errorf("the last good one is of %v", last)
	}
}

func TestOnlyOneAuditRunsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.surrounded()
		entered, leave := make(chan struct{}), make(chan struct{})
		calm := b.parts.Around.Host
		b.parts.Around.Host = func(ctx context.Context) (*audit.HostFacts, error) {
			entered <- struct{}{}
			<-leave
			return calm(ctx)
		}
		done := make(chan error)
		for range 2 {
			go func() {
				_, err := b.Audit(context.Background(), operator, AuditRequest{Only: []string{"host.root"}})
				done <- err
			}()
		}
		<-entered
		synctest.Wait() // the other one waits for something
		select {
		case <-entered:
			t.Fatal("two run at once")
		default:
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Audit(ended, operator, AuditRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a third waits for ever: %v", err)
		}
		leave <- struct{}{}
		<-entered
		leave <- struct{}{}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
}

// TestAnAuditOfManyUsers says what an audit of 10,000 users with 30 days of history
// takes: MTGUARD_LONG=1 go test -run AuditOfMany -v ./control. Figures decide nothing.
func TestAnAuditOfManyUsers(t *testing.T) {
	n, perKey, rows, connections := 200, 5, 200, 2000
	if os.Getenv("MTGUARD_LONG") != "" {
		n, perKey, rows, connections = 10_000, 20, 20_000, 100_000
	}
	b := newBench(t)
	b.surrounded()
	declared := make([]Declared, n)
	for i := range declared {
		declared[i] = Declared{fmt.Sprintf("user-%05d", i), secretOf(t, "")}
	}
	b.mustLoad(declared...)
	b.pass(31 * day)
	b.history(perKey, rows)
	records := b.manyRecords(declared, connections)
	b.parts.Records = func(time.Time) iter.Seq[preview.Record] { return slices.Values(records) }
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun := time.Now()
	r := b.audit()
	first := time.Since(begun)
	runtime.ReadMemStats(&after)
	begun = time.Now()
	again := b.audit()
	t.Logf("%d users, 30 days, %d rows of the audit log, %d connections: first audit %v, second %v; allocated %d MiB in all; %d findings, score %d",
		n, rows, connections, first.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, len(r.Findings), r.Score)
	if r.Number == 0 || again.Number != r.Number+1 || len(again.Findings) != len(r.Findings) || len(r.Findings) < audit.PerCheck {
		t.Errorf("%d findings, then %d", len(r.Findings), len(again.Findings))
	}
	for _, f := range again.Findings {
		if f.State == audit.StateNew {
			t.Fatalf("it is new again: %+v", f)
		}
	}
}

// history fills the store with 30 days: usage of all but every tenth user each day,
// sightings of each key, rows of the audit log.
func (b *bench) history(perKey, rows int) {
	b.t.Helper()
	now := b.clock()
	ids := make(map[int64]keys.ID)
	for _, u := range b.names {
		ids[u.row.ID] = u.keys[0].ID
	}
	random := rand.New(rand.NewPCG(1, 2))
	for d := range 30 {
		_, err := b.Plane.store.Update(context.Background(), func(tx *store.Tx) error {
			for id := range ids {
				if id%10 == 0 {
					continue
				}
				if err := tx.Count(id, dayOf(now.Add(-time.Duration(d)*day)), "history", usage.Totals{Up: int64(d+1) * 1000, Down: int64(d+1) * 9000, Sessions: int64(d + 1)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	_, err := b.Plane.store.Update(context.Background(), func(tx *store.Tx) error {
		for _, key := range ids {
			list := make([]usage.Sighting, perKey)
			for i := range list {
				list[i] = usage.Sighting{Pseudonym: usage.Pseudonym(random.Uint64()), Last: now.Add(-time.Duration(random.IntN(48)) * time.Hour)}
			}
			if err := tx.PutSightings(key, store.SeenUsing, list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for range rows {
		if err := b.note(context.Background(), operator, "seal", "0123456789abcdef"); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) manyRecords(users []Declared, n int) []preview.Record {
	random := rand.New(rand.NewPCG(3, 4))
	all := make([]preview.Record, n)
	for i := range all {
		u := users[random.IntN(len(users))]
		all[i] = preview.Record{At: b.clock().Add(-time.Duration(random.IntN(24*3600)) * time.Second), Privacy: preview.Truncated,
			Addr: netip.AddrFrom4([4]byte{byte(random.IntN(200) + 1), byte(random.IntN(256)), byte(random.IntN(256)), 0}), User: u.Name, Key: string(u.Secret.ID())}
	}
	return all
}
