package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/e2e/client"
	"mtguard/e2e/dc"
)

// transports are the ways in which Telegram's applications speak to a proxy.
var transports = []struct {
	name    string
	secret  []byte
	framing dc.Framing
	part    int
}{
	{"classic abridged", append([]byte{byte(dc.Abridged)}, alice...), dc.Abridged, client.LargePart},
	{"classic intermediate", append([]byte{byte(dc.Intermediate)}, alice...), dc.Intermediate, client.LargePart},
	{"secure", secureSecret, dc.Padded, client.LargePart},
	{"faketls", fakeTLSSecret, dc.Padded, client.FakeTLSPart},
}

// fileSize is what is moved each way in each transport.
const fileSize = 50 << 20

// wholeFile is made once.
var wholeFile = sync.OnceValues(func() ([]byte, [sha256.Size]byte) {
	b := randomBytes(fileSize)
	return b, sha256.Sum256(b)
})

// TestFilesSurviveReloads moves 50 MiB up and 50 MiB down on one connection of gotd's complete client, and reloads a
// changed configuration in the middle of each.
func TestFilesSurviveReloads(t *testing.T) {
	tele, web := telegram(t, 2, 3), coverSite(t)
	for _, tt := range transports {
		t.Run(tt.name, func(t *testing.T) {
			before := standard(t, web.addr, tele)
			n := start(t, before)
			after := before.clone()
			after.users["bob"] = []byte("0123456789abcdef")
			after.values["proxy.idle_timeout"] = "5m"
			delete(after.dcs, 3)

			ctx := bounded(t, 3*time.Minute)
			var lost atomic.Int32
			r := way(t, n.addr, tt.secret, nil)
			data, sum := wholeFile()
			begin := time.Now()
			err := client.Login(ctx, r, tele.regular, 2, func(error) { lost.Add(1) }, func(ctx context.Context, c *client.Conn) error {
				if err := calls(ctx, c, 2); err != nil {
					return err
				}
				file := time.Now().UnixNano()
				defer tele.servers[2].Forget(file)
				if err := client.Upload(ctx, c.Client, file, data, tt.part, halfway(n, after)); err != nil {
					return err
				}
				if got, _ := tele.servers[2].File(file); sha256.Sum256(got) != sum {
					return errors.New("the file that arrived at the DC is another one")
				}
				up := time.Since(begin)
				got, err := client.Download(ctx, c.Client, file, len(data), client.LargePart, halfway(n, before))
				if err != nil {
					return err
				}
				if got != sum {
					return errors.New("the file that came back from the DC is another one")
				}
				t.Logf("up in %v, down in %v", up.Round(time.Millisecond), (time.Since(begin) - up).Round(time.Millisecond))
				return calls(ctx, c, 2)
			})
			if err != nil {
				t.Error(err)
			}
			if lost.Load() > 0 {
				t.Errorf("the client lost its connection %d times", lost.Load())
			}
			if got := n.metric("mtguard_config_reloads_total", `result="ok"`); got != 3 {
				t.Errorf("%v readings of the configuration were counted, want 3: the start and two reloads", got)
			}
			for _, h := range tele.servers[2].Hellos() {
				if h.DC != 2 {
					t.Errorf("the DC was asked for DC %d", h.DC)
				}
			}
			n.await("the bytes in the metrics", func() bool {
				return n.metric("mtguard_relay_bytes_total") > 2*fileSize
			})
		})
	}
}

// halfway returns a step for a transfer that reloads the node with s once, when half of the file is through.
func halfway(n *node, s *settings) func(int) error {
	done := false
	return func(moved int) error {
		if done || moved < fileSize/2 {
			return nil
		}
		done = true
		n.configure(s)
		return n.reload()
	}
}

