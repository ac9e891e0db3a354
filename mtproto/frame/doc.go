// Package frame delimits MTProto packets as clients do: the abridged,
// intermediate and padded intermediate framings (protocol paper, section 3), in
// the client-to-server direction.
//
// It does no I/O and no encryption and does not look into packets. Towards a data
// centre the framing is copied and nobody needs this package; whoever must see
// packets does.
//
//	d := frame.NewDecoder(mtproto.Padded, 0)
//	for len(b) > 0 {
//		f, n, err := d.Next(b) // f.Payload is nil until a packet is whole
//		b = b[n:]
//	}
//
// Functions may run concurrently; a Decoder belongs to one goroutine at a time.
package frame
