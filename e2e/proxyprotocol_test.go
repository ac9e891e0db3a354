package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mtguard/e2e/client"
)

// Peers of the PROXY protocol: one the node believes, one it does not.
const (
	listed   = "127.0.0.2"
	unlisted = "127.0.0.3"
)

// headerV1 is a PROXY protocol header, version 1, that says the client is at the address.
func headerV1(from string) []byte {
	a := netip.MustParseAddr(from)
	if a.Is4() {
		return fmt.Appendf(nil, "PROXY TCP4 %s 192.0.2.1 40000 443\r\n", a)
	}
	return fmt.Appendf(nil, "PROXY TCP6 %s 2001:db8::1 40000 443\r\n", a)
}

// headerV2 is the same in version 2.
func headerV2(from string) []byte {
	a := netip.MustParseAddr(from)
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21")
	if a.Is4() {
		b = append(b, 0x11, 0, 12)
		b = append(b, a.AsSlice()...)
		b = append(b, 192, 0, 2, 1)
	} else {
		b = append(b, 0x21, 0, 36)
		b = append(b, a.AsSlice()...)
		to := netip.MustParseAddr("2001:db8::1").As16()
		b = append(b, to[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, 40000)
	return binary.BigEndian.AppendUint16(b, 443)
}

// behindBalancer is a configuration that believes the listed peer and logs whole addresses.
func behindBalancer(t *testing.T, cover string, tele *cluster) *settings {
	s := standard(t, cover, tele)
	s.values["proxy.proxy_protocol_from"] = []string{listed + "/32"}
	s.values["log.address"] = "full"
	return s
}

// TestPROXYHeaderIsBelieved looks for the address of the header in the log.
func TestPROXYHeaderIsBelieved(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	n := start(t, behindBalancer(t, coverSite(t).addr, tele))
	tests := []struct {
		name, addr string
		header     []byte
	}{
		{"v1 IPv4", "203.0.113.7", headerV1("203.0.113.7")},
		{"v1 IPv6", "2001:db8:1::7", headerV1("2001:db8:1::7")},
		{"v2 IPv4", "203.0.113.8", headerV2("203.0.113.8")},
		{"v2 IPv6", "2001:db8:2::8", headerV2("2001:db8:2::8")},
	}
	for _, tt := range tests {
		for _, tr := range transports[2:] {
			t.Run(tt.name+"/"+tr.name, func(t *testing.T) {
				r := way(t, n.addr, tr.secret, dialWith(dialFrom(listed), tt.header))
				served(t, r, 2)
				n.awaitLog(tt.addr)
			})
		}
	}
	if n.logged(listed) {
		t.Errorf("the log names the balancer %s as if it were a client", listed)
	}
	t.Run("without a header", func(t *testing.T) {
		refused(t, way(t, n.addr, secureSecret, dialFrom(listed)), 2)
	})
	t.Run("from a client", func(t *testing.T) {
		served(t, way(t, n.addr, secureSecret, dialFrom(unlisted)), 2)
	})
}

// TestPROXYHeaderCountsForLimits lets two clients of one address in, behind a balancer with one address of its own.
func TestPROXYHeaderCountsForLimits(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	s := behindBalancer(t, coverSite(t).addr, tele)
	s.values["limits.connections_per_address"] = 2
	s.values["policy.controls"] = map[string]string{"conns.addr": "enforce"}
	n := start(t, s)
	ctx := bounded(t, time.Minute)
	from := func(addr string) client.Route {
		return way(t, n.addr, secureSecret, dialWith(dialFrom(listed), headerV2(addr)))
	}
	for i := range 2 {
		c, err := from("203.0.113.7")(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := answered(ctx, c); err != nil {
			t.Fatalf("connection %d of the first address: %v", i+1, err)
		}
	}
	refused(t, from("203.0.113.7"), 2)
	served(t, from("203.0.113.8"), 2)
	if got := n.metric("mtguard_decisions_total", `control="conns.addr"`, `mode="enforce"`); got < 1 {
		t.Errorf("%v decisions of conns.addr were counted, want at least one", got)
	}
}

// TestPROXYHeaderOfAStrangerIsGarbage sends one from a peer that is not listed: the cover site gets it like any
// other garbage.
func TestPROXYHeaderOfAStrangerIsGarbage(t *testing.T) {
	t.Parallel()
	tele, web := telegram(t, 2), startTape(t, "what is this?")
	n := start(t, behindBalancer(t, web.Addr().String(), tele))
	for name, header := range map[string][]byte{"v1": headerV1("203.0.113.7"), "v2": headerV2("203.0.113.7")} {
		t.Run(name, func(t *testing.T) {
			sent := append(header, badHello(t)...)
			c, err := dialFrom(unlisted)(t.Context(), "tcp", n.addr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask(c, sent)
			if err != nil || !bytes.Equal(got, web.answer) {
				t.Errorf("got %q, %v, want the site's answer", got, err)
			}
			if !web.heard(sent) {
				t.Error("the site did not get the header and what followed as they were sent")
			}
			refused(t, way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(unlisted), header)), 2)
		})
	}
	if n.logged("203.0.113.7") {
		t.Error("the log names the address of a header that nobody may believe")
	}
}
