package keys

import (
	"fmt"
	"strconv"
)

// State is where a key stands in its life. Along the way the number only rises, but
// for a retiring key that becomes the active one again.
//
//	Pending → Active ⇄ Retiring → Retired
//	                            ↘ Expired, Revoked: from any state before, Revoked also from Retired and Expired
type State uint8

// The states; the zero value is none.
const (
	Pending  State = iota + 1 // waits for its time
	Active                    // the one that links are made of
	Retiring                  // still accepted beside its successor
	Retired                   // replaced
	Expired                   // its time is over
	Revoked                   // withdrawn, for a reason
)

var stateNames = [...]string{
	Pending: "pending", Active: "active", Retiring: "retiring", Retired: "retired", Expired: "expired", Revoked: "revoked",
}

// String is the state's name in lower case.
func (s State) String() string {
	if !s.known() {
		return "state(" + strconv.Itoa(int(s)) + ")"
	}
	return stateNames[s]
}

// ParseState reads a state as String writes it.
func ParseState(text string) (State, error) {
	for s := Pending; s.known(); s++ {
		if stateNames[s] == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("state %q: want pending, active, retiring, retired, expired or revoked", text)
}

// Accepted tells whether clients with such a key are let in.
func (s State) Accepted() bool { return s == Active || s == Retiring }

// Final tells whether a key in this state is never accepted again.
func (s State) Final() bool { return s >= Retired && s.known() }

// MarshalText is String; a number that is no state is an error.
func (s State) MarshalText() ([]byte, error) {
	if !s.known() {
		return nil, fmt.Errorf("%v is none", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText is ParseState.
func (s *State) UnmarshalText(text []byte) error {
	parsed, err := ParseState(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

func (s State) known() bool { return s >= Pending && s <= Revoked }

// leadsTo tells whether a key may go from s to next, whatever states it skips.
func (s State) leadsTo(next State) bool {
	if s == Retiring && next == Active {
		return true // taken back in time: both are accepted
	}
	if !next.known() || next < s {
		return false
	}
	return next == s || !s.Final() || next == Revoked
}
