package serving

import (
	"net/netip"
	"sync"
)

// Bounds say how many may be open when one more is: in all, and from its prefix. Where either is zero there is none.
type Bounds struct{ All, Each int }

// Places count what is open, in all and by prefix. The zero Places are all free. They may be used concurrently.
type Places struct {
	mu    sync.Mutex
	taken int
	by    map[netip.Prefix]int // never more entries than taken
}

// Take takes a place for prefix, if b leaves one. Free must follow.
func (p *Places) Take(prefix netip.Prefix, b Bounds) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= b.All || p.by[prefix] >= b.Each {
		return false
	}
	if p.by == nil {
		p.by = make(map[netip.Prefix]int)
	}
	p.taken++
	p.by[prefix]++
	return true
}

// Free gives a place of prefix back.
func (p *Places) Free(prefix netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[prefix]--; p.by[prefix] <= 0 {
		delete(p.by, prefix)
	}
}

// Taken is how many are taken, and of how many prefixes.
func (p *Places) Taken() (all, prefixes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken, len(p.by)
}
