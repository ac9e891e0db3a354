package proxy

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// unwelcome are holders of a good secret who are not let in. What is made of each
// stays so while the test runs.
var unwelcome = []struct {
	name    string
	do      func(*world)
	result  stats.Result
	reason  string
	outcome stats.Outcome
	trips   int
}{
	{"a revoked secret", func(w *world) { w.becomes(keys.Revoked) }, stats.ResultRevoked, "revoked", stats.OutcomeCovered, 1},
	{"a secret whose time ended meanwhile", func(w *world) {
		hold := auth.Admit(w.alice(), netip.MustParseAddr("192.0.2.7"), time.Now()).Grant
		w.put("alice", secret, keys.Expired)
		w.t.Cleanup(hold.Release) // before the world ends
	}, stats.ResultExpired, "expired", stats.OutcomeCovered, 0},
	{"a disabled user", func(w *world) { w.alice().Account().Set(usage.Limits{}, usage.Disabled) }, stats.ResultUser, "disabled", stats.OutcomeLimited, 0},
	{"a user over the quota", func(w *world) { w.alice().Account().Set(usage.Limits{}, usage.OverQuota) }, stats.ResultUser, "over_quota", stats.OutcomeLimited, 0},
	{"a user without access", func(w *world) { w.alice().Account().Set(usage.Limits{}, usage.NoAccess) }, stats.ResultUser, "no_access", stats.OutcomeLimited, 0},
	{"one connection too many", func(w *world) {
		hold := auth.Admit(w.alice(), netip.MustParseAddr("192.0.2.7"), time.Now()).Grant
		w.alice().Account().Set(usage.Limits{Connections: 1}, usage.Allowed)
		w.t.Cleanup(hold.Release) // before the world ends
	}, stats.ResultUser, "too_many_connections", stats.OutcomeLimited, 0},
	{"one address too many", func(w *world) {
		hold := auth.Admit(w.alice(), netip.MustParseAddr("192.0.2.7"), time.Now()).Grant
		w.alice().Account().Set(usage.Limits{Addresses: 1}, usage.Allowed)
		w.t.Cleanup(hold.Release) // before the world ends
	}, stats.ResultUser, "too_many_addresses", stats.OutcomeLimited, 0},
}

// told demands that one connection was refused for a reason, and that this is told
// to the operator.
func (w *world) told(result stats.Result, reason, transport string, outcome stats.Outcome, trips int) {
	w.t.Helper()
	eventually(w.t, "it has ended", func() bool { return w.s.open.Load() == 0 })
	if n := w.stats.Handshakes(transport, result); n != 1 {
		w.t.Errorf("%d handshakes are counted as %v", n, result)
	}
	if n := w.stats.Connections.Load(outcome); n != 1 {
		w.t.Errorf("%d connections are counted as %v", n, outcome)
	}
	id := string(w.alice().ID())
	failed := w.events.of(event.HandshakeFailed)
	if len(failed) != 1 || failed[0].Reason != reason || failed[0].User != "alice" || failed[0].Key != id || failed[0].Transport != transport {
		w.t.Errorf("%+v", failed)
	}
	tripped := w.events.of(event.Tripwire)
	if n, _ := w.alice().Trips().Count(); len(tripped) != trips || n != trips {
		w.t.Errorf("%d events, %d addresses tripped, want %d", len(tripped), n, trips)
	}
	if trips > 0 && (tripped[0].User != "alice" || tripped[0].Key != id || tripped[0].Addr != netip.MustParseAddr("127.0.0.1")) {
		w.t.Errorf("%+v", tripped)
	}
}

// TestTheUnwelcomeLookLikeStrangers: what a prober sees who has a secret that is good
// no more, or whose user is not served, is what the cover site does.
func TestTheUnwelcomeLookLikeStrangers(t *testing.T) {
	for _, c := range unwelcome {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			w := newWorld(t, nil)
			c.do(w)
			hello, err := w.client().NewHello()
			if err != nil {
				t.Fatal(err)
			}
			to := tgsim.Target{Addr: w.addr, Secret: secret, Domain: domain, DC: 2, Wait: 500 * time.Millisecond}
			proxy, site, err := tgsim.Replay(hello).Compare(t.Context(), to, w.site.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if proxy.Served {
				t.Fatal("it was answered by the proxy")
			}
			if diff := tgsim.Diff(site, proxy, 8); diff != "" {
				t.Errorf("the proxy differs from its cover site: %s", diff)
			}
		})
	}
}

// TestTheSiteGetsEveryByteOfTheUnwelcome: as it came, and they get every byte of the
// site's, in whatever transport they speak.
func TestTheSiteGetsEveryByteOfTheUnwelcome(t *testing.T) {
	for _, c := range unwelcome {
		for _, transport := range []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure} {
			t.Run(fmt.Sprint(c.name, ", ", transport), func(t *testing.T) {
				addr, conns := plainSite(t)
				w := newWorld(t, func(s *policy.Snapshot) { s.Cover.Address = addr })
				c.do(w)
				sent := append(w.opening(transport), "and what came behind it"...)
				peer := w.dial()
				peer.Write(sent)
				site := <-conns
				defer site.Close()
				if got := readSome(t, site, len(sent)); !bytes.Equal(got, sent) {
					t.Error("the site got something else")
				}
				io.WriteString(site, "the site's answer")
				site.Close()
				if got, err := io.ReadAll(peer); string(got) != "the site's answer" || err != nil {
					t.Errorf("it got %q, %v", got, err)
				}
				peer.Close()
				w.told(c.result, c.reason, transport.String(), c.outcome, c.trips)
			})
		}
	}
}

