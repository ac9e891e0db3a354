// Package wire writes and reads the few bytes of Telegram's proxy protocol that a load generator needs: hellos, obfuscated2 headers, record
// headers and the benchmark's own order to the simulated data centre.
//
// It is not a client library: it trusts its peers, knows nothing of MTProto inside the stream, and prepares bytes so that the load
// generator can send them without thinking. It is written apart from mtguard/mtproto on purpose, so that a mistake there cannot cancel
// itself out here.
//
// Values are not safe for concurrent use unless their type says so.
package wire
