package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"net"
	"testing"

	"github.com/gotd/td/mtproxy"
	"github.com/gotd/td/mtproxy/faketls"

	"mtguard/e2e/client"
)

// discardLog swallows what net/http says about visitors that are no browsers.
var discardLog = log.New(io.Discard, "", 0)

// badHello is a ClientHello as gotd sends it, for the right name, made with a secret that nobody has.
func badHello(t *testing.T) []byte {
	t.Helper()
	var w onlyWriter
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	err := faketls.NewFakeTLS(rand.Reader, &w).Handshake([4]byte{}, 2, mtproxy.Secret{Secret: secret, CloakHost: coverName})
	if !errors.Is(err, io.EOF) || len(w.b) < 500 {
		t.Fatalf("a hello of %d bytes, then %v", len(w.b), err)
	}
	return w.b
}

// onlyWriter keeps what is written and has nothing to read.
type onlyWriter struct{ b []byte }

// Write implements io.Writer.
func (w *onlyWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Read implements io.Reader.
func (w *onlyWriter) Read([]byte) (int, error) { return 0, io.EOF }

// dialWith dials like d and writes b before anything else.
func dialWith(d client.Dial, b []byte) client.Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if _, err := c.Write(b); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}
