package dc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/mtproxy/obfuscated2"
)

// Framing is the transport inside the obfuscation, by the first byte of its tag.
type Framing byte

// The framings of Telegram's clients behind a proxy.
const (
	Abridged     Framing = 0xef
	Intermediate Framing = 0xee
	Padded       Framing = 0xdd
)

// String names the framing as the specification does.
func (f Framing) String() string {
	switch f {
	case Abridged:
		return "abridged"
	case Intermediate:
		return "intermediate"
	case Padded:
		return "padded"
	}
	return fmt.Sprintf("framing(%02x)", byte(f))
}

// maxPacket bounds a client's packet: a file part of 512 KiB and what MTProto puts around it fit.
const maxPacket = 1 << 20

// unencryptedHeader is auth_key_id (zero), msg_id and the length of the message.
const unencryptedHeader = 20

// packets frames MTProto packets over an obfuscated connection. It is a transport.Conn for gotd's key exchange.
// Recv is for one goroutine, Send for several.
type packets struct {
	net.Conn
	framing Framing
	r       *bufio.Reader

	mu sync.Mutex // one frame at a time
	w  io.Writer
}

// acceptPackets reads the init. Deadlines and closing stay with the caller.
func acceptPackets(c net.Conn) (*packets, Hello, error) {
	rw, meta, err := obfuscated2.Accept(c, nil)
	if err != nil {
		return nil, Hello{}, err
	}
	hello := Hello{Framing: Framing(meta.Protocol[0]), DC: int(int16(meta.DC)), Remote: c.RemoteAddr()}
	for _, b := range meta.Protocol {
		if b != byte(hello.Framing) {
			return nil, hello, fmt.Errorf("tag % x is no transport", meta.Protocol)
		}
	}
	switch hello.Framing {
	case Abridged, Intermediate, Padded:
	default:
		return nil, hello, fmt.Errorf("tag % x is no transport", meta.Protocol)
	}
	return &packets{Conn: c, framing: hello.Framing, r: bufio.NewReader(rw), w: rw}, hello, nil
}

// Recv reads one packet into b and takes its padding off.
func (p *packets) Recv(_ context.Context, b *bin.Buffer) error {
	n, err := p.length()
	if err != nil {
		return err
	}
	if n == 0 || n > maxPacket {
		return fmt.Errorf("%v packet of %d bytes", p.framing, n)
	}
	b.ResetN(n)
	if _, err := io.ReadFull(p.r, b.Buf); err != nil {
		return err
	}
	if p.framing != Padded {
		if n%4 != 0 {
			return fmt.Errorf("%v packet of %d bytes is not made of words", p.framing, n)
		}
		return nil
	}
	b.Buf, err = unpad(b.Buf)
	return err
}

func (p *packets) length() (int, error) {
	var h [4]byte
	if p.framing != Abridged {
		if _, err := io.ReadFull(p.r, h[:]); err != nil {
			return 0, err
		}
		return int(binary.LittleEndian.Uint32(h[:])), nil
	}
	if _, err := io.ReadFull(p.r, h[:1]); err != nil {
		return 0, err
	}
	if h[0] < 0x7f {
		return int(h[0]) * 4, nil
	}
	if h[0] != 0x7f {
		return 0, errors.New("abridged packet asks for a quick ack, which no client of these tests does")
	}
	if _, err := io.ReadFull(p.r, h[:3]); err != nil {
		return 0, err
	}
	h[3] = 0
	return int(binary.LittleEndian.Uint32(h[:])) * 4, nil
}

// unpad finds the end of a packet that carries 0 to 15 bytes of padding: an encrypted message is a 24-byte header
// and whole AES blocks, an unencrypted one names its length.
func unpad(b []byte) ([]byte, error) {
	if len(b) < unencryptedHeader {
		return nil, fmt.Errorf("padded packet of %d bytes", len(b))
	}
	n := len(b) - (len(b)-24)&15
	if binary.LittleEndian.Uint64(b) == 0 {
		n = unencryptedHeader + int(binary.LittleEndian.Uint32(b[16:]))
	}
	if n < 0 || n > len(b) || len(b)-n > 15 {
		return nil, fmt.Errorf("padded packet of %d bytes holds a message of %d", len(b), n)
	}
	return b[:n], nil
}

// Send writes one packet. Padded packets get 0 to 3 bytes, as much as every client takes off.
func (p *packets) Send(_ context.Context, b *bin.Buffer) error {
	payload := b.Buf
	out := make([]byte, 0, len(payload)+8)
	switch {
	case p.framing == Abridged && len(payload) < 0x7f*4:
		out = append(out, byte(len(payload)/4))
		out = append(out, payload...)
	case p.framing == Abridged:
		out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)/4)<<8|0x7f)
		out = append(out, payload...)
	default:
		var pad int
		if p.framing == Padded {
			pad = rand.IntN(4)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)+pad))
		out = append(out, payload...)
		for range pad {
			out = append(out, byte(rand.Uint32()))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.w.Write(out)
	return err
}
