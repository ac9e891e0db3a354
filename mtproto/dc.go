package mtproto

import "strconv"

// DC is a data-centre id as it stands in the obfuscated2 init: 1 to 5 are the
// production data centres, 203 is the CDN, a negative id asks for the media
// addresses of the same data centre, and 10000 is added for the test servers.
// Any other value may arrive from a stranger and is valid to hold.
type DC int16

// DefaultDC serves ids that no table knows.
const DefaultDC DC = 2

// testOffset is what clients add to the number of a test data centre.
const testOffset = 10000

// magnitude is |d| as an int, because -32768 has no int16 counterpart.
func (d DC) magnitude() int {
	if d < 0 {
		return -int(d)
	}
	return int(d)
}

// Media reports whether the id asks for the media addresses.
func (d DC) Media() bool { return d < 0 }

// Test reports whether the id names a test server.
func (d DC) Test() bool { return d.magnitude() > testOffset }

// Number is the id without the media sign and the test offset: 1 to 5 or 203
// for the ids Telegram uses, anything for the rest.
func (d DC) Number() int {
	m := d.magnitude()
	if m > testOffset {
		m -= testOffset
	}
	return m
}

// String is the number followed by what kind it is, "2", "4 media", "1 test",
// "2 test media"; it is meant for people.
func (d DC) String() string {
	s := strconv.Itoa(d.Number())
	if d.Test() {
		s += " test"
	}
	if d.Media() {
		s += " media"
	}
	return s
}
