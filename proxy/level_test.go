package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// ceilings gives 192.0.2.N the ceiling N, and obeys the controls in a mode.
func ceilings(t testing.TB, mode policy.Mode) func(*policy.Snapshot) {
	t.Helper()
	return func(s *policy.Snapshot) {
		s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
		s.Controls = make(map[string]policy.Control)
		for _, name := range policy.Controls() {
			s.Controls[name] = policy.Control{Mode: mode}
		}
		s.Limits.BytesPerLevel[access.ReadOnly] = policy.ByteRate{PerSecond: 8 << 10, Burst: 256 << 10}
		s.Limits.ConnectionsReadOnly = 8
		s.Access = rules(t)
	}
}

func rules(t testing.TB, more ...access.Rule) *access.Table {
	t.Helper()
	for _, l := range access.Levels() {
		more = append(more, access.Rule{ID: l.String(), Match: match(t, fmt.Sprintf("192.0.2.%d", l)), Level: l})
	}
	table, err := access.Compile(more, access.Options{Default: access.Standard})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func match(t testing.TB, text string) access.Match {
	t.Helper()
	m, err := access.ParseMatch(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTheLowerLevelCounts: every level of a user from every ceiling of an address.
// NONE sees the cover site and nothing else.
func TestTheLowerLevelCounts(t *testing.T) {
	w := newWorld(t, ceilings(t, policy.Enforce))
	for _, user := range access.Levels() {
		for _, ceiling := range access.Levels() {
			t.Run(fmt.Sprint(user, " from ", ceiling), func(t *testing.T) {
				w.alice().Account().SetLevel(user)
				want := min(user, ceiling)
				visits := w.site.Accepted()
				conn, err := w.connect(w.from(fmt.Sprintf("192.0.2.%d", ceiling)))
				if (err == nil) != (want != access.None) {
					t.Fatalf("served: %v", err)
				}
				if want == access.None {
					if n := w.site.Accepted() - visits; n != 1 {
						t.Errorf("the site was visited %d times", n)
					}
					return
				}
				list := w.s.Sessions.List(all, 10)
				if len(list) != 1 || list[0].Level != want {
					t.Errorf("%+v, want level %v", list, want)
				}
				conn.Close()
				eventually(t, "it has ended", func() bool { return w.s.open.Load() == 0 })
			})
		}
	}
}

func all(*auth.Session) bool { return true }

// TestEveryRefusalIsSpliced: whatever control refuses, the site gets every byte that
// the client has sent, and the client every byte of the site's.
func TestEveryRefusalIsSpliced(t *testing.T) {
	for _, c := range []struct {
		control, reason string
		change          func(*policy.Snapshot)
		classic         bool // for clients without TLS too
	}{
		{policy.AccessLevel, guard.ReasonAddressRule, func(s *policy.Snapshot) { s.Access = mustTable(t, "192.0.2.9", access.None) }, true},
		{policy.AccessPattern, guard.ReasonPattern, func(s *policy.Snapshot) { s.Access = mustTable(t, "sni:www.example.*", access.None) }, false},
		{policy.AccessPattern, guard.ReasonPattern, func(s *policy.Snapshot) { s.Access = mustTable(t, "ja4:t13*", access.None) }, false},
		{policy.ConnsUser, guard.ReasonUser, func(s *policy.Snapshot) { s.Limits.ConnectionsPerUser = 1 }, true},
		{policy.ConnsKey, guard.ReasonKey, func(s *policy.Snapshot) { s.Limits.ConnectionsPerKey = 1 }, true},
		{policy.AddrsUser, guard.ReasonAddresses, func(s *policy.Snapshot) { s.Limits.AddressesPerUser = 1 }, true},
		{policy.ConnsPrefix, guard.ReasonCrowd, func(s *policy.Snapshot) { s.Limits.ConnectionsPerPrefix = 1 }, true},
		{policy.EncryptionRequired, guard.ReasonTransport, func(s *policy.Snapshot) {
			s.Limits.Barred[mtproto.FakeTLS], s.Limits.Barred[mtproto.Secure] = true, true
		}, true},
		{policy.EncryptionRequired, guard.ReasonEnded, func(s *policy.Snapshot) {
			s.Limits.TransportUntil[mtproto.FakeTLS], s.Limits.TransportUntil[mtproto.Secure] = time.Unix(1, 0), time.Unix(1, 0)
		}, true},
	} {
		for _, mode := range []policy.Mode{policy.Enforce, policy.Monitor, policy.Off} {
			for _, transport := range []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure} {
				if transport != mtproto.FakeTLS && !c.classic {
					continue
				}
				t.Run(fmt.Sprint(c.control, ", ", c.reason, ", ", mode, ", ", transport), func(t *testing.T) {
					addr, conns := plainSite(t)
					w := newWorld(t, func(s *policy.Snapshot) {
						ceilings(t, policy.Off)(s)
						s.Controls[c.control] = policy.Control{Mode: mode}
						s.Cover.Address = addr
					})
					other, err := w.connect(w.from("192.0.2.8")) // of the same user and network
					if err != nil {
						t.Fatal(err)
					}
					defer other.Close()
					w.change(c.change)
					peer, err := w.from("192.0.2.9").Dialer.DialContext(t.Context(), "tcp", w.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer peer.Close()
					sent := append(w.opening(transport), "and what came behind it"...)
					if mode != policy.Enforce {
						if transport == mtproto.Secure {
							return // its answer is the DC's, see TestMonitorChangesNothing
						}
						peer.Write(sent[:len(sent)-len("and what came behind it")])
						if got := readSome(t, peer, 3); !bytes.Equal(got, []byte{0x16, 3, 3}) {
							t.Errorf("it was answered % x", got)
						}
						if n := len(w.events.of(event.Refused)); n != 0 {
							t.Errorf("%d refusals", n)
						}
						return
					}
					peer.Write(sent)
					var site net.Conn
					select {
					case site = <-conns:
					case <-time.After(10 * time.Second):
						t.Fatal("the site is not asked")
					}
					defer site.Close()
					if got := readSome(t, site, len(sent)); !bytes.Equal(got, sent) {
						t.Error("the site got something else")
					}
					io.WriteString(site, "the site's answer")
					site.Close()
					if got, err := io.ReadAll(peer); string(got) != "the site's answer" || err != nil {
						t.Errorf("it got %q, %v", got, err)
					}
					e := w.events.of(event.Refused)
					if len(e) != 1 || e[0].Control != c.control || e[0].Reason != c.reason || e[0].Addr.String() != "192.0.2.9" {
						t.Errorf("%+v", e)
					}
				})
			}
		}
	}
}

func mustTable(t testing.TB, text string, l access.Level) *access.Table {
	t.Helper()
	return rules(t, access.Rule{ID: "r", Match: match(t, text), Level: l})
}

// TestReadOnlyReadsAndHardlySends: downloads run, uploads crawl; and a change of the
// user's level reaches the session that is open, within a second.
func TestReadOnlyReadsAndHardlySends(t *testing.T) {
	w := newWorld(t, ceilings(t, policy.Enforce))
	account := w.alice().Account()
	account.SetLevel(access.ReadOnly)
	conn := w.mustConnect()
	eventually(t, "the session is there", func() bool { return w.s.Sessions.Count() == 1 })
	moved := func() (up, down int64) {
		list := w.s.Sessions.List(all, 1)
		if len(list) != 1 {
			return 0, 0
		}
		return list[0].Up, list[0].Down
	}
	for range 8 { // each comes back, so that it is counted both ways
		if err := conn.Ping(make([]byte, 25_000)); err != nil {
			t.Fatal(err)
		}
	}
	pinged := make(chan error, 1)
	go func() { // far beyond the burst: two minutes
		for range 10 {
			if err := conn.Ping(make([]byte, 100_000)); err != nil {
				pinged <- err
				return
			}
		}
		pinged <- nil
	}()
	eventually(t, "the burst is used up", func() bool { up, _ := moved(); return up > 250_000 })
	select {
	case err := <-pinged:
		t.Fatalf("a MiB went up: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if up, _ := moved(); up > 300_000 {
		t.Errorf("%d bytes went up", up)
	}
	account.SetLevel(access.Standard)
	if n := w.s.Sessions.Apply(w.live.Load(), "level", time.Now()); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
	select {
	case err := <-pinged:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Error("the new level has not reached the session")
	}
}

// TestChangesReachLiveSessions: a level that falls to none ends the session, and a
// user who may only read keeps as many as that level may have.
func TestChangesReachLiveSessions(t *testing.T) {
	w := newWorld(t, ceilings(t, policy.Enforce))
	for range 10 {
		w.mustConnect()
	}
	eventually(t, "ten are listed", func() bool { return w.s.Sessions.Count() == 10 })
	account := w.alice().Account()
	account.SetLevel(access.ReadOnly)
	if n := w.s.Sessions.Apply(w.live.Load(), "level", time.Now()); n != 2 {
		t.Errorf("%d sessions ended, want all but eight", n)
	}
	for _, l := range w.s.Sessions.List(all, 100) {
		if l.Level != access.ReadOnly {
			t.Errorf("%+v", l)
		}
	}
	eventually(t, "two have gone", func() bool { return w.s.Sessions.Count() == 8 })
	account.SetLevel(access.None)
	if n := w.s.Sessions.Apply(w.live.Load(), "level", time.Now()); n != 8 {
		t.Errorf("%d sessions ended, want all", n)
	}
	eventually(t, "all have gone", func() bool { return w.s.Sessions.Count() == 0 })
}

// A session that is opened while the rules change is caught by one side or the other.
func TestALevelThatFallsBeforeTheSessionIsListed(t *testing.T) {
	w := newWorld(t, ceilings(t, policy.Enforce))
	w.events.on.set(func(e event.Event) {
		if e.Kind == event.Authenticated {
			w.alice().Account().SetLevel(access.None)
			w.change(func(*policy.Snapshot) {})
		}
	})
	w.connect(w.client())
	eventually(t, "the session has ended", func() bool { return len(w.events.of(event.Relayed)) == 1 })
	if e := w.events.of(event.Relayed)[0]; e.Reason != "killed" {
		t.Errorf("%+v", e)
	}
}

func TestShedEndsTheLowestFirst(t *testing.T) {
	w := newWorld(t, ceilings(t, policy.Enforce))
	account := w.alice().Account()
	account.SetLevel(access.Superuser)
	for _, l := range []access.Level{access.Standard, access.ReadOnly, access.Admin, access.ReadOnly, access.Standard} {
		if _, err := w.connect(w.from(fmt.Sprintf("192.0.2.%d", l))); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n [access.Superuser + 1]int) {
		for _, l := range w.s.Sessions.List(all, 100) {
			n[l.Level]++
		}
		return n
	}
	eventually(t, "all are listed", func() bool { return w.s.Sessions.Count() == 5 })
	for _, c := range []struct {
		below       access.Level
		most, ended int
		left        [access.Superuser + 1]int
	}{
		{access.Standard, 1, 1, [5]int{access.ReadOnly: 1, access.Standard: 2, access.Admin: 1}},
		{access.Admin, 2, 2, [5]int{access.Standard: 1, access.Admin: 1}},
		{access.Standard, 9, 0, [5]int{access.Standard: 1, access.Admin: 1}},
		{access.Admin, 9, 1, [5]int{access.Admin: 1}},
		{access.Superuser + 1, 9, 1, [5]int{}},
	} {
		if n := w.s.Sessions.Shed(c.below, c.most, "overload"); n != c.ended {
			t.Errorf("below %v: %d ended, want %d", c.below, n, c.ended)
		}
		eventually(t, "they have gone", func() bool { return left() == c.left })
	}
}

// TestMonitorChangesNothing: with every control in monitor and every limit broken,
// clients of both transports are served as if there were none, and their refusals
// are told with their name.
func TestMonitorChangesNothing(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		ceilings(t, policy.Monitor)(s)
		s.Limits.ConnectionsPerUser, s.Limits.ConnectionsPerKey, s.Limits.ConnectionsPerPrefix, s.Limits.ConnectionsReadOnly = 1, 1, 1, 1
		s.Limits.BytesPerUser = policy.ByteRate{PerSecond: 1, Burst: 1}
		s.Limits.MaxSecretAge = time.Nanosecond
		s.Limits.Barred = [4]bool{true, true, true, true}
		s.Access = mustTable(t, "sni:*", access.None)
	})
	w.alice().Account().SetLevel(access.Standard)
	for _, ceiling := range access.Levels() {
		for _, transport := range []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure} {
			c := w.from(fmt.Sprintf("192.0.2.%d", ceiling))
			if transport == mtproto.Secure {
				c.Transport = tgsim.Secure
			}
			conn, err := w.connect(c)
			if err == nil {
				err = conn.Ping(make([]byte, 50_000))
			}
			if err != nil {
				t.Errorf("ceiling %v, %v: %v", ceiling, transport, err)
			}
		}
	}
	if n := len(w.events.of(event.Refused)); n != 0 {
		t.Errorf("%d refusals", n)
	}
	told := make(map[string]int)
	for _, e := range w.events.of(event.WouldRefuse) {
		if told[e.Control]++; e.User != "alice" {
			t.Errorf("%+v", e)
		}
	}
	for _, control := range []string{policy.AccessLevel, policy.AccessPattern, policy.ConnsUser, policy.ConnsKey, policy.ConnsPrefix, policy.EncryptionRequired} {
		if told[control] == 0 {
			t.Errorf("%s has told nothing: %v", control, told)
		}
	}
	if n := w.stats.Control(policy.ConnsUser).KnownDecisions(stats.VerdictMask, stats.ModeMonitor); n == 0 {
		t.Error("refused users are not counted as known")
	}
	if n := w.site.Accepted(); n != 0 {
		t.Errorf("the site was visited %d times", n)
	}
}

// TestGuessesShutAnAddressOut: too many failed handshakes, and whoever comes from the
// address sees the site; one client let in, and the address is as good as new.
func TestGuessesShutAnAddressOut(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		ceilings(t, policy.Enforce)(s)
		s.Limits.HandshakeFailures = ratelimit.Limit{Events: 8, Per: time.Hour, Burst: 8}
	})
	guess := func(addr string) {
		t.Helper()
		failed := len(w.events.of(event.HandshakeFailed))
		c, err := w.from(addr).Dialer.DialContext(t.Context(), "tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(strangersHello(t))
		eventually(t, "it has failed", func() bool { return len(w.events.of(event.HandshakeFailed)) > failed })
	}
	guess("192.0.2.9")
	if _, err := w.connect(w.from("192.0.2.9")); err != nil {
		t.Errorf("after one guess: %v", err)
	}
	guess("192.0.2.9")
	if _, err := w.connect(w.from("192.0.2.9")); err != nil {
		t.Errorf("after another, with one who was let in between: %v", err)
	}
	guess("192.0.2.9")
	guess("192.0.2.9")
	if _, err := w.connect(w.from("192.0.2.9")); err == nil {
		t.Error("after too many guesses: served")
	}
	if e := w.events.of(event.Refused); len(e) != 1 || e[0].Control != policy.RateFailures {
		t.Errorf("%+v", e)
	}
	if _, err := w.connect(w.from("192.0.2.10")); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestItIsNotedHowUsersCome, by each transport and with the time; of those too whom a control refuses: it is they who are
// to be told.
func TestItIsNotedHowUsersCome(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Transports[mtproto.Classic] = true
		s.Limits.Barred[mtproto.Classic] = true
		s.Controls = map[string]policy.Control{policy.EncryptionRequired: {Mode: policy.Enforce}}
	})
	before := time.Now()
	for transport, times := range map[tgsim.Transport]int{tgsim.FakeTLS: 1, tgsim.Secure: 2, tgsim.ClassicAbridged: 1, tgsim.ClassicIntermediate: 2} {
		for range times {
			c := w.client()
			c.Transport = transport
			if _, err := w.connect(c); (err == nil) != (transport == tgsim.FakeTLS || transport == tgsim.Secure) {
				t.Errorf("%v: %v", transport, err)
			}
		}
	}
	use := w.alice().Account().Transports()
	for transport, want := range map[mtproto.Transport]uint64{mtproto.FakeTLS: 1, mtproto.Secure: 2, mtproto.Classic: 3} {
		if got := use[transport]; uint64(got.Sessions) != want || got.Last.Before(before) || got.Last.After(time.Now()) {
			t.Errorf("%v: %+v, want %d", transport, got, want)
		}
	}
}
