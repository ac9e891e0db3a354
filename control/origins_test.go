package control

import (
	"fmt"
	"testing"
)

// TestPlacesWhereCodesWereUsed are remembered over a restart, the last of them; a code that is none teaches nothing.
func TestPlacesWhereCodesWereUsed(t *testing.T) {
	b := newBench(t)
	at := func(port string) Where { return Where{Host: "localhost", Port: port, From: loopback} }
	enter := func(port string) {
		t.Helper()
		if _, _, err := b.Enter(t.Context(), b.code("nadia"), at(port)); err != nil {
			t.Fatal(err)
		}
	}
	used := b.code("nadia")
	if _, _, err := b.Enter(t.Context(), used, at("8380")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Enter(t.Context(), used, at("9999")); err == nil || b.Origin("localhost", "9999") {
		t.Errorf("a code that was used up: %v", err)
	}
	if !b.Origin("localhost", "8380") || b.Origin("localhost", "838") || b.Origin("admin.example.com", "8380") {
		t.Error("it is not where the code was used")
	}
	enter("9000")
	enter("9000")
	b.restart()
	if !b.Origin("localhost", "8380") || !b.Origin("localhost", "9000") {
		t.Error("a restart forgets it")
	}
	for i := range maxOrigins {
		enter(fmt.Sprint(10_000 + i))
	}
	if b.Origin("localhost", "8380") || !b.Origin("localhost", "10000") || len(b.credentials.origins) != maxOrigins {
		t.Errorf("of many %d are kept", len(b.credentials.origins))
	}
}
