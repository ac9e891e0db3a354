package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// HeaderSize is the length of the obfuscated2 header that opens a stream.
const HeaderSize = 64

// Tags of the framings inside obfuscated2, four equal bytes each.
const (
	TagAbridged     = 0xef
	TagIntermediate = 0xee
	TagPadded       = 0xdd
)

// Streams are the two ciphers of one obfuscated2 connection. Up continues after the header, Down starts at the first byte of the answer.
type Streams struct {
	Up, Down cipher.Stream
}

// NewHeader makes a header for the data centre dc and appends it to dst. A nil secret means none, as towards a data centre.
// The returned key is what the upward stream of this header runs on.
func NewHeader(dst []byte, tag byte, dc int16, secret []byte) ([]byte, UpKey) {
	var h [HeaderSize]byte
	for {
		rand.Read(h[:])
		if allowedStart(h[:8]) {
			break
		}
	}
	for i := 56; i < 60; i++ {
		h[i] = tag
	}
	binary.LittleEndian.PutUint16(h[60:], uint16(dc))
	k := UpKey{secret: secret}
	copy(k.material[:], h[8:56])

	var sealed [HeaderSize]byte
	newStream(k.material[:], secret).XORKeyStream(sealed[:], h[:])
	dst = append(dst, h[:56]...)
	return append(dst, sealed[56:]...), k
}

// UpKey is the key material of one header. Ciphers are made from it only when wanted: bulk senders need none.
type UpKey struct {
	material [48]byte
	secret   []byte
}

// Streams makes both ciphers, the upward one placed behind the header.
func (k *UpKey) Streams() Streams {
	back := k.material
	slices.Reverse(back[:])
	return Streams{Up: k.Up(), Down: newStream(back[:], k.secret)}
}

// Up makes the upward cipher only, placed behind the header.
func (k *UpKey) Up() cipher.Stream {
	s := newStream(k.material[:], k.secret)
	var skip [HeaderSize]byte
	s.XORKeyStream(skip[:], skip[:])
	return s
}

// OpenHeader reads a header as a data centre does, without secret: the tag byte, the data centre's number and the key.
func OpenHeader(h []byte) (tag byte, dc int16, k UpKey, ok bool) {
	copy(k.material[:], h[8:56])
	var clear [HeaderSize]byte
	newStream(k.material[:], nil).XORKeyStream(clear[:], h[:HeaderSize])
	tag = clear[56]
	for _, b := range clear[57:60] {
		if b != tag {
			return 0, 0, k, false
		}
	}
	if tag != TagAbridged && tag != TagIntermediate && tag != TagPadded {
		return 0, 0, k, false
	}
	return tag, int16(binary.LittleEndian.Uint16(clear[60:])), k, true
}

func newStream(material, secret []byte) cipher.Stream {
	key := material[:32]
	if secret != nil {
		sum := sha256.Sum256(append(append(make([]byte, 0, 48), key...), secret...))
		key = sum[:]
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	return cipher.NewCTR(block, material[32:48])
}

// allowedStart tells whether a stream may begin so without looking like another protocol.
func allowedStart(b []byte) bool {
	if b[0] == TagAbridged || binary.LittleEndian.Uint32(b[4:]) == 0 {
		return false
	}
	switch string(b[:4]) {
	case "HEAD", "POST", "GET ", "OPTI", "\xee\xee\xee\xee", "\xdd\xdd\xdd\xdd", "\x16\x03\x01\x02":
		return false
	}
	return true
}
