package preview

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"time"

	"mtguard/mtproto"
	"mtguard/telemetry/stats"
)

// A slot holds one record, in little endian:
//
//	 0  4  CRC-32C of the rest
//	 4  8  number of the record, from 1; its slot follows from it
//	12  8  accepted, Unix microseconds
//	20  8  handshake, microseconds
//	28  8  open, microseconds
//	36 16  address
//	52  1  length of the address in bytes: 0, 4 or 16
//	53  1  privacy
//	54  1  transport
//	55  1  result, by its place in results
//	56  1  length of the user's name
//	57  1  length of the key's ID
//	58  1  what is known of the hello; helloShare is added for a key share
//	59  1  length of the server name
//	60 22  JA4: its first ten characters and the bytes of its two digests; zeros for none
//	82     user's name, ID and server name
//
// A server name that finds no room is not kept.
const (
	slotSize   = 192
	slotFixed  = 82
	maxText    = slotSize - slotFixed
	helloShare = 0x80
)

// results are in the order of their numbers on disk. New ones go to the end.
var results = [...]stats.Result{
	stats.ResultOK, stats.ResultBadSecret, stats.ResultReplay, stats.ResultClock, stats.ResultServerName, stats.ResultMalformed, stats.ResultTimeout,
	stats.ResultBudget, stats.ResultEOF, stats.ResultRevoked, stats.ResultExpired, stats.ResultUser, stats.ResultRefused, stats.ResultError,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes a record into its slot, and reports false for one that has no room
// there.
func encode(slot []byte, number uint64, r *Record) bool {
	if len(r.User)+len(r.Key) > maxText {
		return false
	}
	clear(slot)
	le := binary.LittleEndian
	le.PutUint64(slot[4:], number)
	le.PutUint64(slot[12:], uint64(r.At.UnixMicro()))
	le.PutUint64(slot[20:], uint64(r.Handshake.Microseconds()))
	le.PutUint64(slot[28:], uint64(r.Open.Microseconds()))
	slot[52] = byte(copy(slot[36:52], r.Addr.AsSlice()))
	slot[53], slot[54] = byte(r.Privacy), byte(r.Transport)
	for i, known := range results {
		if known == r.Result {
			slot[55] = byte(i)
		}
	}
	name, hello := r.ServerName, r.Hello
	if len(r.User)+len(r.Key)+len(name) > maxText {
		name, hello = "", HelloUnnamed
	}
	slot[56], slot[57], slot[58], slot[59] = byte(len(r.User)), byte(len(r.Key)), byte(hello), byte(len(name))
	if r.KeyShare {
		slot[58] |= helloShare
	}
	packJA4(slot[60:82], r.JA4)
	copy(slot[slotFixed:], r.User+r.Key+name)
	le.PutUint32(slot, crc32.Checksum(slot[4:], castagnoli))
	return true
}

// numberOf is the number of the record in a slot; false when there is none, or a
// torn one.
func numberOf(slot []byte) (uint64, bool) {
	number := binary.LittleEndian.Uint64(slot[4:])
	return number, number != 0 && binary.LittleEndian.Uint32(slot) == crc32.Checksum(slot[4:], castagnoli)
}

// Bounds of the times in a record, so that sums of them stay far from overflow: the
// years 1970 to 2262, and a century.
const (
	maxMicro = 1<<63/1000 - maxSpan
	maxSpan  = 100 * 366 * 86400 * 1_000_000
)

// decode reads a slot that numberOf found good. intern keeps one copy of each text.
func decode(slot []byte, intern func([]byte) string) (r Record, ok bool) {
	le := binary.LittleEndian
	at, handshake, open := le.Uint64(slot[12:]), le.Uint64(slot[20:]), le.Uint64(slot[28:])
	user, key, hello, name := int(slot[56]), int(slot[57]), Hello(slot[58]&^helloShare), int(slot[59])
	switch {
	case at > maxMicro, open > maxSpan, handshake > open, user+key+name > maxText, hello > HelloUnnamed, slot[53] > byte(Full), slot[54] > byte(mtproto.FakeTLS), int(slot[55]) >= len(results):
		return r, false
	case slot[52] == 0:
	case slot[52] == 4, slot[52] == 16:
		r.Addr, _ = netip.AddrFromSlice(slot[36 : 36+slot[52]])
	default:
		return r, false
	}
	r.At, r.Handshake, r.Open = time.UnixMicro(int64(at)).UTC(), time.Duration(handshake)*time.Microsecond, time.Duration(open)*time.Microsecond
	r.Privacy, r.Transport, r.Result = Privacy(slot[53]), mtproto.Transport(slot[54]), results[slot[55]]
	r.User = intern(slot[slotFixed : slotFixed+user])
	r.Key = intern(slot[slotFixed+user : slotFixed+user+key])
	r.ServerName = intern(slot[slotFixed+user+key : slotFixed+user+key+name])
	r.Hello, r.KeyShare = hello, slot[58]&helloShare != 0
	if slot[60] != 0 {
		r.JA4 = intern(unpackJA4(slot[60:82]))
	}
	return r, true
}

// JA4 has the form t13d1516h2_8daaf6152771_e5627efa2ab1.
const (
	ja4Size = 36
	ja4Head = 10
)

// packJA4 writes a fingerprint into 22 bytes, and zeros for what is none.
func packJA4(b []byte, text string) {
	if len(text) != ja4Size || text[ja4Head] != '_' || text[23] != '_' || text[0] == 0 {
		return
	}
	var packed [22]byte
	copy(packed[:], text[:ja4Head])
	_, err1 := hex.Decode(packed[10:16], []byte(text[11:23]))
	_, err2 := hex.Decode(packed[16:22], []byte(text[24:]))
	if err1 == nil && err2 == nil {
		copy(b, packed[:])
	}
}

func unpackJA4(b []byte) []byte {
	text := append(make([]byte, 0, ja4Size), b[:ja4Head]...)
	text = hex.AppendEncode(append(text, '_'), b[10:16])
	return hex.AppendEncode(append(text, '_'), b[16:22])
}
