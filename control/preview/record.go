package preview

import (
	"fmt"
	"net/netip"
	"time"

	"mtguard/mtproto"
	"mtguard/telemetry/stats"
)

// Record is what is remembered of one connection.
type Record struct {
	// At is when it was accepted, Handshake how long after that it was known what
	// it is (with the way to Telegram, where it came so far), Open how long it was
	// there in all. Microseconds; Open is not less than Handshake.
	At              time.Time
	Handshake, Open time.Duration
	// Ongoing says that it is still there, and Open says nothing.
	Ongoing bool
	// Addr is the address as Privacy left it.
	Addr    netip.Addr
	Privacy Privacy
	// User and Key name who it was, where a secret matched.
	User, Key string
	// Transport is what it came by, 0 where that is not known.
	Transport mtproto.Transport
	// Hello is how much is known of a fake-TLS hello; KeyShare, JA4 and, with
	// HelloNamed, ServerName are what it said.
	Hello           Hello
	KeyShare        bool
	ServerName, JA4 string
	// Result is how its handshake ended. Without a User, ResultRefused was at the
	// door.
	Result stats.Result
}

// End is when it was gone; the zero time while it is there.
func (r *Record) End() time.Time {
	if r.Ongoing {
		return time.Time{}
	}
	return r.At.Add(r.Open)
}

// Hello is how much is known of a hello.
type Hello uint8

// HelloNone is for connections that sent none, HelloNamed for those of whose hello
// all is kept. Of HelloUnnamed the server name is not: see the package's comment.
const (
	HelloNone Hello = iota
	HelloNamed
	HelloUnnamed
)

// Privacy is what is kept of an address.
type Privacy uint8

// The settings; see the package's comment for what each costs. The zero value
// gives least away.
const (
	Pseudonym Privacy = iota // something made of it with a key
	Truncated                // its network: IPv4 /24, IPv6 /48
	Full                     // all of it
)

var privacyNames = [...]string{Pseudonym: "pseudonym", Truncated: "truncated", Full: "full"}

// String is "pseudonym", "truncated" or "full".
func (p Privacy) String() string {
	if int(p) >= len(privacyNames) {
		return fmt.Sprintf("privacy(%d)", uint8(p))
	}
	return privacyNames[p]
}

// ParsePrivacy reads a setting as String writes it.
func ParsePrivacy(text string) (Privacy, error) {
	for p, name := range privacyNames {
		if text == name {
			return Privacy(p), nil
		}
	}
	return 0, fmt.Errorf("privacy %q: want full, truncated or pseudonym", text)
}
