package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"mtguard/control/alert"
	"mtguard/control/store"
)

// told is a set of receivers that answer.
type told struct{ asked string }

func (*told) Report(context.Context) (alert.Report, error) {
	return alert.Report{Receivers: []alert.ReceiverInfo{{Name: "oncall"}}}, nil
}

func (a *told) Test(_ context.Context, name string) ([]alert.Answer, error) {
	if name == "nobody" {
		return nil, alert.ErrNoReceiver
	}
	a.asked = name
	return []alert.Answer{{Receiver: "oncall", Answer: "it answered 500"}}, nil
}

func TestMaintenanceWindowsAreAuditedAndEnd(t *testing.T) {
	b := newBench(t)
	silences := func() (all []alert.Silence) {
		t.Helper()
		if err := b.view(t.Context(), func(tx *store.Tx) (err error) { all, err = alert.Silences(tx, b.clock()); return err }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	r := b.apply(SilenceAlerts{For: Duration(2 * time.Hour)}, Options{Reason: "a new disk"})
	b.apply(SilenceAlerts{Code: "disk.full", For: Duration(day)}, Options{Reason: "a new disk"})
	all := silences()
	if len(all) != 2 || all[0].Reason != "a new disk" || all[0].By != operator.Name || !strings.Contains(r.Summary, all[0].ID) || all[1].Code != "disk.full" {
		t.Fatalf("%+v, %q", all, r.Summary)
	}
	b.apply(SilenceAlerts{For: Duration(time.Hour)}, Options{Reason: "x", DryRun: true})
	for _, c := range []SilenceAlerts{{}, {For: Duration(31 * day)}, {For: Duration(time.Second)}, {Code: "disk.ful", For: Duration(time.Hour)}} {
		b.refuses(Invalid, c, Options{Reason: "x"})
	}
	b.refuses(Invalid, SilenceAlerts{For: Duration(time.Hour)}, Options{})
	b.refuses(NotFound, EndSilence{ID: "s-0"}, Options{})
	b.apply(EndSilence{ID: all[1].ID}, Options{})
	b.pass(time.Hour)
	if all := silences(); len(all) != 1 {
		t.Errorf("after an hour %+v", all)
	}
	b.pass(2 * time.Hour)
	if all := silences(); len(all) != 0 {
		t.Errorf("after three hours %+v", all)
	}
	rows, err := b.AuditTail(t.Context(), operator, 9, 0)
	if err != nil || len(rows) < 3 || rows[len(rows)-3].Action != "alert.silence" || rows[len(rows)-1].Action != "alert.unsilence" {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestThatReceiversAreTestedIsAudited(t *testing.T) {
	b := newBench(t)
	receivers := new(told)
	b.parts.Alerts = receivers
	answers, err := b.TestAlerts(t.Context(), operator, "oncall")
	if err != nil || len(answers) != 1 || receivers.asked != "oncall" {
		t.Errorf("%+v, %v", answers, err)
	}
	if _, err := b.TestAlerts(t.Context(), operator, "nobody"); err == nil || err.(*Error).Kind != NotFound {
		t.Errorf("of nobody: %v", err)
	}
	rows, err := b.AuditTail(t.Context(), operator, 9, 0)
	if last := rows[len(rows)-1]; err != nil || last.Action != "alert.test" || last.Object != "oncall" || last.Outcome != "failed" {
		t.Errorf("%+v, %v", rows, err)
	}
	if r, err := b.Alerts(t.Context()); err != nil || len(r.Receivers) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}
