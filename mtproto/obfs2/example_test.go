package obfs2_test

import (
	"crypto/rand"
	"fmt"

	"mtguard/mtproto"
	"mtguard/mtproto/obfs2"
)

// A proxy's both sides: it opens the client's init and makes one for the data centre
// whose answers need no cipher.
func Example() {
	secret := []byte("sixteen byte key")
	client, _ := obfs2.NewInit(rand.Reader, obfs2.Header{Framing: mtproto.Padded, DC: -4}, secret)

	h, ok := client.Open(secret)
	if !ok {
		return
	}
	_, s2c := client.Keys(secret)
	dc, _ := obfs2.NewPassThroughInit(rand.Reader, h, s2c)
	_, fromDC := dc.Keys(nil)

	fmt.Println("DC", h.DC, "in", h.Framing, "framing, pass-through:", fromDC == s2c)
	// Output: DC 4 media in padded framing, pass-through: true
}
