package preview

import (
	"encoding/binary"
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
//	58     name and ID
const (
	slotSize  = 160
	slotFixed = 58
	maxText   = slotSize - slotFixed
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
	slot[56], slot[57] = byte(len(r.User)), byte(len(r.Key))
	copy(slot[slotFixed:], r.User)
	copy(slot[slotFixed+len(r.User):], r.Key)
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
	user, key := int(slot[56]), int(slot[57])
	switch {
	case at > maxMicro, open > maxSpan, handshake > open, user+key > maxText, slot[53] > byte(Full), slot[54] > byte(mtproto.FakeTLS), int(slot[55]) >= len(results):
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
	return r, true
}
