package client

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/proto/codec"
)

// longPadded is padded intermediate as Telegram's applications write it. Reading is gotd's.
type longPadded struct{ codec.PaddedIntermediate }

// WriteHeader implements transport.Codec; the tag went out in the init.
func (longPadded) WriteHeader(io.Writer) error { return nil }

// ReadHeader implements transport.Codec.
func (longPadded) ReadHeader(io.Reader) error { return nil }

// Write implements transport.Codec. One write per frame: gotd's fake TLS makes a record of each.
func (longPadded) Write(w io.Writer, b *bin.Buffer) error {
	pad := rand.IntN(16)
	frame := binary.LittleEndian.AppendUint32(nil, uint32(b.Len()+pad))
	frame = append(frame, b.Buf...)
	for range pad {
		frame = append(frame, byte(rand.Uint32()))
	}
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("padded frame: %w", err)
	}
	return nil
}
