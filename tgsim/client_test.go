package tgsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

const testDomain = "front.example.com"

// lab is a data centre, a cover site and a relay.
type lab struct {
	dc     *DC
	cover  *Cover
	relay  *testRelay
	client Client
}

func startLab(t testing.TB, dc DCConfig, relay *testRelay) *lab {
	t.Helper()
	l := &lab{
		dc:    must(StartDC(t.Context(), dc))(t),
		cover: must(StartCover(t.Context(), CoverConfig{Domain: testDomain, Certificate: RSA}))(t),
	}
	t.Cleanup(func() { l.dc.Close(); l.cover.Close() })
	relay.secret, relay.domain, relay.dc, relay.cover = testSecret(), testDomain, l.dc.Addr(), l.cover.Addr()
	l.relay = startRelay(t, relay)
	l.client = Client{Proxy: l.relay.Addr(), Secret: relay.secret, Domain: testDomain, DC: 2, Timeout: 10 * time.Second}
	return l
}

func (l *lab) dial(t testing.TB) *Conn {
	t.Helper()
	conn := must(l.client.Dial(t.Context()))(t)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestEveryTransportReachesTheDC(t *testing.T) {
	l := startLab(t, DCConfig{Number: 4}, &testRelay{})
	cases := []struct {
		name   string
		change func(*Client)
		tag    byte
	}{
		{"faketls", func(c *Client) {}, 0xdd},
		{"faketls classic hello", func(c *Client) { c.Hello = HelloClassic }, 0xdd},
		{"faketls as gotd", func(c *Client) { c.InitAlone, c.Record = true, 16384 }, 0xdd},
		{"faketls in tiny records", func(c *Client) { c.Record = 7 }, 0xdd},
		{"secure", func(c *Client) { c.Transport = Secure }, 0xdd},
		{"classic intermediate", func(c *Client) { c.Transport = ClassicIntermediate }, 0xee},
		{"classic abridged, init alone", func(c *Client) { c.Transport, c.InitAlone = ClassicAbridged, true }, 0xef},
		{"straight to the dc", func(c *Client) { c.Proxy, c.Secret, c.Transport = l.dc.Addr(), nil, ClassicAbridged }, 0xef},
	}
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			before := l.dc.Stats()
			c := l.client
			c.DC = -(10000 + i)
			tc.change(&c)
			conn := must(c.Dial(t.Context()))(t)
			defer conn.Close()
			for _, n := range []int{0, 1, 4, 400, 508 - messageHeader, 512, 100_000} {
				if err := conn.Ping(bytes.Repeat([]byte{'p'}, n)); err != nil {
					t.Fatalf("ping of %d: %v", n, err)
				}
			}
			if conn.Reached() != 4 {
				t.Errorf("reached dc %d, want 4", conn.Reached())
			}
			for _, n := range []int64{0, 1, chunkSize, chunkSize + 1, 300_000} {
				if err := conn.Download(n); err != nil {
					t.Errorf("download of %d: %v", n, err)
				}
				if err := conn.Upload(n); err != nil {
					t.Errorf("upload of %d: %v", n, err)
				}
			}
			sessions := l.dc.Sessions()
			at := slices.IndexFunc(sessions, func(s Session) bool { return s.DC == c.DC })
			if at < 0 {
				t.Fatalf("dc saw no session for %d: %+v", c.DC, sessions)
			}
			if s := sessions[at]; s.Tag != tc.tag || !s.Open || s.Requests != 17 || s.Received < 300_000 || s.Sent < 300_000 {
				t.Errorf("dc saw tag %x, open %v, %d requests, %d and %d bytes", s.Tag, s.Open, s.Requests, s.Received, s.Sent)
			}
			after := l.dc.Stats()
			if got, want := after.Fetched-before.Fetched, int64(2*chunkSize+300_002); got != want || after.Stored-before.Stored != want {
				t.Errorf("dc counted %d fetched and %d stored, want %d", got, after.Stored-before.Stored, want)
			}
		})
	}
}

func TestHelloFormsHaveTheSizesOfRealClients(t *testing.T) {
	secret := testSecret()
	c := Client{Secret: secret, Domain: testDomain}
	sizes := make(map[int]bool)
	orders := make(map[string]bool)
	for range 40 {
		record := must(c.NewHello())(t)
		h, err := readHello(bytes.NewReader(record))
		at, ok := h.open(secret)
		if err != nil || !ok || time.Since(time.Unix(at, 0)).Abs() > time.Minute || h.name != testDomain {
			t.Fatalf("hello: %v, signed %v at %d, name %q", err, ok, at, h.name)
		}
		extra := len(record) - 1710 - len(testDomain)
		if extra < 0 || extra > 96 || extra%32 != 0 {
			t.Fatalf("hello of %d bytes", len(record))
		}
		sizes[extra] = true
		orders[fmt.Sprint(extensionIDs(record))] = true
	}
	if len(sizes) < 2 || len(orders) < 30 {
		t.Errorf("40 hellos have %d sizes and %d extension orders", len(sizes), len(orders))
	}
	c.Hello = HelloClassic
	for _, domain := range []string{"a.eu", testDomain, string(bytes.Repeat([]byte{'x'}, 182))} {
		c.Domain = domain
		if record := must(c.NewHello())(t); len(record) != 517 {
			t.Errorf("classic hello for %d bytes of domain has %d, want 517", len(domain), len(record))
		}
	}
}

