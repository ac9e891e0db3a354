package main

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"mtguard/tgsim"
)

const secret = "4aa64c177c5cd517d10a3ccc87024392"

func TestBadCommandsAreErrors(t *testing.T) {
	for _, args := range [][]string{nil, {"dance"}, {"dc", "--number", "two"}, {"client", "--secret", "zz"}, {"mix", "--link", "http://x"},
		{"dc", "--listen", "nowhere"}, {"cover", "--listen", "nowhere"}} {
		if err := run(t.Context(), args); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"mix", "-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("mix -h: %v", err)
	}
}

func TestServersRunUntilTheirContextEnds(t *testing.T) {
	for _, command := range []string{"dc", "cover"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := run(ctx, []string{command}); err != nil || ctx.Err() == nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestClientAndMixAgainstAProxylessDC: a DC takes no init with a secret, so the
// command must fail, and the mix must go on to its end.
func TestClientAndMixAgainstAProxylessDC(t *testing.T) {
	dc, err := tgsim.StartDC(t.Context(), tgsim.DCConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer dc.Close()
	target := []string{"--proxy", dc.Addr(), "--secret", "dd" + secret}
	if err := run(t.Context(), append([]string{"client"}, target...)); err == nil {
		t.Error("a dc served a client with a secret")
	}
	if err := run(t.Context(), append([]string{"mix", "--for", "200ms", "--rate", "100"}, target...)); err != nil {
		t.Errorf("mix: %v", err)
	}
	if got := dc.Stats(); got.BadInits < 2 {
		t.Errorf("dc saw %d bad inits", got.BadInits)
	}
}
