package handshake

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"mtguard/mtproto"
	"mtguard/mtproto/obfs2"
	"mtguard/security/keys"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
)

// likeHello are first bytes that begin like TLS and are no hello, each with the number of bytes
// that prove it.
var likeHello = []struct {
	start string
	at    int
}{
	{"16 03 00", 3},                                      // record version
	{"16 03 02", 3},                                      //
	{"16 03 04", 3},                                      //
	{"16 03 ff ff ff ff", 3},                             //
	{"16 03 01 41", 4},                                   // record length
	{"16 03 01 ff ff", 4},                                //
	{"16 03 01 40 01", 5},                                //
	{"16 03 03 00 00 01", 5},                             //
	{"16 03 01 01 00 00", 6},                             // message type
	{"16 03 03 02 00 02", 6},                             //
	{"16 03 01 00 3b 17", 6},                             // the init is one record by its length
	{"16 03 03 02 00 01 01", 7},                          // message length
	{"16 03 01 00 01 01 17", 7},                          // the next record's type
	{"16 03 03 02 00 01 00 41", 8},                       // message length
	{"16 03 01 03 00 01 00 01 fb", 9},                    // the message ends within its record
	{"16 03 01 00 32 01 00 00 5f", 9},                    // the message is too short
	{"16 03 03 02 00 01 00 01 fc 02", 10},                // hello version
	{"16 03 03 02 00 01 00 01 fc 03 01", 11},             //
	{"16 03 01 00 10 01 00 01 00 03 03 11 11 11 11", 22}, // the next record's type
}

