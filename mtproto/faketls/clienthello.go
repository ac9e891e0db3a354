package faketls

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"time"
)

// Extensions that matter here.
const (
	extServerName        = 0
	extSupportedVersions = 0x2b
	extKeyShare          = 0x33
)

// Groups of key exchange an answer can use.
const (
	X25519         = 0x001d
	X25519MLKEM768 = 0x11ec
)

const (
	blockSize  = sha256.BlockSize
	secretSize = 16
	digestSize = 28 // of the random; the other four bytes hold the time
)

// ClientHello is a whole hello that is well formed. Who sent it is not known until
// Open succeeds. It is not safe for concurrent use: it has a work buffer.
type ClientHello struct {
	random     [randomSize]byte
	serverName string
	session    []byte
	suites     []byte
	shares     []byte // entries of the key share extension, checked
	// work is one block for the padded secret, then the hello as one record with the
	// random zeroed: what the inner hash of the digest runs over, without copying.
	work []byte
}

// newHello joins the records in raw, whose payloads are total bytes.
func newHello(raw []byte, total int) (*ClientHello, error) {
	h := &ClientHello{work: make([]byte, blockSize, blockSize+HeaderSize+total)}
	h.work = append(h.work, raw[0], raw[1], raw[2], byte(total>>8), byte(total))
	for len(raw) > 0 {
		size := int(binary.BigEndian.Uint16(raw[3:]))
		h.work = append(h.work, raw[HeaderSize:HeaderSize+size]...)
		raw = raw[HeaderSize+size:]
	}
	var f fields
	if err := f.read(h.work[blockSize+HeaderSize:], total); err != nil {
		return nil, err
	}
	h.session, h.suites = f.session, f.suites
	if err := h.readExtensions(f.extensions); err != nil {
		return nil, err
	}
	copy(h.random[:], f.random)
	clear(f.random)
	return h, nil
}

func (h *ClientHello) readExtensions(ext []byte) error {
	var names, shares bool
	for len(ext) > 0 {
		kind, body, rest, ok := entry(ext)
		if !ok {
			return errExtensions
		}
		ext = rest
		switch kind {
		case extServerName:
			if names {
				return errExtensions
			}
			names = true
			if h.serverName, ok = readServerName(body); !ok {
				return errServerName
			}
		case extKeyShare:
			if shares {
				return errExtensions
			}
			shares = true
			if h.shares, ok = readShares(body); !ok {
				return errShares
			}
		}
	}
	return nil
}

// entry cuts off the first of a list of entries of 2 bytes kind, 2 bytes length and
// the body.
func entry(b []byte) (kind uint16, body, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	kind = binary.BigEndian.Uint16(b)
	body, rest, ok = vector(b[2:])
	return kind, body, rest, ok
}

// vector cuts off 2 bytes length and that many bytes.
func vector(b []byte) (body, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	if end > len(b) {
		return nil, nil, false
	}
	return b[2:end], b[end:], true
}

// readServerName takes the one host name of a server_name extension. A name that
// holds anything but the characters of host names is refused: no configured name
// equals it, and it must not reach a log.
func readServerName(b []byte) (string, bool) {
	list, rest, ok := vector(b)
	if !ok || len(rest) > 0 || len(list) < 3 || list[0] != 0 {
		return "", false
	}
	raw, rest, ok := vector(list[1:])
	if !ok || len(rest) > 0 || len(raw) == 0 || len(raw) > 253 {
		return "", false
	}
	var name [253]byte
	for i, c := range raw {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return "", false
		}
		name[i] = c
	}
	return string(name[:len(raw)]), true
}

// readShares checks a client's key share list and returns its entries.
func readShares(b []byte) ([]byte, bool) {
	list, rest, ok := vector(b)
	if !ok || len(rest) > 0 {
		return nil, false
	}
	for at := list; len(at) > 0; {
		var key []byte
		if _, key, at, ok = entry(at); !ok || len(key) == 0 {
			return nil, false
		}
	}
	return list, true
}

// Open tells whether the hello was signed with this secret (16 bytes, else it was
// not) and the time it claims. The comparison takes constant time, and nothing is
// allocated: this is the unit of work of matching a hello against many secrets. The
// time is not signed: whoever captured a hello can move it, so only a replay cache
// keeps a copy out.
func (h *ClientHello) Open(secret []byte) (sentAt time.Time, ok bool) {
	if len(secret) != secretSize {
		return time.Time{}, false
	}
	// HMAC by hand, because the standard one allocates its states: the hash of the
	// secret xor 0x5c and the hash of the secret xor 0x36 and the message.
	var outer [blockSize + sha256.Size]byte
	pad(h.work[:blockSize], secret, 0x36)
	pad(outer[:blockSize], secret, 0x5c)
	inner := sha256.Sum256(h.work)
	copy(outer[blockSize:], inner[:])
	digest := sha256.Sum256(outer[:])
	if subtle.ConstantTimeCompare(digest[:digestSize], h.random[:digestSize]) != 1 {
		return time.Time{}, false
	}
	seconds := binary.LittleEndian.Uint32(digest[digestSize:]) ^ binary.LittleEndian.Uint32(h.random[digestSize:])
	return time.Unix(int64(seconds), 0), true
}

// pad fills a hash block with the secret xor x.
func pad(block, secret []byte, x byte) {
	for i := range block {
		block[i] = x
	}
	subtle.XORBytes(block, block, secret)
}

// ReplayKey identifies an opened hello for a replay cache. It leaves out the four
// bytes that carry the time, which a replayer can change.
func (h *ClientHello) ReplayKey() [16]byte { return [16]byte(h.random[:16]) }

// Random is the client random as received.
func (h *ClientHello) Random() [32]byte { return h.random }

// SessionID is the session id, at most 32 bytes. The caller must not change it.
func (h *ClientHello) SessionID() []byte { return h.session }

// ServerName is the host name asked for, in lower case; "" when there is none.
func (h *ClientHello) ServerName() string { return h.serverName }

// Offers tells whether the hello holds a key share with which this group can be
// answered: X25519 or X25519MLKEM768 with a key of the right length.
func (h *ClientHello) Offers(group uint16) bool { return h.share(group) != nil }

// share is the client's key for a group, nil when there is none of the right size.
func (h *ClientHello) share(group uint16) []byte {
	want := 0
	switch group {
	case X25519:
		want = x25519Size
	case X25519MLKEM768:
		want = hybridSize
	}
	for at := h.shares; len(at) > 0; {
		kind, key, rest, ok := entry(at)
		if !ok {
			break
		}
		if kind == group && len(key) == want {
			return key
		}
		at = rest
	}
	return nil
}

var errSuite = errors.New("hello offers no TLS 1.3 cipher suite")

// suite is want if offered, else the first TLS 1.3 suite that is.
func (h *ClientHello) suite(want uint16) (uint16, error) {
	var first uint16
	for at := h.suites; len(at) >= 2; at = at[2:] {
		s := binary.BigEndian.Uint16(at)
		if s < 0x1301 || s > 0x1303 {
			continue
		}
		if s == want {
			return s, nil
		}
		if first == 0 {
			first = s
		}
	}
	if first == 0 {
		return 0, errSuite
	}
	return first, nil
}
