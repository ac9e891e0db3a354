package control

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
)

func (b *bench) noteAt(at time.Time, detector, subject string, severity threat.Severity, action string) {
	b.t.Helper()
	n := threat.Note{Detector: detector, Subject: subject, Severity: severity, First: at, Last: at, Count: 2, Evidence: "seen", Action: action}
	if key, ok := strings.CutPrefix(subject, "key "); ok {
		n.Key, n.User = key, "nadia"
	}
	if err := b.NoteIncidents(context.Background(), []threat.Note{n}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) incidents(state string) []IncidentInfo {
	b.t.Helper()
	items, _, err := b.Incidents(context.Background(), IncidentFilter{State: state})
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}

const attackerPrefix = "203.0.113.7/32"

func TestNotesOfTheSameAreOneIncident(t *testing.T) {
	b := newBench(t)
	before := b.store.Revision()
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Low, "throttled")
	b.noteAt(b.clock().Add(time.Second), "probe_scan", attackerPrefix, threat.Medium, "throttled")
	b.noteAt(b.clock().Add(time.Minute), "probe_scan", attackerPrefix, threat.Low, "blocked for 10m0s")
	b.noteAt(b.clock(), "replay", attackerPrefix, threat.Low, "noted")
	if b.store.Revision() != before {
		t.Error("incidents have the policy compiled anew")
	}
	items := b.incidents(IncidentOpen)
	if len(items) != 2 {
		t.Fatalf("%+v", items)
	}
	n, err := b.Incident(context.Background(), items[1].ID)
	if err != nil || n.Detector != "probe_scan" || n.Count != 6 || n.Severity != threat.Medium || n.Action != "blocked for 10m0s" || len(n.Timeline) != 3 || n.Timeline[1].Severity != "medium" ||
		!n.Last.Equal(b.clock().Add(time.Minute)) || len(n.Similar) != 1 || n.Similar[0].Detector != "replay" {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestAnIncidentIsAcknowledgedContainedAndResolved(t *testing.T) {
	b := newBench(t)
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.High, "shown the cover site")
	id := b.incidents(IncidentOpen)[0].ID
	b.refuses(NotFound, MoveIncident{ID: "i0", To: IncidentAcknowledged}, Options{})
	b.refuses(Invalid, MoveIncident{ID: id, To: "forgotten"}, Options{})
	b.apply(MoveIncident{ID: id, To: IncidentAcknowledged}, Options{Reason: "on it"})
	b.refuses(Refused, MoveIncident{ID: id, To: IncidentAcknowledged}, Options{})
	b.refuses(Invalid, MoveIncident{ID: id, To: IncidentContained}, Options{}) // no reason
	b.apply(MoveIncident{ID: id, To: IncidentContained, For: Duration(time.Hour)}, Options{Reason: "a scanner"})
	if d := b.ceiling("203.0.113.7"); d.Level != access.None || d.Control != access.ControlLevel {
		t.Errorf("contained: %+v", d)
	}
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Low, "noted") // goes on in the same one
	r := b.apply(MoveIncident{ID: id, To: IncidentResolved}, Options{})
	if r.Incident == nil || r.Incident.State != IncidentResolved || r.Incident.Closed == nil || len(b.incidents(IncidentOpen)) != 0 {
		t.Errorf("%+v", r.Incident)
	}
	for _, to := range []string{IncidentAcknowledged, IncidentContained, IncidentResolved, IncidentFalsePositive} {
		b.refuses(Refused, MoveIncident{ID: id, To: to}, Options{Reason: "again"})
	}
	n, err := b.Incident(context.Background(), id)
	if err != nil || len(n.Timeline) != 5 || n.Timeline[1].By != "uid 0" || n.Timeline[1].What != "acknowledged: on it" {
		t.Errorf("%+v, %v", n.Timeline, err)
	}
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Low, "noted")
	if again := b.incidents(IncidentOpen); len(again) != 1 || again[0].ID == id {
		t.Errorf("after its end it begins anew: %+v", again)
	}
}