// initLike is an init that begins with these bytes, in hexadecimal digits.
func initLike(t testing.TB, start string, f mtproto.Framing, secret []byte) []byte {
	t.Helper()
	first, err := hex.DecodeString(strings.ReplaceAll(start, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	for {
		init, err := obfs2.NewInit(io.MultiReader(bytes.NewReader(first), rand.Reader), obfs2.Header{Framing: f, DC: -4}, secret)
		if err != nil {
			t.Fatal(err)
		}
		if start != "16 03 01 00 10 01 00 01 00 03 03 11 11 11 11" || init[21] != 0x16 {
			return init[:]
		}
	}
}

// TestAnInitThatBeginsLikeAHello is served, by whichever reads it comes as a whole.
func TestAnInitThatBeginsLikeAHello(t *testing.T) {
	for _, like := range likeHello {
		for framing, transport := range map[mtproto.Framing]mtproto.Transport{
			mtproto.Padded: mtproto.Secure, mtproto.Intermediate: mtproto.Classic, mtproto.Abridged: mtproto.Classic,
		} {
			p := newPlace(t, mtproto.FakeTLS, transport)
			init := func() []byte { return initLike(t, like.start, framing, secret) }
			for name, sent := range map[string][][]byte{
				"alone":         {init()},
				"with a packet": {join(init(), packet)},
				"in two pieces, the first of which proves nothing": func() [][]byte {
					b := join(init(), packet)
					return [][]byte{b[:like.at-1], b[like.at-1:]}
				}(),
			} {
				s := play(sent...)
				c, f := p.accept(s)
				if f != nil || s.writes > 0 {
					t.Errorf("%s, %v, %s: %v, %d writes", like.start, framing, name, f, s.writes)
					continue
				}
				want := packet
				if name == "alone" {
					want = nil
				}
				checkClient(t, c, nil, transport, framing, want)
			}
		}
	}
}

// TestWhatBeginsLikeAHelloIsNotWaitedFor: on a listener that serves inits a stranger, and a client
// whose init comes in pieces, are given up with the same byte, and told of with the same word, as
// where there is fake TLS alone. So nobody sees from outside that there may be inits.
func TestWhatBeginsLikeAHelloIsNotWaitedFor(t *testing.T) {
	alone, mixed := newPlace(t, mtproto.FakeTLS), newPlace(t, all...)
	give := func(p *place, name string, at int, pieces [][]byte) {
		t.Helper()
		s := &script{pieces: pieces, end: os.ErrDeadlineExceeded}
		c, f := p.accept(s)
		if c != nil || f.Result != stats.ResultMalformed || f.Transport != mtproto.FakeTLS || f.Key != nil || f.Ended || f.Gone || f.Answered || s.writes > 0 {
			t.Errorf("%s: %v, %d writes", name, f, s.writes)
			return
		}
		if len(s.given) != at || !bytes.Equal(f.Read, s.given) {
			t.Errorf("%s: %d bytes read, %d kept, want %d", name, len(s.given), len(f.Read), at)
		}
	}
	for _, like := range likeHello {
		for who, key := range map[string][]byte{"a stranger": stranger, "a client": secret} {
			b := join(initLike(t, like.start, mtproto.Padded, key), packet)
			for _, p := range []*place{alone, mixed} {
				name := fmt.Sprintf("%s, %s, among %v", like.start, who, p.snap.Transports)
				give(p, name+", in bytes", like.at, bytewise(b))
				for at := like.at; at < obfs2.InitSize; at++ {
					give(p, fmt.Sprint(name, ", cut at ", at), at, [][]byte{b[:at], b[at:]})
					give(p, fmt.Sprint(name, ", silent after ", at), at, [][]byte{b[:at]})
				}
				if who == "a stranger" {
					for at := obfs2.InitSize; at <= len(b); at++ {
						give(p, fmt.Sprint(name, ", cut at ", at), at, [][]byte{b[:at], b[at:]})
					}
				}
			}
		}
	}
}

// TestAnInitThatBeginsLikeAHelloIsHeldToTheRules of all inits.
func TestAnInitThatBeginsLikeAHelloIsHeldToTheRules(t *testing.T) {
	for name, tc := range map[string]struct {
		served []mtproto.Transport
		before func(p *place, init []byte)
		want   stats.Result
		whose  bool // the secret matched
		of     mtproto.Transport
	}{
		"seen before":        {all, func(p *place, init []byte) { p.accept(play(init)) }, stats.ResultReplay, true, mtproto.Secure},
		"revoked":            {all, func(p *place, _ []byte) { p.put(keys.Revoked) }, stats.ResultRevoked, true, mtproto.Secure},
		"disabled":           {all, func(p *place, _ []byte) { p.account.Set(usage.Limits{}, usage.Disabled) }, stats.ResultUser, true, mtproto.Secure},
		"refused":            {all, func(p *place, _ []byte) { p.judge.client = true }, stats.ResultRefused, true, mtproto.Secure},
		"fake TLS alone":     {[]mtproto.Transport{mtproto.FakeTLS}, nil, stats.ResultMalformed, false, mtproto.FakeTLS},
		"another transport":  {[]mtproto.Transport{mtproto.FakeTLS, mtproto.Classic}, nil, stats.ResultMalformed, false, mtproto.FakeTLS},
		"a stranger's":       {all, func(_ *place, init []byte) { copy(init, initLike(t, "16 03 07", mtproto.Padded, stranger)) }, stats.ResultMalformed, false, mtproto.FakeTLS},
		"without a secret":   {all, func(_ *place, init []byte) { copy(init, initLike(t, "16 03 07", mtproto.Padded, nil)) }, stats.ResultMalformed, false, mtproto.FakeTLS},
		"one bit of the tag": {all, func(_ *place, init []byte) { init[56] ^= 1 }, stats.ResultMalformed, false, mtproto.FakeTLS},
	} {
		p := newPlace(t, tc.served...)
		init := initLike(t, "16 03 07", mtproto.Padded, secret)
		if tc.before != nil {
			tc.before(p, init)
		}
		s := play(join(init, packet))
		c, f := p.accept(s)
		if c != nil || f.Result != tc.want || (f.Key != nil) != tc.whose || f.Transport != tc.of {
			t.Errorf("%s: %v, want %v in %v", name, f, tc.want, tc.of)
			continue
		}
		if f.Answered || f.Gone || f.Ended || s.writes > 0 || !bytes.Equal(f.Read, join(init, packet)) {
			t.Errorf("%s: %v, %d writes: it must look as if nobody was here", name, f, s.writes)
		}
	}
}
