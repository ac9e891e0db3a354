package keys

import (
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestStrength(t *testing.T) {
	for text, weak := range map[string]bool{
		"4aa64c177c5cd517d10a3ccc87024392":             false,
		"54e20df078d8dce95527ed73133dc4f1":             false,
		"7c1f0d93a55be24486f2b1093cd86e5a":             false,
		"dd54e20df078d8dce95527ed73133dc4f1":           false,
		"ee54e20df078d8dce95527ed73133dc4f1612e6263":   false,
		"0001020304050654e20df078d8dce955":             false, // 7 in a row happen
		"54e20df078d8dce90001020304050607":             true,
		"0706050403020100ccf45bd2e5a3b9c1":             true,
		"54e20df00000000000000000dce95527":             true, // 8 equal ones
		"00000000000000000000000000000001":             true,
		"ffffffffffffffffffffffffffffffff":             true,
		"b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1":             true,
		"deadbeefdeadbeefdeadbeefdeadbeef":             true,
		"0123456789abcdef0123456789abcdef":             true,
		"0123456789abcdeffedcba9876543210":             true,
		"54e20df078d8dce99ecd8d870fd02e45":             true, // its own mirror
		"00112233445566778899aabbccddeeff":             true,
		"000102030405060708090a0b0c0d0e0f":             true,
		"0f0e0d0c0b0a09080706050403020100":             true,
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff":             true,
		"f8f9fafbfcfdfeff0001020304050607":             true, // a count goes on beyond 255
		"12345123451234512345123451234512":             true, // a pattern of 5 digits
		"1a2b3c1a2b3c1a2b3c1a2b3c1a2b3c1a":             true,
		"30313233343536373839616263646566":             true, // "0123456789abcdef"
		hex.EncodeToString([]byte("correcthorse1234")): true,
		hex.EncodeToString([]byte("CORRECTHORSE1234")): true,
		"11221212211122212112212112121212":             true, // two digits
		"00010203101112132021222330313233":             true, // four digits, sixteen bytes
		"00010203000102030001020300010203":             true,
		"0102030405060701020304050607aabb":             false, // 9 different bytes: not every pattern is found
	} {
		err := CheckStrength(mustParse(t, text))
		if (err != nil) != weak {
			t.Errorf("%s: %v, want weak %v", text, err, weak)
		}
	}
	if CheckStrength(Secret{}) == nil {
		t.Error("no secret is strong")
	}
}

// TestStrengthRefusesHardlyAnyRandomSecret adds up, exactly, how many of the 2^128 secrets each rule refuses. Rules overlap, so the sum is a
// bound.
func TestStrengthRefusesHardlyAnyRandomSecret(t *testing.T) {
	pow := func(base, exponent int64) *big.Int {
		return new(big.Int).Exp(big.NewInt(base), big.NewInt(exponent), nil)
	}
	// few is the number of words of n letters out of an alphabet that use fewer than limit different ones.
	few := func(alphabet, n, limit int) *big.Int {
		words := make([]*big.Int, n+2) // by how many different letters
		for d := range words {
			words[d] = new(big.Int)
		}
		words[0].SetInt64(1)
		for range n {
			for d := n; d > 0; d-- {
				words[d].Mul(words[d], big.NewInt(int64(d)))
				words[d].Add(words[d], new(big.Int).Mul(words[d-1], big.NewInt(int64(alphabet-d+1))))
			}
			words[0].SetInt64(0)
		}
		sum := new(big.Int)
		for d := range limit {
			sum.Add(sum, words[d])
		}
		return sum
	}
	sum := new(big.Int)
	add := func(rule string, n *big.Int) {
		t.Logf("%s: 2^%d of 2^128", rule, n.BitLen())
		sum.Add(sum, n)
	}
	add("few bytes", few(256, Size, minBytes))
	add("few digits", few(16, 2*Size, minDigits))
	patterns := new(big.Int)
	for period := range int64(Size) {
		patterns.Add(patterns, pow(16, period+1))
	}
	add("patterns", patterns)
	add("mirrors", pow(16, Size))
	// The first place, the first byte and the step, the bytes left over.
	run := int64(longestRun + 1)
	add("counts", new(big.Int).Mul(big.NewInt(Size-run+1), pow(256, 2+Size-run)))
	add("text", new(big.Int).Mul(big.NewInt(2), pow(36, Size)))
	if limit := pow(2, 128-40); sum.Cmp(limit) >= 0 {
		t.Errorf("%v secrets refused, want less than %v", sum, limit)
	}
}

func TestStrengthLetsDrawnSecretsPass(t *testing.T) {
	r := rand.NewChaCha8([32]byte{4})
	for range 100_000 {
		s, err := NewSecret(r, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckStrength(s); err != nil {
			t.Fatal(err)
		}
	}
}
