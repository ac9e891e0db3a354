package preview

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
)

// masker brings addresses into the form that may be kept.
type masker struct {
	privacy Privacy
	block   cipher.Block
}

func newMasker(p Privacy, key [32]byte) (*masker, error) {
	block, err := aes.NewCipher(key[:])
	return &masker{privacy: p, block: block}, err
}

// mask is what may be kept of an address. One that is none stays so.
func (m *masker) mask(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid() || m.privacy == Full:
		return a
	case m.privacy == Truncated:
		bits := 48
		if a.Is4() {
			bits = 24
		}
		network, _ := a.Prefix(bits)
		return network.Addr()
	case a.Is4():
		b := a.As4()
		host := uint64(b[3])
		b[3] = 0
		network := m.permute(24, 0, uint64(binary.BigEndian.Uint32(b[:])>>8))
		binary.BigEndian.PutUint32(b[:], uint32(network<<8|m.permute(8, network, host)))
		return netip.AddrFrom4(b)
	default: // what is behind the /64 is the customer's own business, and counts nowhere
		b := a.As16()
		front := binary.BigEndian.Uint64(b[:8])
		site := m.permute(48, 0, front>>16)
		var out [16]byte
		binary.BigEndian.PutUint64(out[:8], site<<16|m.permute(16, site, front&0xffff))
		return netip.AddrFrom16(out)
	}
}

// permute maps the numbers of so many bits, an even number up to 48, onto each
// other: no two to the same. Each tweak has a mapping of its own. It is a Feistel
// network with AES as the round function; ten rounds, since the halves are small.
func (m *masker) permute(bits uint, tweak, v uint64) uint64 {
	half := bits / 2
	low := uint64(1)<<half - 1
	left, right := v>>half, v&low
	for round := range 10 {
		var in, out [aes.BlockSize]byte
		in[0], in[1] = byte(bits), byte(round)
		binary.BigEndian.PutUint32(in[2:], uint32(right))
		binary.BigEndian.PutUint64(in[8:], tweak)
		m.block.Encrypt(out[:], in[:])
		left, right = right, left^binary.BigEndian.Uint64(out[:])&low
	}
	return left<<half | right
}