// TestEveryDC logs in to production, media, CDN and test DCs in every transport, and wants each connection at the
// server that serves this id, in the framing of the client.
func TestEveryDC(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 1, 2, 3, 4, 5, -4, 203, 10001, 10002)
	n := start(t, standard(t, coverSite(t).addr, tele))
	// Every id is tried in some transport, and each class of ids in every one: a login costs gotd a third of a second.
	ids := [][]int{ // by transport
		{1, 5, -2, -4, 10001},
		{2, 4, -1, 203, 10002},
		{3, 1, -5, -203, -10001},
		{5, 2, -3, -4, -10002, 203},
	}
	for i, tt := range transports {
		for _, id := range ids[i] {
			t.Run(fmt.Sprintf("%s/DC %d", tt.name, id), func(t *testing.T) {
				r := way(t, n.addr, tt.secret, nil)
				err := client.Connect(bounded(t, time.Minute), r, tele.newcomer(), id, func(ctx context.Context, c *client.Conn) error {
					return calls(ctx, c, id)
				})
				if err != nil {
					t.Fatal(err)
				}
				srv := tele.servers[id]
				if srv == nil {
					srv = tele.servers[-id]
				}
				hellos := srv.Hellos()
				last := hellos[len(hellos)-1]
				if last.DC != id || last.Framing != tt.framing {
					t.Errorf("the DC was asked for DC %d in %v, want %d in %v", last.DC, last.Framing, id, tt.framing)
				}
			})
		}
	}
}

// TestLongPadding pads by 0 to 15 bytes, as Telegram's applications do.
func TestLongPadding(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	n := start(t, standard(t, coverSite(t).addr, tele))
	for name, domain := range map[string]string{"secure": "", "faketls": coverName} {
		t.Run(name, func(t *testing.T) {
			r := client.LongPadding(n.addr, alice, domain)
			err := client.Connect(bounded(t, time.Minute), r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
				for range 50 {
					if err := echo(ctx, c, 300); err != nil {
						return err
					}
				}
				return calls(ctx, c, 2)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWithoutPassThrough relays with keys of the proxy's own towards the DC.
func TestWithoutPassThrough(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["upstream.pass_through"] = false
	for _, engine := range []string{"loop", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			s := s.clone()
			s.values["proxy.engine"] = engine
			n := start(t, s)
			for _, tt := range transports {
				moveFile(t, tele, way(t, n.addr, tt.secret, nil), tt.part)
			}
		})
	}
}

// TestGoroutineEngine relays with the engine of systems that have no event loop.
func TestGoroutineEngine(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["proxy.engine"] = "goroutine"
	n := start(t, s)
	for _, tt := range transports {
		moveFile(t, tele, way(t, n.addr, tt.secret, nil), tt.part)
	}
}

// moveFile takes a small file to DC 2 and back.
func moveFile(t *testing.T, tele *cluster, r client.Route, part int) {
	t.Helper()
	data := randomBytes(2<<20 + 12345)
	err := client.Connect(bounded(t, time.Minute), r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		file := time.Now().UnixNano()
		if err := client.Upload(ctx, c.Client, file, data, part, nil); err != nil {
			return err
		}
		got, err := client.Download(ctx, c.Client, file, len(data), client.LargePart, nil)
		if err == nil && got != sha256.Sum256(data) {
			err = errors.New("another file came back")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWrongSecretIsRefused knocks with a secret that differs in one bit.
func TestWrongSecretIsRefused(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	n := start(t, standard(t, coverSite(t).addr, tele))
	for _, tt := range transports {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wrong := append([]byte(nil), tt.secret...)
			wrong[3] ^= 1
			refused(t, way(t, n.addr, wrong, nil), 2)
		})
	}
}

// TestTransportsAreSwitchedOff leaves fake TLS only.
func TestTransportsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["proxy.transports"] = []string{"faketls"}
	n := start(t, s)
	for _, tt := range transports[:3] {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			refused(t, way(t, n.addr, tt.secret, nil), 2)
		})
	}
	served(t, way(t, n.addr, fakeTLSSecret, nil), 2)
}
