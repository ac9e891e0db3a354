package tgsim

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// testHello is a ClientHello as the test relay reads it.
type testHello struct {
	raw    []byte // as received
	joined []byte // one record
	name   string
}

var errTestHello = errors.New("no hello")

// readHello reads a hello over one or more records.
func readHello(r io.Reader) (testHello, error) {
	var h testHello
	for want := 4; len(h.joined) < 5+want; {
		var head [5]byte
		n, err := io.ReadFull(r, head[:])
		h.raw = append(h.raw, head[:n]...)
		if err != nil {
			return h, err
		}
		size := int(head[3])<<8 | int(head[4])
		if head[0] != 0x16 || head[1] != 3 || size == 0 || size > 16384 {
			return h, errTestHello
		}
		at := len(h.raw)
		h.raw = append(h.raw, make([]byte, size)...)
		n, err = io.ReadFull(r, h.raw[at:])
		h.raw = h.raw[:at+n]
		if err != nil {
			return h, err
		}
		if h.joined == nil {
			h.joined = slices.Clone(head[:])
		}
		h.joined = append(h.joined, h.raw[at:]...)
		if len(h.joined) >= 9 {
			if h.joined[5] != 1 {
				return h, errTestHello
			}
			want = 4 + (int(h.joined[6])<<16 | int(h.joined[7])<<8 | int(h.joined[8]))
			if want > 16384 {
				return h, errTestHello
			}
		}
	}
	if want := 4 + (int(h.joined[6])<<16 | int(h.joined[7])<<8 | int(h.joined[8])); len(h.joined) != 5+want {
		return h, errTestHello // something follows the hello in its record
	}
	binary.BigEndian.PutUint16(h.joined[3:], uint16(len(h.joined)-5))
	return h, h.findName()
}

func (h *testHello) findName() error {
	c := cursor{b: h.joined[9:]}
	c.take(34)
	c.vector(1)
	c.vector(2)
	c.vector(1)
	for e := (cursor{b: c.vector(2)}); len(e.b) > 0; {
		id, body := e.u16(), cursor{b: e.vector(2)}
		if id == 0 {
			body.take(3)
			h.name = string(body.vector(2))
		}
		if e.short || body.short {
			return errTestHello
		}
	}
	if c.short {
		return errTestHello
	}
	return nil
}

func (h *testHello) open(secret []byte) (at int64, ok bool) {
	zeroed := slices.Clone(h.joined)
	copy(zeroed[11:43], make([]byte, 32))
	mac := hmac.New(sha256.New, secret)
	mac.Write(zeroed)
	var x [32]byte
	for i, d := range mac.Sum(nil) {
		x[i] = d ^ h.joined[11+i]
	}
	return int64(binary.LittleEndian.Uint32(x[28:])), x[27] == 0 && bytes.Equal(x[:28], make([]byte, 28))
}

func (h *testHello) answer(secret []byte, flight int) []byte {
	var b builder
	b.raw(0x16, 3, 3)
	b.block(2, func() {
		b.raw(2)
		b.block(3, func() {
			b.raw(3, 3)
			b.raw(make([]byte, 32)...)
			b.raw(h.joined[43 : 44+int(h.joined[43])]...)
			b.u16(0x1301)
			b.raw(0)
			b.block(2, func() {
				b.raw(0, 0x2b, 0, 2, 3, 4, 0, 0x33, 0, 0x24, 0, 0x1d, 0, 0x20)
				b.random(32)
			})
		})
	})
	b.raw(20, 3, 3, 0, 1, 1, 23, 3, 3)
	b.block(2, func() { b.random(flight) })
	mac := hmac.New(sha256.New, secret)
	mac.Write(h.joined[11:43])
	mac.Write(b)
	copy(b[11:43], mac.Sum(nil))
	return b
}

// testRelay is the server side of a proxy, as small as it can be: the clients
// and probes need a counterpart that is not the product.
type testRelay struct {
	server
	secret  []byte
	domain  string
	dc      string
	cover   string
	answer  func(h *testHello, secret []byte) []byte // nil is testHello.answer
	corrupt int64                                    // flip a bit of that s2c byte; 0 none

	mu   sync.Mutex
	seen map[string]bool
}

func startRelay(t testing.TB, r *testRelay) *testRelay {
	t.Helper()
	r.seen = make(map[string]bool)
	if err := r.start(context.Background(), "", false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.serve(func(c net.Conn) {
		early := &earlyReader{Conn: c}
		if err := r.relay(early); err != nil {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			r.splice(c, early.all)
		}
	})
	return r
}

func (r *testRelay) fresh(key []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.seen[string(key)] = true }()
	return !r.seen[string(key)]
}

