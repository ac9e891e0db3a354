package obfs2

import (
	"crypto/rand"
	"testing"

	"mtguard/mtproto"
)

// FuzzInitOpen compares the short cut with the long way: decrypting all 64 bytes.
func FuzzInitOpen(f *testing.F) {
	for _, c := range vectors(f).Cases {
		f.Add([]byte(c.Init), []byte(c.KeyMaterial))
	}
	for _, c := range vectors(f).Reject {
		f.Add([]byte(c.Init), []byte(c.Secret))
	}
	f.Fuzz(func(t *testing.T, wire, secret []byte) {
		if len(wire) < InitSize || len(secret) < 16 && len(secret) != 0 {
			return
		}
		if len(secret) > 16 {
			secret = secret[:16]
		}
		secret = secretOf(secret)
		i := Init(wire[:InitSize])
		c2s, s2c := i.Keys(secret)
		plain := i
		c2s.Stream(0).XORKeyStream(plain[:], plain[:])
		framing, want := mtproto.FramingOf([4]byte(plain[56:60]))
		h, ok := i.Open(secret)
		if ok != want || h.Framing != framing {
			t.Fatalf("Open gives %+v, %v, the whole stream %v, %v", h, ok, framing, want)
		}
		if !ok {
			return
		}
		if dc := mtproto.DC(int16(uint16(plain[60]) | uint16(plain[61])<<8)); h.DC != dc {
			t.Fatalf("Open gives DC %v, the whole stream %v", h.DC, dc)
		}
		if secret != nil && s2c.IV != [16]byte(reversed(i[8:24])) {
			t.Fatal("the secret changed the IV")
		}
		// Another init of the same content goes through the same door.
		made, err := NewInit(rand.Reader, h, secret)
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := made.Open(secret); !ok || again != h {
			t.Fatalf("made init opens as %+v, %v, want %+v", again, ok, h)
		}
	})
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}

func BenchmarkOpen(b *testing.B) {
	i, err := NewInit(rand.Reader, Header{mtproto.Padded, 4}, nil)
	if err != nil {
		b.Fatal(err)
	}
	secret := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		i.Open(secret)
	}
}

func BenchmarkKeys(b *testing.B) {
	i, err := NewInit(rand.Reader, Header{mtproto.Padded, 4}, nil)
	if err != nil {
		b.Fatal(err)
	}
	secret := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		i.Keys(secret)
	}
}

func BenchmarkStream(b *testing.B) {
	var k StreamKey
	b.ReportAllocs()
	for b.Loop() {
		k.Stream(64)
	}
}

func BenchmarkXOR(b *testing.B) {
	var k StreamKey
	s, buf := k.Stream(64), make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		s.XORKeyStream(buf, buf)
	}
}
