package faketls

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The parameters of ML-KEM-768 (FIPS 203) that can be seen from outside.
const (
	kemQ        = 3329
	kemVector   = 3 * 256 // coefficients of u, kemBitsU bits each in a ciphertext
	kemPoly     = 256     // coefficients of v, kemBitsV bits each
	kemBitsU    = 10
	kemBitsV    = 4
	kemKeyPolys = kemVector * 12 / 8 // bytes of an encapsulation key before its seed
)

// kemKeyValid reports whether key could be an encapsulation key: a real server
// refuses a coefficient above q (FIPS 203 section 7.2).
func kemKeyValid(key []byte) bool {
	for b := key[:kemKeyPolys]; len(b) > 0; b = b[3:] {
		low := uint16(b[0]) | uint16(b[1]&0x0f)<<8
		high := uint16(b[1])>>4 | uint16(b[2])<<4
		if low >= kemQ || high >= kemQ {
			return false
		}
	}
	return true
}

// appendKEMCiphertext appends what nobody without the client's private key can
// tell from an encapsulation to its key. In a real one the coefficients are
// uniform modulo q (that is what the security of ML-KEM rests on) and then
// compressed; the same is done here with coefficients from r. Plain random bytes
// would not do: compression maps 3 or 4 residues to each value, and over a
// thousand coefficients that shows.
//
// A real encapsulation costs twice as much as all the rest of a session's
// set-up, for a secret that nobody would use.
func appendKEMCiphertext(b []byte, r io.Reader) ([]byte, error) {
	random := make([]byte, 4*kemPoly) // one polynomial's worth at a time
	for range kemVector / kemPoly {
		if _, err := io.ReadFull(r, random); err != nil {
			return nil, fmt.Errorf("random bytes: %w", err)
		}
		for w := random; len(w) > 0; w = w[16:] {
			four := compress(w, kemBitsU) | compress(w[4:], kemBitsU)<<10 | compress(w[8:], kemBitsU)<<20 | compress(w[12:], kemBitsU)<<30
			b = append(b, byte(four), byte(four>>8), byte(four>>16), byte(four>>24), byte(four>>32))
		}
	}
	if _, err := io.ReadFull(r, random); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	for w := random; len(w) > 0; w = w[8:] {
		b = append(b, byte(compress(w, kemBitsV)|compress(w[4:], kemBitsV)<<4))
	}
	return b, nil
}

// compress makes a coefficient of the first four bytes of w and keeps that many
// bits of it (FIPS 203 section 4.2.1). 2^32 values go onto q: the bias, one in a
// million, is below what all handshakes of a server's life could show.
func compress(w []byte, bits uint) uint64 {
	x := uint64(binary.LittleEndian.Uint32(w)) * kemQ >> 32
	return (x<<bits + kemQ/2) / kemQ & (1<<bits - 1)
}
