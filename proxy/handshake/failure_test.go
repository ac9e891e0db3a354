package handshake

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

var errReset error = &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}

// endings are the ways a peer can stop, and what a Failure says of each.
var endings = []struct {
	name        string
	err         error
	result      stats.Result
	ended, gone bool
}{
	{"says its end", io.EOF, stats.ResultEOF, true, false},
	{"falls silent", os.ErrDeadlineExceeded, stats.ResultTimeout, false, false},
	{"resets", errReset, stats.ResultEOF, false, true},
	{"is closed by us", errors.New("use of closed network connection"), stats.ResultEOF, false, true},
}

// TestWhoeverStopsInTheMiddle: at every length of a hello and of an init.
func TestWhoeverStopsInTheMiddle(t *testing.T) {
	p := newPlace(t, all...)
	hello, init := newHello(t, classicForm), newInit(t, mtproto.Padded, secret)
	for _, end := range endings {
		for _, sent := range [][]byte{hello, init} {
			for n := range sent {
				s := &script{pieces: [][]byte{sent[:n]}, end: end.err}
				if n == 0 {
					s.pieces = nil
				}
				_, f := p.accept(s)
				if f == nil || f.Result != end.result || f.Ended != end.ended || f.Gone != end.gone || f.Answered || f.Key != nil {
					t.Fatalf("%s after %d bytes: %v", end.name, n, f)
				}
				if !bytes.Equal(f.Read, sent[:n]) {
					t.Fatalf("%s after %d bytes: %d are kept", end.name, n, len(f.Read))
				}
				want := mtproto.Transport(0)
				if n >= 2 && sent[0] == 0x16 {
					want = mtproto.FakeTLS
				}
				if f.Transport != want || s.writes > 0 {
					t.Fatalf("%s after %d bytes: transport %v, %d writes", end.name, n, f.Transport, s.writes)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	seen := newHello(t)
	seenInit, seenClassic := newInit(t, mtproto.Padded, secret), newInit(t, mtproto.Abridged, secret)
	behind := []byte("bytes behind it")
	for _, c := range []struct {
		name      string
		sent      []byte
		want      stats.Result
		transport mtproto.Transport
		whose     bool // the secret matched
	}{
		{"wrong secret", newHello(t, func(c *tgsim.Client) { c.Secret = stranger }), stats.ResultBadSecret, mtproto.FakeTLS, false},
		{"one bit of the digest", func() []byte { b := newHello(t); b[11] ^= 1; return b }(), stats.ResultBadSecret, mtproto.FakeTLS, false},
		{"one bit of the last byte of the digest", func() []byte { b := newHello(t); b[38] ^= 128; return b }(), stats.ResultBadSecret, mtproto.FakeTLS, false},
		{"one bit of the body", func() []byte { b := newHello(t); b[50] ^= 1; return b }(), stats.ResultBadSecret, mtproto.FakeTLS, false},
		{"another server name", newHello(t, func(c *tgsim.Client) { c.Domain = "www.example.org" }), stats.ResultServerName, mtproto.FakeTLS, false},
		{"no server name", newHello(t, func(c *tgsim.Client) { c.Domain = "" }), stats.ResultServerName, mtproto.FakeTLS, false},
		{"a clock far behind", newHello(t, clock(-24*time.Hour)), stats.ResultClock, mtproto.FakeTLS, true},
		{"a clock far ahead", newHello(t, clock(24*time.Hour)), stats.ResultClock, mtproto.FakeTLS, true},
		{"sent before the process started", newHello(t, clock(-9*time.Minute)), stats.ResultReplay, mtproto.FakeTLS, true},
		{"seen before", seen, stats.ResultReplay, mtproto.FakeTLS, true},
		{"no suite to answer with", withoutSuites(t, newHello(t)), stats.ResultMalformed, mtproto.FakeTLS, true},
		{"an init of a stranger", newInit(t, mtproto.Padded, stranger), stats.ResultBadSecret, 0, false},
		{"an init without a secret", newInit(t, mtproto.Padded, nil), stats.ResultBadSecret, 0, false},
		{"an init seen before", seenInit, stats.ResultReplay, mtproto.Secure, true},
		{"a classic init seen before", seenClassic, stats.ResultReplay, mtproto.Classic, true},
	} {
		for _, way := range []string{"at once", "with more", "in bytes"} {
			t.Run(c.name+", "+way, func(t *testing.T) {
				p := newPlace(t, all...)
				start := time.Now().Add(-time.Minute)
				p.restart(start)
				for _, b := range [][]byte{seen, seenInit, seenClassic} {
					p.accept(play(b))
				}
				s := play(c.sent)
				switch way {
				case "with more":
					s = play(join(c.sent, behind))
				case "in bytes":
					s = play(bytewise(c.sent)...)
				}
				client, f := p.accept(s)
				if client != nil || f.Result != c.want || f.Transport != c.transport || (f.Key != nil) != c.whose {
					t.Fatalf("%v, want %v in %v", f, c.want, c.transport)
				}
				if f.Answered || s.writes > 0 || f.Gone || f.Ended {
					t.Errorf("%v, %d writes: it must look as if nobody was here", f, s.writes)
				}
				if want := s.given; !bytes.Equal(f.Read, want) || len(want) < len(c.sent) {
					t.Errorf("%d bytes kept of %d read and %d sent", len(f.Read), len(want), len(c.sent))
				}
			})
		}
	}
}

// TestGoodNoMore: whose key or account is good no more is refused before a byte is
// answered, and keeps what it has sent for the cover site.
func TestGoodNoMore(t *testing.T) {
	for _, c := range []struct {
		name     string
		state    keys.State
		limits   usage.Limits
		standing usage.Refusal
		want     stats.Result
		reason   string
	}{
		{"revoked", keys.Revoked, usage.Limits{}, usage.Allowed, stats.ResultRevoked, "revoked"},
		{"revoked, of a user who is not served", keys.Revoked, usage.Limits{}, usage.Disabled, stats.ResultRevoked, "revoked"},
		{"retired", keys.Retired, usage.Limits{}, usage.Allowed, stats.ResultExpired, "expired"},
		{"expired", keys.Expired, usage.Limits{}, usage.Allowed, stats.ResultExpired, "expired"},
		{"disabled", keys.Active, usage.Limits{}, usage.Disabled, stats.ResultUser, "disabled"},
		{"over quota, on an old secret", keys.Retiring, usage.Limits{}, usage.OverQuota, stats.ResultUser, "over_quota"},
		{"too many connections", keys.Active, usage.Limits{Connections: 1}, usage.Allowed, stats.ResultUser, "too_many_connections"},
		{"too many addresses", keys.Active, usage.Limits{Addresses: 1}, usage.Allowed, stats.ResultUser, "too_many_addresses"},
	} {
		for transport, sent := range map[mtproto.Transport][]byte{
			mtproto.FakeTLS: newHello(t), mtproto.Secure: newInit(t, mtproto.Padded, secret), mtproto.Classic: newInit(t, mtproto.Abridged, secret),
		} {
			t.Run(fmt.Sprint(c.name, ", ", transport), func(t *testing.T) {
				p := newPlace(t, all...)
				// Somebody else holds a lease, so that the bytes are there, and the only place there may be.
				other := auth.Admit(p.snap.Keys.At(0), netip.MustParseAddr("198.51.100.1"), time.Now())
				p.account.Set(c.limits, c.standing)
				p.put(c.state)
				s := play(join(sent, []byte("behind it")))
				client, f := p.acceptor().Accept(s, peer, nil)
				if client != nil || f.Result != c.want || f.Reason() != c.reason || f.Transport != transport {
					t.Fatalf("%v, %s; want %v, %s", f, f.Reason(), c.want, c.reason)
				}
				if f.Key != p.snap.Keys.At(0) || f.Answered || s.writes > 0 || f.Gone || f.Ended || !bytes.Equal(f.Read, s.given) {
					t.Errorf("%v, %d writes: it must look as if nobody was here", f, s.writes)
				}
				other.Grant.Release()
				if leases, open := p.held(); leases != 0 || open != 0 {
					t.Errorf("%d leases, %d places are held", leases, open)
				}
			})
		}
	}
}

func TestRefusalForWantOfBudget(t *testing.T) {
	p := newPlace(t, mtproto.FakeTLS)
	list := []*keys.Key{}
	for i := range 200 {
		s, err := keys.ParseSecret(hex.EncodeToString(fmt.Appendf(nil, "secret of %6d", i)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, keys.NewKey(fmt.Sprint("user", i), s))
	}
	var err error
	if p.snap.Keys, err = keys.NewSet(list); err != nil {
		t.Fatal(err)
	}
	hello := newHello(t, classicForm)
	for range 5000 {
		if _, f := p.accept(play(hello)); f.Result == stats.ResultBudget {
			if !bytes.Equal(f.Read, hello) || f.Transport != mtproto.FakeTLS {
				t.Errorf("%v", f)
			}
			return
		}
	}
	t.Error("a stranger has tried secrets for ever")
}

// TestTheFirstByteThatProvesItEndsIt: garbage is given up with the byte after
// which it cannot become a hello any more, since a web server would answer then.
func TestTheFirstByteThatProvesItEndsIt(t *testing.T) {
	hello := newHello(t)
	change := func(at int, v byte) []byte { b := bytes.Clone(hello); b[at] = v; return b }
	for _, c := range []struct {
		name string
		sent []byte
		at   int // bytes that prove it
	}{
		{"http", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1},
		{"ssh", []byte("SSH-2.0-x\r\n"), 1},
		{"zeros", make([]byte, 300), 1},
		{"an init", newInit(t, mtproto.Padded, secret), 1},
		{"an alert", []byte{0x15, 3, 1, 0, 2, 2, 40}, 1},
		{"SSL 2", change(1, 2), 2},
		{"record version 3.0", change(2, 0), 3},
		{"record version 3.4", change(2, 4), 3},
		{"a record of 16 bytes, the next no record", func() []byte { b := change(3, 0); b[4] = 16; return b }(), 22},
		{"a record above 16384", change(3, 0x41), 4},
		{"a server hello", change(5, 2), 6},
		{"a message of a megabyte", change(6, 16), 7},
		{"a message that ends elsewhere", change(8, hello[8]-1), 9},
		{"hello version 2", change(9, 2), 10},
		{"hello version 3.4", change(10, 4), 11},
		{"a session id of 33", change(43, 33), 44},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, mtproto.FakeTLS)
			s := play(bytewise(c.sent)...)
			_, f := p.accept(s)
			if f == nil || f.Result != stats.ResultMalformed || f.Ended || f.Gone {
				t.Fatalf("%v", f)
			}
			if len(f.Read) != c.at || len(s.given) != c.at {
				t.Errorf("given up after %d bytes, want %d", len(f.Read), c.at)
			}
			s = play(c.sent[:c.at])
			s.end = os.ErrDeadlineExceeded
			if _, f := p.accept(s); f.Result != stats.ResultMalformed {
				t.Errorf("after %d bytes it waits for more: %v", c.at, f.Result)
			}
			s = play(c.sent)
			if _, f := p.accept(s); !bytes.Equal(f.Read, c.sent) {
				t.Errorf("at once: %d bytes kept of %d", len(f.Read), len(c.sent))
			}
		})
	}
}

// TestFailuresInsideTLS: whoever gets here knows a secret, was answered, and can
// no longer be shown the cover site.
func TestFailuresInsideTLS(t *testing.T) {
	good := newInit(t, mtproto.Padded, secret)
	used := newInit(t, mtproto.Padded, secret)
	for _, c := range []struct {
		name string
		sent []byte
		end  error
		want stats.Result
	}{
		{"a stranger's init", record(newInit(t, mtproto.Padded, stranger)), nil, stats.ResultBadSecret},
		{"an init without a secret", record(newInit(t, mtproto.Padded, nil)), nil, stats.ResultBadSecret},
		{"intermediate framing", record(newInit(t, mtproto.Intermediate, secret)), nil, stats.ResultBadSecret},
		{"abridged framing", record(newInit(t, mtproto.Abridged, secret)), nil, stats.ResultBadSecret},
		{"an init used before inside TLS", record(used), nil, stats.ResultReplay},
		{"no records", bytes.Repeat([]byte("x"), 100), nil, stats.ResultMalformed},
		{"an alert", join([]byte{0x15, 3, 3, 0, 2, 2, 40}, record(good)), nil, stats.ResultMalformed},
		{"another version", join([]byte{0x17, 3, 1, 0, 64}, good), nil, stats.ResultMalformed},
		{"a record above the limit", join([]byte{0x17, 3, 3, 0x41, 1}, good), nil, stats.ResultMalformed},
		{"change cipher spec for ever", bytes.Repeat(changeCipher, 100), nil, stats.ResultMalformed},
		{"end", record(good[:40]), io.EOF, stats.ResultEOF},
		{"silence", record(good[:40]), os.ErrDeadlineExceeded, stats.ResultTimeout},
		{"silence at once", nil, os.ErrDeadlineExceeded, stats.ResultTimeout},
		{"reset", record(good[:40]), errReset, stats.ResultEOF},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, slow %v", c.name, slow), func(t *testing.T) {
				p := newPlace(t, all...)
				if _, f := p.accept(play(newHello(t), record(used))); f != nil {
					t.Fatalf("the first use: %v", f.Result)
				}
				hello := newHello(t)
				s := &script{pieces: [][]byte{hello}, end: c.end}
				if slow {
					s.pieces = append(s.pieces, bytewise(c.sent)...)
				} else if len(c.sent) > 0 {
					s.pieces = append(s.pieces, c.sent)
				}
				client, f := p.accept(s)
				if client != nil || f.Result != c.want || f.Transport != mtproto.FakeTLS || !f.Answered || f.Read != nil {
					t.Fatalf("%v, want %v", f, c.want)
				}
				if f.Key == nil || f.Key.User() != "alice" {
					t.Errorf("key %v, want alice's", f.Key)
				}
				if f.Ended != (c.end == io.EOF) || f.Gone != (c.end == errReset) {
					t.Errorf("%v", f)
				}
				checkAnswer(t, s, hello)
			})
		}
	}
}

// An init that was used without TLS is used up inside TLS too.
func TestABareInitIsUsedUp(t *testing.T) {
	p := newPlace(t, all...)
	init := newInit(t, mtproto.Padded, secret)
	p.accept(play(init))
	if _, f := p.accept(play(newHello(t), record(init))); f == nil || f.Result != stats.ResultReplay {
		t.Errorf("inside TLS: %v", f)
	}
	init = newInit(t, mtproto.Padded, secret)
	p.accept(play(newHello(t), record(init)))
	if _, f := p.accept(play(init)); f == nil || f.Result != stats.ResultReplay {
		t.Errorf("bare: %v", f)
	}
}

func TestAPeerThatIsGoneBeforeTheAnswer(t *testing.T) {
	p := newPlace(t, all...)
	s := play(newHello(t))
	s.writeErr = errReset
	_, f := p.accept(s)
	if f == nil || f.Result != stats.ResultEOF || !f.Gone || !f.Answered || f.Transport != mtproto.FakeTLS {
		t.Errorf("%v", f)
	}
}
