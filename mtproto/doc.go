// Package mtproto holds the words every part of the proxy shares about
// Telegram's wire: data-centre ids, transport framings, the three client
// transports, and the table of data-centre addresses.
//
// It does no I/O and speaks no protocol itself; the protocols are in the
// packages below it (obfs2, faketls, frame).
//
//	table := mtproto.NewDCTable(nil)
//	used, addrs := table.Lookup(-4) // media option of DC 4: served by DC 4
//
// All types are values or immutable after construction and safe for
// concurrent use.
package mtproto
