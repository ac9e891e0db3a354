package proxy

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"
)

var balancer = netip.MustParseAddrPort("192.0.2.1:1000")

// readHeader gives the pieces to readProxyHeader one after the other.
func readHeader(t testing.TB, pieces ...[]byte) (netip.AddrPort, []byte, error) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		for _, piece := range pieces {
			if _, err := far.Write(piece); err != nil {
				return
			}
		}
	}()
	defer func() { near.Close(); <-done }()
	near.SetDeadline(time.Now().Add(5 * time.Second))
	return readProxyHeader(near, balancer)
}

func TestAProxyHeaderMayComeInPieces(t *testing.T) {
	line := []byte("PROXY TCP4 203.0.113.77 192.0.2.9 4711 443\r\n")
	binary := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"), 203, 0, 113, 77, 192, 0, 2, 9, 0x12, 0x67, 1, 0xbb)
	want := netip.MustParseAddrPort("203.0.113.77:4711")
	for _, header := range [][]byte{line, binary} {
		for cut := 1; cut < len(header); cut++ {
			got, _, err := readHeader(t, header[:cut], header[cut:])
			if got != want || err != nil {
				t.Fatalf("%q cut at %d: %v, %v", header, cut, got, err)
			}
		}
		got, early, err := readHeader(t, append(bytes.Clone(header), "hello"...))
		if got != want || string(early) != "hello" || err != nil {
			t.Errorf("with bytes behind: %v, %q, %v", got, early, err)
		}
	}
}

// FuzzProxyHeader: whatever a balancer sends, it is read in bounded time and
// space, and what stands behind a good header is kept as it came.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.77 192.0.2.9 4711 443\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"))
	f.Add(bytes.Repeat([]byte("PROXY "), 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, early, err := readHeader(t, b)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, early) && len(b) <= 4096 {
			t.Errorf("%q: behind the header %q", b, early)
		}
		if !addr.IsValid() {
			t.Errorf("%q: no address", b)
		}
	})
}
