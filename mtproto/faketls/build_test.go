package faketls

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// helloSpec describes a hello to be made: by default it offers X25519 and one suite.
// It is the client's side, written for tests alone.
type helloSpec struct {
	session    []byte
	suites     []uint16
	name       string
	shares     []share
	extensions [][]byte // instead of those that name and shares give
	pad        int      // bytes of a padding extension
}

type share struct {
	group uint16
	key   []byte
}

var be16 = binary.BigEndian.AppendUint16

// block is 2 bytes length and the parts.
func block(parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(be16(nil, uint16(len(body))), body...)
}

func extension(kind uint16, body []byte) []byte { return append(be16(nil, kind), block(body)...) }

func nameExtension(name string) []byte {
	return extension(extServerName, block([]byte{0}, block([]byte(name))))
}

func shareExtension(shares ...share) []byte {
	var list []byte
	for _, s := range shares {
		list = append(be16(list, s.group), append(be16(nil, uint16(len(s.key))), s.key...)...)
	}
	return extension(extKeyShare, block(list))
}

// record makes the unsigned hello: one record, random zero.
func (s helloSpec) record() []byte {
	if s.suites == nil {
		s.suites = []uint16{0x1301}
	}
	if s.extensions == nil {
		if s.shares == nil {
			s.shares = []share{{X25519, bytes.Repeat([]byte{9}, 32)}}
		}
		s.extensions = [][]byte{shareExtension(s.shares...)}
		if s.name != "" {
			s.extensions = append(s.extensions, nameExtension(s.name))
		}
	}
	if s.pad > 0 {
		s.extensions = append(s.extensions, extension(21, make([]byte, s.pad)))
	}
	var suites []byte
	for _, v := range s.suites {
		suites = be16(suites, v)
	}
	body := append([]byte{3, 3}, make([]byte, randomSize)...)
	body = append(append(body, byte(len(s.session))), s.session...)
	body = append(append(body, block(suites)...), 1, 0)
	body = append(body, block(s.extensions...)...)
	message := append([]byte{1, 0}, block(body)...)
	return append([]byte{typeHandshake, 3, 1}, block(message)...)
}

// signed is the hello of a client that holds the secret.
func (s helloSpec) signed(secret []byte, at time.Time) []byte {
	b := s.record()
	mac := hmac.New(sha256.New, secret)
	mac.Write(b)
	digest := mac.Sum(nil)
	last := binary.LittleEndian.Uint32(digest[28:]) ^ uint32(at.Unix())
	binary.LittleEndian.PutUint32(digest[28:], last)
	copy(b[randomAt:], digest)
	return b
}

// split cuts a hello of one record into several, each with as many bytes as sizes
// says and the last with the rest.
func split(record []byte, sizes ...int) []byte {
	message, out := record[HeaderSize:], []byte(nil)
	for _, n := range append(sizes, len(message)) {
		n = min(n, len(message))
		out = append(append(out, record[:3]...), block(message[:n])...)
		message = message[n:]
	}
	return out
}

// checkAnswer is the rule of strict clients: a ServerHello record 3.3, one change
// cipher spec, one data record, nothing else, and the digest over them.
func checkAnswer(secret []byte, clientRandom [32]byte, answer []byte) error {
	b := bytes.Clone(answer)
	if len(b) < randomAt+randomSize || [3]byte(b) != [3]byte{0x16, 3, 3} {
		return errors.New("no server hello")
	}
	rest := b[HeaderSize+int(binary.BigEndian.Uint16(b[3:])):]
	if !bytes.HasPrefix(rest, []byte{0x14, 3, 3, 0, 1, 1, 0x17, 3, 3}) {
		return errors.New("no change cipher spec and data record")
	}
	if data := rest[9:]; len(data) < 2 || len(data)-2 != int(binary.BigEndian.Uint16(data)) {
		return errors.New("data record is not the last bytes")
	}
	var random [32]byte
	copy(random[:], b[randomAt:])
	clear(b[randomAt : randomAt+randomSize])
	mac := hmac.New(sha256.New, secret)
	mac.Write(clientRandom[:])
	mac.Write(b)
	if !hmac.Equal(mac.Sum(nil), random[:]) {
		return errors.New("digest")
	}
	return nil
}
