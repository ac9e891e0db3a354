package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/mtproxy"
	"github.com/gotd/td/mtproxy/faketls"
	"github.com/gotd/td/mtproxy/obfuscated2"
	"golang.org/x/sys/unix"

	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// revokedSessions is how many sessions of one key are ended at once.
const revokedSessions = 1000

// TestRevocationEndsSessionsAtOnce revokes a key with a thousand live sessions. From the acknowledgement on, each
// client waits less than a second for the end (at the 99th percentile), the first new connection is shown the cover
// site, and the clients of others notice nothing.
func TestRevocationEndsSessionsAtOnce(t *testing.T) {
	t.Parallel()
	needFiles(t, 3*revokedSessions)
	tele, site := telegram(t, 2), someSite(t)
	s := standard(t, site.Addr().String(), tele)
	s.values["log.level"] = "warn"
	n := start(t, s)
	bad := n.add(admin.UserBody{Name: "eva"})
	busy := stay(t, tele, way(t, n.addr, fakeTLSSecret, nil), client.FakeTLSPart)
	ctx := bounded(t, 2*time.Minute)
	sessions := idle(ctx, t, n.addr, revokedSessions, bad.ways["secure"], bad.ways["faketls"])
	if k := n.key(bad.id); k.Sessions != revokedSessions || k.Addresses != 200 {
		t.Fatalf("the key has %d sessions from %d addresses, want %d from 200", k.Sessions, k.Addresses, revokedSessions)
	}
	ended := make([]time.Time, len(sessions))
	var gone sync.WaitGroup
	for i, c := range sessions {
		gone.Go(func() {
			var b bin.Buffer
			if err := c.Recv(ctx, &b); err == nil {
				t.Errorf("session %d was sent %d bytes that nobody asked for", i, b.Len())
			}
			ended[i] = time.Now()
		})
	}
	asked := time.Now()
	r := n.revoke(bad.id)
	acknowledged := time.Now()
	v, err := visit(ctx, n.addr, bad.ways["faketls"], nil, site)
	if err != nil || v != stranger {
		t.Errorf("the first attempt after the revocation: %q, %v, want a client that is %s", v, err, stranger)
	}
	gone.Wait()
	if ctx.Err() != nil {
		t.Fatal("some sessions never ended")
	}
	var after, whole []time.Duration
	for _, at := range ended {
		after, whole = append(after, at.Sub(acknowledged)), append(whole, at.Sub(asked))
	}
	p50, p99 := percentile(after, 0.50), percentile(after, 0.99)
	t.Logf("acknowledged after %v (%d sessions ended); the clients' ends, from the acknowledgement: p50 %v, p99 %v, last %v; from the request: p50 %v, p99 %v",
		acknowledged.Sub(asked).Round(time.Millisecond), r.Ended, p50, p99, after[len(after)-1], percentile(whole, 0.50), percentile(whole, 0.99))
	if p99 > time.Second {
		t.Errorf("a client in a hundred saw the end %v after the acknowledgement, want a second at most", p99)
	}
	if r.Ended != revokedSessions {
		t.Errorf("the answer speaks of %d ended sessions, want %d", r.Ended, revokedSessions)
	}

	for i, kind := range kinds {
		isStranger(t, n.addr, bad.ways[kind], dialFrom(fmt.Sprintf("127.0.80.%d", i+1)), site)
	}
	k := n.key(bad.id)
	if k.State != "revoked" || k.Reason != "seen in a chat" || k.Sessions != 0 || k.Tripped != 4 || k.LastTrip == nil {
		t.Errorf("%+v, want it revoked, without sessions and tried from 4 addresses", k)
	}
	if got := n.metric("mtguard_handshakes_total", `result="revoked"`); got != 4 {
		t.Errorf("%v handshakes with a revoked secret were counted, want 4", got)
	}
	if !n.logged("tripwire", bad.id) {
		t.Error("the log does not tell that a revoked secret is in use")
	}
	busy.leave(t, "somebody else's client")
	served(t, way(t, n.addr, secureSecret, nil), 2)
}

