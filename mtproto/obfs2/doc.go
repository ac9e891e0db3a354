// Package obfs2 is Telegram's obfuscated2 layer: the 64-byte init a connection
// starts with, and the two AES-256-CTR key streams that follow from it
// (protocol paper, section 2).
//
// It reads and writes no connection, keeps no memory of inits (see
// security/replay) and does not choose which secrets to try.
//
//	var init obfs2.Init
//	io.ReadFull(conn, init[:])
//	if h, ok := init.Open(secret); ok { // h.DC, h.Framing
//		c2s, s2c := init.Keys(secret)
//		read, write := c2s.Stream(obfs2.InitSize), s2c.Stream(0)
//	}
//
// Init, Header and StreamKey are values; their methods only read them and may
// run concurrently. A cipher.Stream belongs to one goroutine at a time.
package obfs2
