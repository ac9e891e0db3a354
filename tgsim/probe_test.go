package tgsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestProbesTellTheProxyFromTheSite runs every probe against the relay and
// against the cover site itself: only those that hold a good hello may see a
// difference. It proves the probes and the comparison, not the relay.
func TestProbesTellTheProxyFromTheSite(t *testing.T) {
	l := startLab(t, DCConfig{}, &testRelay{})
	target := Target{Addr: l.relay.Addr(), Secret: l.relay.secret, Domain: testDomain, DC: 2, Wait: 1500 * time.Millisecond}
	names := make(map[string]bool)
	var all sync.WaitGroup
	for _, p := range Probes() {
		if names[p.Name] {
			t.Errorf("two probes are called %s", p.Name)
		}
		names[p.Name] = true
		all.Go(func() {
			proxy, site, err := p.Compare(t.Context(), target, l.cover.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			if proxy.Served != p.Served || site.Served {
				t.Errorf("%s: served by the proxy %v, by the site %v; want %v, false", p.Name, proxy.Served, site.Served, p.Served)
			}
			if strings.HasPrefix(p.Name, "replay") && proxy.Capture != nil {
				t.Errorf("%s: nothing was captured: %v", p.Name, proxy.Capture)
			}
			diff := Diff(site, proxy, 0)
			if (diff != "") != p.Served {
				t.Errorf("%s: difference %q; proxy %s, site %s", p.Name, diff, proxy.Summary(), site.Summary())
			}
		})
	}
	all.Wait()
}

func TestReplayedBytesAreTheCapturedOnes(t *testing.T) {
	for _, name := range []string{"replay", "replay-all", "replay-retimed", "replay-init"} {
		l := startLab(t, DCConfig{}, &testRelay{})
		tape := &recorders{}
		o, err := find(t, name).Run(t.Context(), Target{Addr: l.relay.Addr(), Secret: l.relay.secret, Domain: testDomain,
			Dialer: tape, Wait: 200 * time.Millisecond})
		if err != nil || o.Capture != nil || len(tape.conns) != 2 {
			t.Fatalf("%s: %v, capture %v, %d connections", name, err, o.Capture, len(tape.conns))
		}
		first, again := tape.conns[0].sent, tape.conns[1].sent
		switch name {
		case "replay":
			if !bytes.HasPrefix(first, again) || len(again) < 1700 || len(again) == len(first) {
				t.Errorf("%s sent %d bytes of %d", name, len(again), len(first))
			}
		case "replay-retimed":
			changed := slices.Clone(first[:len(again)])
			changed[39] ^= 1
			if !bytes.Equal(changed, again) {
				t.Errorf("%s sent something else", name)
			}
		default:
			if !bytes.Equal(first, again) {
				t.Errorf("%s sent %d bytes, captured %d", name, len(again), len(first))
			}
		}
	}
}

// recorders keeps every connection it dials.
type recorders struct{ conns []*tap }

func (r *recorders) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.conns = append(r.conns, &tap{Conn: c})
	return r.conns[len(r.conns)-1], nil
}

func find(t testing.TB, name string) Probe {
	t.Helper()
	all := Probes()
	at := slices.IndexFunc(all, func(p Probe) bool { return p.Name == name })
	if at < 0 {
		t.Fatalf("no probe %s", name)
	}
	return all[at]
}

// TestObservedIsExact runs one probe against peers that each do one thing.
func TestObservedIsExact(t *testing.T) {
	cases := []struct {
		name  string
		serve func(c net.Conn)
		want  Observed
	}{
		{"says nothing", func(c net.Conn) { io.Copy(io.Discard, c) }, Observed{End: StaysOpen}},
		{"ends", func(c net.Conn) { io.ReadFull(c, make([]byte, 64)); c.Close() }, Observed{End: FIN}},
		{"resets", func(c net.Conn) { io.ReadFull(c, make([]byte, 64)); reset(c) }, Observed{End: RST}},
		{"talks and ends", func(c net.Conn) {
			io.ReadFull(c, make([]byte, 64))
			c.Write([]byte("\x15\x03\x03\x00\x02\x02\x28tail"))
			c.Close()
		}, Observed{Bytes: []byte("\x15\x03\x03\x00\x02\x02\x28tail"), End: FIN}},
		{"talks and stays", func(c net.Conn) { c.Write([]byte("hello")); io.Copy(io.Discard, c) },
			Observed{Bytes: []byte("hello"), End: StaysOpen}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var s server
			if err := s.start(t.Context(), "", false); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.serve(tc.serve)
			const wait = 150 * time.Millisecond
			o, err := Garbage(64).Run(t.Context(), Target{Addr: s.Addr(), Wait: wait})
			if err != nil || o.End != tc.want.End || !bytes.Equal(o.Bytes, tc.want.Bytes) {
				t.Errorf("observed %q, %v, %v; want %q, %v", o.Bytes, o.End, err, tc.want.Bytes, tc.want.End)
			}
			if stayed := o.After >= wait*9/10; stayed != (tc.want.End == StaysOpen) || o.Lasted < o.After || o.First > o.After {
				t.Errorf("ended %v after the last byte, %v in all, first byte after %v", o.After, o.Lasted, o.First)
			}
		})
	}
}

