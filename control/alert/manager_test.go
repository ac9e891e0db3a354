package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control/store"
)

// inFile is a receiver whose messages the test reads.
func inFile(t testing.TB) (Receiver, func() []string) {
	path := filepath.Join(t.TempDir(), "alerts")
	return Receiver{Name: "file", Kind: KindJSONL, URL: "file://" + path}, func() (seen []string) {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			m, err := decode([]byte(line))
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			seen = append(seen, m.Code+" "+string(m.Status))
		}
		return seen
	}
}

func (b *bench) silence(s Silence) string {
	b.t.Helper()
	var id string
	_, err := b.store.Update(context.Background(), func(tx *store.Tx) (err error) {
		id, err = AddSilence(tx, s, time.Now())
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// TestMaintenanceWindows: nobody is told of what begins in one; what still fires at its
// end is told then; what was told before is told to be over.
func TestMaintenanceWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		r, seen := inFile(t)
		b.configure(r)
		b.run()
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		expect := func(what string, want ...string) {
			t.Helper()
			if got := seen(); !slices.Equal(got, want) {
				t.Fatalf("%s: told %q, want %q", what, got, want)
			}
		}
		pass(5 * time.Second)
		b.set(func(s *Snapshot) { s.ConfigError = "line 7" })
		pass(10 * time.Second)
		expect("before", "config.refused firing")

		b.silence(Silence{From: time.Now(), Until: time.Now().Add(time.Hour), Reason: "moving", By: "uid 0"})
		b.set(func(s *Snapshot) { s.ConfigError, s.ClockHeld, s.AuditFault = "", "it jumped", "row 7" })
		pass(10 * time.Minute)
		expect("in it", "config.refused firing", "config.refused resolved")
		report, err := b.Report(t.Context())
		if err != nil || len(report.Alerts) != 3 || !report.Alerts[0].Silenced || len(report.Silences) != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		if err := b.Notify(t.Context(), sample()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		expect("a finding in it", "config.refused firing", "config.refused resolved", "probe.scan firing")
		b.set(func(s *Snapshot) { s.ClockHeld = "" })
		pass(10 * time.Minute)
		// A restart in the window changes nothing.
		b.kill()
		b.open()
		b.configure(r)
		b.run()
		pass(30 * time.Minute)
		expect("still in it", "config.refused firing", "config.refused resolved", "probe.scan firing")
		pass(15 * time.Minute)
		expect("after it", "config.refused firing", "config.refused resolved", "probe.scan firing", "auditlog.broken firing")
		b.set(func(s *Snapshot) { s.AuditFault = "" })
		pass(10 * time.Second)
		expect("over", "config.refused firing", "config.refused resolved", "probe.scan firing", "auditlog.broken firing", "auditlog.broken resolved")

		id := b.silence(Silence{Code: "clock.jumped", From: time.Now(), Until: time.Now().Add(time.Hour)})
		b.set(func(s *Snapshot) { s.ConfigError, s.ClockHeld = "line 8", "again" })
		pass(10 * time.Second)
		expect("of one code", append(seen()[:5], "config.refused firing")...)
		if _, err := b.store.Update(t.Context(), func(tx *store.Tx) error { return EndSilence(tx, id, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		expect("ended early", append(seen()[:6], "clock.jumped firing")...)
		b.kill()
	})
}

func TestAnAlertGoesOnUnderItsIDAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		r, seen := inFile(t)
		b.configure(r)
		b.set(func(s *Snapshot) { s.ClockHeld = "it jumped" })
		b.run()
		time.Sleep(time.Minute)
		before, _ := b.Report(t.Context())
		b.kill()
		b.open()
		b.configure(r)
		b.run()
		time.Sleep(time.Minute)
		after, _ := b.Report(t.Context())
		if len(before.Alerts) != 1 || len(after.Alerts) != 1 || before.Alerts[0].ID != after.Alerts[0].ID || !after.Alerts[0].Since.Equal(before.Alerts[0].Since.Truncate(time.Microsecond)) {
			t.Errorf("%+v\nthen %+v", before.Alerts, after.Alerts)
		}
		b.set(func(s *Snapshot) { s.ClockHeld = "" })
		time.Sleep(time.Minute)
		if got := seen(); !slices.Equal(got, []string{"clock.jumped firing", "clock.jumped resolved"}) {
			t.Errorf("told %q", got)
		}
		b.kill()
	})
}

func TestTheDeadMansPingEndsWithTheLooking(t *testing.T) {
	b := newBench(t)
	if b.well(Low) {
		t.Error("all is well though nobody has looked")
	}
	b.look(t.Context())
	if !b.well(Low) {
		t.Error("all is not well")
	}
	b.set(func(s *Snapshot) { s.ConfigError = "line 7" })
	b.look(t.Context())
	if b.well(Medium) || !b.well(High) {
		t.Error("a medium alert is one for medium, and none for high")
	}
	b.mu.Lock()
	b.Manager.mu.Lock()
	b.looked = time.Now().Add(-time.Hour)
	b.Manager.mu.Unlock()
	b.mu.Unlock()
	if b.well(High) {
		t.Error("all is well though nobody has looked for an hour")
	}
}

// TestAStoreThatTakesNothing: people are told all the same.
func TestAStoreThatTakesNothing(t *testing.T) {
	s, b := newSite(t), newBench(t)
	b.configure(s.hook("hook"))
	b.store.Close() // as a disk that is gone
	b.run()
	b.notify("m", maxHeld+6)
	eventually(t, "what memory holds is delivered", func() bool { return slices.Contains(s.taken(), fmt.Sprint("m", maxHeld+5)) })
	eventually(t, "an alert says why", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.ContainsFunc(s.got, func(id string) bool { return strings.HasPrefix(id, "al-") })
	})
	if !strings.Contains(b.log.String(), "store.failing") {
		t.Error("the log does not say so")
	}
}

