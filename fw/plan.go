package fw

import (
	"net/netip"
	"time"
)

// Element is a prefix in the kernel, and how much longer it is there.
type Element struct {
	Prefix netip.Prefix
	Left   time.Duration
}

// shortest is the least a time-out is: a block that ends sooner is not worth it, and 0
// would be none to the kernel.
const shortest = 100 * time.Millisecond

// book is what stands in the kernel: of each prefix, when its time-out ends.
type book map[netip.Prefix]time.Time

// plan is what has to change for the blocks to be in force at now: what to take out,
// and then what to put in. An element lasts until the block ends, and at most hold;
// once it has less than half of hold left and could have more, it is taken out and put
// in again, since not every kernel changes a time-out. due is when the next one needs
// that, or ends by itself; zero when none does.
func (b book) plan(blocks []Block, now time.Time, hold time.Duration) (out []netip.Prefix, in []Element, due time.Time) {
	wanted := make(map[netip.Prefix]bool, len(blocks))
	sooner := func(at time.Time) {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	for _, block := range blocks {
		end := now.Add(hold)
		if !block.Until.IsZero() && block.Until.Before(end) {
			end = block.Until
		}
		if end.Sub(now) < shortest {
			continue
		}
		wanted[block.Prefix] = true
		stands, there := b[block.Prefix]
		if there && now.Before(stands) {
			enough := end.Equal(stands) || !stands.Before(now.Add(hold/2))
			if enough && !stands.After(end) {
				sooner(later(stands, block.Until, hold))
				continue
			}
			out = append(out, block.Prefix)
		}
		in = append(in, Element{block.Prefix, end.Sub(now)})
		sooner(later(end, block.Until, hold))
	}
	for p, stands := range b {
		if !wanted[p] && now.Before(stands) {
			out = append(out, p)
		}
	}
	return out, in, due
}

// later is when an element that ends at stands is to be looked at again: at its block's
// end, or when half of its time is over.
func later(stands, until time.Time, hold time.Duration) time.Time {
	if stands.Equal(until) {
		return stands
	}
	return stands.Add(-hold / 2)
}

// apply notes that a plan was carried out at now.
func (b book) apply(out []netip.Prefix, in []Element, now time.Time) {
	for _, p := range out {
		delete(b, p)
	}
	for p, stands := range b {
		if !now.Before(stands) {
			delete(b, p)
		}
	}
	for _, e := range in {
		b[e.Prefix] = now.Add(e.Left)
	}
}