// TestProbesSendWhatTheySay looks at every probe's bytes with a peer that only
// listens.
func TestProbesSendWhatTheySay(t *testing.T) {
	secret := testSecret()
	for _, p := range Probes() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
			defer l.Close()
			type taken struct {
				b   []byte
				end Ending
			}
			got := make(chan taken, 2)
			var peers sync.WaitGroup
			defer peers.Wait()
			defer l.Close()
			peers.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.SetReadDeadline(time.Now().Add(10 * time.Second))
					b, err := io.ReadAll(c)
					got <- taken{b, endingOf(err)}
					c.Close()
				}
			})
			tape := &recorders{}
			target := Target{Addr: l.Addr().String(), Secret: secret, Domain: testDomain, Wait: 200 * time.Millisecond, Dialer: tape}
			o, err := p.Run(t.Context(), target)
			if err != nil || len(o.Bytes) != 0 || o.Served {
				t.Fatalf("observed %d bytes, served %v, %v", len(o.Bytes), o.Served, err)
			}
			last := <-got
			if len(tape.conns) == 2 { // a replay's capture came first
				last = <-got
			}
			checkSent(t, p.Name, last.b, secret)
			wantEnd := FIN
			if strings.HasSuffix(p.Name, "-rst") || strings.HasPrefix(p.Name, "reset-") {
				wantEnd = RST
			}
			if last.end != wantEnd {
				t.Errorf("the peer saw %v, want %v", last.end, wantEnd)
			}
			if wantEnd == RST && o.End != Ours {
				t.Errorf("observed %v of a connection that the probe broke off", o.End)
			}
		})
	}
}

func checkSent(t *testing.T, name string, b, secret []byte) {
	t.Helper()
	var n int
	if k, err := fmt.Sscanf(name, "garbage-%d", &n); k == 1 && err == nil {
		if len(b) != n {
			t.Errorf("sent %d bytes", len(b))
		}
		return
	}
	if k, _ := fmt.Sscanf(name, "truncated-%d", &n); k == 1 {
		if _, err := readHello(bytes.NewReader(b)); len(b) != n || b[0] != 0x16 || err == nil {
			t.Errorf("sent %d bytes that start with %x", len(b), b[:1])
		}
		return
	}
	h, err := readHello(bytes.NewReader(b))
	var at int64
	signed := false
	if err == nil {
		at, signed = h.open(secret)
	}
	age := time.Since(time.Unix(at, 0)).Round(time.Hour)
	switch name {
	case "half-open":
		if len(b) != 0 {
			t.Errorf("sent %d bytes", len(b))
		}
	case "http":
		if !bytes.HasPrefix(b, []byte("GET / HTTP/1.1\r\n")) || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			t.Errorf("sent %q", b)
		}
	case "slow-loris":
		if err == nil || len(b) < 2 || b[0] != 0x16 {
			t.Errorf("sent %x", b)
		}
	case "oversized-record":
		if err == nil || len(b) <= 5+16384 || b[0] != 0x16 {
			t.Errorf("sent %d bytes, %v", len(b), err)
		}
	case "wrong-secret-init", "replay-init":
		if _, _, _, err := openInit([64]byte(b), secret); (err == nil) != (name == "replay-init") {
			t.Errorf("init opens: %v", err)
		}
	case "wrong-secret", "visitor":
		if err != nil || signed || h.name != testDomain {
			t.Errorf("hello for %q, signed %v, %v", h.name, signed, err)
		}
	case "wrong-name", "no-name":
		if err != nil || !signed || h.name == testDomain || (name == "no-name") != (h.name == "") {
			t.Errorf("hello for %q, signed %v, %v", h.name, signed, err)
		}
	case "clock-behind", "clock-ahead":
		want := map[string]time.Duration{"clock-behind": 24 * time.Hour, "clock-ahead": -time.Hour}[name]
		if err != nil || !signed || age != want {
			t.Errorf("hello of age %v, signed %v, %v", age, signed, err)
		}
	default: // good hellos in odd clothes, and replays
		if err != nil || !signed || age != 0 || h.name != testDomain {
			t.Errorf("hello for %q of age %v, signed %v, %v", h.name, age, signed, err)
		}
		if split := len(h.raw) > len(h.joined); split != (name == "tls-records") {
			t.Errorf("hello over several records: %v", split)
		}
	}
}

