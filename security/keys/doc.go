// Package keys holds the secrets users connect with: their text forms, the links
// they are handed out in, their life from one rotation to the next, and the
// immutable set a listener matches handshakes against.
//
//	Secret      16 bytes as they stand in a link, and which client they are for
//	Key         one secret in this process: its state, and who is using it now
//	Ring        all Keys of this process, fed by the control plane
//	Set         the Keys a connection tries, made by a Ring
//	Generations what is known of a user's keys beside their bytes, and the rules
//	            by which one follows the other; for the store
//
// A Key's state changes for everybody at once, whatever Set they hold. Who tries a
// key borrows its bytes; who lets a client in by it takes a lease for as long as
// the connection lasts. A revocation is complete when Put returns: from then on
// nobody gets a lease.
//
//	material, ok := key.Borrow()  // in any state, until the bytes are erased
//	matched := ok && try(material)
//	if ok { key.Return() }
//	lease, ok := key.Acquire()    // only in an accepted state
//	defer lease.Release()
//
// Bytes are overwritten when their key is in a final state, nobody holds a lease
// or a borrow, and it is no tripwire: a revoked key that is kept to recognise
// whoever still uses it.
//
// The package draws, parses, names, ages and finds secrets; it does no handshake,
// stores nothing, reads no clock and starts no goroutine. Nothing in it prints key
// bytes by accident: every value formats, logs and encodes as its ID. Only
// Secret.Encode, Key.Material and Key.Borrow give the bytes away.
//
// All types are safe for concurrent use: Secret, Link, Set and Generations because
// they are immutable, Key because its changing part is one atomic word, Ring by a
// lock that no Key ever waits for. A Lease belongs to one goroutine at a time.
package keys
