// Package aead is the only place that names a cipher: the registry of the four suites, the derivation of keys, and the two
// forms in which mtguard protects bytes of its own.
//
// A [Sealer] and an [Opener] protect one direction of a connection: records in order, under a counter, with a ratchet. [Seal]
// and [Open] protect one thing that is stored or handed out: a blob that names its key. Nothing that a caller chooses has to be
// unique: salts and nonces are drawn in here, and counters are kept in here.
//
// It does no handshake, keeps no keys and reads no files; it stretches no passwords, which are no keys (a memory-hard function
// goes before); it is not for Telegram's wire, whose ciphers are fixed.
//
//	suite, err := aead.Negotiate(offered, aead.Preference(aead.HasAES()))
//	out, err := aead.NewSealer(suite, secret, "link client to server")
//	in, err := aead.NewOpener(suite, secret, out.Salt(), "link client to server") // at the other end
//	record, err := out.Seal(nil, payload, header)
//	payload, err := in.Open(nil, record, header)
//
//	blob, err := aead.Seal(nil, suite, key, "backup", plaintext, name)
//	plaintext, err := aead.Open(nil, lookup, "backup", blob, name)
//
// # Derivation
//
// Every key comes from HKDF-SHA256 (RFC 5869) with an info that says what for:
//
//	"mtguard aead v1" 0 use 0 suite(1) length(2) len(purpose)(1) purpose context
//
// where use is one of the texts in quotes below and suite is 0 where none matters. No two different (use, suite, length,
// purpose, context) give the same bytes, so keys of different uses have nothing to do with one another, even of one secret.
//
// # Records
//
//	secret of epoch 0    = HKDF(secret, salt, "record secret", 32)
//	key, iv of epoch e   = HKDF-Expand(secret of e, "record key" | "record iv")
//	secret of epoch e+1  = HKDF-Expand(secret of e, "record next", 32)
//	nonce of record n    = iv XOR n, big endian in the last eight bytes; n starts at 0 in each epoch
//
// as in TLS 1.3 (RFC 8446, 5.3 and 7.2). The record itself is the ciphertext and its tag; the number is implicit, so that
// whatever is left out, repeated, reordered, reflected or altered is refused, and the Opener refuses everything after it.
// [Sealer.Rekey] goes one way: who learns the keys of an epoch learns none of those before.
//
// # Blobs
//
//	version(1) = 1 · suite(1) · key id(8) · nonce(24) · ciphertext · tag(16)
//
//	key ‖ iv = HKDF(key material, nonce, "blob", suite, purpose, context = version ‖ key id)
//
// Each blob thus has a key of its own, from 192 random bits: a key of the caller wears out under no suite, also not under those
// whose own nonces are too short to be drawn at random for long. The header and the purpose are bound by the derivation, the
// caller's data as the associated data of the suite. No length stands in a blob, so that none can be claimed.
//
// # Order of preference
//
// By speed, which is a matter of AES instructions. Records of 16 KiB, GB/s, one core of a virtual AMD EPYC; without
// instructions is GODEBUG=cpu.aes=off on the same host:
//
//	                      seal  open    without: seal  open
//	aes-128-gcm            4.8   4.3             0.10  0.10
//	aes-256-gcm            4.7   4.0             0.09  0.08
//	chacha20-poly1305      2.6   2.5             2.3   2.1
//	xchacha20-poly1305     2.3   2.2             2.3   2.4
//
// In short records XChaCha20 loses a fifth against ChaCha20, for the key it derives from each nonce; in blobs the derivation
// outweighs that. AES-128 and AES-256 are close in long records, and a fifth apart in short ones.
//
// All four are strong enough to be chosen by speed; who thinks otherwise passes an order of their own to [Negotiate].
//
// # Concurrency
//
// A Sealer and an Opener have one user at a time; the functions and [Key] are safe for concurrent use. The package starts no
// goroutine, does no I/O apart from drawing randomness, and has no state of its own.
//
// Secrets that are no longer needed are overwritten where this package holds them. The expanded keys inside the cipher objects
// of the standard library, and whatever the garbage collector has moved, it cannot reach.
package aead
