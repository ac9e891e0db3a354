package fw

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// border is one end of an interval in a set, as the kernel keeps it: where it begins,
// or the first address beyond it.
type border struct {
	key  []byte
	end  bool
	left time.Duration // of one that begins an interval
}

// borders are the two ends of a prefix; only one when it reaches to the last address.
func borders(e Element) []border {
	first := e.Prefix.Masked().Addr()
	list := []border{{key: first.AsSlice(), left: e.Left}}
	if beyond, ok := beyond(e.Prefix); ok {
		list = append(list, border{key: beyond, end: true})
	}
	return list
}

// beyond is the first address after a prefix; false when there is none.
func beyond(p netip.Prefix) ([]byte, bool) {
	key := p.Masked().Addr().AsSlice()
	bits := p.Bits()
	for i := (bits - 1) / 8; bits > 0 && i >= 0; i-- {
		step := byte(1)
		if i == (bits-1)/8 {
			step = 1 << (7 - (bits-1)%8)
		}
		if key[i] += step; key[i] >= step {
			return key, true
		}
	}
	return nil, false
}

// elements puts the prefixes of a set together again. An interval that is no single
// prefix, which we never put there, comes as the zero Prefix.
func elements(list []border) (all []Element) {
	slices.SortStableFunc(list, func(a, b border) int {
		if c := bytes.Compare(a.key, b.key); c != 0 || a.end == b.end {
			return c
		}
		if a.end {
			return -1 // one interval ends where the next begins
		}
		return 1
	})
	for i, b := range list {
		if b.end {
			continue
		}
		var end []byte
		if i+1 < len(list) && list[i+1].end {
			end = list[i+1].key
		}
		all = append(all, Element{prefixOf(b.key, end), b.left})
	}
	return all
}

// prefixOf is the prefix between two keys; nil is the end of all addresses.
func prefixOf(key, end []byte) netip.Prefix {
	a, ok := netip.AddrFromSlice(key)
	if !ok {
		return netip.Prefix{}
	}
	for bits := a.BitLen(); bits >= 0; bits-- {
		p := netip.PrefixFrom(a, bits)
		if p.Masked() != p {
			break
		}
		if b, ok := beyond(p); ok == (end != nil) && bytes.Equal(b, end) {
			return p
		}
	}
	return netip.Prefix{}
}

// port is a port in network order.
func port(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
