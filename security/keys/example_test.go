package keys_test

import (
	"fmt"
	"time"

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

func ExampleRing() {
	secret, _ := keys.ParseSecret("4aa64c177c5cd517d10a3ccc87024392")
	spec := keys.Spec{ID: secret.ID(), User: "alice", Number: 1, State: keys.Active, Secret: secret}
	ring := keys.NewRing()
	if err := ring.Put(spec); err != nil {
		return
	}
	set := ring.Set() // what connections work with
	lease, ok := set.At(0).Acquire()
	fmt.Println(lease.Key(), ok)

	spec.State = keys.Revoked
	if err := ring.Put(spec); err != nil {
		return
	}
	_, ok = set.At(0).Acquire() // also with the old set
	fmt.Println("after the revocation:", ok, "erased:", set.At(0).Erased())
	lease.Release()
	fmt.Println("after the connection:", ring.Sweep())
	// Output:
	// key a69e7b2f47a107eb of alice true
	// after the revocation: false erased: false
	// after the connection: [a69e7b2f47a107eb]
}

func ExampleGenerations() {
	const day = 24 * time.Hour
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g, _ := keys.Generations(nil).Rotate(keys.Generation{ID: "a69e7b2f47a107eb"}, now, 0)
	g, _ = g.Rotate(keys.Generation{ID: "d5b05f7a8af4b48a"}, now.Add(day), 14*day)
	for _, x := range g {
		fmt.Println(x.Number, x.ID, x.State)
	}
	fmt.Println("due:", g.Next().Format(time.DateOnly))
	g, done := g.Sweep(g.Next(), keys.Sweep{Overlap: 14 * day})
	fmt.Println(done[0].ID, done[0].From, done[0].To, done[0].Reason)
	// Output:
	// 1 a69e7b2f47a107eb retiring
	// 2 d5b05f7a8af4b48a active
	// due: 2026-01-16
	// a69e7b2f47a107eb retiring retired overlap ended
}

func ExampleCheckStrength() {
	for _, text := range []string{"4aa64c177c5cd517d10a3ccc87024392", "deadbeefdeadbeefdeadbeefdeadbeef", "00112233445566778899aabbccddeeff"} {
		secret, _ := keys.ParseSecret(text)
		fmt.Println(keys.CheckStrength(secret))
	}
	// Output:
	// <nil>
	// secret has too few different bytes to be random
	// secret counts up or down
}