// opening is what alice's client sends first.
func (w *world) opening(transport mtproto.Transport) []byte {
	w.t.Helper()
	c := w.client()
	if transport == mtproto.FakeTLS {
		hello, err := c.NewHello()
		if err != nil {
			w.t.Fatal(err)
		}
		return hello
	}
	return newInit(w.t)
}

// Where there is no site to show they are read and not answered, like everybody.
func TestTheUnwelcomeWithoutASite(t *testing.T) {
	for _, c := range unwelcome {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *policy.Snapshot) { s.Cover.Address = "" })
			c.do(w)
			for _, transport := range []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure} {
				peer := w.dial()
				peer.Write(w.opening(transport))
				eventually(t, "it is read in silence", func() bool { return w.s.silent.Load() == 1 })
				isSilent(t, peer)
				peer.Close()
				eventually(t, "it has ended", func() bool { return w.s.open.Load() == 0 })
			}
		})
	}
}

// TestLimitsOfAUser: a user's connections and addresses are counted as clients come
// and go; whoever is over is shown the site, and nobody else is concerned.
func TestLimitsOfAUser(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	bob := []byte("fedcba9876543210")
	w.put("bob", bob, keys.Active)
	w.change(func(s *policy.Snapshot) { s.Keys = w.ring.Set() })
	w.alice().Account().Set(usage.Limits{Connections: 2, Addresses: 1}, usage.Allowed)
	over := func(from, reason string) {
		t.Helper()
		before, visits := len(w.events.of(event.HandshakeFailed)), w.site.Accepted()
		if _, err := w.connect(w.from(from)); err == nil {
			t.Errorf("from %s beyond the limit: served", from)
		}
		eventually(t, "it is told", func() bool { return len(w.events.of(event.HandshakeFailed)) > before })
		if e := w.events.of(event.HandshakeFailed)[before]; e.Reason != reason || e.User != "alice" {
			t.Errorf("from %s: %+v", from, e)
		}
		if n := w.site.Accepted() - visits; n != 1 {
			t.Errorf("from %s: the site was visited %d times", from, n)
		}
	}
	first, err := w.connect(w.from("2001:db8::7"))
	if err != nil {
		t.Fatal(err)
	}
	over("2001:db8:0:1::7", "too_many_addresses")
	second, err := w.connect(w.from("2001:db8::8"))
	if err != nil {
		t.Errorf("the same /64: %v", err)
	}
	over("2001:db8::9", "too_many_connections")
	other := w.from("192.0.2.1")
	other.Secret = bob
	if _, err := w.connect(other); err != nil {
		t.Errorf("another user: %v", err)
	}
	first.Close()
	second.Close()
	eventually(t, "both have ended", func() bool { n, _ := w.alice().Account().Open(); return n == 0 })
	if _, err := w.connect(w.from("192.0.2.7")); err != nil {
		t.Errorf("with all places free, another address: %v", err)
	}
	over("192.0.2.8", "too_many_addresses")
}

// A user who is over the quota and tries on and on costs one trial each time, and
// takes the site from nobody: such connections have their share like strangers.
func TestARefusedUserIsBoundedLikeAStranger(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) { s.Cover.MaxConnections = 20 })
	w.alice().Account().Set(usage.Limits{}, usage.OverQuota)
	for range 18 {
		w.dial().Write(w.opening(mtproto.FakeTLS))
	}
	eventually(t, "16 are shown the site and 2 read in silence", func() bool { return w.s.Covered.Open() == 16 && w.s.silent.Load() == 2 })
	if n := w.stats.Trials.Load(); n != 18 {
		t.Errorf("%d trials for 18 hellos", n)
	}
}

// likeHello are first bytes that begin like TLS and are no hello.
var likeHello = []string{"\x16\x03\x07", "\x16\x03\x01\xff\xff", "\x16\x03\x03\x02\x00\x02", "\x16\x03\x01\x00\x20\x17", "\x16\x03\x03\x00\x00"}

// TestWhatBeginsLikeAHelloMeetsTheSite, where inits are served too: with every length the answer is
// the site's, and comes without another byte being waited for.
func TestWhatBeginsLikeAHelloMeetsTheSite(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Transports[mtproto.Classic] = true
		s.Cover.MaxConnections = 1 << 10 // of which one address has a sixteenth
	})
	to := tgsim.Target{Addr: w.addr, Secret: secret, Domain: domain, DC: 2, Wait: 500 * time.Millisecond}
	var all sync.WaitGroup
	defer all.Wait()
	for _, start := range likeHello {
		for _, n := range []int{3, 5, 6, 37, 63, 64, 65, 300} {
			sent := append([]byte(start), make([]byte, 300)...)[:n]
			rand.Read(sent[min(n, len(start)):])
			all.Go(func() {
				proxy, site, err := tgsim.Replay(sent).Compare(t.Context(), to, w.site.Addr())
				if err != nil {
					t.Error(err)
				} else if diff := tgsim.Diff(site, proxy, 8); diff != "" {
					t.Errorf("%d bytes from %x: the proxy differs from its cover site: %s", n, start, diff)
				}
			})
		}
	}
}

// TestAnInitThatBeginsLikeAHelloIsServed by the same server.
func TestAnInitThatBeginsLikeAHelloIsServed(t *testing.T) {
	for _, start := range likeHello {
		w := newWorld(t, nil)
		init, err := obfs2.NewInit(io.MultiReader(strings.NewReader(start), rand.Reader), obfs2.Header{Framing: mtproto.Padded, DC: 2}, secret)
		if err != nil {
			t.Fatal(err)
		}
		w.dial().Write(init[:])
		eventually(t, "it has a session", func() bool { return w.s.Sessions.Count() == 1 })
		if in := w.events.of(event.Authenticated); len(in) != 1 || in[0].Transport != "secure" || in[0].User != "alice" {
			t.Errorf("%x: %+v", start, in)
		}
		w.stop()
	}
}
