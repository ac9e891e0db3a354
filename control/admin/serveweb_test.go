package admin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"mtguard/control"
	"mtguard/control/serving"
	"mtguard/security/access"
	"mtguard/security/token"
)

// pair writes a certificate for admin.example.com and its key, and returns the pool
// that trusts it.
func pair(t *testing.T, dir string, serial int64, until time.Time) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "admin.example.com"}, DNSNames: []string{"admin.example.com"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(made)
	return certFile, keyFile, pool
}

// TestTLS serves behind TLS, to the client of the command line too.
func TestTLS(t *testing.T) {
	certFile, keyFile, pool := pair(t, t.TempDir(), 1, time.Now().Add(time.Hour))
	s := newSite(t, WebOptions{TLS: true, Hosts: []string{"admin.example.com"}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- ServeWeb(ctx, l, s.h, WebServeOptions{CertFile: certFile, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	made := token.New(token.API)
	s.signIn.ids[made.Reveal()] = control.Identity{Actor: control.Actor{Name: "x"}, Granted: access.Admin}
	client, err := NewWebClient("https://admin.example.com:8380", made, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transport := client.http.Transport.(*http.Transport)
	transport.TLSClientConfig.RootCAs = pool
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	if status, err := client.Status(t.Context()); err != nil || status.Users != 7 {
		t.Errorf("over TLS: %+v, %v", status, err)
	}
	if _, err := client.AddUser(t.Context(), UserBody{Name: "nadia"}, ChangeOptions{}); err != nil {
		t.Errorf("a change over TLS: %v", err)
	}
	delete(s.signIn.ids, made.Reveal())
	if _, err := client.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "does not take this token") {
		t.Errorf("with a token that is none: %v", err)
	}
	stranger, err := NewWebClient("https://other.example.com:8380", made, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	other := stranger.http.Transport.(*http.Transport)
	other.TLSClientConfig.RootCAs, other.DialContext = pool, transport.DialContext
	_, err = stranger.Status(t.Context())
	if u, ok := err.(*UnreachableError); !ok || !strings.Contains(u.Why, "not trusted") {
		t.Errorf("another name than the certificate's: %v", err)
	}
	// Older versions are not spoken, and nothing is without TLS.
	if c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "admin.example.com", MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 is spoken")
	}
}

func TestWithoutTLSOnLoopbackOnly(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ServeWeb(t.Context(), l, http.NotFoundHandler(), WebServeOptions{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("it is served on every address: %v", err)
	}
	for _, address := range []string{"http://admin.example.com", "http://192.0.2.1:8380", "ftp://localhost", "localhost:8380", "https://", "https://a@b", "https://a/b", "https://a?b", "https://a#b"} {
		if c, err := NewWebClient(address, token.New(token.API), time.Second); err == nil {
			c.Close()
			t.Errorf("a token is sent to %s", address)
		}
	}
	for _, address := range []string{"http://localhost:8380", "http://127.0.0.1:8380/", "http://[::1]:8380", "https://admin.example.com"} {
		c, err := NewWebClient(address, token.New(token.API), time.Second)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c.Close()
	}
}

// TestConnectionsAreKeptForRegulars: strangers who take all there are leave some.
func TestConnectionsAreKeptForRegulars(t *testing.T) {
	now := time.Now()
	s := NewSources()
	var places serving.Places
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}) }
	take := func(from netip.Addr) bool { return places.Take(from, s.bounds(from, now)) }
	taken := 0
	for i := range 100 {
		of := 0
		for range maxFromPrefix + 1 {
			if take(address(i)) {
				of++
			}
		}
		if taken += of; of > maxFromPrefix {
			t.Fatalf("one address has %d", of)
		}
	}
	if taken != maxWebConnections-keptForRegulars-keptForLoopback {
		t.Errorf("strangers have %d connections", taken)
	}
	local := 0
	for range 2 * keptForLoopback {
		if take(netip.MustParseAddr("127.0.0.1")) {
			local++
		}
	}
	if local != keptForLoopback {
		t.Errorf("for this machine, where tunnels end, %d are left", local)
	}
	home := netip.MustParseAddr("198.51.100.7")
	if take(home) {
		t.Error("a stranger more gets one")
	}
	s.Know(home, now)
	for range 8 {
		if !take(home) {
			t.Fatal("somebody who has signed in gets none")
		}
	}
	places.Free(address(0))
	if take(address(1000)) || take(address(1001)) {
		t.Error("what is kept is given to a stranger")
	}
	if got := s.bounds(netip.MustParseAddr("127.0.0.1"), now).Each; got != maxFromLoopback {
		t.Errorf("this machine has %d connections", got)
	}
	for i := range 2 * maxRegulars {
		s.Know(address(i), now.Add(time.Duration(i)*time.Second))
	}
	if len(s.seen) > maxRegulars || s.Knows(home) || !s.Knows(address(2*maxRegulars-1)) {
		t.Errorf("%d are remembered, the newest %v", len(s.seen), s.Knows(address(2*maxRegulars-1)))
	}
}

// TestAStrangersConnectionIsOver: with his answer.
func TestAStrangersConnectionIsOver(t *testing.T) {
	s := newSite(t, WebOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeWeb(ctx, l, s.h, WebServeOptions{Log: slog.New(slog.DiscardHandler)}) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 401")) || bytes.Contains(bytes.ToLower(answer), []byte("server:")) || bytes.Contains(bytes.ToLower(answer), []byte("mtguard")) {
		t.Errorf("it gets %q, %v", answer, err)
	}
}

// TestStrangersHoldLittleMemory: on connections that take none of an answer, over HTTP/2, a stranger has few requests under way, and not for
// long, and whoever comes with something good is served beside them.
func TestStrangersHoldLittleMemory(t *testing.T) {
	w := newTower(t)
	w.site.web.stalled = time.Minute
	const connections = 12
	for range connections {
		c, err := tls.Dial("tcp", w.at, &tls.Config{RootCAs: w.pool, ServerName: "admin.example.com", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write(stuckRequests(2 * maxStreams)); err != nil {
			t.Fatal(err)
		}
	}
	under := func() int {
		w.site.web.strangers.Take(netip.MustParseAddr("192.0.2.1"), serving.Bounds{All: 1 << 20, Each: 1})
		defer w.site.web.strangers.Free(netip.MustParseAddr("192.0.2.1"))
		n := 0
		for !w.site.web.strangers.Take(netip.MustParseAddr("192.0.2.2"), serving.Bounds{All: n + 1, Each: 1}) {
			n++
		}
		w.site.web.strangers.Free(netip.MustParseAddr("192.0.2.2"))
		return n - 1
	}
	await(t, "strangers have all their places", func() bool { return under() >= strangersOfHere })
	client := w.client(2)
	header, value, _ := strings.Cut(w.credential(false), ": ")
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://admin.example.com"+apiPath+"/status", nil)
	r.Header.Set(header, value)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusOK {
		t.Errorf("who has something good gets %d", answer.StatusCode)
	}
	most := 0
	await(t, "no stranger has a place for long", func() bool { n := under(); most = max(most, n); return n == 0 })
	if most > strangersOfHere {
		t.Errorf("%d requests of strangers are under way, want at most %d", most, strangersOfHere)
	}
}

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(b, flags), stream), payload...)
}

// What frames are used here, and how a connection begins.
const (
	http2Headers, http2Settings, http2GoAway = 1, 4, 7

	http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// stuckRequests are the bytes of a client that lets nobody send it anything: GETs of the page to sign in with, each with fields of 7 kB.
func stuckRequests(n int) []byte {
	b := append([]byte(http2Preface), frame(http2Settings, 0, 0, []byte{0, 4, 0, 0, 0, 0})...) // INITIAL_WINDOW_SIZE 0
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := range n {
		block.Reset()
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "admin.example.com"}, {":path", enterPath}, {"x", strings.Repeat("&", 7000)}} {
			e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1], Sensitive: true})
		}
		b = append(b, frame(http2Headers, 0x5, uint32(2*i+1), block.Bytes())...) // all of the request
	}
	return b
}

