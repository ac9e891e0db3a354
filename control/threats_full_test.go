package control

import (
	"fmt"
	"testing"
	"time"

	"mtguard/security/access"
)

// TestAutomaticBlocksMakeRoom: however many addresses a stranger has, the next attacker is blocked, and there are never more rules than the bound.
func TestAutomaticBlocksMakeRoom(t *testing.T) {
	b := newBench(t)
	b.autoBlock(7*day, "203.0.113.7/32")
	var some []string
	for i := range maxAutomatic - 1 {
		some = append(some, fmt.Sprintf("2001:db8:%x:%x::/64", i>>14, i&(1<<14-1)))
	}
	b.autoBlock(10*time.Minute, some...)
	r := b.autoBlock(time.Hour, "198.51.100.1/32", "198.51.100.2/32")
	if r.Affected != 2 || b.ceiling("198.51.100.1").Level != access.None || b.ceiling("198.51.100.2").Level != access.None {
		t.Errorf("%+v", r)
	}
	if b.ceiling("203.0.113.7").Level != access.None {
		t.Error("the longest block made room")
	}
	if _, free := b.countAutomatic(); free != 0 {
		t.Errorf("there is room for %d rules", free)
	}
	b.pass(20 * time.Minute) // those of ten minutes are over, and kept to be looked at
	b.autoBlock(time.Hour, "198.51.100.3/32")
	if b.ceiling("198.51.100.3").Level != access.None || b.ceiling("198.51.100.1").Level != access.None {
		t.Error("what is over makes no room")
	}
}

func (b *bench) countAutomatic() (n, free int) {
	x := &transaction{p: b.Plane}
	rules, free := x.automatic()
	return len(rules), free
}
