package handshake

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"mtguard/mtproto"
	"mtguard/mtproto/obfs2"
	"mtguard/telemetry/stats"
)

var packet = []byte("the first packet, encrypted")

// inside is what a fake-TLS client sends behind its hello.
func inside(t testing.TB) (init, records []byte) {
	init = newInit(t, mtproto.Padded, secret)
	return init, join(changeCipher, record(join(init, packet)))
}

func TestAHelloInAnyPieces(t *testing.T) {
	p := newPlace(t, mtproto.FakeTLS)
	try := func(name string, hello []byte, cut func(hello, rest []byte) [][]byte) {
		t.Helper()
		init, rest := inside(t)
		s := play(cut(hello, rest)...)
		c, f := p.accept(s)
		checkStream(t, s, c, f)
		checkAnswer(t, s, hello)
		if c2s, s2c := (*obfs2.Init)(init).Keys(secret); c != nil && (c.C2S != c2s || c.S2C != s2c) {
			t.Error("the keys are not those of the init")
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for at := 1; at < 517; at++ {
		try(fmt.Sprintf("classic hello, cut at %d", at), newHello(t, classicForm), func(hello, rest []byte) [][]byte {
			return [][]byte{hello[:at], hello[at:], rest}
		})
	}
	for at := 1; at < 1700; at += 13 {
		try(fmt.Sprintf("chrome hello, cut at %d", at), newHello(t), func(hello, rest []byte) [][]byte {
			return [][]byte{hello[:at], hello[at:], rest}
		})
	}
	try("byte at a time", newHello(t), func(hello, rest []byte) [][]byte { return bytewise(join(hello, rest)) })
	try("with everything behind it at once", newHello(t), func(hello, rest []byte) [][]byte { return [][]byte{join(hello, rest)} })
	try("with the start of a record behind it", newHello(t), func(hello, rest []byte) [][]byte {
		return [][]byte{join(hello, rest[:9]), rest[9:]}
	})
}

func TestAHelloOverSeveralRecords(t *testing.T) {
	p := newPlace(t, mtproto.FakeTLS)
	for _, size := range []int{200, 256, 600, 1000, 5000} {
		for _, slow := range []bool{false, true} {
			hello := newHello(t)
			_, rest := inside(t)
			pieces := [][]byte{splitRecords(hello, size), rest}
			if slow {
				pieces = bytewise(join(pieces...))
			}
			s := play(pieces...)
			c, f := p.accept(s)
			checkStream(t, s, c, f)
			checkAnswer(t, s, hello)
		}
	}
}

func TestAnInitInAnyRecords(t *testing.T) {
	p := newPlace(t, mtproto.FakeTLS)
	init := func() []byte { return newInit(t, mtproto.Padded, secret) }
	cut := func(stream []byte, size int) (out []byte) {
		for ; len(stream) > size; stream = stream[size:] {
			out = append(out, record(stream[:size])...)
		}
		return append(out, record(stream)...)
	}
	for name, rest := range map[string][]byte{
		"with the first packet":           join(changeCipher, record(join(init(), packet))),
		"by itself":                       join(changeCipher, record(init()), record(packet)),
		"without change cipher spec":      record(join(init(), packet)),
		"byte records":                    join(changeCipher, cut(join(init(), packet), 1)),
		"records of 63":                   cut(join(init(), packet), 63),
		"empty records":                   join(record(nil), changeCipher, record(nil), record(join(init(), packet)), record(nil)),
		"change cipher spec in between":   join(cut(init(), 40), changeCipher, record(packet)),
		"two change cipher specs at once": join(changeCipher, changeCipher, record(init()), record(packet)),
	} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, slow %v", name, slow), func(t *testing.T) {
				p := newPlace(t, mtproto.FakeTLS)
				hello := newHello(t)
				pieces := [][]byte{hello, rest}
				if slow {
					pieces = append([][]byte{hello}, bytewise(rest)...)
				}
				s := play(pieces...)
				c, f := p.accept(s)
				checkStream(t, s, c, f)
				checkAnswer(t, s, hello)
			})
		}
	}
	// A record that is not over: the relay goes on in the middle of it.
	full := record(join(init(), packet))
	s := play(newHello(t), full[:80])
	c, f := p.accept(s)
	checkClient(t, c, f, mtproto.FakeTLS, mtproto.Padded, packet[:80-5-64])
	rest := bytes.Clone(full[80:])
	if n, err := c.Unwrap.Strip(rest); err != nil || !bytes.Equal(rest[:n], packet[80-5-64:]) {
		t.Errorf("the rest of the record: %q, %v", rest[:n], err)
	}
}