// TestAConnectionMayHaveLittle: what the listener says that it takes, and that it does not make room for what a frame claims.
func TestAConnectionMayHaveLittle(t *testing.T) {
	w := newTower(t)
	c, err := tls.Dial("tcp", w.at, &tls.Config{RootCAs: w.pool, ServerName: "admin.example.com", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write(append([]byte(http2Preface), frame(http2Settings, 0, 0, nil)...))
	next := func() (kind byte, payload []byte) {
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatal(err)
		}
		payload = make([]byte, binary.BigEndian.Uint32(head[:])>>8)
		if _, err := io.ReadFull(c, payload); err != nil {
			t.Fatal(err)
		}
		return head[3], payload
	}
	kind, settings := next()
	if kind != http2Settings {
		t.Fatalf("it begins with a frame of kind %d", kind)
	}
	said := make(map[uint16]uint32)
	for ; len(settings) >= 6; settings = settings[6:] {
		said[binary.BigEndian.Uint16(settings)] = binary.BigEndian.Uint32(settings[2:])
	}
	for id, most := range map[uint16]uint32{3: 16, 4: 64 << 10, 5: 16 << 10, 6: 9 << 10} { // streams, window, frame, fields
		if v, ok := said[id]; !ok || v > most {
			t.Errorf("setting %d is %d, want at most %d", id, v, most)
		}
	}
	c.Write(frame(0xbe, 0, 0, make([]byte, 17<<10))[:9]) // a head alone
	for {
		if kind, payload := next(); kind == http2GoAway {
			if code := binary.BigEndian.Uint32(payload[4:]); code != 6 { // FRAME_SIZE_ERROR
				t.Errorf("a frame of 17 KiB ends the connection with %d", code)
			}
			return
		}
	}
}
