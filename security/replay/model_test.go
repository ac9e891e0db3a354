package replay

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the set without any bound: it remembers every acceptance for ever.
type model struct {
	times map[uint64][]time.Time // by key
	order []uint64               // keys in the order they were accepted
}

func (m *model) within(key uint64, last int) bool {
	return slices.Contains(m.order[max(0, len(m.order)-last):], key)
}

// A Cache of one shard is compared with the model step by step: small capacities, few keys, clocks of every kind, also ours running back.
func TestAgainstUnboundedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		c := New(capacity, start)
		m := model{times: make(map[uint64][]time.Time)}
		now, floor := start, c.Floor()
		steps := rapid.IntRange(1, 300).Draw(t, "steps")
		for range steps {
			now = now.Add(time.Duration(rapid.IntRange(-2, 20).Draw(t, "elapsed")) * time.Second)
			key := rapid.Uint64Range(0, 120).Draw(t, "key")
			sentAt := now.Add(time.Duration(rapid.IntRange(-300, 300).Draw(t, "skew")) * time.Second)
			if past := m.times[key]; len(past) > 0 && rapid.Bool().Draw(t, "verbatim") {
				sentAt = rapid.SampledFrom(past).Draw(t, "past")
			}

			got := c.FirstSeen(numbered(key), sentAt, now)
			past, known := m.times[key]
			switch {
			case got == Fresh && sentAt.Before(floor):
				t.Fatalf("key %d sent %v is fresh below the floor %v", key, sentAt, floor)
			case got == Fresh && slices.ContainsFunc(past, sentAt.Equal):
				t.Fatalf("key %d sent %v was accepted twice", key, sentAt)
			case got == Fresh && m.within(key, capacity):
				t.Fatalf("key %d of the last %d is fresh", key, capacity)
			case got == Seen && !known:
				t.Fatalf("key %d was never accepted and is seen", key)
			case got == BelowFloor && !sentAt.Before(floor):
				t.Fatalf("key %d sent %v is refused above the floor %v", key, sentAt, floor)
			}
			if got == Fresh {
				m.times[key] = append(past, sentAt)
				m.order = append(m.order, key)
			}
			if f := c.Floor(); f.Before(floor) {
				t.Fatalf("the floor fell from %v to %v", floor, f)
			} else {
				floor = f
			}
		}
	})
}
