package mtproto

import "strconv"

// Framing is how packets are delimited inside the obfuscated stream. The zero
// value is no framing.
type Framing uint8

// The framings a client can ask for in its init.
const (
	Abridged     Framing = iota + 1 // 1- or 4-byte length in words
	Intermediate                    // 4-byte length in bytes
	Padded                          // intermediate with random padding inside
)

// Tag is the four bytes that name the framing inside an init. It is all zero
// for a value that is no framing.
func (f Framing) Tag() [4]byte {
	switch f {
	case Abridged:
		return [4]byte{0xef, 0xef, 0xef, 0xef}
	case Intermediate:
		return [4]byte{0xee, 0xee, 0xee, 0xee}
	case Padded:
		return [4]byte{0xdd, 0xdd, 0xdd, 0xdd}
	}
	return [4]byte{}
}

// FramingOf is the inverse of Tag; ok is false for a tag of no framing.
func FramingOf(tag [4]byte) (f Framing, ok bool) {
	if tag[0] != tag[1] || tag[1] != tag[2] || tag[2] != tag[3] {
		return 0, false
	}
	switch tag[0] {
	case 0xef:
		return Abridged, true
	case 0xee:
		return Intermediate, true
	case 0xdd:
		return Padded, true
	}
	return 0, false
}

// String is the framing's name.
func (f Framing) String() string {
	switch f {
	case Abridged:
		return "abridged"
	case Intermediate:
		return "intermediate"
	case Padded:
		return "padded"
	}
	return "framing(" + strconv.Itoa(int(f)) + ")"
}