// relay serves a client. An error asks for the cover site.
func (r *testRelay) relay(early *earlyReader) error {
	first, c := make([]byte, 2), early.Conn
	if _, err := io.ReadFull(early, first); err != nil {
		return err
	}
	in, out := io.Reader(io.MultiReader(bytes.NewReader(first), early)), io.Writer(c)
	tls := first[0] == 0x16 && first[1] == 3
	if tls {
		h, err := readHello(in)
		if err != nil {
			return err
		}
		at, ok := h.open(r.secret)
		now := time.Now().Unix()
		if !ok || h.name != r.domain || at < now-600 || at > now+600 || !r.fresh(h.joined[11:27]) {
			return errTestHello
		}
		answer := h.answer
		if r.answer != nil {
			answer = func(secret []byte, _ int) []byte { return r.answer(&h, secret) }
		}
		c.Write(answer(r.secret, 2500))
		early.calm = true
		in, out = &testRecords{r: early}, testRecordWriter{c}
		c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	var init [64]byte
	if _, err := io.ReadFull(in, init[:]); err != nil {
		return ignoreIf(tls, err)
	}
	f, dc, keys, err := openInit(init, r.secret)
	if err == nil && !r.fresh(init[8:56]) {
		err = errBadInit
	}
	if err != nil {
		return ignoreIf(tls, err)
	}
	early.calm = true
	c.SetDeadline(time.Now().Add(20 * time.Second))
	up, err := net.Dial("tcp", r.dc)
	if err != nil {
		return nil
	}
	defer up.Close()
	mine, upKeys, err := newInit(f, dc, nil)
	if err != nil {
		return nil
	}
	up.Write(mine[:])
	copied := make(chan error)
	go func() {
		_, err := io.Copy(cipher.StreamWriter{S: upKeys.c2s, W: up}, cipher.StreamReader{S: keys.c2s, R: in})
		closeWrite(up)
		copied <- err
	}()
	down := io.Reader(cipher.StreamReader{S: upKeys.s2c, R: up})
	if r.corrupt > 0 {
		head := make([]byte, r.corrupt)
		n, _ := io.ReadFull(down, head)
		head[n-1] ^= 4
		down = io.MultiReader(bytes.NewReader(head[:n]), down)
	}
	if _, err := io.Copy(cipher.StreamWriter{S: keys.s2c, W: out}, down); err != nil {
		reset(c)
	} else {
		closeWrite(c)
	}
	<-copied
	return nil
}

// earlyReader gives a stranger 800 ms for each piece of its bytes, takes as many
// as there are, and keeps them: the site must get them as one piece too, because
// a server that closes on unread bytes sends a reset in place of an end.
type earlyReader struct {
	net.Conn
	all  []byte
	used int
	calm bool
}

func (e *earlyReader) Read(p []byte) (int, error) {
	if e.used < len(e.all) {
		n := copy(p, e.all[e.used:])
		e.used += n
		return n, nil
	}
	if e.calm {
		return e.Conn.Read(p)
	}
	e.SetReadDeadline(time.Now().Add(800 * time.Millisecond))
	buf := make([]byte, 32<<10)
	n, err := e.Conn.Read(buf)
	e.all = append(e.all, buf[:n]...)
	n = copy(p, buf[:n])
	e.used += n
	if n > 0 {
		err = nil
	}
	return n, err
}

// ignoreIf: once a hello was answered there is no way back to the cover site.
func ignoreIf(answered bool, err error) error {
	if answered {
		return nil
	}
	return err
}

// splice joins a stranger with the cover site, ends and resets included.
func (r *testRelay) splice(c net.Conn, read []byte) {
	site, err := net.Dial("tcp", r.cover)
	if err != nil {
		return
	}
	defer site.Close()
	site.Write(read)
	pass := func(to, from net.Conn) {
		if _, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}); endingOf(err) == RST {
			reset(to)
		} else {
			closeWrite(to)
		}
	}
	done := make(chan struct{})
	go func() { pass(site, c); close(done) }()
	pass(c, site)
	<-done
}

// testRecords strips a client's records: data and ChangeCipherSpec only.
type testRecords struct {
	r    io.Reader
	left int
}

func (t *testRecords) Read(p []byte) (int, error) {
	for t.left == 0 {
		var h [5]byte
		if _, err := io.ReadFull(t.r, h[:]); err != nil {
			return 0, err
		}
		n := int(h[3])<<8 | int(h[4])
		switch {
		case h[1] != 3 || h[2] != 3 || n > 16640:
			return 0, errTestHello
		case h[0] == 20:
			if _, err := io.CopyN(io.Discard, t.r, int64(n)); err != nil {
				return 0, err
			}
		case h[0] == 23:
			t.left = n
		default:
			return 0, errTestHello
		}
	}
	n, err := t.r.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}

type testRecordWriter struct{ w io.Writer }

func (t testRecordWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); {
		n := min(len(p)-at, 1400+int(p[at])) // uneven records
		if _, err := t.w.Write(append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, p[at:at+n]...)); err != nil {
			return at, err
		}
		at += n
	}
	return len(p), nil
}

func testSecret() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}
