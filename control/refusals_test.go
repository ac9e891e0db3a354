package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mtguard/security/access"
)

// deniedRows are the audit log's rows of operations that were refused.
func (b *bench) deniedRows() (rows []AuditRow) {
	b.t.Helper()
	all, err := b.AuditTail(b.t.Context(), operator, 1000, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range all {
		if r.Action == "api.denied" {
			rows = append(rows, r)
		}
	}
	return rows
}

// TestWhatSomebodyMayNotIsAudited: at once, and then together.
func TestWhatSomebodyMayNotIsAudited(t *testing.T) {
	b := newBench(t)
	told := 0
	b.parts.Denied = func(by Actor, _ string) {
		if by.Name == "token ci" {
			told++
		}
	}
	ci := Actor{Name: "token ci", Level: access.ReadOnly}
	for _, operation := range []string{"break-glass", "create-token", "add-user", "create-token"} {
		b.NoteDenied(t.Context(), ci, operation, "no "+operation)
	}
	rows := b.deniedRows()
	if len(rows) != 1 || rows[0].Actor != "token ci" || rows[0].Object != "operation break-glass" || rows[0].Outcome != "refused" || rows[0].Reason != "no break-glass" || told != 4 {
		t.Fatalf("%+v, told %d times", rows, told)
	}
	b.NoteDenied(t.Context(), Actor{Name: "token other", Level: access.ReadOnly}, "add-user", "no")
	b.pass(refusalsFirst - time.Second)
	if rows = b.deniedRows(); len(rows) != 2 || rows[1].Actor != "token other" {
		t.Fatalf("of another one: %+v", rows)
	}
	b.pass(time.Second)
	rows = b.deniedRows()
	if len(rows) != 3 || rows[2].Object != "operation create-token, add-user" || rows[2].Details["times"] != "3" ||
		rows[2].Reason != "no create-token; no add-user" {
		t.Errorf("a minute later: %+v", rows[2:])
	}
	if log := b.log.String(); strings.Count(log, "not allowed") != 3 || !strings.Contains(log, "break-glass") {
		t.Errorf("the log has %s", log)
	}
}

// TestNobodyFillsTheAuditLog: a week of attempts, each of another operation, is a few rows a day, and all of them are counted.
func TestNobodyFillsTheAuditLog(t *testing.T) {
	b := newBench(t)
	ci := Actor{Name: "token ci", Level: access.ReadOnly}
	const hours, each = 48, 30
	for i := range hours * each {
		b.NoteDenied(t.Context(), ci, fmt.Sprintf("operation-%d", i%100), fmt.Sprint("no ", i))
		b.pass(time.Hour / each)
	}
	rows, times := b.deniedRows(), 0
	for _, r := range rows {
		n := 1
		fmt.Sscan(r.Details["times"], &n)
		times += n
	}
	if len(rows) < hours || len(rows) > hours+10 || times < hours*each-each {
		t.Errorf("%d rows tell of %d attempts in %d hours", len(rows), times, hours)
	}
	b.NoteDenied(t.Context(), ci, "the-last", "no")
	if err := b.auditRefusals(t.Context(), b.clock(), true); err != nil {
		t.Fatal(err)
	}
	if rows = b.deniedRows(); !strings.Contains(rows[len(rows)-1].Object, "operation") {
		t.Errorf("at the end: %+v", rows[len(rows)-1])
	}
	// After an hour of quiet the next one is told at once.
	b.pass(refusalsMost)
	before := len(b.deniedRows())
	b.NoteDenied(t.Context(), ci, "open-page", "no")
	if rows = b.deniedRows(); len(rows) != before+1 || rows[before].Object != "operation open-page" {
		t.Errorf("after an hour of quiet: %+v", rows[before:])
	}
	for i := range 2 * maxRefusedActors {
		b.refusals.mu.Lock()
		b.refusals.find(fmt.Sprint("actor ", i))
		b.refusals.mu.Unlock()
	}
	if n := len(b.refusals.of); n > maxRefusedActors+1 {
		t.Errorf("%d actors are remembered", n)
	}
}