// TestChromeHelloOffersWhatRealOnesDo compares extensions with those of the
// vectors' hellos, which a real library made.
func TestChromeHelloOffersWhatRealOnesDo(t *testing.T) {
	var v struct{ Cases []helloVector }
	readVectors(t, "faketls_hello.json", &v)
	want := extensionIDs(v.Cases[0].Hello)
	c := Client{Secret: testSecret(), Domain: testDomain}
	got := extensionIDs(must(c.NewHello())(t))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("extensions %x, want %x", got, want)
	}
}

// extensionIDs lists a hello's extensions, with every GREASE value as 0x0a0a.
func extensionIDs(record []byte) []uint16 {
	c := cursor{b: record[9+34:]}
	c.vector(1)
	c.vector(2)
	c.vector(1)
	var ids []uint16
	for e := (cursor{b: c.vector(2)}); len(e.b) > 0; e.vector(2) {
		id := e.u16()
		if id&0x0f0f == 0x0a0a && id>>8 == id&0xff {
			id = 0x0a0a
		}
		ids = append(ids, id)
	}
	return ids
}

func TestClientRefusesBadAnswers(t *testing.T) {
	cases := map[string]func(h *testHello, secret []byte) []byte{
		"another secret": func(h *testHello, secret []byte) []byte { return h.answer(testSecret(), 2000) },
		"a second data record": func(h *testHello, secret []byte) []byte {
			return append(h.answer(secret, 2000), 23, 3, 3, 0, 1, 'x')
		},
		"an alert":        func(h *testHello, secret []byte) []byte { return []byte{21, 3, 3, 0, 2, 2, 40} },
		"an empty flight": func(h *testHello, secret []byte) []byte { return h.answer(secret, 0) },
		"half an answer":  func(h *testHello, secret []byte) []byte { return h.answer(secret, 2000)[:1000] },
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, DCConfig{}, &testRelay{answer: answer})
			l.client.Timeout = 300 * time.Millisecond
			if conn, err := l.client.Dial(t.Context()); err == nil {
				conn.Close()
				t.Error("the client is content")
			}
		})
	}
}

func TestOneChangedByteIsFound(t *testing.T) {
	for _, transport := range []Transport{FakeTLS, Secure, ClassicAbridged, ClassicIntermediate} {
		l := startLab(t, DCConfig{}, &testRelay{corrupt: 70_000})
		l.client.Transport = transport
		conn := l.dial(t)
		if err := conn.Download(200_000); !errors.Is(err, errContent) {
			t.Errorf("%v: download over a bad link: %v, want %v", transport, err, errContent)
		}
	}
}

