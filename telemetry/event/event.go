// Package event carries what happens to connections from the place where it happens to whoever wants to know.
//
// One flat [Event] type serves detectors, the live event stream and tests. A [Bus] hands events to its subscribers without ever making the
// emitter wait: an event that a subscriber has no room for is dropped for that subscriber and counted. The package does not log, store or
// aggregate; numbers that must be complete are counted in telemetry/stats, not derived from events.
//
//	bus := event.NewBus()
//	sub := bus.Subscribe("threat", 1024)
//	go func() { for e := range sub.C() { … } }()
//	bus.Emit(event.Event{Time: now, Kind: event.Accepted, Conn: 7, Addr: addr})
//	sub.Close() // ends the loop
//
// A Bus and its Subscriptions may be used from any number of goroutines. The package starts none.
package event

import (
	"net/netip"
	"strconv"
	"time"
)

// Kind says what happened. The zero Kind is invalid.
type Kind uint8

// The kinds of event.
const (
	// Accepted: a connection was let in; Conn and Addr are set.
	Accepted Kind = 1 + iota
	// Refused: a control in mode enforce ended a connection's way to Telegram; Control, Reason and Mode are set.
	Refused
	// WouldRefuse: a control in mode monitor would have refused; the connection went on.
	WouldRefuse
	// Authenticated: a hello matched a secret; User, Key and Transport are set.
	Authenticated
	// HandshakeFailed: a connection did not become a session; Received are the bytes of its handshake and Took how long it took; Reason is the result, as in the handshakes metric, or what became of the client's
	// key or user. User and Key are set where a secret matched all the same.
	HandshakeFailed
	// Relayed: a session ended; Sent, Received and Took cover all of it.
	Relayed
	// Covered: a connection that was shown the cover site ended.
	Covered
	// UpstreamFailed: Telegram could not be reached for a session; DC and Reason are set.
	UpstreamFailed
	// CheckFailed: a check did not reach a verdict and the connection went on; Control and Reason are set.
	CheckFailed
	// Reload: the configuration was read again; Reason is empty on success.
	Reload
	// Tripwire: somebody used a secret that was revoked; User and Key are set. HandshakeFailed tells of the same connection.
	Tripwire
	// CryptoCheck: the sources of [advisory] were asked; Reason is the verdict: ok, unknown or found.
	CryptoCheck
	// Guess: somebody asked for what is not his. Control is "admin" or "pages", Reason what he asked for.
	Guess
)

var kindNames = [...]string{
	Accepted:        "accepted",
	Refused:         "refused",
	WouldRefuse:     "would_refuse",
	Authenticated:   "authenticated",
	HandshakeFailed: "handshake_failed",
	Relayed:         "relayed",
	Covered:         "covered",
	UpstreamFailed:  "upstream_failed",
	CheckFailed:     "check_failed",
	Reload:          "reload",
	Tripwire:        "tripwire",
	CryptoCheck:     "crypto_check",
	Guess:           "guess",
}

// String returns the kind's name as used in logs and streams, or "kind(n)" for a value that is none of the constants.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// Kinds returns every valid kind in the order of the constants.
func Kinds() []Kind {
	out := make([]Kind, 0, len(kindNames)-1)
	for k := Accepted; int(k) < len(kindNames); k++ {
		out = append(out, k)
	}
	return out
}

// Hello is what a fake-TLS hello says. Its strings are from the wire, bounded and lower case or hexadecimal, and are for no log.
type Hello struct {
	ServerName string // the name asked for, at most 253 bytes; "" for none
	JA4        string // its fingerprint, 36 characters
	KeyShare   bool   // it offers a hybrid key exchange
}

// Event is one thing that happened. Fields that do not apply to a Kind stay zero. An Event never holds secret material: Key is a keys.ID.
// Strings come from closed sets or from configuration, never from the wire, but for those of Hello.
type Event struct {
	// Time is when it happened.
	Time time.Time
	// Kind says what happened.
	Kind Kind
	// Conn is the connection's number, unique within the process; 0 for events about no connection.
	Conn uint64
	// Addr is the client's address.
	Addr netip.Addr
	// User is the configured name of the user and Key the identifier of the secret that matched.
	User, Key string
	// Transport is "classic", "secure" or "faketls".
	Transport string
	// Control is the name of the control that judged, Reason its reason or the error class, Mode the control's mode, or "candidate" where
	// its candidate limits judged. Exception is the ID of the exception that spared the client an enforced refusal.
	Control, Reason, Mode, Exception string
	// DC is the data centre as the client asked for it, with the sign of a media request.
	DC int
	// Sent counts bytes towards the client, Received bytes from it.
	Sent, Received int64
	// Hello is set with Authenticated, UpstreamFailed, HandshakeFailed and Tripwire once a fake-TLS hello was read. It does not change.
	Hello *Hello
	// Took is how long the connection, the dial or the reload lasted.
	Took time.Duration
	// Skew is by how much the client's clock is behind ours, with the Reason "clock".
	Skew time.Duration
}

// Sink takes events. Emit must not block and must not keep the goroutine that called it waiting for a reader; it may be called concurrently.
type Sink interface {
	Emit(Event)
}

type discard struct{}

func (discard) Emit(Event) {}

// Discard returns a Sink that drops every event.
func Discard() Sink { return discard{} }
