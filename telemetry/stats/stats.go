// Package stats counts what the proxy does, cheaply enough for the path of every connection, and shows the counts to Prometheus.
//
// [Counters] is a struct of atomics with closed label sets: adding to it takes no lock and allocates nothing. [NewCollector] turns it into a
// prometheus.Collector; the library is met only when somebody scrapes. No label ever holds a client's address or a user's name. Events with
// details are the business of telemetry/event.
//
//	var c stats.Counters
//	c.Open.Inc()
//	c.Connections.Add(stats.OutcomeRelayed)
//	registry.MustRegister(stats.NewCollector(&c))
//
// Everything is safe for concurrent use. The zero Counters is ready; it must not be copied.
package stats

import (
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is how a connection ended.
type Outcome uint8

// The outcomes.
const (
	// OutcomeRelayed: it became a session with Telegram.
	OutcomeRelayed Outcome = iota
	// OutcomeCovered: the cover site answered it, or it was read and discarded.
	OutcomeCovered
	// OutcomeDenied: a memory bound closed it at once.
	OutcomeDenied
	// OutcomeLimited: a limit of the operator kept it from Telegram.
	OutcomeLimited
	// OutcomeError: Telegram could not be reached, or something failed on our side.
	OutcomeError
	outcomes
)

var outcomeNames = [outcomes]string{"relayed", "covered", "denied", "limited", "error"}

// String returns the outcome as the label value.
func (o Outcome) String() string { return outcomeNames[min(o, OutcomeError)] }

// Result is how a handshake ended.
type Result uint8

// The results. Each is a label value of its own; only ResultOK leads to a session.
const (
	ResultOK Result = iota
	ResultBadSecret
	ResultReplay
	ResultClock
	ResultServerName
	ResultMalformed
	ResultTimeout
	ResultBudget
	ResultEOF
	// ResultRevoked: a good hello of a secret that was revoked: somebody uses what should be nowhere any more.
	ResultRevoked
	// ResultExpired: a good hello of a secret whose time ended while the client was in its handshake.
	ResultExpired
	// ResultUser: the secret is good, and its user is not let in; the event says why.
	ResultUser
	// ResultRefused: a control in mode enforce refused what the hello says, or the client that it made known; the event says which.
	ResultRefused
	ResultError
	results
)

var resultNames = [results]string{
	"ok", "bad_secret", "replay", "clock", "server_name", "malformed", "timeout", "budget", "eof", "revoked", "expired", "user", "refused", "error",
}

// String returns the result as the label value.
func (r Result) String() string { return resultNames[min(r, ResultError)] }

// Verdict is what a control said about a connection.
type Verdict uint8

// The verdicts.
const (
	VerdictAllow Verdict = iota
	VerdictDeny
	VerdictMask
	// VerdictDelay: a session was held to a rate, or would have been, at least once. Counted when it ends.
	VerdictDelay
	verdicts
)

var verdictNames = [verdicts]string{"allow", "deny", "mask", "delay"}

// Mode is whether a control's verdict took effect.
type Mode uint8

// The modes. A control that is off makes no decisions.
const (
	ModeMonitor Mode = iota
	ModeEnforce
	// ModeCandidate: what the control's candidate limits would have said, beside the verdict that counted.
	ModeCandidate
	modes
)

var modeNames = [modes]string{"monitor", "enforce", "candidate"}

// Outcomes counts connections by how they ended.
type Outcomes struct{ by [outcomes]Counter }

// Add counts one connection. An unknown outcome counts as OutcomeError.
func (o *Outcomes) Add(out Outcome) { o.by[min(out, OutcomeError)].Inc() }

// All returns how many connections ended.
func (o *Outcomes) All() (n uint64) {
	for i := range o.by {
		n += o.by[i].Load()
	}
	return n
}

// Load returns how many connections ended so.
func (o *Outcomes) Load(out Outcome) uint64 { return o.by[min(out, OutcomeError)].Load() }

var transportNames = [...]string{"faketls", "secure", "classic", "unknown"}

func transportIndex(name string) int {
	for i, n := range transportNames {
		if n == name {
			return i
		}
	}
	return len(transportNames) - 1
}

// dcNames are the data centres with a label of their own; every other number, which a client may choose freely, is "other".
var dcNames = [...]string{"1", "2", "3", "4", "5", "203", "other"}

func dcIndex(dc int) int {
	switch {
	case 1 <= dc && dc <= 5:
		return dc - 1
	case dc == 203:
		return 5
	}
	return len(dcNames) - 1
}

// outcome pairs: index 0 counts successes, 1 failures.
var okNames = [2]string{"ok", "error"}

type okCounter [2]Counter

func (c *okCounter) add(ok bool) {
	if ok {
		c[0].Inc()
	} else {
		c[1].Inc()
	}
}

// pad keeps counters that every core writes all the time from sharing a cache line with their neighbours.
type pad [64]byte

// Counters is everything the node counts. Fields are written directly; what has labels is written through the methods.
type Counters struct {
	// Open is the number of client connections of any state, HalfOpen those still in the handshake, Connecting those between it and what
	// follows, Sessions those relayed to Telegram, CoverOpen those spliced to the cover site, and Silent those that are read and not
	// answered. They are changed by Accepted, Moved and Ended alone; Flow reads them together.
	Open, HalfOpen, Connecting, Sessions, CoverOpen, Silent Gauge
	// Connections counts ended connections; see Ended.
	Connections Outcomes
	flow        sync.RWMutex // read-held by who changes what Flow reads
	accepted    Counter
	// Trials counts secrets tried against hellos.
	Trials Counter

	handshakes     [len(transportNames)][results]Counter
	handshakeTook  Histogram
	dials          [len(dcNames)]okCounter
	dialTook       [len(dcNames)]Histogram
	coverDials     okCounter
	reloads        okCounter
	lastGoodReload atomic.Int64 // nanoseconds since 1970; 0 = never

	_         pad
	relayUp   Counter
	relayDown Counter
	_         pad

	controls   atomic.Pointer[map[string]*Control]
	controlsMu sync.Mutex // held to add a control
}

// Handshake counts one ended handshake. transport is "faketls", "secure" or "classic"; anything else counts as "unknown".
func (c *Counters) Handshake(transport string, r Result, took time.Duration) {
	c.handshakes[transportIndex(transport)][min(r, ResultError)].Inc()
	c.handshakeTook.Observe(took)
}

// Handshakes returns how many handshakes of a transport ended with r.
func (c *Counters) Handshakes(transport string, r Result) uint64 {
	return c.handshakes[transportIndex(transport)][min(r, ResultError)].Load()
}

// AllHandshakes returns how many handshakes of any transport ended, how many of them with a session, and how many because too many secrets
// were to be tried.
func (c *Counters) AllHandshakes() (all, good, budget uint64) {
	for t := range c.handshakes {
		for r := range c.handshakes[t] {
			all += c.handshakes[t][r].Load()
		}
		good += c.handshakes[t][ResultOK].Load()
		budget += c.handshakes[t][ResultBudget].Load()
	}
	return all, good, budget
}

// RelayBytes counts payload relayed from clients (up) and towards them (down).
func (c *Counters) RelayBytes(up, down int64) {
	c.relayUp.Add(up)
	c.relayDown.Add(down)
}

// Relayed returns the bytes counted by RelayBytes.
func (c *Counters) Relayed() (up, down uint64) { return c.relayUp.Load(), c.relayDown.Load() }

// Dial counts one attempt to reach a data centre. dc is the number without the marks for media and test; those that are not Telegram's
// count as "other". The time of failed attempts is not in the histogram, where a refusal would look like a fast connection.
func (c *Counters) Dial(dc int, ok bool, took time.Duration) {
	i := dcIndex(dc)
	c.dials[i].add(ok)
	if ok {
		c.dialTook[i].Observe(took)
	}
}

// DialsTo returns how many attempts to reach a data centre were good and how many were not; see Dial.
func (c *Counters) DialsTo(dc int) (ok, failed uint64) {
	n := &c.dials[dcIndex(dc)]
	return n[0].Load(), n[1].Load()
}

// CoverDial counts one attempt to reach the cover site.
func (c *Counters) CoverDial(ok bool) { c.coverDials.add(ok) }

// Reload counts one reading of the configuration at the given time, the one at start included.
func (c *Counters) Reload(ok bool, at time.Time) {
	c.reloads.add(ok)
	if ok {
		c.lastGoodReload.Store(at.UnixNano())
	}
}