// checkStream demands alice inside TLS, and packet as what the relay would have
// read in the end.
func checkStream(t testing.TB, s *script, c *Client, f *Failure) {
	t.Helper()
	if f != nil {
		t.Fatalf("refused: %v", f.Result)
	}
	c.Payload = bytes.Clone(c.Payload)
	for len(s.pieces) > 0 {
		b := make([]byte, 100)
		n, _ := s.Read(b)
		n, err := c.Unwrap.Strip(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		c.Payload = append(c.Payload, b[:n]...)
	}
	checkClient(t, c, nil, mtproto.FakeTLS, mtproto.Padded, packet)
}

func TestAnInitWithoutTLSInAnyPieces(t *testing.T) {
	p := newPlace(t, all...)
	for f, transport := range map[mtproto.Framing]mtproto.Transport{
		mtproto.Padded: mtproto.Secure, mtproto.Intermediate: mtproto.Classic, mtproto.Abridged: mtproto.Classic,
	} {
		for at := 1; at <= obfs2.InitSize+len(packet); at++ {
			b := join(newInit(t, f, secret), packet)
			s := play(b[:at], b[at:])
			if at == len(b) {
				s = play(b)
			}
			c, failure := p.accept(s)
			want := packet
			if at >= obfs2.InitSize {
				want = packet[:at-obfs2.InitSize] // no read waits for more than the init
			}
			checkClient(t, c, failure, transport, f, want)
			if s.writes > 0 {
				t.Fatal("an init was answered")
			}
		}
		s := play(bytewise(join(newInit(t, f, secret), packet))...)
		c, failure := p.accept(s)
		checkClient(t, c, failure, transport, f, nil)
	}
}

// TestTransports: what is switched off is not there for anybody.
func TestTransports(t *testing.T) {
	type way struct {
		name      string
		transport mtproto.Transport
		framing   mtproto.Framing
	}
	ways := []way{
		{"faketls", mtproto.FakeTLS, mtproto.Padded}, {"secure", mtproto.Secure, mtproto.Padded},
		{"intermediate", mtproto.Classic, mtproto.Intermediate}, {"abridged", mtproto.Classic, mtproto.Abridged},
	}
	for mask := range 1 << len(all) {
		var served []mtproto.Transport
		for i, transport := range all {
			if mask>>i&1 == 1 {
				served = append(served, transport)
			}
		}
		for _, w := range ways {
			p := newPlace(t, served...)
			var pieces [][]byte
			if w.transport == mtproto.FakeTLS {
				_, rest := inside(t)
				pieces = [][]byte{newHello(t), rest}
			} else {
				pieces = [][]byte{join(newInit(t, w.framing, secret), packet)}
			}
			sent := join(pieces...)
			s := play(pieces...)
			c, f := p.accept(s)
			name := fmt.Sprintf("%s on a listener for %v", w.name, served)
			if p.snap.Transports[w.transport] {
				if f != nil {
					t.Errorf("%s: %v", name, f.Result)
				} else {
					checkClient(t, c, f, w.transport, w.framing, packet)
				}
				continue
			}
			if f == nil || s.writes > 0 || f.Answered {
				t.Errorf("%s: %v, %d writes", name, c, s.writes)
				continue
			}
			if !bytes.Equal(f.Read, s.given) || !bytes.HasPrefix(sent, f.Read) {
				t.Errorf("%s: %d bytes kept of %d read", name, len(f.Read), len(s.given))
			}
			if f.Result != stats.ResultBadSecret && f.Result != stats.ResultMalformed {
				t.Errorf("%s: %v", name, f.Result)
			}
		}
	}
}

func TestTransportsInTurnOnOneListener(t *testing.T) {
	p := newPlace(t, all...)
	for range 20 {
		hello := newHello(t)
		_, rest := inside(t)
		c, f := p.accept(play(hello, rest))
		checkClient(t, c, f, mtproto.FakeTLS, mtproto.Padded, packet)
		c, f = p.accept(play(newInit(t, mtproto.Padded, secret)))
		checkClient(t, c, f, mtproto.Secure, mtproto.Padded, nil)
		junk := make([]byte, 100)
		rand.Read(junk)
		junk[0] = 'x'
		if c, _ := p.accept(play(junk)); c != nil {
			t.Fatal("a stranger is a client")
		}
	}
}
