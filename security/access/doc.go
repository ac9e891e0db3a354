// Package access says what somebody may do: the five levels of the
// specification (security-enhancements.md, 4.1), and the rules that say how much
// may be done from where (4.2).
//
//	level      through the proxy                          in management
//	none       sees the cover site                        nothing
//	read_only  reads; uploads are held to a small budget  reads everything but secrets
//	standard   normal                                     nothing
//	admin      normal, shed late under overload           users, keys, blocks
//	superuser  normal, shed last                          everything
//
// A rule is a ceiling, never a grant: what somebody may do is the lower of the
// level of what they hold (a user's secret, an admin's session) and the level
// Check gives for where they come from. So a rule "192.0.2.0/24 superuser" says
// from where management may be done, and gives nobody a role.
//
// Which rule decides, for an address:
//
//  1. Rules on addresses (prefix, range, wildcard, list) by the most specific
//     prefix, whatever their source. A range is the prefixes it is made of, a list
//     its entries.
//  2. On the same prefix: operator before automatic before feed.
//  3. Then the stricter level.
//  4. A pinned operator's rule covers its whole prefix against automatic and feed
//     rules of any length: there only operators' rules count.
//  5. Loopback has a pinned rule of its own, superuser for 127.0.0.0/8 and ::1, so
//     that only an operator's rule inside loopback can shut out who sits at the
//     machine. Nothing shuts out the Unix socket (Query.Local).
//  6. No rule on the address: one on its AS number, then one on its country, each
//     by 2 and 3, then the default.
//
// Patterns on the server name asked for and on the ClientHello's fingerprint are a
// ceiling of their own, the strictest of those that match. The result is the lower
// of the two; when they are equal the address decides.
//
// A rule outside its time (From, Until, Schedule) is as if it were not there, from
// one Check to the next: no new table is needed for a rule to begin or end.
//
//	list, err := access.ParseList(file, access.ListOptions{Name: "drop"}) // all or nothing
//	table, err := access.Compile(rules, access.Options{Default: access.Standard, Geo: geo, Lists: []*access.List{list}})
//	d := table.Check(access.Query{Addr: from, Now: now}) // about 0.1 us, no allocation
//	ceiling := d.Level
//
// Lists and country files are read once into arrays without pointers and shared by
// all tables made with them; with Options.Previous, making a table costs what its
// rules cost. A million list entries take 11 MiB, and a lookup reads two places of
// these, however many lists they are in.
//
// The package reads no clock, no file but the system's time zones, and starts no
// goroutine. A Level, Match, Schedule, Rule, List, Geo and Table never changes once
// made; all of them may be used concurrently.
package access