func TestDiffSeesADifference(t *testing.T) {
	site := Observed{Bytes: []byte("\x16\x03\x03\x00\x02ab\x15\x03\x03\x00\x02\x02\x28"), End: FIN}
	cases := []struct {
		name   string
		change func(o *Observed)
		slack  int
		same   bool
	}{
		{"no difference", func(*Observed) {}, 0, true},
		{"random content", func(o *Observed) { o.Bytes[5] = 'x' }, 0, true},
		{"ending", func(o *Observed) { o.End = RST }, 0, false},
		{"length", func(o *Observed) { o.Bytes = append([]byte("\x16\x03\x03\x00\x03abc"), o.Bytes[7:]...) }, 0, false},
		{"length within slack", func(o *Observed) { o.Bytes = append([]byte("\x16\x03\x03\x00\x03abc"), o.Bytes[7:]...) }, 1, true},
		{"type", func(o *Observed) { o.Bytes[0] = 0x17 }, 9, false},
		{"version", func(o *Observed) { o.Bytes[2] = 1 }, 9, false},
		{"alert", func(o *Observed) { o.Bytes[len(o.Bytes)-1] = 50 }, 9, false},
		{"less", func(o *Observed) { o.Bytes = o.Bytes[:7] }, 9, false},
		{"nothing", func(o *Observed) { o.Bytes = nil }, 9, false},
		{"page", func(o *Observed) { o.Page = []byte("p") }, 9, false},
		{"certificate", func(o *Observed) { o.Leaf = []byte("c") }, 9, false},
	}
	for _, tc := range cases {
		proxy := site
		proxy.Bytes = slices.Clone(site.Bytes)
		tc.change(&proxy)
		for _, got := range []string{Diff(site, proxy, tc.slack), Diff(proxy, site, tc.slack)} {
			if (got == "") != tc.same {
				t.Errorf("%s: %q", tc.name, got)
			}
		}
	}
	cut := Observed{Bytes: site.Bytes[:9], End: Ours}
	for _, tc := range []struct {
		bytes []byte
		same  bool
	}{
		{site.Bytes, true}, {nil, true}, {site.Bytes[:3], true},
		{append([]byte("\x17"), site.Bytes[1:]...), false}, {[]byte("\x16\x03\x03\x00\x03abc"), false},
	} {
		if got := Diff(cut, Observed{Bytes: tc.bytes, End: Ours}, 0); (got == "") != tc.same {
			t.Errorf("broken off after %q: %q", tc.bytes, got)
		}
	}
	if Diff(cut, Observed{End: RST}, 9) == "" {
		t.Error("an end of the peer's is not told from the probe's own")
	}
	plain := Observed{Bytes: []byte("HTTP/1.0 400 Bad Request"), End: FIN}
	other := Observed{Bytes: []byte("HTTP/1.0 403 Bad Request"), End: FIN}
	if Diff(plain, other, 9) == "" || Diff(plain, plain, 0) != "" {
		t.Error("plain text is not compared byte by byte")
	}
}

