package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"mtguard/e2e/client"
)

// TestDrainLetsADownloadFinish stops the node in the middle of a download.
func TestDrainLetsADownloadFinish(t *testing.T) {
	t.Parallel()
	const drain = 20 * time.Second
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["proxy.drain_timeout"] = drain.String()
	n := start(t, s)
	data := randomBytes(8 << 20)
	tele.servers[2].Put(1, data)

	var told time.Time
	r := way(t, n.addr, fakeTLSSecret, nil)
	err := client.Connect(bounded(t, time.Minute), r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		got, err := client.Download(ctx, c.Client, 1, len(data), client.LargePart, func(done int) error {
			if done < len(data)/4 || !told.IsZero() {
				return nil
			}
			told = time.Now()
			n.signal(syscall.SIGTERM)
			return n.poll(func() bool { return refusedDial(n.addr) })
		})
		if err == nil && got != sha256.Sum256(data) {
			err = errors.New("another file came")
		}
		if err != nil {
			return err
		}
		return calls(ctx, c, 2)
	})
	if err != nil {
		t.Errorf("the download during the drain: %v", err)
	}
	if err := n.waitExit(patience); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if took := time.Since(told); took >= drain {
		t.Errorf("the process ended %v after the signal, not when its last session did", took)
	}
}

// refusedDial reports whether nobody listens at the address any more.
func refusedDial(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// TestDrainEndsAtItsTimeout stops the node while a session is open that does not mean to end.
func TestDrainEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	const drain = 2 * time.Second
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["proxy.drain_timeout"] = drain.String()
	n := start(t, s)

	var told time.Time
	r := way(t, n.addr, secureSecret, nil)
	err := client.Connect(bounded(t, time.Minute), r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		told = time.Now()
		n.signal(syscall.SIGTERM)
		if err := n.poll(func() bool { return refusedDial(n.addr) }); err != nil {
			return fmt.Errorf("the listener does not close: %w", err)
		}
		for {
			if err := echo(ctx, c, 100); err != nil {
				return err
			}
		}
	})
	if lived := time.Since(told); err == nil || lived < drain-100*time.Millisecond {
		t.Errorf("the session ended after %v with %v, want it cut after %v", lived, err, drain)
	}
	if err := n.waitExit(patience); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	// What is left after the time-out is closing: a second is plenty even for a busy machine, patience for the above.
	if took := time.Since(told); took > drain+10*time.Second {
		t.Errorf("the process ended %v after the signal, want %v", took, drain)
	}
}
