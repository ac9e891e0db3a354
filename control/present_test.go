package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
)

// TestPresentIsWhoIsThere: who authenticated lately, over a restart and a rotation, and who has been connected for longer than that.
func TestPresentIsWhoIsThere(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	from, never := netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("203.0.113.8/32")
	if b.Present(from, b.clock()) {
		t.Fatal("before anybody came")
	}
	key.Use().See(from.Addr(), b.clock())
	if !b.Present(from, b.clock()) || b.Present(never, b.clock()) || !b.Present(from, b.clock().Add(guard.Lately-time.Second)) || b.Present(from, b.clock().Add(guard.Lately)) {
		t.Error("somebody else is present, or for another time")
	}
	b.apply(RotateKeys{User: "nadia"}, Options{Force: true})
	if !b.Present(from, b.clock()) {
		t.Error("after a rotation, which begins to count anew")
	}
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	fresh := b.active("nadia")
	fresh.Use().See(from.Addr(), b.clock())
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if !b.Present(from, b.clock()) || b.Present(never, b.clock()) {
		t.Error("after a restart")
	}
	v := auth.Admit(b.active("nadia"), never.Addr(), b.clock())
	session := &auth.Session{Conn: 1, Grant: v.Grant, Relay: ended{new(int)}}
	session.Grade(access.Standard)
	b.sessions.Open(session)
	later := b.clock().Add(3 * guard.Lately)
	wide := netip.MustParsePrefix("203.0.113.0/24")
	if !b.Present(never, later) || !b.Present(wide, later) || b.Present(from, later) {
		t.Error("who has been connected for long")
	}
	b.sessions.Close(session, 0, 0)
	if b.Present(never, later) || b.Present(wide, later) {
		t.Error("who has gone")
	}
}

// BenchmarkPresent is what one finding about a stranger costs the shared-address guard. It does not depend on how many users and sessions there are.
func BenchmarkPresent(b *testing.B) {
	for _, n := range []int{100, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newBench(b)
			for i := range n {
				key := p.add(fmt.Sprint("u", i))
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], 0x0a000000+uint32(i))
				v := auth.Admit(key, netip.AddrFrom4(a), p.clock())
				s := &auth.Session{Conn: uint64(i), Grant: v.Grant, Relay: ended{new(int)}}
				p.sessions.Open(s)
			}
			stranger := netip.MustParsePrefix("203.0.113.7/32")
			for b.Loop() {
				if p.Present(stranger, p.clock()) {
					b.Fatal("a stranger is present")
				}
			}
		})
	}
}
