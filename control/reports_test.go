package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/report"
	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// reported is a node of which there is something to report.
func reported(t testing.TB) *bench {
	b := newBench(t)
	b.surrounded()
	refused := uint64(0)
	b.parts.Decisions = func(c *ControlInfo) {
		if c.Name == policy.RateAccept {
			refused += 10
			c.Allowed, c.Refused, c.WouldRefuse = 10*refused, refused, 2*refused
		}
	}
	b.add("alice")
	b.add("bob")
	b.pass(time.Hour)
	b.audit()
	b.pass(day)
	b.used("alice", dayOf(b.clock()), usage.Totals{Up: 1 << 20, Down: 7 << 30, Sessions: 12})
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce", Percent: 10}, Options{Reason: "a trial", Force: true})
	b.pass(day)
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, Options{Reason: "a trial went well", Force: true})
	b.apply(AddException{Controls: []string{policy.RateAccept}, Prefix: "192.0.2.0/24", Until: b.clock().Add(30 * day)}, Options{Reason: "<script>alert(1)</script> | a school"})
	b.apply(Block{Target: "203.0.113.9", For: Duration(day)}, Options{Reason: "noise"})
	b.apply(SetMode{Control: policy.GeoCountry, Mode: "off"}, Options{Reason: "no country file"})
	b.noteAt(b.clock(), "probe_scan", attackerPrefix, threat.Medium, "throttled")
	found := b.audit().Findings
	b.apply(AcceptFinding{ID: found[0].ID, Until: b.clock().Add(30 * day)}, Options{Reason: "there is no file of countries"})
	b.apply(BreakGlass{For: Duration(time.Hour)}, Options{Reason: "people call"})
	b.pass(2 * time.Hour)
	b.refuses(Refused, AckFinding{ID: b.fixedFinding(), Until: b.clock().Add(day)}, Options{Reason: "x"})
	b.pass(day)
	b.audit()
	b.noteAt(b.clock(), "replay", attackerPrefix, threat.Low, "noted")
	b.pass(time.Minute)
	return b
}

// fixedFinding plants a finding that was fixed, to be refused something about it.
func (b *bench) fixedFinding() string {
	b.t.Helper()
	f := store.Finding{ID: "feedfeedfeedfeed", Check: "host.root", Group: "host", Title: "t", Subject: "s", Severity: "low", State: "fixed", FirstSeen: b.clock(), LastSeen: b.clock(), Fixed: b.clock()}
	if _, err := b.store.Update(b.t.Context(), func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{f}) }); err != nil {
		b.t.Fatal(err)
	}
	return f.ID
}