func TestMisbehavingDC(t *testing.T) {
	t.Run("refuses", func(t *testing.T) {
		dc := must(StartDC(t.Context(), DCConfig{Behaviour: Behaviour{Refuse: true}}))(t)
		defer dc.Close()
		c := Client{Proxy: dc.Addr(), Transport: Secure}
		if _, err := c.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v, want refusal", err)
		}
	})
	t.Run("stalls", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{Stall: true}}, &testRelay{})
		l.client.Timeout = 100 * time.Millisecond
		if err := l.dial(t).Ping([]byte("x")); !isTimeout(err) {
			t.Errorf("ping: %v, want a timeout", err)
		}
	})
	t.Run("deaf", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{Deaf: true}}, &testRelay{})
		l.client.Timeout = 200 * time.Millisecond
		if err := l.dial(t).Upload(64 << 20); !isTimeout(err) {
			t.Errorf("upload: %v, want a timeout", err)
		}
		if got := l.dc.Stats().Received; got != 0 {
			t.Errorf("a deaf dc read %d bytes", got)
		}
	})
	t.Run("vanishes", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{VanishAfter: 50_000}}, &testRelay{})
		if err := l.dial(t).Download(1 << 20); err == nil || isTimeout(err) {
			t.Errorf("download: %v, want the connection to break", err)
		}
		if got := l.dc.Stats().Sent; got != 50_000 {
			t.Errorf("dc sent %d bytes, want 50000", got)
		}
	})
	t.Run("slow", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{Delay: 30 * time.Millisecond}}, &testRelay{})
		start := time.Now()
		if err := l.dial(t).Download(3 * chunkSize); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 90*time.Millisecond {
			t.Errorf("three packets took %v", took)
		}
	})
	t.Run("half-closes", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{HalfClose: true}}, &testRelay{})
		conn := l.dial(t)
		if err := conn.Ping([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Receive(); err != io.EOF {
			t.Errorf("after the answer: %v, want EOF", err)
		}
		before := l.dc.Stats().Received
		if err := conn.Send(make([]byte, 4096)); err != nil {
			t.Errorf("send into the open half: %v", err)
		}
		eventually(t, func() bool { return l.dc.Stats().Received >= before+4096 })
	})
	t.Run("answers with an error", func(t *testing.T) {
		l := startLab(t, DCConfig{Behaviour: Behaviour{Error: -404}}, &testRelay{})
		var code TransportError
		if err := l.dial(t).Ping([]byte("x")); !errors.As(err, &code) || code != -404 {
			t.Errorf("ping: %v, want -404", err)
		}
	})
	t.Run("bad init", func(t *testing.T) {
		l := startLab(t, DCConfig{}, &testRelay{})
		c := Client{Proxy: l.dc.Addr(), Secret: testSecret(), Transport: Secure}
		conn := must(c.Dial(t.Context()))(t)
		defer conn.Close()
		if err := conn.Ping([]byte("x")); err == nil {
			t.Error("a dc answered an init with a secret")
		}
		if got := l.dc.Stats().BadInits; got != 1 {
			t.Errorf("dc counted %d bad inits, want 1", got)
		}
	})
}

func TestHalfCloseStillBringsTheAnswer(t *testing.T) {
	l := startLab(t, DCConfig{}, &testRelay{})
	conn := l.dial(t)
	if err := conn.RequestDownload(100_000, 7); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var got int
	for {
		payload, err := conn.Receive()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		got += len(must(parseMessage(payload))(t).body)
	}
	if got != 100_000 {
		t.Errorf("got %d bytes, want 100000", got)
	}
}

func TestResetReachesThePeer(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	c := Client{Proxy: l.Addr().String(), Transport: Secure, InitAlone: true}
	conn := must(c.Dial(t.Context()))(t)
	peer := must(l.Accept())(t)
	defer peer.Close()
	if err := conn.Reset(); err != nil {
		t.Fatal(err)
	}
	peer.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, peer); endingOf(err) != RST {
		t.Errorf("peer got %v, want a reset", err)
	}
}

// TestUploadGoesInRecordsOfTDLib looks at what a fake TLS client writes.
func TestUploadGoesInRecordsOfTDLib(t *testing.T) {
	for _, alone := range []bool{false, true} {
		l := startLab(t, DCConfig{}, &testRelay{})
		tape := &recorders{}
		l.client.Dialer, l.client.InitAlone = tape, alone
		conn := l.dial(t)
		if err := conn.Upload(50_000); err != nil {
			t.Fatal(err)
		}
		list, rest := Records(tape.conns[0].sent)
		if len(list) < 20 || len(rest) > 0 || list[1].Type != recordCCS {
			t.Fatalf("%d records and %d bytes, the second of type %d", len(list), len(rest), list[1].Type)
		}
		if first := len(list[2].Payload); (first == 64) != alone {
			t.Errorf("init alone %v: first record of %d bytes", alone, first)
		}
		for i, r := range list[2:] {
			if r.Type != recordData || len(r.Payload) == 0 || len(r.Payload) > 2878 {
				t.Errorf("record %d: type %d, %d bytes", i, r.Type, len(r.Payload))
			}
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t) // accepts, never answers
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := Client{Proxy: l.Addr().String(), Domain: testDomain}
	start := time.Now()
	if _, err := c.Dial(ctx); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("dial: %v after %v", err, time.Since(start))
	}
}

func TestServersEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dc := must(StartDC(ctx, DCConfig{}))(t)
	cover := must(StartCover(ctx, CoverConfig{Domain: testDomain}))(t)
	c := Client{Proxy: dc.Addr(), Transport: Secure}
	conn := must(c.Dial(t.Context()))(t)
	defer conn.Close()
	if err := conn.Ping(nil); err != nil {
		t.Fatal(err)
	}
	visitor := must(net.Dial("tcp", cover.Addr()))(t)
	defer visitor.Close()
	cancel()
	if _, err := conn.Receive(); err == nil {
		t.Error("the connection outlives the dc")
	}
	dc.Close()
	cover.Close()
	for _, addr := range []string{dc.Addr(), cover.Addr()} {
		if again, err := net.Dial("tcp", addr); err == nil {
			again.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// eventually waits for what another goroutine is about to do.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never happened")
		}
	}
}
