package control

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"mtguard/control/threat"
)

// metrics are the values of the plane's families, by name and labels.
func (b *bench) metrics() map[string]float64 {
	found := make(map[string]float64)
	for _, f := range b.Families() {
		f.Collect(func(v float64, labels ...string) { found[strings.Join(append([]string{f.Name}, labels...), " ")] = v })
	}
	return found
}

// TestWhatThePlaneDoesIsCounted: each thing done is counted once, under its own labels, and what was not done is not.
func TestWhatThePlaneDoesIsCounted(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	b.add("nadia")
	before := b.metrics()
	grew := func(what string, want map[string]float64) {
		t.Helper()
		after := b.metrics()
		for series, v := range after {
			if got := v - before[series]; got != want[series] {
				t.Errorf("%s: %s grew by %v, want %v", what, series, got, want[series])
			}
			delete(want, series)
		}
		if len(want) > 0 {
			t.Errorf("%s: no series %v", what, want)
		}
		before = after
	}
	grew("nothing", map[string]float64{})

	sealed, err := b.Seal(ctx, operator, SealRequest{Suite: "aes-256-gcm", Plaintext: []byte("four")})
	if err != nil {
		t.Fatal(err)
	}
	grew("seal", map[string]float64{"crypto_operations_total aes-256-gcm seal ok": 1, "crypto_bytes_total aes-256-gcm seal": 4})
	if _, err := b.Open(ctx, operator, OpenRequest{Sealed: sealed}); err != nil {
		t.Fatal(err)
	}
	grew("open", map[string]float64{"crypto_operations_total aes-256-gcm open ok": 1, "crypto_bytes_total aes-256-gcm open": 4})
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for series, blob := range map[string][]byte{"aes-256-gcm": altered, "unknown": {1}} {
		if _, err := b.Open(ctx, operator, OpenRequest{Sealed: blob}); err == nil {
			t.Error("it was opened")
		}
		grew("open what nobody sealed", map[string]float64{"crypto_operations_total " + series + " open error": 1})
	}

	b.apply(RotateKeys{User: "nadia"}, Options{DryRun: true})
	grew("rotate, dry", map[string]float64{})
	b.apply(RotateKeys{User: "nadia"}, Options{})
	after := b.metrics()
	if n := after["key_rotations_total operator ok"] - before["key_rotations_total operator ok"]; n != 1 {
		t.Errorf("rotate: %v were counted", n)
	}
	secrets := func(m map[string]float64) float64 {
		return m["secrets active"] + m["secrets pending"] + m["secrets retiring"]
	}
	if n := secrets(after) - secrets(before); n != 1 {
		t.Errorf("a rotation made %v secrets", n)
	}

	detector := threat.Names()[0]
	for range 2 { // the second is the same incident again
		b.noteAt(b.clock(), detector, "address 198.51.100.7", threat.Medium, "")
		after = b.metrics()
	}
	if n := after["incidents_total "+detector+" medium"]; n != 1 || after["incidents_open medium"] != 1 {
		t.Errorf("one incident: %v were counted, %v are open", n, after["incidents_open medium"])
	}
}