// TestAFalsePositiveIsSparedFromNowOn: an exception, and the block is taken back.
func TestAFalsePositiveIsSparedFromNowOn(t *testing.T) {
	b := newBench(t)
	b.autoBlock(time.Hour, attackerPrefix)
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Low, "blocked for 1h0m0s")
	b.apply(MoveIncident{ID: b.incidents("")[0].ID, To: IncidentFalsePositive}, Options{})
	if d := b.ceiling("203.0.113.7"); d.Level != access.Standard {
		t.Errorf("it is blocked still: %+v", d)
	}
	list, err := b.Exceptions(context.Background())
	if err != nil || len(list) != 1 || list[0].Prefix != strings.TrimSuffix(attackerPrefix, "/32") || strings.Join(list[0].Controls, "") != policy.ThreatBlock || list[0].Reason == "" ||
		list[0].Until.Sub(b.clock()) != usualException {
		t.Errorf("%+v, %v", list, err)
	}
	b.add("nadia")
	b.noteAt(b.clock(), "key_fanout", "key 0123456789abcdef", threat.Medium, "for a person to judge")
	b.apply(MoveIncident{ID: b.incidents(IncidentOpen)[0].ID, To: IncidentFalsePositive, For: Duration(7 * day)}, Options{Reason: "a family"})
	if list, _ = b.Exceptions(context.Background()); len(list) != 2 || list[0].User != "nadia" && list[1].User != "nadia" {
		t.Errorf("%+v", list)
	}
}

// TestWhatContainedAFalsePositiveIsTakenBack, and nothing else that an operator shut out.
func TestWhatContainedAFalsePositiveIsTakenBack(t *testing.T) {
	b := newBench(t)
	for _, own := range []bool{false, true} {
		if own {
			b.apply(Block{Target: attackerPrefix}, Options{Reason: "for another reason"})
			b.pass(time.Second)
		}
		b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.High, "shown the cover site")
		id := b.incidents(IncidentOpen)[0].ID
		if !own {
			b.apply(MoveIncident{ID: id, To: IncidentContained}, Options{Reason: "a scanner"})
			b.pass(time.Second)
		}
		b.apply(MoveIncident{ID: id, To: IncidentFalsePositive}, Options{Reason: "our own monitoring"})
		if d := b.ceiling("203.0.113.7"); (d.Level == access.None) != own {
			t.Errorf("another block %v: %+v", own, d)
		}
	}
}

// TestALeakedSecretIsContainedByANewOne.
func TestALeakedSecretIsContainedByANewOne(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	b.noteAt(b.clock(), "key_fanout", "key "+string(key.ID()), threat.High, "for a person to judge")
	r := b.apply(MoveIncident{ID: b.incidents("")[0].ID, To: IncidentContained}, Options{Reason: "it is in a channel"})
	if key.State() != keys.Revoked || b.active("nadia").ID() == key.ID() || len(r.Links) == 0 {
		t.Errorf("the key is %v, %d links", key.State(), len(r.Links))
	}
}

// TestIncidentsEndByThemselvesUnlessAPersonShouldLook, and are forgotten some time after.
func TestIncidentsEndByThemselves(t *testing.T) {
	b := newBench(t)
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Low, "blocked")
	b.noteAt(b.clock(), "replay", attackerPrefix, threat.High, "for a person to judge")
	var told []string
	b.Plane.parts.Incident = func(_ context.Context, i IncidentInfo) {
		told = append(told, i.Detector+" "+i.State)
		if i.Closed == nil || !i.Closed.Equal(b.clock()) {
			t.Errorf("told of an end that is none: %+v", i)
		}
	}
	b.pass(quietAfter - time.Second)
	if len(told) > 0 {
		t.Errorf("too early: %q", told)
	}
	b.pass(time.Second)
	b.pass(time.Hour)
	if !slices.Equal(told, []string{"probe_scan resolved"}) { // once
		t.Errorf("told of %q", told)
	}
	open := b.incidents(IncidentOpen)
	if len(open) != 1 || open[0].Detector != "replay" || len(b.incidents(IncidentResolved)) != 1 {
		t.Errorf("%+v", open)
	}
	b.pass(keepIncidents + time.Minute)
	if all := b.incidents(""); len(all) != 1 || all[0].Detector != "replay" {
		t.Errorf("%+v", all)
	}
}

func TestAnIncidentIsToldInWords(t *testing.T) {
	for count, want := range map[int64]string{1: "1 finding; noted", 2: "2 findings; noted"} {
		if got := (IncidentInfo{Count: count, Action: "noted"}).Message().Detail; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