func (b *bench) used(name string, on int, n usage.Totals) {
	b.t.Helper()
	_, err := b.store.Update(b.t.Context(), func(tx *store.Tx) error {
		u, err := tx.User(name)
		if err != nil {
			return err
		}
		return tx.Count(u.ID, on, "other", n)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) report(q ReportQuery) []byte {
	b.t.Helper()
	body, err := b.Report(b.t.Context(), operator, q)
	if err != nil {
		b.t.Fatal(err)
	}
	return body
}

// everyReport are all reports in all formats of a period.
func everyReport(since, until time.Time) (all []ReportQuery) {
	for _, f := range report.Formats() {
		for _, profile := range report.Profiles() {
			all = append(all, ReportQuery{Kind: "compliance", Profile: profile, Since: since, Until: until, Format: string(f)})
		}
		all = append(all, ReportQuery{Kind: "security", Since: since, Until: until, Format: string(f)}, ReportQuery{Kind: "usage", Since: since, Until: until, Format: string(f)})
	}
	return all
}

// TestAReportOfAPastDateStaysWhatItWas: whatever happens later, the same query gives the
// same bytes, after a restart too.
func TestAReportOfAPastDateStaysWhatItWas(t *testing.T) {
	b := reported(t)
	queries := everyReport(b.clock().Add(-3*day), b.clock())
	var before [][]byte
	for _, q := range queries {
		before = append(before, b.report(q))
	}
	b.pass(time.Second)
	// Everything changes that can.
	b.apply(SetMode{Control: policy.RateAccept, Mode: "off"}, Options{Reason: "x"})
	b.apply(RemoveException{ID: b.exceptionIDs()[0]}, Options{})
	b.apply(AddException{Controls: []string{policy.ConnsUser}, User: "alice", Until: b.clock().Add(day)}, Options{Reason: "x"})
	b.apply(Unblock{Target: "203.0.113.9"}, Options{})
	b.apply(RemoveUser{Name: "bob"}, Options{Reason: "x"})
	b.add("carol")
	b.used("carol", dayOf(b.clock()), usage.Totals{Up: 5})
	b.noteAt(b.clock(), "replay", attackerPrefix, threat.High, "blocked for 1h")
	open := b.incidents(IncidentOpen)
	b.apply(MoveIncident{ID: open[0].ID, To: IncidentResolved}, Options{})
	for _, f := range b.audit().Findings {
		b.apply(AcceptFinding{ID: f.ID, Until: b.clock().Add(day)}, Options{Reason: "all of them"})
	}
	b.apply(BreakGlass{}, Options{Reason: "x"})
	b.pass(3 * day)
	b.audit()
	if _, err := b.SealedReport(t.Context(), operator, queries[0]); err != nil {
		t.Fatal(err)
	}
	compare := func(when string) {
		t.Helper()
		for i, q := range queries {
			if now := b.report(q); !bytes.Equal(now, before[i]) {
				t.Errorf("%s: %+v is\n%s\nand was\n%s", when, q, now, before[i])
				return
			}
		}
	}
	compare("after changes")
	b.restart()
	b.surrounded()
	compare("after a restart")
	// And a report of now tells them.
	if now := b.report(ReportQuery{Kind: "compliance", Until: b.clock()}); bytes.Equal(now, before[0]) || !bytes.Contains(now, []byte("| check policy.glass |")) {
		t.Error("a report of now is that of then")
	}
}

// TestEveryFigureIsTraceable: each piece of evidence that a report names is in the plane,
// with the hash it names, and counts can be counted again.
func TestEveryFigureIsTraceable(t *testing.T) {
	b := reported(t)
	until := b.clock()
	since := until.Add(-4 * day)
	seen := make(map[string]int)
	for _, q := range everyReport(since, until) {
		if q.Format != "json" {
			continue
		}
		var file struct{ Items []report.Report }
		if err := json.Unmarshal(b.report(q), &file); err != nil || len(file.Items) != 1 {
			t.Fatal(err)
		}
		r := file.Items[0]
		for _, e := range r.Evidence {
			seen[e.Of]++
			if err := b.resolve(e.Source); err != nil {
				t.Errorf("%s %s: %s leads nowhere: %+v: %v", q.Kind, q.Profile, e.Key, e.Source, err)
			}
		}
		for _, f := range r.Summary {
			if len(f.Evidence) == 0 {
				t.Errorf("%s: %s stands on nothing", q.Kind, f.Name)
			}
			if want, counted := b.recount(r, f.Name, since, until); counted && (f.Value == nil || *f.Value != want) {
				t.Errorf("%s: %s is %s, counted again it is %d", q.Kind, f.Name, f.Text(), want)
			} else if counted {
				seen["counted "+f.Name]++
			}
		}
	}
	for _, of := range []string{report.OfAudit, report.OfFinding, report.OfRow, report.OfPolicy, report.OfIncident, report.OfUsage, report.OfHistory, report.OfCode,
		"counted posture", "counted exceptions in force", "counted risks accepted", "counted audits", "counted incidents that began", "counted blocks made", "counted changes made",
		"counted changes refused", "counted keys that became active", "counted sessions", "counted to users", "counted users that were there", "counted requirements met",
		"counted connections that controls refused", "counted posture at the end"} {
		if seen[of] == 0 {
			t.Errorf("no report has %s", of)
		}
	}
}

// resolve follows a piece of evidence to where it leads.
func (b *bench) resolve(s report.Source) error {
	number, _, _ := strings.Cut(s.ID, "/")
	n, _ := strconv.ParseInt(number, 10, 64)
	return b.view(b.t.Context(), func(tx *store.Tx) error {
		switch s.Of {
		case report.OfRow:
			for row, err := range tx.AuditRows(n, n) {
				if err == nil && row.Hash.String() != s.Hash {
					err = errors.New("the row has another hash")
				}
				return err
			}
			return errors.New("no such row")
		case report.OfAudit, report.OfFinding:
			run, err := tx.AuditRun(n)
			if err != nil {
				return err
			}
			record, err := report.ParseRecord(run.Found)
			if err != nil || report.Digest(run.Found) != s.Hash {
				return errors.Join(err, errors.New("the record has another hash"))
			}
			if _, id, finding := strings.Cut(s.ID, "/"); finding && record.Found[id] == "" {
				return errors.New("the audit did not find it")
			}
			// The record's hash stands in the audit log.
			for row, err := range allRows(tx) {
				if err != nil {
					return err
				}
				if e, err := row.Entry(); err == nil && e.Action == "audit.run" && detailsOf(&e)["audit"] == number && detailsOf(&e)["record"] == s.Hash {
					return nil
				}
			}
			return errors.New("no row of the audit log has its hash")
		case report.OfPolicy:
			row, err := tx.Policy(n)
			if err == nil && report.Digest(row.Document) != s.Hash {
				err = errors.New("the document has another hash")
			}
			return err
		case report.OfIncident:
			if s.ID == "list" {
				return nil
			}
			_, err := tx.Incident(s.ID)
			return err
		case report.OfUsage, report.OfHistory:
			var from, to int
			_, err := fmt.Sscanf(s.ID, "%d-%d", &from, &to)
			return err
		case report.OfCode:
			known := slices.Concat(policy.Controls(), []string{usualMode, "empty"})
			for _, profile := range report.Profiles() {
				for _, item := range report.Items(profile) {
					known = append(known, item.ID)
				}
			}
			if !slices.Contains(known, s.ID) {
				return errors.New("the program knows nothing of that name")
			}
			return nil
		}
		return errors.New("nobody knows what that is of")
	})
}

// recount counts what a figure says in another way.
func (b *bench) recount(r report.Report, name string, since, until time.Time) (n int64, counted bool) {
	err := b.view(b.t.Context(), func(tx *store.Tx) error {
		var runs []store.AuditRun
		all, err := tx.AuditRuns(0, 0)
		if err != nil {
			return err
		}
		for _, run := range all { // the newest first
			if run.Started.After(since) && !run.Started.After(until) {
				runs = append(runs, run)
			}
		}
		rows := func(fits func(auditlog.Entry) bool) (n int64) {
			for row, err := range allRows(tx) {
				if err != nil {
					b.t.Fatal(err)
				}
				e, err := row.Entry()
				if err != nil {
					b.t.Fatal(err)
				}
				if e.Time.After(since) && !e.Time.After(until) && fits(e) {
					n++
				}
			}
			return n
		}
		counted = true
		result, ofResult := strings.CutPrefix(name, "requirements ")
		switch {
		case ofResult:
			for _, q := range r.Requirements {
				if string(q.Result) == result {
					n++
				}
			}
		case name == "posture", name == "posture at the end":
			n = int64(runs[0].Score)
		case name == "audits":
			n = int64(len(runs))
		case name == "exceptions in force":
			for x, err := range tx.Exceptions(0) {
				if err != nil {
					return err
				}
				if x.Until.After(until) {
					n++
				}
			}
		case name == "risks accepted":
			for f, err := range tx.Findings() {
				if err != nil {
					return err
				}
				if f.State == "accepted" && f.Until.After(until) {
					n++
				}
			}
		case name == "incidents that began":
			list, err := tx.Incidents(store.IncidentFilter{Limit: 1000})
			n = int64(len(list))
			return err
		case name == "blocks made":
			for rule, err := range tx.Rules(0) {
				if err != nil {
					return err
				}
				if rule.Level == access.None {
					n++
				}
			}
		case name == "changes made":
			n = rows(func(e auditlog.Entry) bool { return e.Outcome == auditlog.Done })
		case name == "changes refused":
			n = rows(func(e auditlog.Entry) bool { return e.Outcome != auditlog.Done })
		case strings.HasPrefix(name, "keys that became "):
			events, err := tx.KeyEvents(store.KeyEventFilter{})
			for _, e := range events {
				if e.To == strings.TrimPrefix(name, "keys that became ") {
					n++
				}
			}
			return err
		case name == "sessions":
			n = 12
		case name == "to users":
			n = 7 << 30
		case name == "users that were there":
			n = 3 // with the default one
		case name == "connections that controls refused":
			first, err := report.ParseRecord(runs[len(runs)-1].Found)
			last, err2 := report.ParseRecord(runs[0].Found)
			n = int64(last.Decisions[policy.RateAccept].Refused)
			_ = first // its process began in the period, so all that it counted does
			return errors.Join(err, err2)
		default:
			counted = false
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n, counted
}

// TestModesOverThePeriod: what connections met, with glass that was broken and what nobody said.
func TestModesOverThePeriod(t *testing.T) {
	b := reported(t)
	var file struct{ Items []report.Report }
	if err := json.Unmarshal(b.report(ReportQuery{Kind: "compliance", Format: "json"}), &file); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range file.Items[0].Controls {
		line := c.Configured + "/" + c.Effective
		for _, x := range c.Changes {
			line += ", " + x.Configured + "/" + x.Effective
		}
		got[c.Name] = line
	}
	// The node is younger than the period: what held before it began nobody knows.
	for name, want := range map[string]string{
		policy.RateAccept: "enforce/enforce, enforce 10%/enforce 10%, enforce/enforce, enforce/monitor, enforce/enforce",
		policy.GeoCountry: "off/off, off/off",
		policy.ConnsUser:  "monitor/monitor",
		policy.ConnsTotal: "always/always",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	if x := file.Items[0].Exceptions; len(x) != 1 || x[0].Spares != "192.0.2.0/24" || x[0].Owner != "uid 0" || !x[0].InForce || x[0].Hits == nil || !strings.Contains(x[0].Reason, "a school") {
		t.Errorf("%+v", x)
	}
}

// TestAnAcceptanceEndsWithItsFinding: what came back after it was fixed is not accepted.
func TestAnAcceptanceEndsWithItsFinding(t *testing.T) {
	b := newBench(t)
	around := b.surrounded()
	say := func() string {
		b.pass(time.Minute)
		return string(b.report(ReportQuery{Kind: "compliance", Profile: "host"}))
	}
	around.UID = 0
	for _, f := range b.audit("host.root").Findings {
		b.pass(time.Minute)
		b.apply(AcceptFinding{ID: f.ID, Until: b.clock().Add(90 * day)}, Options{Reason: "a container"})
	}
	b.pass(time.Minute)
	b.audit("host.root")
	if text := say(); !strings.Contains(text, "| risks accepted | 1 |") || !strings.Contains(text, "1 finding of accepted risk") {
		t.Error(text)
	}
	around.UID = 990
	b.audit("host.root")
	if text := say(); !strings.Contains(text, "| risks accepted | 0 |") || !strings.Contains(text, "| check host.root | met |") {
		t.Error(text)
	}
	around.UID = 0
	b.audit("host.root")
	if text := say(); !strings.Contains(text, "| risks accepted | 0 |") || !strings.Contains(text, "| check host.root | not met |") {
		t.Error(text)
	}
}

// TestTheFilesModesAreKept: what the configuration file says of controls is no revision
// of the policy, and stands in the audit log.
func TestTheFilesModesAreKept(t *testing.T) {
	b := newBench(t)
	load := func(text string) {
		t.Helper()
		d, err := policy.Parse("mtguard.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Load(t.Context(), File{Base: policy.Snapshot{}, Policy: policy.Layer{Document: d}}); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Hour)
	}
	rows := func() int { return strings.Count(string(b.export()), `"action":"policy.file"`) }
	before := b.clock()
	b.pass(time.Hour)
	load("schema = 1\n[controls.\"rate.accept\"]\nmode = \"enforce\"\npercent = 20\n")
	then := b.clock()
	if rows() != 1 {
		t.Fatalf("%d rows tell of the file", rows())
	}
	load("schema = 1\n[controls.\"rate.accept\"]\nmode = \"enforce\"\npercent = 20\n")
	if rows() != 1 {
		t.Error("a file that says what it said is told again")
	}
	load("schema = 1\n")
	for at, want := range map[time.Time]string{before: "monitor", then: "enforce 20%", b.clock(): "monitor", before.Add(-time.Hour): "unknown"} {
		var file struct{ Items []report.Report }
		if err := json.Unmarshal(b.report(ReportQuery{Kind: "compliance", Format: "json", Until: at}), &file); err != nil {
			t.Fatal(err)
		}
		for _, c := range file.Items[0].Controls {
			if c.Name == policy.RateAccept && c.Effective != want {
				t.Errorf("at %v: %s, want %s", at, c.Effective, want)
			}
		}
	}
}

func (b *bench) export() []byte {
	b.t.Helper()
	var out bytes.Buffer
	if err := b.AuditExport(b.t.Context(), operator, &out); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

// TestASealedReportIsProvenByTheLog: with the public key alone, and the log still holds.
func TestASealedReportIsProvenByTheLog(t *testing.T) {
	b := reported(t)
	key, err := b.AuditKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range everyReport(time.Time{}, time.Time{}) {
		file, err := b.SealedReport(t.Context(), Actor{Name: "uid 7", Level: access.ReadOnly}, q)
		if err != nil {
			t.Fatal(err)
		}
		v, err := report.Verify(file, verifier)
		if err != nil || v.By != "uid 7" || v.Row != v.Signed {
			t.Errorf("%+v: %+v, %v", q, v, err)
		}
		rows, err := b.AuditTail(t.Context(), operator, 1, 0)
		if err != nil || rows[0].Seq != v.Row || rows[0].Action != "report.make" || rows[0].Details["sha256"] != v.Sum {
			t.Errorf("%+v, %v", rows, err)
		}
		if bytes.Contains(b.report(q), []byte("mtguard report seal")) {
			t.Errorf("%+v: a report that nobody sealed carries a seal", q)
		}
	}
	if r, err := b.AuditVerify(t.Context(), operator); err != nil || !r.OK || r.Witnessed != r.Rows {
		t.Errorf("%+v, %v", r, err)
	}
	b.apply(SetUser{Name: "alice", Disabled: new(true)}, Options{})
	if err := b.checkpoint(t.Context(), true); err != nil {
		t.Error(err)
	}
	if r, err := b.AuditVerify(t.Context(), operator); err != nil || !r.OK || r.Witnessed != r.Rows {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestReportsThatCannotBeMade: each with an error that says why, and no row.
func TestReportsThatCannotBeMade(t *testing.T) {
	b := newBench(t)
	now := b.clock()
	rows := len(b.export())
	for name, q := range map[string]ReportQuery{
		"no kind": {}, "unknown kind": {Kind: "weather"}, "unknown profile": {Kind: "compliance", Profile: "iso"}, "profile of usage": {Kind: "usage", Profile: "asvs"},
		"unknown format": {Kind: "usage", Format: "pdf"}, "future": {Kind: "usage", Until: now.Add(time.Second)}, "reversed": {Kind: "usage", Since: now, Until: now.Add(-day)},
		"too long": {Kind: "usage", Since: now.Add(-500 * day)}, "the year 1": {Kind: "usage", Since: now.Add(-10 * day), Until: time.Time{}.Add(day)},
	} {
		for _, do := range []func(context.Context, Actor, ReportQuery) ([]byte, error){b.Report, b.SealedReport} {
			_, err := do(t.Context(), operator, q)
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Invalid || e.Field == "" {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := do(t.Context(), Actor{Name: "x", Level: access.None}, q); err == nil {
				t.Errorf("%s: anybody may ask", name)
			}
		}
	}
	if n := strings.Count(string(b.export()[rows:]), "report.make"); n != 0 {
		t.Errorf("%d rows tell of reports that were not made", n)
	}
}

// TestOldUsageIsUnknownAndNotZero: of days that are not kept nothing is said.
func TestOldUsageIsUnknownAndNotZero(t *testing.T) {
	b := newBench(t)
	b.add("alice")
	b.used("alice", dayOf(b.clock()), usage.Totals{Up: 5})
	then := b.clock()
	for range 100 {
		b.pass(day)
	}
	text := string(b.report(ReportQuery{Kind: "usage", Since: then.Add(-day), Until: then.Add(2 * day)}))
	if !strings.Contains(text, "| sessions | unknown |") || !strings.Contains(text, "2 whole days of the period are not kept") || strings.Contains(text, "alice") {
		t.Error(text)
	}
}

// TestReportsOfManyUsersTakeSeconds at most: ten thousand users and a month.
func TestReportsOfManyUsersTakeSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("a store of ten thousand users")
	}
	b := newBench(t)
	_, err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 10_000 {
			u := store.User{Name: fmt.Sprintf("u%05d", i), Source: store.FromAdmin, Level: access.Standard, Created: b.clock()}
			if err := tx.PutUser(&u); err != nil {
				return err
			}
			if err := tx.Count(u.ID, dayOf(b.clock().AddDate(0, 0, -6)), "r", usage.Totals{Up: 1, Down: 2, Sessions: 7}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Formats() {
		begun := time.Now()
		body := b.report(ReportQuery{Kind: "usage", Format: string(f)})
		t.Logf("%s: %d bytes in %v", f, len(body), time.Since(begun).Round(time.Millisecond))
		if !bytes.Contains(body, []byte("70000")) || !bytes.Contains(body, []byte("u09999")) {
			t.Errorf("%s is not all of it", f)
		}
	}
}
