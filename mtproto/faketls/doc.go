// Package faketls is the server side of Telegram's fake TLS: it reads a
// ClientHello that carries a digest of a shared secret, makes the three records
// that answer it, and takes the TLS record headers off and puts them onto the
// stream that follows (protocol paper, section 4).
//
// It is no TLS: it encrypts nothing and checks no certificate. It does no I/O,
// judges no clock, server name or replay, and does not mask strangers; its errors
// only say "this is none of ours".
//
//	h, n, need, err := faketls.ParseHello(buf[:got]) // read need more, or mask on err
//	if sentAt, ok := h.Open(secret); ok {            // then check sentAt, name, replay
//		answer, err := h.Answer(secret, profile, rand.Reader)
//		...
//	}
//	var d faketls.Deframer
//	n, err = d.Strip(chunk) // chunk[:n] is payload
//
// A ClientHello and a Deframer belong to one goroutine at a time; functions may
// run concurrently.
package faketls
