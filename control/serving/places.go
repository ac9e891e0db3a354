package serving

import (
	"net/netip"
	"sync"

	"mtguard/security/ratelimit"
)

// Bounds say how many may be open when one more is: in all, and from its address (IPv6: its /64; of its /48 four times as many). Where either
// is zero there is none.
type Bounds struct{ All, Each int }

// wideFactor is how many times what a /64 may have the /48 around it may, which one customer of IPv6 often has whole.
const wideFactor = 4

// Places count what is open, in all and by where it is from. The zero Places are all free. They may be used concurrently.
type Places struct {
	mu    sync.Mutex
	taken int
	by    map[netip.Prefix]int // never more than twice as many entries as are taken
}

// Take takes a place for from, if b leaves one. Free must follow. All that is no address of the Internet protocol counts as one.
func (p *Places) Take(from netip.Addr, b Bounds) bool {
	narrow, wide, _ := ratelimit.PrefixesOf(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= b.All || p.by[narrow] >= b.Each {
		return false
	}
	if wide.IsValid() && p.by[wide] >= wideFactor*b.Each {
		return false
	}
	if p.by == nil {
		p.by = make(map[netip.Prefix]int)
	}
	p.taken++
	p.by[narrow]++
	if wide.IsValid() {
		p.by[wide]++
	}
	return true
}

// Free gives a place of from back.
func (p *Places) Free(from netip.Addr) {
	narrow, wide, _ := ratelimit.PrefixesOf(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.less(narrow)
	if wide.IsValid() {
		p.less(wide)
	}
}

func (p *Places) less(prefix netip.Prefix) {
	if p.by[prefix]--; p.by[prefix] <= 0 {
		delete(p.by, prefix)
	}
}
