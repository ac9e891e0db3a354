// Package keys holds the secrets users connect with: their text forms, the links
// they are handed out in, and the immutable set a listener matches handshakes
// against.
//
// It draws, parses, names and finds secrets; it does no handshake, stores nothing
// and knows no expiry. Nothing in it prints key bytes by accident: every value
// formats, logs and encodes as its ID. Only Secret.Encode and Key.Material give
// the bytes away.
//
//	secret, err := keys.ParseSecret(text)
//	set, err := keys.NewSet([]*keys.Key{keys.NewKey("alice", secret)})
//	for _, i := range set.Named(serverName) {
//		try(set.At(int(i)).Material())
//	}
//	link := keys.Link{Server: host, Port: 443, Secret: secret.Encode(mtproto.FakeTLS, domain)}
//
// All values are immutable and safe for concurrent use.
package keys
