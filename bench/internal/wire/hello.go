package wire

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"time"
)

// Offsets inside a hello and inside the answer to it: both carry their digest at the same place.
const (
	randomAt    = 11
	randomSize  = 32
	sessionIDAt = randomAt + randomSize + 1
)

// Hellos makes ClientHello records of the size that Telegram's applications send in 2026. The bulk of the bytes is drawn once, what
// proxies compare (session id, random) for each hello anew.
type Hellos struct {
	record []byte
	mac    hash.Hash
}

// NewHellos prepares hellos for a server name, authenticated with a 16-byte secret.
func NewHellos(serverName string, secret []byte) *Hellos {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system's random source does not fail
	}
	x25519 := key.PublicKey().Bytes()
	hybrid := append(random(1184), x25519...)

	b := []byte{0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3}
	b = append(b, make([]byte, randomSize)...)
	b = append(b, 32)
	b = append(b, make([]byte, 32)...)
	b = appendVector(b, u16s(0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35))
	b = append(b, 1, 0)
	b = appendVector(b, helloExtensions(serverName, x25519, hybrid))
	binary.BigEndian.PutUint16(b[3:], uint16(len(b)-5))
	binary.BigEndian.PutUint16(b[7:], uint16(len(b)-9))
	return &Hellos{record: b, mac: hmac.New(sha256.New, secret)}
}

// helloExtensions gives the extensions in the manner of a present browser: greased ends, two key shares, a dummy encrypted hello.
func helloExtensions(serverName string, x25519, hybrid []byte) []byte {
	name := appendVector([]byte{0}, []byte(serverName))
	var shares []byte
	shares = append(shares, 0x4a, 0x4a, 0, 1, 0)
	shares = appendVector(append(shares, 0x11, 0xec), hybrid)
	shares = appendVector(append(shares, 0, 0x1d), x25519)
	ech := append([]byte{0, 0, 1, 0, 1, 0x42}, appendVector(nil, random(32))...)
	ech = appendVector(ech, random(144))

	var e []byte
	for _, x := range []struct {
		id   uint16
		body []byte
	}{
		{0x2a2a, nil},
		{0x0000, appendVector(nil, name)},
		{0x0017, nil},
		{0xff01, []byte{0}},
		{0x000a, appendVector(nil, u16s(0x4a4a, 0x11ec, 0x1d, 0x17, 0x18))},
		{0x000b, []byte{1, 0}},
		{0x0023, nil},
		{0x0010, appendVector(nil, []byte("\x02h2\x08http/1.1"))},
		{0x0005, []byte{1, 0, 0, 0, 0}},
		{0x000d, appendVector(nil, u16s(0x403, 0x804, 0x401, 0x503, 0x805, 0x501, 0x806, 0x601))},
		{0x0012, nil},
		{0x0033, appendVector(nil, shares)},
		{0x002d, []byte{1, 1}},
		{0x002b, append([]byte{6}, u16s(0x6a6a, 0x304, 0x303)...)},
		{0x001b, []byte{2, 0, 2}},
		{0x44cd, appendVector(nil, []byte("\x02h2"))},
		{0xfe0d, ech},
		{0x1a1a, []byte{0}},
	} {
		e = appendVector(binary.BigEndian.AppendUint16(e, x.id), x.body)
	}
	return e
}

// Append adds a fresh hello stamped with now to dst.
func (h *Hellos) Append(dst []byte, now time.Time) []byte {
	at := len(dst)
	dst = append(dst, h.record...)
	b := dst[at:]
	rand.Read(b[sessionIDAt : sessionIDAt+32])
	h.mac.Reset()
	h.mac.Write(b)
	h.mac.Sum(b[:randomAt]) // lands in place: the record's array has room behind the slice
	t := b[randomAt+28:]
	binary.LittleEndian.PutUint32(t, binary.LittleEndian.Uint32(t)^uint32(now.Unix()))
	return dst
}

// Random gives the random bytes of a hello that Append made.
func Random(hello []byte) []byte { return hello[randomAt : randomAt+randomSize] }

// VerifyAnswer checks the proxy's answer to the hello with the given random: three records, the digest over all of them.
func VerifyAnswer(secret, helloRandom, answer []byte) error {
	n, whole := AnswerSize(answer)
	if !whole || n != len(answer) {
		return errors.New("answer is not three whole records")
	}
	if answer[0] != 0x16 || answer[5] != 2 {
		return errors.New("answer does not start with a server hello")
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(helloRandom)
	mac.Write(answer[:randomAt])
	mac.Write(make([]byte, randomSize))
	mac.Write(answer[randomAt+randomSize:])
	if !hmac.Equal(mac.Sum(nil), answer[randomAt:randomAt+randomSize]) {
		return errors.New("digest of the answer does not match")
	}
	return nil
}

// AnswerSize gives the length of the three records that answer a hello, and whether all of them are in b.
func AnswerSize(b []byte) (n int, whole bool) {
	for range 3 {
		if len(b) < n+5 {
			return n + 5, false
		}
		n += 5 + int(binary.BigEndian.Uint16(b[n+3:]))
	}
	return n, len(b) >= n
}

func appendVector(dst, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(body))), body...)
}

func u16s(v ...uint16) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