func TestAReceiverThatIsGone(t *testing.T) {
	b := newBench(t)
	a := Receiver{Name: "a", Kind: KindWebhook, URL: "http://127.0.0.1:9/"}
	c := a
	c.Name = "c"
	b.configure(a, c)
	b.notify("m", 3)
	b.configure(a)
	if !strings.Contains(b.log.String(), "messages=3") {
		t.Errorf("the log does not say what went with it: %s", b.log.String())
	}
	b.configure(a, c)
	if b.waiting("a") != 3 || b.waiting("c") != 0 {
		t.Errorf("%d and %d wait", b.waiting("a"), b.waiting("c"))
	}
}

func TestReceiversChangeWhileItRuns(t *testing.T) {
	one, two, b := newSite(t), newSite(t), newBench(t)
	b.configure(one.hook("hook"))
	b.run()
	b.notify("a", 1)
	eventually(t, "the first has it", func() bool { return len(one.taken()) == 1 && b.waiting("hook") == 0 })
	b.configure(two.hook("hook"))
	b.notify("b", 1)
	eventually(t, "the second has it", func() bool { return len(two.taken()) == 1 && b.waiting("hook") == 0 })
	if len(one.taken()) != 1 {
		t.Error("the first is told still")
	}
	if err := b.Configure(t.Context(), Config{Receivers: []Receiver{{Name: "x"}}}); err == nil {
		t.Error("a receiver that is none was taken")
	}
	b.notify("c", 1)
	eventually(t, "what was in force is", func() bool { return len(two.taken()) == 2 })
}

