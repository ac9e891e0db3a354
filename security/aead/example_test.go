package aead_test

import (
	"fmt"

	"mtguard/security/aead"
)

// The two ends of one direction, which share a secret from their handshake.
func ExampleSealer() {
	const purpose = "example client to server"
	secret := []byte("32 random bytes out of a handshake")
	client, err := aead.NewSealer(aead.ChaCha20Poly1305, secret, purpose)
	if err != nil {
		return
	}
	server, err := aead.NewOpener(aead.ChaCha20Poly1305, secret, client.Salt(), purpose)
	if err != nil {
		return
	}
	for _, text := range []string{"first", "second"} {
		header := []byte{0x17, 3, 3, 0, byte(len(text) + aead.TagSize)}
		record, _ := client.Seal(nil, []byte(text), header)
		got, err := server.Open(nil, record, header)
		fmt.Printf("%s %v\n", got, err)
		if client.Remaining() < aead.ChaCha20Poly1305.MaxRecords() {
			client.Rekey()
			server.Rekey()
		}
	}
	// Output:
	// first <nil>
	// second <nil>
}

// A column of a table: sealed for its row, it opens in no other.
func ExampleSeal() {
	key := aead.GenerateKey()
	lookup := func(id aead.KeyID) (aead.Key, bool) { return key, id == key.ID() }
	blob, err := aead.Seal(nil, aead.XChaCha20Poly1305, key, "users", []byte("a secret"), []byte("users|alice|secret"))
	if err != nil {
		return
	}
	text, err := aead.Open(nil, lookup, "users", blob, []byte("users|alice|secret"))
	fmt.Printf("%q %v\n", text, err)
	text, err = aead.Open(nil, lookup, "users", blob, []byte("users|bob|secret"))
	fmt.Printf("%q %v\n", text, err)
	// Output:
	// "a secret" <nil>
	// "" sealed data refused
}

func ExampleNegotiate() {
	ours := aead.Preference(true) // aead.HasAES()
	fmt.Println(aead.Negotiate([]aead.Suite{aead.XChaCha20Poly1305, aead.AES256GCM}, ours))
	fmt.Println(aead.Negotiate([]aead.Suite{aead.AES128GCM}, []aead.Suite{aead.AES256GCM}))
	// Output:
	// aes-256-gcm <nil>
	// suite 0 no common cipher suite
}

func ExampleDerive() {
	root := []byte("a root of at least 128 random bits")
	first, _ := aead.Derive(root, []byte("node 1"), "node secret", 16)
	second, _ := aead.Derive(root, []byte("node 2"), "node secret", 16)
	fmt.Println(len(first), string(first) == string(second))
	// Output: 16 false
}
