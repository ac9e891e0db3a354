package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"
)

// site is a web site of the world outside: it knows nothing of mtguard.
type site struct {
	addr string
	cert *x509.Certificate
	pool *x509.CertPool
}

const sitePage = "this is the cover site\n"

// coverSite starts a web site with a certificate of its own for coverName.
func coverSite(t *testing.T) *site {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: coverName},
		DNSNames:     []string{coverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, sitePage, r.Host, r.URL.Path)
	}))
	h.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	h.Config.ErrorLog = discardLog
	h.StartTLS()
	t.Cleanup(h.Close)
	s := &site{addr: h.Listener.Addr().String(), cert: cert, pool: x509.NewCertPool()}
	s.pool.AddCert(cert)
	return s
}

// visitor is a browser that trusts the site.
func (s *site) visitor() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{ServerName: coverName, RootCAs: s.pool}, DisableKeepAlives: true,
	}}
}

// TestVisitorFindsTheCoverSite opens the proxy's port with an ordinary TLS client, which checks the certificate as a
// browser does.
func TestVisitorFindsTheCoverSite(t *testing.T) {
	t.Parallel()
	tele, web := telegram(t, 2), coverSite(t)
	n := start(t, standard(t, web.addr, tele))
	tests := []struct {
		name string
		conf *tls.Config
	}{
		{"modern", &tls.Config{ServerName: coverName}},
		{"http/1.1", &tls.Config{ServerName: coverName, NextProtos: []string{"http/1.1"}}},
		{"TLS 1.2", &tls.Config{ServerName: coverName, MaxVersion: tls.VersionTLS12}},
		{"only P-256", &tls.Config{ServerName: coverName, CurvePreferences: []tls.CurveID{tls.CurveP256}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.conf.RootCAs = web.pool
			visitor := http.Client{Timeout: patience, Transport: &http.Transport{
				TLSClientConfig: tt.conf, DisableKeepAlives: true,
			}}
			r, err := visitor.Get("https://" + n.addr + "/page")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want := sitePage + n.addr + "/page"; string(body) != want {
				t.Errorf("got page %q, want %q", body, want)
			}
			if got := r.TLS.PeerCertificates[0]; !got.Equal(web.cert) {
				t.Errorf("certificate of %v, want the cover site's own", got.Subject)
			}
		})
	}
	t.Run("another name", func(t *testing.T) {
		c, err := tls.Dial("tcp", n.addr, &tls.Config{ServerName: "elsewhere.example", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().PeerCertificates[0]; !got.Equal(web.cert) {
			t.Errorf("certificate of %v, want the cover site's own", got.Subject)
		}
	})
	if got := n.metric("mtguard_handshakes_total", `result="ok"`); got != 0 {
		t.Errorf("%v visitors were taken for clients", got)
	}
	served(t, way(t, n.addr, fakeTLSSecret, nil), 2)
}

// tape is a cover site that answers each connection with the same bytes and keeps what it was sent.
type tape struct {
	net.Listener
	answer []byte

	mu  sync.Mutex
	got [][]byte
}

func startTape(t *testing.T, answer string) *tape {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tape{Listener: ln, answer: []byte(answer)}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(c) })
		}
	})
	return s
}

// serve answers the end of what the visitor has to say, then closes.
func (s *tape) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.got = append(s.got, got)
	s.mu.Unlock()
	c.Write(s.answer)
}

// heard reports whether some connection brought exactly these bytes.
func (s *tape) heard(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.got {
		if bytes.Equal(g, b) {
			return true
		}
	}
	return false
}

// ask sends b, ends its half of the connection and returns all that comes back.
func ask(c net.Conn, b []byte) ([]byte, error) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

// TestGarbageReachesTheCoverSite sends what is no client's and wants it at the site unchanged, and the site's answer
// back unchanged.
func TestGarbageReachesTheCoverSite(t *testing.T) {
	t.Parallel()
	web := startTape(t, "the answer\x00\xff of the site")
	n := start(t, standard(t, web.Addr().String(), telegram(t, 2)))
	hello := badHello(t)
	tests := map[string][]byte{
		"one byte":            {0x16},
		"http":                []byte("GET / HTTP/1.1\r\nHost: cover.example\r\n\r\n"),
		"64 random bytes":     randomBytes(64),
		"5,000 random bytes":  randomBytes(5000),
		"300,000 bytes":       randomBytes(300_000),
		"half a hello":        hello[:len(hello)/2],
		"hello, wrong secret": hello,
		"hello and more":      append(bytes.Clone(hello), randomBytes(20_000)...),
		"alert":               {0x15, 3, 1, 0, 2, 2, 70},
		"long record":         append([]byte{0x16, 3, 1, 0xff, 0xff}, randomBytes(70_000)...),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", n.addr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask(c, b)
			if err != nil || !bytes.Equal(got, web.answer) {
				t.Errorf("got %q, %v, want the site's answer", got, err)
			}
			if !web.heard(b) {
				t.Errorf("the site did not get the %d bytes as they were sent", len(b))
			}
		})
	}
}

// TestClientIsNotTakenForTheCoverSite connects a client from the address and port that the node itself uses towards
// the cover site: the kernel gives a port to any number of connections that go to different places. It happens where
// clients reach the node from its own address (a balancer on the same machine) and the cover site is there as well.
func TestClientIsNotTakenForTheCoverSite(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	garbage := randomBytes(100)
	found := make(chan *net.TCPAddr, 1)
	go visitorWith(ln, garbage, found)
	n := start(t, standard(t, ln.Addr().String(), telegram(t, 2)))
	stranger, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write(garbage); err != nil {
		t.Fatal(err)
	}
	select {
	case from := <-found:
		d := net.Dialer{Control: localPort(from.Port)}
		served(t, way(t, n.addr, secureSecret, d.DialContext), 2)
	case <-time.After(patience):
		t.Fatal("the stranger does not arrive at the cover site")
	}
}

// visitorWith is a cover site that answers nobody: it says where the visitor came from who sent exactly b, and keeps
// all connections until the listener is closed.
func visitorWith(ln net.Listener, b []byte, found chan<- *net.TCPAddr) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		go func() {
			got := make([]byte, len(b))
			if _, err := io.ReadFull(c, got); err == nil && bytes.Equal(got, b) {
				found <- c.RemoteAddr().(*net.TCPAddr)
			}
		}()
	}
}

// localPort makes the kernel choose a port of one for an outgoing connection (IP_LOCAL_PORT_RANGE, Linux 6.3). A bind
// would not do: it wants the port for itself.
func localPort(port int) func(network, address string, c syscall.RawConn) error {
	const ipLocalPortRange = 51
	return func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipLocalPortRange, port<<16|port)
		})
		return errors.Join(err, set)
	}
}
