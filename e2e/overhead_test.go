package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/e2e/client"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// TestWhatControlsCost prints what all controls take together, enforced against off, as ratios taken in turns in one
// run. It decides nothing: a machine that others use tells little, and `make bench` measures.
func TestWhatControlsCost(t *testing.T) {
	tele, site := telegram(t, 2), someSite(t)
	handshakes, files := 400, 4
	switch {
	case raceDetector: // it would tell of that
		handshakes, files = 50, 1
	case long:
		handshakes, files = 5000, 20
	}
	data, want := wholeFile()
	tele.servers[2].Put(-1, data)
	var nodes [2]*node
	for i, mode := range []string{"off", "enforce"} {
		s := standard(t, site.Addr().String(), tele)
		s.values["log.level"] = "warn"
		s.values["limits.new_per_prefix"] = "1000000/s"
		modes := map[string]string{}
		for _, name := range policy.Controls() {
			if !policy.MemoryBound(name) {
				modes[name] = mode
			}
		}
		s.values["policy.controls"] = modes
		nodes[i] = start(t, s)
		nodes[i].setPolicy( // bounds for everything, and wide enough
			"[connections]", "per_address = 4000", "per_prefix = 4000", "per_user = 4000", "per_key = 4000", "addresses_per_user = 4000",
			"[rates]", `handshake_failures = "1000000/s"`,
			"[bandwidth]", `per_user = "2GiB/s"`,
			"[authentication]", `max_secret_age = "10d"`)
		for _, match := range []string{"198.51.100.0/24", "sni:*.example.org", "2001:db8::/32"} {
			if _, err := nodes[i].api.AddRule(t.Context(), admin.RuleBody{Match: match, Level: access.None}, insist); err != nil {
				t.Fatal(err)
			}
		}
	}
	var took [2][]time.Duration
	for i := range 2 * handshakes {
		n := nodes[i%2]
		began := time.Now()
		v, err := visit(t.Context(), n.addr, fakeTLSSecret, nil, site)
		if took[i%2] = append(took[i%2], time.Since(began)); err != nil || v != welcome {
			t.Fatalf("a client that should be served: %s, %v", v, err)
		}
	}
	for _, p := range []float64{0.5, 0.9} {
		off, on := percentile(took[0], p), percentile(took[1], p)
		t.Logf("handshakes, p%v: %v without controls, %v with all of them: ×%.3f, %v more", p*100, off, on, float64(on)/float64(off), on-off)
	}
	var moved [2][]time.Duration
	for i := range 2 * files {
		which := i % 2
		if i/2%2 == 1 {
			which = 1 - which // neither is always the first
		}
		err := client.Connect(bounded(t, time.Minute), way(t, nodes[which].addr, fakeTLSSecret, nil), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
			began := time.Now()
			got, err := client.Download(ctx, c.Client, -1, fileSize, client.LargePart, nil)
			moved[which] = append(moved[which], time.Since(began))
			if err == nil && got != want {
				err = errors.New("another file came")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	off, on := percentile(moved[0], 0.5), percentile(moved[1], 0.5)
	t.Logf("50 MiB down, median of %d: %v without controls, %v with all of them: %s of the throughput", files, off, on, share(off, on))
	var judged float64
	all, err := nodes[1].api.Controls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		judged += c.CostMicros
	}
	t.Logf("by its own account the node takes %.1f µs for all judgements of a client together", judged)
}

func share(a, b time.Duration) string { return fmt.Sprintf("%.1f %%", 100*float64(a)/float64(b)) }
