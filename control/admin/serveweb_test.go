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