func TestCoverSite(t *testing.T) {
	visit := find(t, "visitor")
	cases := []struct {
		name string
		cfg  CoverConfig
		want func(o Observed, c *Cover) bool
	}{
		{"good", CoverConfig{}, func(o Observed, c *Cover) bool {
			h, err := ParseServerHello(o.Bytes)
			return err == nil && h.Group == uint16(tls.X25519MLKEM768) && o.End == FIN && bytes.Equal(o.Leaf, c.Certificate().Raw) &&
				bytes.Contains(o.Page, []byte("It works")) && c.Requests() == 1 && c.Accepted() == 1
		}},
		{"x25519 only, own page", CoverConfig{Groups: []tls.CurveID{tls.X25519}, Page: "mine"}, func(o Observed, c *Cover) bool {
			h, err := ParseServerHello(o.Bytes)
			return err == nil && h.Group == uint16(tls.X25519) && string(o.Page) == "mine"
		}},
		{"resets", CoverConfig{Behaviour: CoverBehaviour{Reset: true}}, func(o Observed, c *Cover) bool {
			return len(o.Bytes) == 0 && o.End == RST
		}},
		{"slow", CoverConfig{Behaviour: CoverBehaviour{Delay: 50 * time.Millisecond}}, func(o Observed, c *Cover) bool {
			return len(o.Page) > 0 && o.Lasted > 100*time.Millisecond
		}},
		{"half-closes", CoverConfig{Behaviour: CoverBehaviour{HalfClose: true}}, func(o Observed, c *Cover) bool {
			return len(o.Page) > 0 && o.End == FIN
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Domain = testDomain
			c := must(StartCover(t.Context(), tc.cfg))(t)
			defer c.Close()
			o, err := visit.Run(t.Context(), Target{Addr: c.Addr(), Domain: testDomain})
			if err != nil || !tc.want(o, c) {
				t.Errorf("observed %s, %v (visit %v)", o.Summary(), err, o.Visit)
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		c := must(StartCover(t.Context(), CoverConfig{Domain: testDomain, Behaviour: CoverBehaviour{Down: true}}))(t)
		defer c.Close()
		if _, err := visit.Run(t.Context(), Target{Addr: c.Addr()}); err == nil {
			t.Error("a site that is down was visited")
		}
	})
	t.Run("trusted by its own roots", func(t *testing.T) {
		c := must(StartCover(t.Context(), CoverConfig{Domain: testDomain}))(t)
		defer c.Close()
		conn, err := tls.Dial("tcp", c.Addr(), &tls.Config{ServerName: testDomain, RootCAs: c.Roots()})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
}

func TestHalfClosedCoverKeepsReading(t *testing.T) {
	c := must(StartCover(t.Context(), CoverConfig{Domain: testDomain, Behaviour: CoverBehaviour{HalfClose: true}}))(t)
	defer c.Close()
	raw := must(net.Dial("tcp", c.Addr()))(t)
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	if n, err := raw.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after the page: %d, %v", n, err)
	}
	for range 50 { // a closed socket would answer with a reset
		if _, err := raw.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("write into the open half: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestMixServesUsersAndCoversAttackers(t *testing.T) {
	l := startLab(t, DCConfig{Number: 2}, &testRelay{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	dialled := make(map[string]bool)
	m := Mix{
		People: []Person{{"alice", l.client}, {"bob", l.client}}, Users: 3, Attackers: 2, Rate: 50, Transfer: 20_000,
		Target: Target{Secret: l.relay.secret, Domain: testDomain, Addr: l.relay.Addr(), Wait: 50 * time.Millisecond},
		Dialer: func(who string) Dialer {
			mu.Lock()
			defer mu.Unlock()
			dialled[who] = true
			return &net.Dialer{}
		},
	}
	acts, probes := make(map[string]int), 0
	err := m.Run(ctx, func(h Happening) {
		if !h.OK {
			t.Errorf("%s, %s: %s", h.Who, h.What, h.Result)
		}
		if h.Attacker {
			probes++
			if h.Observed == nil {
				t.Errorf("%s observed nothing", h.What)
			}
		} else {
			acts[h.What]++
		}
		if probes >= 20 && acts["connect"] > 5 && acts["ping"] > 3 && acts["download"] > 1 && acts["upload"] > 1 {
			cancel()
		}
	})
	if err != nil || probes < 20 || acts["download"] == 0 || acts["upload"] == 0 {
		t.Errorf("%d probes, acts %v, %v", probes, acts, err)
	}
	for _, who := range []string{"alice", "alice-2", "bob", "attacker-1", "attacker-2"} {
		if !dialled[who] {
			t.Errorf("%s had no dialer", who)
		}
	}
	if err := (&Mix{Users: 1}).Run(ctx, nil); err == nil {
		t.Error("a mix of nobody ran")
	}
}