// TestRevocationReachesHandshakes revokes a key whose clients are in the middle of their handshakes. None of them gets
// as far as the DC, and none makes the revocation wait.
func TestRevocationReachesHandshakes(t *testing.T) {
	t.Parallel()
	const each = 8 // clients in every stage
	tele, site, slow := telegram(t, 2), someSite(t), startSlowDC(t)
	s := standard(t, site.Addr().String(), tele)
	s.dcs[3] = []string{slow.addr}
	s.values["upstream.connect_timeout"] = "20s"
	s.values["proxy.handshake_timeout"] = "20s"
	n := start(t, s)
	bad := n.add(admin.UserBody{Name: "fred"})
	before := len(tele.servers[2].Hellos())

	var half, answered, dialling []*caught
	for i := range each {
		from := fmt.Sprintf("127.0.81.%d", 1+i)
		half = append(half, catch(t, n, bad.ways["faketls"], from, halfHello))
		answered = append(answered, catch(t, n, bad.ways["faketls"], from, beforeInit))
		dialling = append(dialling, catch(t, n, bad.ways[kinds[i%3]], from, beforeDC))
	}
	n.await("all clients in their stages", func() bool { return n.key(bad.id).Sessions == 2*each })
	asked := time.Now()
	_, err := n.api.RevokeKey(t.Context(), bad.id, admin.RevokeBody{}, admin.ChangeOptions{Reason: "seen in a chat"})
	took := time.Since(asked)
	if err != nil {
		t.Errorf("the revocation: %v", err)
	}
	t.Logf("the revocation was acknowledged after %v, with %d clients that are answered and silent, and %d that wait for the DC", took.Round(time.Millisecond), each, each)
	if took > time.Second {
		t.Errorf("clients in their handshakes delayed the revocation by %v", took)
	}
	slow.open(t)
	for _, c := range half {
		c.goOn(t)
		if got := c.rest(t); !bytes.Equal(got, site.answer) {
			t.Errorf("half a hello, then the rest: got %d bytes, want the site's answer", len(got))
		}
	}
	for _, c := range answered {
		c.goOn(t)
		if got := c.rest(t); len(got) > 0 {
			t.Errorf("init after the revocation: got %d bytes, want none", len(got))
		}
	}
	for _, c := range dialling {
		if got := c.rest(t); len(got) > 0 {
			t.Errorf("waiting for the DC: got %d bytes, want none", len(got))
		}
	}
	if got := len(tele.servers[2].Hellos()) - before; got != 0 {
		t.Errorf("%d clients reached the DC", got)
	}
	if got := slow.heard(); got != 0 {
		t.Errorf("the DC that was slow heard %d bytes", got)
	}
	if k := n.key(bad.id); k.Sessions != 0 || k.Tripped != each {
		t.Errorf("%d sessions are left and %d addresses tried the key, want 0 and %d", k.Sessions, k.Tripped, each)
	}
	served(t, way(t, n.addr, secureSecret, nil), 2)
}

// stage is where a handshake is stopped.
type stage int

const (
	halfHello  stage = iota
	beforeInit       // hello sent and answered
	beforeDC         // init sent, to a DC that does not answer
)

// caught is a connection in the middle of its handshake.
type caught struct {
	net.Conn
	left func() error // sends what belongs to the rest
}

