package preview

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/mtproto"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

func recorder(t testing.TB, o Options) *Recorder {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "connections.ring")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Size == 0 {
		o.Size = 1 << 20
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

var home = netip.MustParseAddr("192.0.2.77")

// ev is an event of connection 7, so long after it was accepted.
func ev(kind event.Kind, after time.Duration, e event.Event) event.Event {
	e.Kind, e.Conn, e.Addr, e.Time = kind, 7, home, at.Add(after)
	if kind != event.Refused && kind != event.WouldRefuse {
		e.Took = after
	}
	return e
}

func TestOneRecordOfEachConnection(t *testing.T) {
	alice := event.Event{User: "alice", Key: "0011", Transport: "faketls"}
	with := func(reason string) event.Event {
		e := alice
		e.Reason = reason
		return e
	}
	known := Record{At: at, Addr: home, Privacy: Full, User: "alice", Key: "0011", Transport: mtproto.FakeTLS}
	record := func(r Record, handshake, open time.Duration, result stats.Result) Record {
		r.Handshake, r.Open, r.Result = handshake, open, result
		return r
	}
	said := &event.Hello{ServerName: "www.example.com", JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1", KeyShare: true}
	withHello := func(e event.Event) event.Event {
		e.Hello = said
		return e
	}
	helloOf := func(r Record) Record {
		r.Hello, r.ServerName, r.JA4, r.KeyShare = HelloNamed, said.ServerName, said.JA4, true
		return r
	}
	stranger := Record{At: at, Addr: home, Privacy: Full}
	ongoing := record(known, time.Second, time.Second, stats.ResultOK)
	ongoing.Ongoing = true
	for _, c := range []struct {
		name   string
		events []event.Event
		want   Record
	}{
		{"a session", []event.Event{ev(event.Authenticated, time.Second, alice), ev(event.Relayed, time.Hour, alice)}, record(known, time.Second, time.Hour, stats.ResultOK)},
		{"a session that is there", []event.Event{ev(event.Authenticated, time.Second, alice)}, ongoing},
		{"a session of which the beginning was missed", []event.Event{ev(event.Relayed, time.Hour, alice)}, record(known, 0, time.Hour, stats.ResultOK)},
		{"what its hello said", []event.Event{ev(event.Authenticated, time.Second, withHello(alice)), ev(event.Relayed, time.Hour, alice)}, record(helloOf(known), time.Second, time.Hour, stats.ResultOK)},
		{"what a stranger's said", []event.Event{ev(event.HandshakeFailed, time.Second, withHello(event.Event{Reason: "bad_secret"}))}, record(helloOf(stranger), time.Second, time.Second, stats.ResultBadSecret)},
		{"no way to Telegram", []event.Event{ev(event.UpstreamFailed, 5*time.Second, alice)}, record(known, 5*time.Second, 5*time.Second, stats.ResultOK)},
		{
			"a guess", []event.Event{ev(event.HandshakeFailed, time.Second, event.Event{Reason: "bad_secret"}), ev(event.Covered, time.Minute, event.Event{Reason: "eof"})},
			record(stranger, time.Second, time.Minute, stats.ResultBadSecret),
		},
		{"nobody tells when it ended", []event.Event{ev(event.HandshakeFailed, time.Second, event.Event{Reason: "eof"})}, record(stranger, time.Second, time.Second, stats.ResultEOF)},
		{"a user over its quota", []event.Event{ev(event.HandshakeFailed, time.Second, with("over_quota"))}, record(known, time.Second, time.Second, stats.ResultUser)},
		{
			"refused at the door", []event.Event{ev(event.Refused, 0, event.Event{Control: "conns.addr"}), ev(event.Covered, time.Minute, event.Event{})},
			record(stranger, 0, time.Minute, stats.ResultRefused),
		},
		{
			"refused by its user", []event.Event{
				ev(event.WouldRefuse, 0, event.Event{}), ev(event.Refused, 0, alice),
				ev(event.HandshakeFailed, time.Second, event.Event{Reason: "refused", Transport: "faketls"}), ev(event.Covered, time.Minute, event.Event{}),
			},
			record(known, time.Second, time.Minute, stats.ResultRefused),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recorder(t, Options{Privacy: Full})
			for _, e := range c.events {
				r.Take(e)
			}
			var got []Record
			for record := range r.Records(at) {
				got = append(got, record)
			}
			if len(got) != 1 || got[0] != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestRecordsAreThoseSinceThenInTheirOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	r := recorder(t, Options{Path: path, Privacy: Full})
	session := func(conn uint64, from, to time.Duration) {
		e := event.Event{Conn: conn, Addr: home, User: "user" + string(rune('0'+conn)), Time: at.Add(from)}
		e.Kind = event.Authenticated
		r.Take(e)
		if to > 0 {
			e.Kind, e.Time, e.Took = event.Relayed, at.Add(to), to-from
			r.Take(e)
		}
	}
	session(1, 0, 10*time.Minute)               // over
	session(2, 5*time.Minute, 40*time.Minute)   // was there
	session(3, 35*time.Minute, 36*time.Minute)  // came later, went earlier
	session(4, time.Minute, 0)                  // is there
	session(5, -3*time.Minute, 100*time.Minute) // was there all the time
	names := func(since time.Duration) string {
		var all []string
		for record := range r.Records(at.Add(since)) {
			all = append(all, strings.TrimPrefix(record.User, "user"))
		}
		return strings.Join(all, " ")
	}
	if got := names(30 * time.Minute); got != "5 4 2 3" {
		t.Errorf("got %s", got)
	}
	if got := names(-time.Hour); got != "5 1 4 2 3" {
		t.Errorf("all are %s", got)
	}
	for range r.Records(at) {
		break
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	session(6, 0, time.Second) // too late
	if got := names(0); got != "" {
		t.Errorf("closed, and still: %s", got)
	}
	r = recorder(t, Options{Path: path, Privacy: Full})
	if got := names(-time.Hour); got != "5 1 4 2 3" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestRunFollowsABusAndWritesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "ring")
		r := recorder(t, Options{Path: path, Privacy: Truncated})
		bus := event.NewBus()
		events := bus.Subscribe("preview", 16)
		var running sync.WaitGroup
		running.Go(func() { r.Run(events.C()) })
		bus.Emit(event.Event{Kind: event.UpstreamFailed, Conn: 1, Addr: home, User: "alice", Time: time.Now()})
		bus.Emit(event.Event{Kind: event.HandshakeFailed, Conn: 2, Addr: home, Reason: "eof", Time: time.Now()})
		written := func() (n int) {
			other, err := openRing(path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer other.f.Close()
			other.read(other.last, func(record Record) bool {
				if record.Addr != netip.MustParseAddr("192.0.2.0") {
					t.Errorf("on disk stands %v", record.Addr)
				}
				n++
				return true
			})
			return n
		}
		time.Sleep(time.Second + time.Millisecond)
		if n := written(); n != 1 {
			t.Errorf("after a second %d are written", n)
		}
		time.Sleep(lateEnd + time.Second)
		if n := written(); n != 2 {
			t.Errorf("after %v %d are written", lateEnd, n)
		}
		bus.Emit(event.Event{Kind: event.UpstreamFailed, Conn: 3, Addr: home, Time: time.Now()})
		events.Close()
		running.Wait()
		if n := written(); n != 3 {
			t.Errorf("at the end %d are written", n)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	r := recorder(t, Options{Privacy: Full, Size: 64 << 20})
	e := event.Event{Kind: event.Authenticated, Addr: home, User: "alice", Time: at}
	for range maxPending / 2 {
		e.Conn++
		r.Take(e)
	}
	e.Kind, e.User, e.Reason = event.HandshakeFailed, "", "malformed"
	for range maxPending { // the first half of these has to go
		e.Conn++
		r.Take(e)
	}
	if len(r.pending) > maxPending || len(r.failed) > maxPending || r.Missed() != 0 {
		t.Errorf("%d are remembered and %d waited for, %d were missed", len(r.pending), len(r.failed), r.Missed())
	}
	for range 3 * maxPending { // whose end comes at once
		e.Conn++
		e.Kind = event.HandshakeFailed
		r.Take(e)
		e.Kind = event.Covered
		r.Take(e)
	}
	if len(r.failed) > maxPending {
		t.Errorf("%d are waited for", len(r.failed))
	}
	e.Kind = event.Authenticated
	for range maxPending {
		e.Conn++
		r.Take(e)
	}
	if len(r.pending) != maxPending || r.Missed() != maxPending/2 {
		t.Errorf("%d are remembered, %d were missed", len(r.pending), r.Missed())
	}
}

func TestPseudonymsNeedAKey(t *testing.T) {
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "ring")}); err == nil {
		t.Error("there are pseudonyms without one")
	}
	r := recorder(t, Options{Key: [32]byte{1}})
	r.Take(ev(event.UpstreamFailed, 0, event.Event{}))
	for record := range r.Records(at) {
		if record.Privacy != Pseudonym || record.Addr == home {
			t.Errorf("kept is %+v", record)
		}
	}
}

func TestAFullDiskIsToldOnce(t *testing.T) {
	var log strings.Builder
	r := recorder(t, Options{Privacy: Full, Log: slog.New(slog.NewTextHandler(&log, nil))})
	r.ring.f.Close() // no write succeeds any more
	for range 3 {
		r.Take(ev(event.UpstreamFailed, 0, event.Event{}))
		r.tidy(at)
	}
	if n := strings.Count(log.String(), "not recorded"); n != 1 || r.Missed() != 3 {
		t.Errorf("told %d times, %d missed:\n%s", n, r.Missed(), log.String())
	}
}

// TestServerNamesOfStrangersAreTheirOwn: with the settings that keep less they are
// not on disk, and of whoever is known they are.
func TestServerNamesOfStrangersAreTheirOwn(t *testing.T) {
	for privacy, want := range map[Privacy]string{Full: "named", Truncated: "", Pseudonym: ""} {
		path := filepath.Join(t.TempDir(), "ring")
		r := recorder(t, Options{Path: path, Privacy: privacy, Key: [32]byte{7}})
		said := &event.Hello{ServerName: "strangers.example", JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1"}
		r.Take(ev(event.HandshakeFailed, time.Second, event.Event{Reason: "bad_secret", Transport: "faketls", Hello: said}))
		e := ev(event.Refused, 0, event.Event{Control: "conns.user", User: "alice", Key: "0011"})
		e.Conn = 8
		r.Take(e)
		e = ev(event.HandshakeFailed, time.Second, event.Event{Reason: "refused", Transport: "faketls", Hello: &event.Hello{ServerName: "ours.example"}})
		e.Conn = 8
		r.Take(e)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if kept := strings.Contains(string(data), said.ServerName); kept != (want != "") || !strings.Contains(string(data), "ours.example") {
			t.Errorf("%v: the stranger's name is on disk: %v", privacy, kept)
		}
	}
}
