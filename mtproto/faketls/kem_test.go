package faketls

import (
	"crypto/mlkem"
	"math/rand/v2"
	"testing"
)

// coefficients takes an ML-KEM-768 ciphertext apart.
func coefficients(b []byte) (u, v []int) {
	bit := func(i int) int { return int(b[i/8]) >> (i % 8) & 1 }
	take := func(at, width int) (x int) {
		for i := range width {
			x |= bit(at+i) << i
		}
		return x
	}
	for i := range kemVector {
		u = append(u, take(i*kemBitsU, kemBitsU))
	}
	for i := range kemPoly {
		v = append(v, take(kemVector*kemBitsU+i*kemBitsV, kemBitsV))
	}
	return u, v
}

// heavyShare is the share of coefficients among those values of u that four
// residues compress to, not three: 257 of the 1,024 values, with 4*257/3329 =
// 0.3088 of all coefficients in a real ciphertext, and 0.2510 in random bytes.
func heavyShare(t *testing.T, n int, ciphertext func() []byte) float64 {
	t.Helper()
	var residues [1 << kemBitsU]int
	for x := range kemQ {
		residues[(x<<kemBitsU+kemQ/2)/kemQ&(1<<kemBitsU-1)]++
	}
	heavy, all := 0, 0
	for range n {
		u, _ := coefficients(ciphertext())
		for _, x := range u {
			all++
			if residues[x] == 4 {
				heavy++
			}
		}
	}
	return float64(heavy) / float64(all)
}

func TestCiphertextIsDistributedLikeARealOne(t *testing.T) {
	const n = 300
	random := rand.NewChaCha8([32]byte{1})
	client, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	fake := heavyShare(t, n, func() []byte {
		b, err := appendKEMCiphertext(nil, random)
		if err != nil || len(b) != mlkem.CiphertextSize768 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		return b
	})
	genuine := heavyShare(t, n, func() []byte { _, c := client.EncapsulationKey().Encapsulate(); return c })
	noise := heavyShare(t, n, func() []byte { b := make([]byte, mlkem.CiphertextSize768); random.Read(b); return b })
	// The standard deviation over 230,400 coefficients is 0.001.
	near := func(x, want float64) bool { return x > want-0.006 && x < want+0.006 }
	if !near(fake, 0.3088) || !near(genuine, 0.3088) {
		t.Errorf("share of heavy values: ours %.4f, a real one's %.4f, want 0.3088", fake, genuine)
	}
	if near(noise, 0.3088) {
		t.Errorf("random bytes pass too (%.4f): this test sees nothing", noise)
	}
}

func TestKEMKeyValidity(t *testing.T) {
	for range 50 {
		client, err := mlkem.GenerateKey768()
		if err != nil {
			t.Fatal(err)
		}
		key := client.EncapsulationKey().Bytes()
		if !kemKeyValid(key) {
			t.Fatal("a real key is refused")
		}
		at := rand.IntN(kemVector / 2)
		for _, odd := range []int{0, 1} {
			bad := append([]byte(nil), key...)
			if odd == 0 {
				bad[3*at], bad[3*at+1] = kemQ&0xff, bad[3*at+1]&0xf0|kemQ>>8
			} else {
				bad[3*at+1], bad[3*at+2] = bad[3*at+1]&0x0f|kemQ&0x0f<<4, kemQ>>4
			}
			_, err := mlkem.NewEncapsulationKey768(bad)
			if got := kemKeyValid(bad); got != (err == nil) {
				t.Errorf("coefficient %d: valid %v, crypto/mlkem says %v", 2*at+odd, got, err)
			}
		}
	}
}
