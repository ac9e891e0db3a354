// Package tgsim is a simulated Telegram for tests, demonstrations and load: a
// data centre ([StartDC]), a client in every transport ([Client]), the attackers
// and probers that a proxy meets ([Probes]), a web site to hide behind
// ([StartCover]) and a traffic mix of all of them ([Mix]).
//
// Its wire code was written from the protocol paper alone and shares nothing
// with the proxy's, so that a mistake made on one side cannot cancel out on the
// other. It is no MTProto implementation: above the transport framing it speaks
// a tiny protocol of its own (echo, fetch, store) whose content both ends can
// compute, so that one wrong byte anywhere on the way is an error that names its
// place. Section numbers in the comments are those of the protocol paper.
//
//	dc, err := tgsim.StartDC(ctx, tgsim.DCConfig{Number: 2})
//	c := tgsim.Client{Proxy: addr, Secret: key, Transport: tgsim.FakeTLS, Domain: "www.example.com", DC: 2}
//	conn, err := c.Dial(ctx)
//	err = conn.Ping([]byte("hello"))
//	err = conn.Download(1 << 20)
//
// Servers may be used by any number of goroutines; their Close waits for
// everything they started. A [Client] may dial concurrently while nobody
// changes it; a [Conn] serves one request at a time, except that Close and
// Reset may be called at any moment.
package tgsim
