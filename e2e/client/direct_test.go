package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"mtguard/e2e/client"
	"mtguard/e2e/dc"
)

// These tests put the client and the data centre together without a proxy: what a test through the proxy finds is
// then the proxy's doing.

func listen(t *testing.T, ids ...int) (*dc.Server, *client.Account) {
	t.Helper()
	key, err := dc.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := dc.Listen("127.0.0.1:0", key, ids...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, client.NewAccount(key.Public())
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestDirect(t *testing.T) {
	tests := []struct {
		framing dc.Framing
		long    bool
		id      int
		part    int
	}{
		{dc.Abridged, false, 1, client.LargePart},
		{dc.Abridged, false, -1, client.FakeTLSPart},
		{dc.Intermediate, false, 2, client.LargePart},
		{dc.Intermediate, false, 10002, client.FakeTLSPart},
		{dc.Padded, false, 4, client.LargePart},
		{dc.Padded, true, -10003, client.LargePart},
		{dc.Padded, true, 203, client.FakeTLSPart},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v/long=%v/dc%d", tt.framing, tt.long, tt.id), func(t *testing.T) {
			s, me := listen(t, tt.id)
			r := client.Direct(s.Addr(), tt.framing, tt.long)
			data := random(3<<20 + 4321)
			err := client.Connect(soon(t), r, me, tt.id, func(ctx context.Context, c *client.Conn) error {
				return talk(ctx, c, s, tt.id, data, tt.part)
			})
			if err != nil {
				t.Error(err)
			}
			if err := s.Err(); err != nil {
				t.Error(err)
			}
			want := dc.Hello{Framing: tt.framing, DC: tt.id}
			for _, h := range s.Hellos() {
				if h.Remote = nil; h != want {
					t.Errorf("got hello %v, want %v", h, want)
				}
			}
		})
	}
}

// talk makes every kind of call that the tests make.
func talk(ctx context.Context, c *client.Conn, s *dc.Server, id int, data []byte, part int) error {
	cfg, err := c.HelpGetConfig(ctx)
	if err != nil {
		return err
	}
	if cfg.ThisDC != id {
		return fmt.Errorf("configuration of DC %d, want %d", cfg.ThisDC, id)
	}
	if err := c.Ping(ctx); err != nil {
		return err
	}
	for _, n := range []int{0, 1, 250, 500, 509, 5000, 100_000} {
		want := strings.Repeat("x", n)
		got, err := c.BotsSendCustomRequest(ctx, &tg.BotsSendCustomRequestRequest{Params: tg.DataJSON{Data: want}})
		if err != nil {
			return err
		}
		if got.Data != want {
			return fmt.Errorf("echo of %d bytes came back as %d", n, len(got.Data))
		}
	}
	if _, err := c.HelpGetInviteText(ctx); err == nil || !strings.Contains(err.Error(), "METHOD_NOT_FOUND") {
		return fmt.Errorf("unknown method: got %v, want METHOD_NOT_FOUND", err)
	}
	if err := client.Upload(ctx, c.Client, 7, data, part, nil); err != nil {
		return err
	}
	if got, _ := s.File(7); sha256.Sum256(got) != sha256.Sum256(data) {
		return errors.New("upload: the server has other bytes")
	}
	got, err := client.Download(ctx, c.Client, 7, len(data), part, nil)
	if err != nil {
		return err
	}
	if got != sha256.Sum256(data) {
		return errors.New("download: other bytes than were stored")
	}
	return nil
}

func TestDirectLogin(t *testing.T) {
	s, me := listen(t, 2)
	r := client.Direct(s.Addr(), dc.Padded, true)
	err := client.Login(soon(t), r, me, 2, nil, func(ctx context.Context, c *client.Conn) error {
		return talk(ctx, c, s, 2, random(1<<20), client.LargePart)
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// TestAccountReturns connects twice with one authorisation key, the second time to another connection of the server.
func TestAccountReturns(t *testing.T) {
	s, me := listen(t, 2)
	r := client.Direct(s.Addr(), dc.Abridged, false)
	for range 3 {
		err := client.Connect(soon(t), r, me, 2, func(ctx context.Context, c *client.Conn) error { return c.Ping(ctx) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Keys(); got != 1 {
		t.Errorf("%d authorisation keys were made, want 1", got)
	}
}

func TestUploadStopsAtTheFirstError(t *testing.T) {
	s, me := listen(t, 2)
	r := client.Direct(s.Addr(), dc.Abridged, false)
	err := client.Connect(soon(t), r, me, 2, func(ctx context.Context, c *client.Conn) error {
		_, err := client.Download(ctx, c.Client, 99, 1<<20, client.LargePart, nil)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "FILE_ID_INVALID") {
		t.Errorf("download of a missing file: got %v, want FILE_ID_INVALID", err)
	}
}

func TestWrongDCIsReported(t *testing.T) {
	s, me := listen(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := client.Connect(ctx, client.Direct(s.Addr(), dc.Abridged, false), me, 3, func(context.Context, *client.Conn) error { return nil })
	if err == nil {
		t.Error("a client for DC 3 was served by DC 2")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "DC 3") {
		t.Errorf("server says %v, want a word about DC 3", err)
	}
	if !slices.ContainsFunc(s.Hellos(), func(h dc.Hello) bool { return h.DC == 3 }) {
		t.Error("the hello is not in the list")
	}
}
