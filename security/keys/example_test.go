package keys_test

import (
	"fmt"

	"mtguard/mtproto"
	"mtguard/security/keys"
)

func ExampleParseSecret() {
	secret, err := keys.ParseSecret("dd4aa64c177c5cd517d10a3ccc87024392")
	fmt.Println(secret, secret.Kind(), err)
	_, err = keys.ParseSecret("4aa64c177c5cd517d10a3ccc870243")
	fmt.Println(err)
	// Output:
	// secret a69e7b2f47a107eb padded <nil>
	// secret has 15 bytes: want at least 16
}

func ExampleLink() {
	secret, _ := keys.ParseSecret("4aa64c177c5cd517d10a3ccc87024392")
	link := keys.Link{Server: "192.0.2.10", Port: 8443, Secret: secret.Encode(mtproto.Secure, "")}
	fmt.Println(link)
	fmt.Println(link.TG())
	// Output:
	// link to 192.0.2.10 port 8443
	// tg://proxy?server=192.0.2.10&port=8443&secret=dd4aa64c177c5cd517d10a3ccc87024392
}

func ExampleSet() {
	first, _ := keys.ParseSecret("ee4aa64c177c5cd517d10a3ccc8702439266726f6e742e6578616d706c652e636f6d")
	second, _ := keys.ParseSecret("54e20df078d8dce95527ed73133dc4f1")
	set, err := keys.NewSet([]*keys.Key{keys.NewKey("alice", first), keys.NewKey("bob", second)})
	if err != nil {
		return
	}
	for _, i := range set.Named("front.example.com") {
		fmt.Println(set.At(int(i)).User())
	}
	_, err = keys.NewSet([]*keys.Key{keys.NewKey("alice", first), keys.NewKey("carol", first)})
	fmt.Println(err)
	// Output:
	// alice
	// users "alice" and "carol" have the same secret
}
