// Package preview remembers what connections came, and says what a policy would
// have done to them.
//
// A [Recorder] follows the events of connections and keeps one record of each in
// a file of fixed size, in which the newest take the place of the oldest. [Run]
// lets the records come once more, in their time, past the same checks that
// judge clients, with a candidate policy; nothing but numbers comes of it.
//
//	recorder, err := preview.Open(preview.Options{Path: path, Privacy: preview.Pseudonym, Key: key, Log: log})
//	events := bus.Subscribe("preview", 4096)
//	go recorder.Run(events.C()) // until events.Close()
//	report := preview.Run(recorder.Records(since), inForce, candidate, isUser)
//	err = recorder.Close()
//
// # What the privacy settings cost
//
// [Full] keeps addresses as they are, and everything can be previewed.
//
// [Truncated] keeps the network, an IPv4 /24 or IPv6 /48. All who come from one
// count as one address: conns.addr, rate.accept, rate.failures and addrs.user
// are judged too strictly or too leniently, conns.prefix is exact. Rules,
// exceptions and countries are judged by the first address of the network, so
// those for single addresses, or for anything smaller than the network, cannot
// be previewed.
//
// [Pseudonym] keeps something made of the address with a key. Different
// addresses (of IPv6: /64s) stay different and neighbours stay neighbours, so all
// that counts is exact. Where the address is cannot be told: no rule on addresses
// or countries, and no exception for a prefix or a country, is judged, and a
// share of strangers in percent is as large as it would be but not the same.
// Whoever has the key can find the address of a pseudonym; without it he cannot.
// The key has to stay the same, or those who came before and after a change are
// taken for different ones.
//
// The setting holds for what is recorded from then on. The names of users are
// kept with any setting: they are what a preview is for.
//
// Of a fake-TLS hello its fingerprint (JA4) and whether it offers a hybrid key share
// are kept with any setting: they tell apps apart and not people. The server name is
// kept of whoever has a secret, in whose link it stands; of strangers only with
// [Full], so that with the other settings rules on server names are not judged for
// them.
//
// # What cannot be seen
//
// overload.level depends on the machine, conns.half_open on the order within a
// handshake, bytes.user refuses nobody, and threat.block goes by what the node has
// found out since it started. A connection that was refused at the door when it came is a stranger: who it was
// nobody knows. And a client that is refused comes again, which no record shows:
// numbers are of connections as they came, not of attempts.
//
// A Recorder may be used from several goroutines; Run keeps nothing. The package
// starts no goroutine.
package preview
