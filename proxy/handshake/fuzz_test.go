package handshake

import (
	"bytes"
	"io"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/policy"
	"mtguard/tgsim"
)

// FuzzAccept: whatever a peer sends and however it is cut, every byte read from
// whoever is refused is kept, nobody is written to without a secret, and nothing
// of a client's is lost.
func FuzzAccept(f *testing.F) {
	_, rest := inside(f)
	f.Add(newHello(f), uint8(7), uint8(255))
	f.Add(join(newHello(f), rest), uint8(7), uint8(100))
	f.Add(join(newHello(f, classicForm), rest), uint8(1), uint8(1))
	f.Add(join(splitRecords(newHello(f), 500), rest), uint8(7), uint8(200))
	f.Add(newHello(f, func(c *tgsim.Client) { c.Secret = stranger }), uint8(7), uint8(50))
	f.Add(join(newInit(f, mtproto.Padded, secret), packet), uint8(7), uint8(255))
	f.Add(join(newInit(f, mtproto.Abridged, secret), packet), uint8(6), uint8(3))
	f.Add(join(initLike(f, "16 03 03 02 00 02", mtproto.Padded, secret), packet), uint8(7), uint8(255))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(1), uint8(255))
	f.Add([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, uint8(7), uint8(2))
	all := newPlace(f, all...)
	all.snap.Skew = 100 * 365 * 24 * time.Hour // seeds grow old
	all.restart(time.Unix(0, 0))
	f.Fuzz(func(t *testing.T, sent []byte, served, cut uint8) {
		p := *all
		p.t = t
		snap := policy.Snapshot{Keys: p.snap.Keys, ServerNames: p.snap.ServerNames, Skew: p.snap.Skew}
		for transport := mtproto.Classic; transport <= mtproto.FakeTLS; transport++ {
			snap.Transports[transport] = served>>(transport-1)&1 == 1
		}
		p.snap = &snap
		s := &script{end: io.EOF}
		for piece := sent; len(piece) > 0; {
			n := min(int(cut)+1, len(piece))
			s.pieces = append(s.pieces, piece[:n])
			piece = piece[n:]
		}
		client, failure := p.accept(s)
		if !bytes.HasPrefix(sent, s.given) {
			t.Fatal("the connection itself was misread") // the test's own fault
		}
		if client != nil {
			if failure != nil || !snap.Transports[client.Transport] || client.Grant == nil {
				t.Fatalf("%v and %v", client, failure)
			}
			if wrote := s.writes > 0; wrote != (client.Transport == mtproto.FakeTLS) {
				t.Fatalf("%v: written to: %v", client.Transport, wrote)
			}
			if client.Unwrap == nil && string(s.given[64:]) != string(client.Payload) {
				t.Fatal("what came behind the init is not what was sent")
			}
			return
		}
		if failure.Answered {
			if failure.Key == nil || failure.Read != nil || s.writes != 1 {
				t.Fatalf("%v, %d writes", failure, s.writes)
			}
			return
		}
		if s.writes > 0 {
			t.Fatalf("a stranger was written to: %v", failure)
		}
		if !bytes.Equal(failure.Read, s.given) {
			t.Fatalf("%d bytes read, %d kept", len(s.given), len(failure.Read))
		}
		if failure.Ended && len(s.pieces) > 0 || failure.Gone {
			t.Fatalf("%v", failure)
		}
	})
}
