package fw

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxElements is the most prefixes that the kernel's sets take.
const MaxElements = 65_536

// MaxListeners is the most places whose connections are dropped.
const MaxListeners = 64

// Order is what the kernel is to do.
type Order struct {
	Tag       string           // changes with the rest
	Listening []netip.AddrPort // of the proxy; an unspecified address is every one of the machine
	Blocks    []Block          // that do not overlap
	Suspended string           // why there are no blocks, for people
	Partly    string           // why some that the node refuses are not among them, for people
	LeftOut   int              // blocks that the node left out
}

// Block is a prefix and its end.
type Block struct {
	Prefix netip.Prefix
	Until  time.Time // zero: as long as the node says so
}

// Source is the node. Order returns what is wanted, or nil when that has the tag
// known already. It is asked by one goroutine.
type Source interface {
	Order(ctx context.Context, known string) (*Order, error)
}

// loopback is never dropped, whoever says so.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// check refuses an order that a table would be wrong with.
func (o *Order) check() error {
	if len(o.Blocks) > MaxElements || len(o.Listening) > MaxListeners {
		return fmt.Errorf("the node names %d prefixes and %d listeners; the most are %d and %d", len(o.Blocks), len(o.Listening), MaxElements, MaxListeners)
	}
	for _, at := range o.Listening {
		if !at.IsValid() || at.Port() == 0 {
			return errors.New("the node names a listener without address or port")
		}
	}
	seen := make(map[netip.Prefix]bool, len(o.Blocks))
	for _, b := range o.Blocks {
		p := b.Prefix
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || seen[p] {
			return fmt.Errorf("the node names the prefix %v, which is none, not whole or there twice", p)
		}
		seen[p] = true
		for _, l := range loopback {
			if l.Overlaps(p) {
				return fmt.Errorf("the node names the prefix %v, which holds loopback", p)
			}
		}
	}
	return nil
}
