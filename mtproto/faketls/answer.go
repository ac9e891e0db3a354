package faketls

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
)

const (
	x25519Size = 32
	hybridSize = mlkem.EncapsulationKeySize768 + x25519Size // what a client sends
)

// DefaultFlight is the Profile.Flight used for 0: about what a site with a small
// certificate chain sends.
const DefaultFlight = 2800

var errGroup = errors.New("hello offers no usable key share")

// Profile is how the real site answers a hello. The zero value is a plausible site.
type Profile struct {
	// Flight is the payload size of the one data record, which stands for the site's
	// encrypted certificate and what goes with it; at most MaxPayload, 0 is
	// DefaultFlight.
	Flight int
	// Group is the key exchange the site chooses when it can: X25519 or
	// X25519MLKEM768; 0 is X25519.
	Group uint16
	// Suite is the TLS 1.3 cipher suite the site chooses when it can; 0 is the
	// client's first.
	Suite uint16
	// Shares is where X25519 keys come from; nil makes each from scratch.
	Shares *Shares
	// VersionsFirst puts supported_versions before key_share, as OpenSSL does.
	VersionsFirst bool
}

// Answer makes the whole first flight for a hello that Open accepted with this
// secret: ServerHello, ChangeCipherSpec and one data record, to be sent in one
// write and with nothing behind it until the client has spoken. Randomness comes
// from r.
//
// A group or suite the client does not offer is replaced by one that it does. An
// error about the hello means that a real server could not have gone on with it
// either: mask the client.
func (h *ClientHello) Answer(secret []byte, p Profile, r io.Reader) ([]byte, error) {
	if len(secret) != secretSize {
		return nil, errors.New("secret is not 16 bytes")
	}
	flight := p.Flight
	if flight == 0 {
		flight = DefaultFlight
	}
	if flight < 0 || flight > MaxPayload {
		return nil, fmt.Errorf("flight of %d bytes", flight)
	}
	suite, err := h.suite(p.Suite)
	if err != nil {
		return nil, err
	}
	group, key, err := h.agree(p.Group, p.Shares, r)
	if err != nil {
		return nil, err
	}

	const fixed = 160 // the records' headers and the fields but the key
	b := make([]byte, 0, fixed+len(key)+flight)
	b = h.appendServerHello(b, suite, group, key, p.VersionsFirst)
	b = append(b, typeChangeCipher, 3, 3, 0, 1, 1)
	b = append(b, make([]byte, HeaderSize+flight)...)
	PutHeader(b[len(b)-flight-HeaderSize:], flight)
	if _, err := io.ReadFull(r, b[len(b)-flight:]); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}

	mac := hmac.New(sha256.New, secret)
	mac.Write(h.random[:])
	mac.Write(b)
	mac.Sum(b[randomAt:randomAt])
	return b, nil
}

// appendServerHello appends record 1 with its random zero.
func (h *ClientHello) appendServerHello(b []byte, suite, group uint16, key []byte, versionsFirst bool) []byte {
	u16 := binary.BigEndian.AppendUint16
	start := len(b)
	b = append(b, typeHandshake, 3, 3, 0, 0)
	b = append(b, 2, 0, 0, 0, 3, 3)
	b = append(b, make([]byte, randomSize)...)
	b = append(b, byte(len(h.session)))
	b = append(b, h.session...)
	b = u16(b, suite)
	b = append(b, 0) // no compression

	versions := []byte{0, extSupportedVersions, 0, 2, 3, 4}
	share := u16([]byte{0, extKeyShare}, uint16(4+len(key)))
	share = u16(share, group)
	share = u16(share, uint16(len(key)))
	share = append(share, key...)
	b = u16(b, uint16(len(versions)+len(share)))
	if versionsFirst {
		b = append(append(b, versions...), share...)
	} else {
		b = append(append(b, share...), versions...)
	}

	size := len(b) - start - HeaderSize
	binary.BigEndian.PutUint16(b[start+3:], uint16(size))
	binary.BigEndian.PutUint16(b[start+7:], uint16(size-4))
	return b
}

// agree chooses the group, the wanted one first, and makes the server's key share.
func (h *ClientHello) agree(want uint16, s *Shares, r io.Reader) (group uint16, key []byte, err error) {
	if want == X25519MLKEM768 {
		if key, err = h.hybridKey(s, r); key != nil || err != nil {
			return X25519MLKEM768, key, err
		}
	}
	if h.Offers(X25519) {
		key, err = s.keyOr(r)
		return X25519, key, err
	}
	if key, err = h.hybridKey(s, r); key != nil || err != nil {
		return X25519MLKEM768, key, err
	}
	return 0, nil, errGroup
}

// hybridKey is the answer to the client's X25519MLKEM768 share: what passes for a
// ciphertext, then an X25519 key. It is nil when there is no such share or its key is
// not a valid one.
func (h *ClientHello) hybridKey(s *Shares, r io.Reader) ([]byte, error) {
	share := h.share(X25519MLKEM768)
	if share == nil || !kemKeyValid(share) {
		return nil, nil
	}
	key, err := appendKEMCiphertext(make([]byte, 0, mlkem.CiphertextSize768+x25519Size), r)
	if err != nil {
		return nil, err
	}
	point, err := s.keyOr(r)
	if err != nil {
		return nil, err
	}
	return append(key, point...), nil
}

// x25519Key is the X25519 public key of a scalar hashed from 32 bytes of r: unlike
// random bytes it is a point of the right order, which an observer can check.
//
// The point is computed on Ed25519's form of the same curve, where the standard
// library multiplies its base point with tables, and carried over by
// u = (1+y)/(1-y). That takes less than half the time of crypto/ecdh and is exactly
// as distributed. It is not done in constant time: nobody uses the scalar.
func x25519Key(r io.Reader) ([]byte, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(r, seed[:]); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	point := ed25519.NewKeyFromSeed(seed[:])[ed25519.SeedSize:]
	slices.Reverse(point)
	point[0] &= 0x7f // the sign of x, which u does not depend on

	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, 255)
	p.Sub(p, big.NewInt(19))
	y := new(big.Int).SetBytes(point)
	// y is 1 for the neutral element only, which no scalar of Ed25519 leads to.
	u := new(big.Int).Sub(one, y)
	u.ModInverse(u.Mod(u, p), p)
	u.Mul(u, y.Add(y, one)).Mod(u, p)
	u.FillBytes(point)
	slices.Reverse(point)
	return point, nil
}
