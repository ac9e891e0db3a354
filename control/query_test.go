package control

import (
	"context"
	"strings"
	"testing"
)

func TestUsersAreFoundByAPartOfTheirName(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"nadia", "Omid", "kiosk-3", "kiosk-7"} {
		b.add(name)
	}
	for find, want := range map[string]string{"": "Omid default kiosk-3 kiosk-7 nadia", "KIOSK": "kiosk-3 kiosk-7", "mi": "Omid", "-7": "kiosk-7", "x": ""} {
		items, next, err := b.Users(context.Background(), UserFilter{Find: find})
		var names []string
		for _, u := range items {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want || next != "" {
			t.Errorf("%q finds %q, %q, %v; want %q", find, got, next, err, want)
		}
	}
	items, next, err := b.Users(context.Background(), UserFilter{Find: "kiosk", Limit: 1})
	if err != nil || len(items) != 1 || next != "kiosk-3" {
		t.Errorf("one of two: %v, %q, %v", items, next, err)
	}
}
