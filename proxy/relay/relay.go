// Package relay moves bytes between two connections that are ready: a client
// and a DC, or a stranger and the cover site.
//
// It knows what has to happen to the bytes (TLS records taken off or put on,
// one cipher off and another on) and nothing else: no secrets are matched, no
// policy is asked, nothing is logged. Everything about a pair is in Session;
// when the pair has ended, Session.Done says how.
//
// Two engines keep the same contract, which conformance_test.go states:
//
//   - Loops (Linux): one event loop per core over raw descriptors. A session
//     owns no goroutine, and while it is idle no buffer, no pipe and no cipher
//     state. See loop_linux.go for the stages a byte goes through.
//   - Goroutines (everywhere): two goroutines per session, the plainest way
//     to say the same thing.
//
// Use:
//
//	engine, err := relay.New(relay.Auto)
//	handle := engine.Start(relay.Session{Client: c, Server: dc, Done: ended})
//	up, down := handle.Moved() // whenever somebody wants to know
//	handle.Kill(relay.Killed)  // if somebody wants it to end
//
// What both engines promise: order and completeness of the bytes; half-close
// in both directions (the end of one stream is passed on after its last byte,
// the other direction goes on); a reset is passed on as a reset; back pressure
// (while one side does not take bytes, the other is not read); a budget that is
// kept (while a direction has used it up, it is not read); memory per
// session that does not depend on what is offered; an end after Idle without a
// byte in either direction. All methods may be called concurrently.
package relay

import (
	"crypto/cipher"
	"fmt"
	"net"
	"runtime"
	"time"

	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/security/ratelimit"
)

// Session describes two connected peers. The engine owns both connections from
// Start on and closes them.
type Session struct {
	Client, Server net.Conn
	Up             Flow          // client to server
	Down           Flow          // server to client
	Idle           time.Duration // without a byte either way, pauses not counted; 0 is never
	// Throttle, unless it is nil, slows the session down. It may be set while the
	// session runs, which takes effect within a second.
	Throttle *ratelimit.Throttle
	// Done is called exactly once, after both connections were closed, possibly
	// before Start has returned. It runs on the engine's goroutine: it must not
	// block.
	Done func(Result)
}

// Flow says what happens to the bytes of one direction. The zero value copies
// them as they are, which on Linux the kernel does without showing them to us.
// The steps apply in the order of the fields.
type Flow struct {
	Unwrap  *faketls.Deframer // take TLS records off, going on from this state
	Decrypt *Cipher
	Encrypt *Cipher
	Wrap    bool // put TLS records on
}

// plain reports whether bytes go through untouched.
func (f *Flow) plain() bool {
	return f.Unwrap == nil && f.Decrypt == nil && f.Encrypt == nil && !f.Wrap
}

// Cipher is one obfuscated2 key stream at a position. A session that rests
// keeps only this and makes the AES state again when it wakes.
type Cipher struct {
	Key    obfs2.StreamKey
	Offset uint64

	stream cipher.Stream
}

// XOR applies the key stream to b and moves on by len(b).
func (c *Cipher) XOR(b []byte) {
	if c.stream == nil {
		c.stream = c.Key.Stream(c.Offset)
	}
	c.stream.XORKeyStream(b, b)
	c.Offset += uint64(len(b))
}

// rest gives the AES state (about 1 KiB) back; XOR makes it again.
func (c *Cipher) rest() {
	if c != nil {
		c.stream = nil
	}
}

// Reason says why a session ended.
type Reason uint8

// The reasons.
const (
	Closed    Reason = iota // both peers said their end
	Reset                   // a peer reset the connection or vanished
	Idled                   // nothing moved for Session.Idle
	Malformed               // a peer broke the record layer
	Killed                  // Handle.Kill: its key was revoked or its user removed
	Drained                 // the engine was closed
	Failed                  // this host could not go on (descriptors, memory)
)

var reasonNames = [...]string{"closed", "reset", "idle", "malformed", "killed", "drained", "failed"}

// String is the reason as logs and metrics carry it.
func (r Reason) String() string { return reasonNames[r] }

// Result is how a session ended. Up and Down count payload bytes: without TLS
// record headers.
type Result struct {
	Up, Down int64
	Reason   Reason
	Over     bool // bytes went beyond a rate of the Throttle at least once, if only one that is watched
}

// Engine runs sessions.
type Engine interface {
	// Start takes both connections over and returns at once.
	Start(Session) Handle
	// Active counts the sessions that run.
	Active() int
	// Close ends every session with Drained, waits until each Done has
	// returned, and frees what the engine holds. Start must not be called any
	// more; a session started meanwhile ends at once.
	Close()
}

// Handle names a session, while it runs and after. The zero Handle names none.
type Handle struct{ of running }

type running interface {
	kill(Reason)
	moved() (up, down int64)
}

// Kill asks the session to end with reason r and returns at once. On a session
// that has ended it does nothing.
func (h Handle) Kill(r Reason) {
	if h.of != nil {
		h.of.kill(r)
	}
}

// Moved is how many payload bytes have moved so far, as in Result. Neither
// number ever falls, and once Done has been called they are those of its Result.
// A session that could not be started, and the zero Handle, have moved none.
func (h Handle) Moved() (up, down int64) {
	if h.of == nil {
		return 0, 0
	}
	return h.of.moved()
}

// Kind names an engine.
type Kind string

// The engines. Auto is Loop where there is one.
const (
	Auto      Kind = "auto"
	Loop      Kind = "loop"
	Goroutine Kind = "goroutine"
)

// New starts the engine of that kind, with one loop per core.
func New(k Kind) (Engine, error) {
	switch k {
	case Goroutine:
		return NewGoroutines(), nil
	case Auto, "":
		if !haveLoops {
			return NewGoroutines(), nil
		}
		return newLoops(runtime.GOMAXPROCS(0))
	case Loop:
		return newLoops(runtime.GOMAXPROCS(0))
	}
	return nil, fmt.Errorf("relay engine %q: want auto, loop or goroutine", k)
}