func TestMessagesThatAreNone(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]func(*Message){
		"kind": func(m *Message) { m.Kind = "x" }, "status": func(m *Message) { m.Status = Open }, "code": func(m *Message) { m.Code = "" },
		"title": func(m *Message) { m.Title = "" }, "severity": func(m *Message) { m.Severity = 0 },
	} {
		m := sample()
		change(&m)
		if err := b.Notify(t.Context(), m); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	// Whatever a detector puts in, it fits.
	m := sample()
	m.ID, m.Title, m.Detail = "", strings.Repeat("ä", 5000), "a\nb\x00\xff"
	m.Evidence = make(map[string]string)
	for i := range 500 {
		m.Evidence[fmt.Sprint(i, strings.Repeat("k", 300))] = strings.Repeat("v", 3000)
	}
	r, seen := inFile(t)
	b.configure(r)
	b.run()
	if err := b.Notify(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it comes", func() bool { return len(seen()) == 1 })
}

// TestOCSF holds what the mapper writes against the published schema's requirements.
func TestOCSF(t *testing.T) {
	text, err := os.ReadFile("testdata/ocsf.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Version string
		Classes map[string]struct {
			ClassName   string    `json:"class_name"`
			CategoryUID float64   `json:"category_uid"`
			Required    []string  `json:"required"`
			AtLeastOne  []string  `json:"at_least_one"`
			ActivityID  []float64 `json:"activity_id"`
			StatusID    []float64 `json:"status_id"`
		}
		SeverityID []float64 `json:"severity_id"`
		Objects    map[string][]string
		Allowed    map[string][]string
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	made := 0
	for kind, all := range statuses {
		for _, status := range all {
			for severity := Info; severity <= Critical; severity++ {
				m := sample()
				m.Kind, m.Status, m.Severity = kind, status, severity
				if err := m.settle(began); err != nil {
					t.Fatal(err)
				}
				made++
				b, err := json.Marshal(ocsf(m))
				if err != nil {
					t.Fatal(err)
				}
				var e map[string]any
				json.Unmarshal(b, &e)
				class := fmt.Sprint(e["class_uid"])
				want, ok := schema.Classes[class]
				if !ok || kind == KindIncident != (class == "2005") || e["class_name"] != want.ClassName || e["category_uid"] != want.CategoryUID {
					t.Fatalf("%s %s is of class %s: %s", kind, status, class, b)
				}
				for _, name := range want.Required {
					if v, ok := e[name]; !ok || v == "" || v == nil {
						t.Errorf("%s %s lacks %s", kind, status, name)
					}
				}
				for name := range e {
					if !slices.Contains(schema.Allowed[class], name) {
						t.Errorf("%s is no attribute of %s", name, class)
					}
				}
				if len(want.AtLeastOne) > 0 && !slices.ContainsFunc(want.AtLeastOne, func(name string) bool { _, ok := e[name]; return ok }) {
					t.Errorf("%s %s has none of %v", kind, status, want.AtLeastOne)
				}
				activity, _ := e["activity_id"].(float64)
				if !slices.Contains(want.ActivityID, activity) || !slices.Contains(want.StatusID, e["status_id"].(float64)) || !slices.Contains(schema.SeverityID, e["severity_id"].(float64)) {
					t.Errorf("%s %s: %s", kind, status, b)
				}
				if e["type_uid"] != e["class_uid"].(float64)*100+activity || e["time"] != float64(began.UnixMilli()) {
					t.Errorf("type %v, time %v", e["type_uid"], e["time"])
				}
				for path, required := range schema.Objects {
					for _, object := range within(e, strings.Split(path, ".")) {
						for _, name := range required {
							if v, ok := object[name]; !ok || v == "" {
								t.Errorf("%s %s: %s lacks %s", kind, status, path, name)
							}
						}
					}
				}
				meta := e["metadata"].(map[string]any)
				if meta["version"] != schema.Version || meta["uid"] != m.ID {
					t.Errorf("metadata %v", meta)
				}
			}
		}
	}
	if made != (2+1+5+1)*5 {
		t.Errorf("%d messages were mapped", made)
	}
}

// within are the objects at a path, those of lists too.
func within(of map[string]any, path []string) (all []map[string]any) {
	next, ok := of[path[0]]
	if !ok {
		return nil
	}
	list, ok := next.([]any)
	if !ok {
		list = []any{next}
	}
	for _, one := range list {
		object, _ := one.(map[string]any)
		if len(path) == 1 {
			all = append(all, object)
		} else {
			all = append(all, within(object, path[1:])...)
		}
	}
	return all
}

// TestFromAlertToWebhook prints how long it takes from a fault to the receiver.
func TestFromAlertToWebhook(t *testing.T) {
	s, b := newSite(t), newBench(t)
	at := make(chan time.Time, 1)
	s.does(func(w http.ResponseWriter, _ *http.Request) { at <- time.Now() })
	b.configure(s.hook("hook"))
	b.run()
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	var took []time.Duration
	for i := range rounds {
		time.Sleep(time.Duration(i) * every / 2) // at any moment between two looks
		fault := fmt.Sprint("fault ", i)
		started := time.Now()
		b.set(func(s *Snapshot) { s.ConfigError = fault })
		took = append(took, (<-at).Sub(started))
		b.set(func(s *Snapshot) { s.ConfigError = "" })
		<-at
	}
	slices.Sort(took)
	t.Logf("from a fault to the webhook: %v, the longest of %d %v (bound 10 s)", took, rounds, took[len(took)-1])
}

func FuzzTelegramAnswer(f *testing.F) {
	for _, seed := range []string{`{"ok":true,"result":{"message_id":7}}`, `{"ok":false,"parameters":{"retry_after":99999999999}}`, `[]`, `{"ok":1}`, "\xff", `{"ok":false,"description":"a\u0000b"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, refused := telegramAnswer(body)
		if refused != nil && (refused.after < 0 || refused.after > mostWait || len(refused.text) > 256 || strings.ContainsAny(refused.text, "\n\x00")) {
			t.Errorf("%q: %+v", body, refused)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add("7", "200 OK", []byte("thanks"))
	f.Add("-1", "", []byte("\xff\x00"))
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "x", []byte(strings.Repeat("ä", 400)))
	f.Add("9223372036854775807", "\n", []byte("\u2028"))
	f.Fuzz(func(t *testing.T, header, status string, body []byte) {
		if wait := retryAfter(header, began); wait < 0 || wait > mostWait {
			t.Errorf("%q: %v", header, wait)
		}
		if text := said(status, body); len(text) > 240 || strings.ContainsAny(text, "\n\r\x00\x1b") {
			t.Errorf("%q", text)
		}
		m, err := decode(body)
		if err == nil {
			ocsf(m)
			telegramMessage([]Message{m})
			(&alertmanager{}).postable(m)
		}
	})
}
