package pages

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a self-signed certificate for name and its key, in PEM.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func write(t *testing.T, path string, data []byte, modified time.Time) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
}

func TestServeSpeaksTLSWithTheCertificateOfTheMoment(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	cert, key := pair(t, "links.example")
	write(t, certFile, cert, start)
	write(t, keyFile, key, start)
	address := serve(t, newTest(t, Options{}), ServeOptions{CertFile: certFile, KeyFile: keyFile})
	roots := x509.NewCertPool()
	fetch := func() (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "links.example"}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		return (&http.Client{Transport: transport}).Get("https://" + address + Path(right))
	}
	roots.AppendCertsFromPEM(cert)
	answer, err := fetch()
	if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
		t.Fatalf("%+v, %v", answer, err)
	}
	answer.Body.Close()
	cert, key = pair(t, "links.example")
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	write(t, certFile, cert, start.Add(time.Minute))
	write(t, keyFile, key, start.Add(time.Minute))
	deadline := time.Now().Add(30 * time.Second)
	for {
		answer, err := fetch()
		if err == nil {
			answer.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the renewed certificate is not in use: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "links.example", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestPlainHTTPIsServedWhereStrangersCannotReachIt(t *testing.T) {
	h := newTest(t, Options{})
	for address, fine := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "192.168.0.1": true, "fd00::1": true, "::ffff:10.1.2.3": true, "fe80::1": true,
		"0.0.0.0": false, "::": false, "203.0.113.7": false, "2001:db8::1": false, "100.64.0.1": false,
	} {
		l := &fakeListener{address: &net.TCPAddr{IP: net.ParseIP(address), Port: 80}}
		err := Serve(t.Context(), l, h, ServeOptions{})
		if refused := !errors.Is(err, errFake); refused == fine || !l.closed {
			t.Errorf("%s: %v, listener closed %v", address, err, l.closed)
		}
	}
	l := &fakeListener{address: &net.UnixAddr{Name: "/run/x", Net: "unix"}}
	if err := Serve(t.Context(), l, h, ServeOptions{}); !errors.Is(err, errFake) {
		t.Errorf("a Unix socket: %v", err)
	}
	l = &fakeListener{address: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7)}}
	if err := Serve(t.Context(), l, h, ServeOptions{CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/k.pem"}); err == nil || errors.Is(err, errFake) || !l.closed {
		t.Errorf("without its certificate: %v", err)
	}
}

var errFake = errors.New("nobody comes")

type fakeListener struct {
	address net.Addr
	closed  bool
}

func (l *fakeListener) Accept() (net.Conn, error) { return nil, errFake }
func (l *fakeListener) Close() error              { l.closed = true; return nil }
func (l *fakeListener) Addr() net.Addr            { return l.address }

// pipes is a listener whose connections are made by dial.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- fromLoopback{b}
	return a
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

type fromLoopback struct{ net.Conn }

func (fromLoopback) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

// served runs Serve on pipes within a synctest bubble.
func served(t *testing.T, h http.Handler, o ServeOptions) (l *pipes, stop func()) {
	l = newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, h, o) }()
	return l, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestWhoIsSlowIsCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		say  []string
		most time.Duration
	}{
		"says nothing":            {nil, headerTime},
		"says a letter at a time": {strings.Split("GET / HTTP/1.1\r\nHost: x\r\nX: yyyyyyyyyy", ""), headerTime + time.Second},
		"asks once and stays":     {[]string{"GET " + Path(right) + ".json HTTP/1.1\r\nHost: x\r\n\r\n"}, idleTime + time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, stop := served(t, newTest(t, Options{}), ServeOptions{})
			defer stop()
			conn := l.dial()
			defer conn.Close()
			began := time.Now()
			var talking sync.WaitGroup
			talking.Go(func() {
				for _, part := range test.say {
					if _, err := io.WriteString(conn, part); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			io.Copy(io.Discard, conn)
			if took := time.Since(began); took > test.most {
				t.Errorf("%s: the connection lasted %v", name, took)
			}
			talking.Wait()
		})
	}
}

func TestConnectionsAreBoundedAndPlacesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := served(t, newTest(t, Options{}), ServeOptions{MaxConnections: 3})
		defer stop()
		ask := func(c net.Conn) bool {
			if _, err := io.WriteString(c, "GET "+Path(right)+".json HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return false
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			return err == nil && answer.StatusCode == 200
		}
		var open []net.Conn
		for range 3 {
			open = append(open, l.dial())
		}
		for i, c := range open {
			if !ask(c) {
				t.Fatalf("connection %d is not served", i)
			}
		}
		if ask(l.dial()) {
			t.Error("a fourth connection is served")
		}
		open[0].Close()
		synctest.Wait()
		c := l.dial()
		if !ask(c) {
			t.Error("the place of a closed connection is not given again")
		}
		for _, c := range append(open, c) {
			c.Close()
		}
	})
}

func TestWithTLSOneAddressHasAShareOfTheConnections(t *testing.T) {
	if got := boundsOf(ServeOptions{CertFile: "x"}); got.All != 1024 || got.Each != 64 {
		t.Errorf("with TLS %d places, %d for one address", got.All, got.Each)
	}
	if got := boundsOf(ServeOptions{MaxConnections: 100}); got.All != 100 || got.Each != 100 {
		t.Errorf("behind a proxy %d places, %d for one address", got.All, got.Each)
	}
}

// A request under way when the node stops is answered, if it does not take too long.
func TestStoppingLetsRequestsEnd(t *testing.T) {
	for takes, want := range map[time.Duration]bool{4 * time.Second: true, time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			h := newTest(t, Options{Cover: testSite, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(takes):
					return answerOf(200, "late"), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})})
			l, stop := served(t, h, ServeOptions{})
			conn := l.dial()
			defer conn.Close()
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			synctest.Wait()
			got := make(chan bool, 1)
			go func() {
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				got <- err == nil && answer.StatusCode == 200
			}()
			began := time.Now()
			stop()
			if took := time.Since(began); took > stopTime+time.Second {
				t.Errorf("stopping took %v", took)
			}
			if <-got != want {
				t.Errorf("a request of %v was answered: %v", takes, !want)
			}
		})
	}
}
