package tgsim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// initSize is the length of the obfuscated2 opening (2.1).
const initSize = 64

var errBadInit = errors.New("init carries no known protocol tag")

// streams are the two key streams of one obfuscated2 connection.
type streams struct{ c2s, s2c cipher.Stream }

// deriveStreams makes the streams of an init (2.3); both stand at offset 0.
func deriveStreams(init *[initSize]byte, secret []byte) streams {
	forward := init[8:56]
	backward := slices.Clone(forward)
	slices.Reverse(backward)
	return streams{c2s: keyStream(forward, secret), s2c: keyStream(backward, secret)}
}

func keyStream(seed, secret []byte) cipher.Stream {
	key, iv := seed[:32], seed[32:48]
	if len(secret) > 0 {
		sum := sha256.Sum256(slices.Concat(key, secret))
		key = sum[:]
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are always a valid AES key
	}
	return cipher.NewCTR(block, iv)
}

// newInit makes a client's opening; the returned streams are positioned for the
// bytes that follow it.
func newInit(f framing, dc int, secret []byte) ([initSize]byte, streams, error) {
	if dc < -1<<15 || dc >= 1<<15 {
		return [initSize]byte{}, streams{}, fmt.Errorf("dc %d does not fit 16 bits", dc)
	}
	var random [initSize]byte
	for {
		rand.Read(random[:])
		if !forbiddenStart(random[:8]) {
			break
		}
	}
	init, s := sealInit(random, f, dc, secret)
	return init, s, nil
}

// sealInit turns 64 random bytes into an opening (2.1).
func sealInit(random [initSize]byte, f framing, dc int, secret []byte) ([initSize]byte, streams) {
	clear := random
	tag := f.tag()
	copy(clear[56:], tag[:])
	binary.LittleEndian.PutUint16(clear[60:], uint16(int16(dc)))
	s := deriveStreams(&clear, secret)
	var sealed [initSize]byte
	s.c2s.XORKeyStream(sealed[:], clear[:])
	copy(clear[56:], sealed[56:])
	return clear, s
}

// openInit is the reading side (2.4).
func openInit(init [initSize]byte, secret []byte) (framing, int, streams, error) {
	s := deriveStreams(&init, secret)
	var clear [initSize]byte
	s.c2s.XORKeyStream(clear[:], init[:])
	f := framing(clear[56])
	tag := f.tag()
	if [4]byte(clear[56:60]) != tag || (f != abridged && f != intermediate && f != padded) {
		return 0, 0, streams{}, errBadInit
	}
	return f, int(int16(binary.LittleEndian.Uint16(clear[60:]))), s, nil
}

// forbiddenStart reports an opening that a server would take for another
// protocol (2.2).
func forbiddenStart(b []byte) bool {
	if b[0] == 0xef || binary.LittleEndian.Uint32(b[4:]) == 0 {
		return true
	}
	switch string(b[:4]) {
	case "HEAD", "POST", "GET ", "OPTI", "\xee\xee\xee\xee", "\xdd\xdd\xdd\xdd", "\x16\x03\x01\x02":
		return true
	}
	return false
}