// catch takes a client of fake TLS to a stage.
func catch(t *testing.T, n *node, secret []byte, from string, at stage) *caught {
	t.Helper()
	raw, err := dialFrom(from)(t.Context(), "tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	c := &caught{Conn: raw}
	switch at {
	case halfHello:
		hello, err := greeting(secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Write(hello[:len(hello)/2]); err != nil {
			t.Fatal(err)
		}
		c.left = func() error {
			_, err := raw.Write(hello[len(hello)/2:])
			return errors.Join(err, raw.(*net.TCPConn).CloseWrite())
		}
	case beforeInit:
		s, err := mtproxy.ParseSecret(secret)
		if err != nil {
			t.Fatal(err)
		}
		tls := faketls.NewFakeTLS(rand.Reader, raw)
		if err := tls.Handshake([4]byte{}, 2, s); err != nil {
			t.Fatal(err)
		}
		c.left = func() error {
			o := obfuscated2.NewObfuscated2(rand.Reader, tls)
			if err := o.Handshake([4]byte{0xdd, 0xdd, 0xdd, 0xdd}, 2, s); err != nil {
				return err
			}
			_, err := o.Write(append([]byte{88, 0, 0, 0}, make([]byte, 88)...)) // a packet that a DC complains about
			return err
		}
	case beforeDC:
		r := way(t, n.addr, secret, func(context.Context, string, string) (net.Conn, error) { return raw, nil })
		conn, err := r(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		var b bin.Buffer
		b.Put(append([]byte("no key!!"), make([]byte, 16+64)...))
		if err := conn.Send(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		raw.SetDeadline(time.Now().Add(patience)) // gotd has set its own
	}
	return c
}

// goOn sends the rest. The other end may have closed the connection by now.
func (c *caught) goOn(t *testing.T) {
	t.Helper()
	if err := c.left(); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// rest is what comes until the end of the connection.
func (c *caught) rest(t *testing.T) []byte {
	t.Helper()
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is still open after %v", patience)
	}
	return got
}

// slowDC accepts nobody until it is opened: its queue is full, and the kernel drops what asks to come in.
type slowDC struct {
	addr string
	fd   int
	fill []net.Conn
	got  atomic.Int64
	in   sync.WaitGroup
	ln   net.Listener
}

func startSlowDC(t *testing.T) *slowDC {
	t.Helper()
	fd, addr := bound(t, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	d := &slowDC{addr: addr, fd: fd}
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			break
		}
		d.fill = append(d.fill, c)
	}
	t.Cleanup(func() {
		if d.ln != nil {
			d.ln.Close()
		}
		for _, c := range d.fill {
			c.Close()
		}
		d.in.Wait()
	})
	return d
}

// open lets everybody in from now on, and counts what they say.
func (d *slowDC) open(t *testing.T) {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("dup", err))
	}
	for _, c := range d.fill {
		c.Close()
	}
	d.fill = nil
	file := os.NewFile(uintptr(fd), "slow DC") // which owns what it is given, so it gets a descriptor of its own
	defer file.Close()
	if d.ln, err = net.FileListener(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(d.fd, 128); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	d.in.Go(func() {
		for {
			c, err := d.ln.Accept()
			if err != nil {
				return
			}
			d.in.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				k, _ := io.Copy(io.Discard, c)
				d.got.Add(k)
			})
		}
	})
}

// heard is how many bytes came.
func (d *slowDC) heard() int64 { return d.got.Load() }

// TestRevocationWithReplacementGivesOneNewSecret revokes and replaces in one step.
func TestRevocationWithReplacementGivesOneNewSecret(t *testing.T) {
	t.Parallel()
	tele, site := telegram(t, 2), someSite(t)
	n := start(t, standard(t, site.Addr().String(), tele))
	bad := n.add(admin.UserBody{Name: "gina"})
	served(t, way(t, n.addr, bad.ways["secure"], nil), 2)
	r, err := n.api.RevokeKey(t.Context(), bad.id, admin.RevokeBody{Replace: true}, admin.ChangeOptions{Reason: "lost phone"})
	if err != nil {
		t.Fatal(err)
	}
	fresh := n.person(r)
	for _, kind := range kinds {
		isStranger(t, n.addr, bad.ways[kind], nil, site)
		served(t, way(t, n.addr, fresh.ways[kind], nil), 2)
	}
	if _, err := n.api.RevokeKey(t.Context(), fresh.id, admin.RevokeBody{}, admin.ChangeOptions{}); err == nil {
		t.Error("a revocation without a reason was taken")
	}
}
