package tgsim

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"time"
)

// HelloForm chooses which client's ClientHello is imitated.
type HelloForm uint8

// The forms of spec 4.4.
const (
	HelloChrome  HelloForm = iota // TDLib since 2026-04: 1710 + domain + 0, 32, 64 or 96 bytes, shuffled extensions
	HelloClassic                  // clients before 2024: 517 bytes
)

const (
	recordHeader = 5
	randomAt     = 11 // offset of the hello's random in its record
	randomEnd    = randomAt + 32
)

// hello says how a ClientHello is to look.
type hello struct {
	form   HelloForm
	domain string // "" leaves server_name out
	grow   int    // pad the record to at least this many payload bytes
}

// bytes lays out the hello in one record with an all-zero random.
func (h hello) bytes() ([]byte, error) {
	if len(h.domain) > 253 {
		return nil, fmt.Errorf("domain of %d bytes", len(h.domain))
	}
	var b builder
	var extErr error
	b.raw(0x16, 3, 1)
	b.block(2, func() {
		b.raw(1)
		b.block(3, func() {
			b.raw(3, 3)
			b.raw(make([]byte, 32)...)
			b.block(1, func() { b.random(32) })
			b.block(2, func() {
				b.u16(grease())
				b.u16(0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8)
				b.u16(0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035)
			})
			b.raw(1, 0)
			b.block(2, func() { extErr = h.extensions(&b) })
		})
	})
	return b, extErr
}

// extension is one entry of the list, its body written on demand.
type extension struct {
	id   uint16
	body func()
}

func (h hello) extensions(b *builder) error {
	hybrid, x25519, outer, err := keyShares()
	if err != nil {
		return err
	}
	raw := func(v ...byte) func() { return func() { b.raw(v...) } }
	group := grease()
	list := []extension{
		{0x000a, func() {
			b.block(2, func() {
				b.u16(group)
				if h.form == HelloChrome {
					b.u16(0x11ec)
				}
				b.u16(0x001d, 0x0017, 0x0018)
			})
		}},
		{0x0033, func() {
			b.block(2, func() {
				b.u16(group)
				b.raw(0, 1, 0)
				if h.form == HelloChrome {
					b.u16(0x11ec)
					b.block(2, raw(hybrid...))
				}
				b.u16(0x001d)
				b.block(2, raw(x25519...))
			})
		}},
		{0x002b, func() { b.block(1, func() { b.u16(grease(), 0x0304, 0x0303) }) }},
		{0x000d, func() {
			b.block(2, func() { b.u16(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601) })
		}},
		{0x0010, func() { b.block(2, raw([]byte("\x02h2\x08http/1.1")...)) }},
		{0xff01, raw(0)}, {0x000b, raw(1, 0)}, {0x001b, raw(2, 0, 2)}, {0x0017, raw()}, {0x002d, raw(1, 1)},
		{0x0005, raw(1, 0, 0, 0, 0)}, {0x0012, raw()}, {0x0023, raw()},
	}
	if h.domain != "" {
		list = append(list, extension{0x0000, func() {
			b.block(2, func() { b.raw(0); b.block(2, raw([]byte(h.domain)...)) })
		}})
	}
	if h.form == HelloChrome {
		list = append(list, extension{0x44cd, raw([]byte("\x00\x03\x02h2")...)}, extension{0xfe0d, func() {
			b.raw(0, 0, 1, 0, 1)
			b.random(1)
			b.block(2, raw(outer...))
			b.block(2, func() { b.random(144 + 32*mrand.IntN(4)) })
		}})
	}
	mrand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	first, last := grease(), grease()
	if first == last { // the same extension twice is an error to real servers
		last ^= 0x1010
	}
	list = append([]extension{{first, raw()}}, append(list, extension{last, raw(0)})...)
	for _, e := range list {
		b.u16(e.id)
		b.block(2, e.body)
	}
	target := max(h.grow, map[HelloForm]int{HelloClassic: 512}[h.form])
	if missing := target - (len(*b) - recordHeader); missing >= 4 {
		b.u16(0x0015)
		b.block(2, raw(make([]byte, missing-4)...))
	}
	return nil
}

// keyShares makes real keys: a hybrid share, a plain one, and the one in the
// imitated encrypted hello. A censor that checks the points finds nothing.
func keyShares() (hybrid, plain, outer []byte, err error) {
	kem, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, nil, nil, err
	}
	var points [2][]byte
	for i := range points {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, nil, err
		}
		points[i] = key.PublicKey().Bytes()
	}
	return append(kem.EncapsulationKey().Bytes(), points[0]...), points[0], points[1], nil
}

// sign writes the digest and the time into the random (4.2). record holds the
// whole hello, record header included.
func sign(record, secret []byte, at time.Time) {
	clear(record[randomAt:randomEnd])
	mac := hmac.New(sha256.New, secret)
	mac.Write(record)
	mac.Sum(record[randomAt:randomAt])
	moveTime(record, uint32(at.Unix()))
}

// moveTime XORs bits into the four bytes that carry the time.
func moveTime(record []byte, bits uint32) {
	field := record[randomEnd-4 : randomEnd]
	binary.LittleEndian.PutUint32(field, binary.LittleEndian.Uint32(field)^bits)
}

// splitRecords cuts the handshake message of a one-record hello into records of
// at most n payload bytes. The digest stays valid for whoever joins them (4.3).
func splitRecords(record []byte, n int) []byte {
	var out []byte
	for rest := record[recordHeader:]; len(rest) > 0; {
		part := rest[:min(n, len(rest))]
		out = append(append(out, record[0], record[1], record[2], byte(len(part)>>8), byte(len(part))), part...)
		rest = rest[len(part):]
	}
	return out
}

// grease draws one of the sixteen reserved values 0x?a?a.
func grease() uint16 { return uint16(mrand.IntN(16))*0x1010 | 0x0a0a }

// builder appends big-endian TLS structures.
type builder []byte

func (b *builder) raw(v ...byte) { *b = append(*b, v...) }

func (b *builder) u16(v ...uint16) {
	for _, x := range v {
		*b = binary.BigEndian.AppendUint16(*b, x)
	}
}

func (b *builder) random(n int) {
	*b = append(*b, make([]byte, n)...)
	rand.Read((*b)[len(*b)-n:])
}

// block writes what body writes, behind a length of size bytes.
func (b *builder) block(size int, body func()) {
	at := len(*b)
	b.raw(make([]byte, size)...)
	body()
	for n, i := len(*b)-at-size, at+size-1; i >= at; n, i = n>>8, i-1 {
		(*b)[i] = byte(n)
	}
}
