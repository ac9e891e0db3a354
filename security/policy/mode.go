package policy

import (
	"fmt"
	"strconv"
)

// Mode says what a control's verdict does. The zero Mode is Off.
type Mode uint8

// The modes.
const (
	// Off: the control is not asked.
	Off Mode = iota
	// Monitor: the control is asked and its refusals are reported, and the connection goes on.
	Monitor
	// Enforce: a refusal takes effect.
	Enforce
)

var modeNames = [...]string{Off: "off", Monitor: "monitor", Enforce: "enforce"}

// String returns "off", "monitor" or "enforce", or "mode(n)" for other values.
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return "mode(" + strconv.Itoa(int(m)) + ")"
	}
	return modeNames[m]
}

// ParseMode reads a mode as String writes it.
func ParseMode(text string) (Mode, error) {
	for m, name := range modeNames {
		if name == text {
			return Mode(m), nil
		}
	}
	return Off, fmt.Errorf("mode %q: want off, monitor or enforce", text)
}

// Names of the built-in controls. A control has one name everywhere: check, metric label, event, configuration.
const (
	// ConnsTotal bounds all client connections together. It is a memory bound.
	ConnsTotal = "conns.total"
	// HalfOpen bounds the connections that have not finished their handshake. It is a memory bound, and no check: the oldest gives way.
	HalfOpen = "conns.half_open"
	// ConnsAddr bounds the connections of one client address, or of one /64 for IPv6.
	ConnsAddr = "conns.addr"
	// RateAccept bounds new connections per time and address prefix.
	RateAccept = "rate.accept"
)

// MemoryBound reports whether a control keeps the process within its memory. Such a control is always enforced, whatever the policy says:
// with it in monitor, a flood would take the process down and every user with it.
func MemoryBound(control string) bool { return control == ConnsTotal || control == HalfOpen }
