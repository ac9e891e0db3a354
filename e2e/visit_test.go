package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gotd/td/mtproxy"
	"github.com/gotd/td/mtproxy/faketls"
	"github.com/gotd/td/mtproxy/obfuscated2"

	"mtguard/e2e/client"
	"mtguard/e2e/dc"
)

// verdict is how the node takes a client's first words.
type verdict string

const (
	welcome  verdict = "welcome"
	stranger verdict = "shown the cover site"
	silence  verdict = "left without an answer" // welcome too, in transports where the client speaks first
)

// greeting is the first flight of a client: the hello of fake TLS, else the init.
func greeting(secret []byte) ([]byte, error) {
	s, err := mtproxy.ParseSecret(secret)
	if err != nil {
		return nil, err
	}
	var w onlyWriter
	if s.Type == mtproxy.TLS {
		err = faketls.NewFakeTLS(rand.Reader, &w).Handshake([4]byte{}, 2, s)
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("a hello of %d bytes, then %w", len(w.b), err)
		}
		return w.b, nil
	}
	tag := byte(dc.Padded)
	if s.Tag != 0 {
		tag = s.Tag
	}
	return w.b, obfuscated2.NewObfuscated2(rand.Reader, &w).Handshake([4]byte{tag, tag, tag, tag}, 2, s)
}

// visit greets the node, ends its half of the connection and looks at what comes back. The cover site is a tape. No
// clock has a say in what it returns.
func visit(ctx context.Context, addr string, secret []byte, dial client.Dial, site *tape) (verdict, error) {
	hello, err := greeting(secret)
	if err != nil {
		return "", err
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	got, err := ask(c, hello)
	switch {
	case err != nil:
		return "", err
	case len(got) == 0:
		return silence, nil
	case bytes.Equal(got, site.answer):
		if !site.heard(hello) {
			return "", errors.New("the site answered, and was sent something else")
		}
		return stranger, nil
	case bytes.HasPrefix(got, []byte{0x16, 3, 3}) && hello[0] == 0x16:
		return welcome, nil
	}
	return "", fmt.Errorf("%d bytes that nobody here sends", len(got))
}

// taken reports whether the verdict is that of a client whose secret is good.
func (v verdict) taken() bool { return v == welcome || v == silence }

// isStranger fails the test unless whoever has this secret is shown the cover site.
func isStranger(t *testing.T, addr string, secret []byte, dial client.Dial, site *tape) {
	t.Helper()
	if v, err := visit(t.Context(), addr, secret, dial, site); err != nil || v != stranger {
		t.Errorf("got %q, %v, want a client that is %s", v, err, stranger)
	}
}

// someSite starts a tape whose answer has no place in any protocol here.
func someSite(t *testing.T) *tape { return startTape(t, "the site's answer \x00\xff to "+t.Name()) }

// percentile of a list that it sorts.
func percentile(list []time.Duration, p float64) time.Duration {
	slices.Sort(list)
	return list[min(int(float64(len(list))*p), len(list)-1)]
}
