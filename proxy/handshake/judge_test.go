package handshake

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"mtguard/mtproto"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// TestWhomTheJudgeRefusesSeesNothing: not a byte is answered, every byte is kept for
// the cover site, and nothing of the user's is held.
func TestWhomTheJudgeRefusesSeesNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		sent   []byte
		want   mtproto.Transport
		hello  bool
		asked  []string
		trials int64
	}{
		{"a hello", newHello(t), mtproto.FakeTLS, true, []string{"hello for www.example.com"}, 0},
		{"a client of fake TLS", newHello(t), mtproto.FakeTLS, false, []string{"hello for www.example.com", "alice by faketls"}, 1},
		{"a client of secure", newInit(t, mtproto.Padded, secret), mtproto.Secure, false, []string{"alice by secure"}, 1},
		{"a client of classic", newInit(t, mtproto.Abridged, secret), mtproto.Classic, false, []string{"alice by classic"}, 1},
	} {
		for _, way := range []string{"at once", "in bytes"} {
			t.Run(fmt.Sprint(c.name, ", ", way), func(t *testing.T) {
				p := newPlace(t, all...)
				p.judge.hello, p.judge.client = c.hello, !c.hello
				s := play(join(c.sent, []byte("behind it")))
				if way == "in bytes" {
					s = play(bytewise(c.sent)...)
				}
				client, f := p.accept(s)
				if client != nil || f.Result != stats.ResultRefused || f.Transport != c.want || f.Reason() != "refused" {
					t.Fatalf("%v", f)
				}
				if f.Answered || s.writes > 0 || f.Gone || f.Ended || !bytes.Equal(f.Read, s.given) {
					t.Errorf("%v, %d writes: it must look as if nobody was here", f, s.writes)
				}
				if !slices.Equal(p.judge.asked, c.asked) || p.auth.Stats.Trials.Load() != uint64(c.trials) {
					t.Errorf("asked %q, %d trials", p.judge.asked, p.auth.Stats.Trials.Load())
				}
				if (f.Key != nil) == c.hello {
					t.Errorf("the key is %v", f.Key)
				}
			})
		}
	}
}

// The judge is not asked about strangers' secrets, replays or foreign names.
func TestTheJudgeIsAskedAboutClientsOnly(t *testing.T) {
	p := newPlace(t, all...)
	replayed := newHello(t)
	p.accept(play(replayed))
	p.judge.asked = nil
	for _, sent := range [][]byte{
		newHello(t, func(c *tgsim.Client) { c.Secret = stranger }), replayed, newHello(t, func(c *tgsim.Client) { c.Domain = "www.example.org" }),
		newInit(t, mtproto.Padded, stranger), []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte("x"), 64),
	} {
		p.accept(play(sent))
	}
	if want := []string{"hello for www.example.com", "hello for www.example.com"}; !slices.Equal(p.judge.asked, want) {
		t.Errorf("asked %q", p.judge.asked)
	}
}
