// Package load is the near side of every measurement: the simulated Telegram clients, in one event loop that costs less than any proxy.
//
// A Spec says what to do. Before the measured part every run makes a few small exchanges with real ciphers and compares every byte, so that
// no fast but wrong proxy gets a figure. In the measured part clients only count: they do not decrypt what they receive and send garbage
// of the right shape.
//
// One Load belongs to one goroutine. Linux only.
package load

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Mode is how clients speak to the proxy.
type Mode string

// Modes of a client.
const (
	Plain   Mode = "plain"   // obfuscated2 without secret, for relays that only move bytes and for no proxy at all
	Classic Mode = "classic" // obfuscated2 with the secret, intermediate framing
	Secure  Mode = "dd"      // the same with padded framing
	FakeTLS Mode = "ee"
)

// Work is what the clients do.
type Work string

// Kinds of work.
const (
	Download  Work = "download"  // Conns connections fetch Bytes each, paced by Rate when it is not 0
	Upload    Work = "upload"    // Conns connections send Bytes each
	Sessions  Work = "sessions"  // Conns clients set up Count sessions in all: connect, handshake, one echo of Size, reset
	Idle      Work = "idle"      // Conns sessions of one echo of Size stay open
	Slow      Work = "slow"      // Conns clients ask for Bytes each and never read
	Echo      Work = "echo"      // Conns connections share PerSecond echoes of Size for Seconds
	Strangers Work = "strangers" // Conns clients with a wrong key for Seconds, beside one good client
)

// Spec is one run of the load generator.
type Spec struct {
	Work   Work
	Mode   Mode
	Proxy  netip.AddrPort
	Secret string // 32 hex digits
	Domain string
	DC     int16

	Conns     int
	Bytes     int64
	Chunk     uint32
	Rate      int64
	Count     int
	Size      int
	PerSecond int
	Seconds   float64

	StrangerFrom netip.Addr    // so that limits per address tell the good client from the others
	Hold         time.Duration // how long a stranger waits for a word from the proxy
	Unchecked    bool          // leave the comparison of bytes out
	Deadline     time.Duration
}

// Report is what a run found. Fields that do not concern the work are zero.
type Report struct {
	Wall     float64 // seconds
	Payload  int64   // bytes received or sent in the measured part
	Sessions int     // finished ones, of all clients or of strangers
	Failures int
	Failure  string // the last one

	P50, P90, P99, Max float64 // µs: of a session's set-up or of an echo; of the good client's set-up among strangers
	Samples            int

	Answered, HungUp, Held int // what happened to strangers
}

func (s *Spec) secret() ([]byte, error) {
	if s.Mode == Plain {
		return nil, nil
	}
	b, err := hex.DecodeString(s.Secret)
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("secret is not 32 hex digits")
	}
	return b, nil
}

func (s *Spec) validate() error {
	if s.Conns < 1 {
		return fmt.Errorf("%s: no connections", s.Work)
	}
	switch s.Mode {
	case Plain, Classic, Secure, FakeTLS:
	default:
		return fmt.Errorf("unknown mode %q", s.Mode)
	}
	switch s.Work {
	case Download, Upload, Idle, Slow:
		return nil
	case Sessions:
		if s.Count < 1 {
			return fmt.Errorf("no sessions")
		}
	case Echo:
		if s.PerSecond < 1 || s.Size < 1 || s.Seconds <= 0 {
			return fmt.Errorf("echoes need a size, a frequency and a duration")
		}
	case Strangers:
		if s.Seconds <= 0 || s.Hold <= 0 {
			return fmt.Errorf("strangers need a duration and a time to wait")
		}
	default:
		return fmt.Errorf("unknown work %q", s.Work)
	}
	return nil
}

// samples collects durations.
type samples []time.Duration

func (s samples) into(r *Report) {
	r.Samples = len(s)
	if len(s) == 0 {
		return
	}
	slices.Sort(s)
	at := func(q float64) float64 {
		return float64(s[int(q*float64(len(s)-1))].Nanoseconds()) / 1e3
	}
	r.P50, r.P90, r.P99, r.Max = at(0.5), at(0.9), at(0.99), at(1)
}
