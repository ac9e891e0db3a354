package obfs2

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"

	"mtguard/mtproto"
)

// InitSize is the length of an Init on the wire. The client-to-server stream
// continues at this offset; the other one starts at 0.
const InitSize = 64

const (
	seedAt  = 8  // forward key seed, 32 bytes, then the IV, 16 bytes
	tagAt   = 56 // first encrypted byte
	dcAt    = 60
	tailAt  = 62
	keySize = 32
	ivSize  = 16
	secrets = 16
)

// Init is the first 64 bytes of an obfuscated2 connection, as on the wire.
type Init [InitSize]byte

// Header is what an init says once opened.
type Header struct {
	Framing mtproto.Framing
	DC      mtproto.DC
}

// Keys derives both directions' keys. The secret is nil (towards a data centre)
// or 16 bytes; another length is a bug of the caller and panics, because hashing
// an empty secret would let in whoever knows none.
func (i *Init) Keys(secret []byte) (c2s, s2c StreamKey) {
	var rev [keySize + ivSize]byte
	for n := range rev {
		rev[n] = i[tagAt-1-n]
	}
	c2s = streamKey(i[seedAt:tagAt], secret)
	s2c = streamKey(rev[:], secret)
	return c2s, s2c
}

// streamKey takes 48 bytes of seed and IV.
func streamKey(seed, secret []byte) (k StreamKey) {
	deriveKey(&k.Key, seed, secret)
	copy(k.IV[:], seed[keySize:])
	return k
}

func deriveKey(key *[keySize]byte, seed, secret []byte) {
	if secret == nil {
		copy(key[:], seed[:keySize])
		return
	}
	if len(secret) != secrets {
		panic("obfs2: secret is not 16 bytes")
	}
	var b [keySize + secrets]byte
	copy(b[:], seed[:keySize])
	copy(b[keySize:], secret)
	*key = sha256.Sum256(b[:])
}

// Open tells whether the init was made with this secret (nil or 16 bytes, as for
// Keys) and what it asks for. A stranger's init passes by chance three times in
// 2^32. Start bytes are not judged: inside fake TLS clients draw them freely.
//
// It is the unit of work of matching an init against many secrets, hence one
// hash and one cipher block: all of interest is in the fourth block of the
// stream.
func (i *Init) Open(secret []byte) (h Header, ok bool) {
	var key [keySize]byte
	deriveKey(&key, i[seedAt:tagAt], secret)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	ks := counter([16]byte(i[seedAt+keySize:tagAt]), tagAt/aes.BlockSize)
	block.Encrypt(ks[:], ks[:])
	const at = tagAt % aes.BlockSize
	var plain [6]byte
	for n := range plain {
		plain[n] = i[tagAt+n] ^ ks[at+n]
	}
	if h.Framing, ok = mtproto.FramingOf([4]byte(plain[:4])); !ok {
		return Header{}, false
	}
	h.DC = mtproto.DC(binary.LittleEndian.Uint16(plain[4:]))
	return h, true
}

// ReplayKey identifies the init for a replay cache. It is part of the key seed:
// whoever changes it, or any other byte that matters, without knowing the secret
// no longer has an init that opens.
func (i *Init) ReplayKey() [16]byte { return [16]byte(i[seedAt:]) }
