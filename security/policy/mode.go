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

// MarshalText is String; a number that is no mode is an error.
func (m Mode) MarshalText() ([]byte, error) {
	if int(m) >= len(modeNames) {
		return nil, fmt.Errorf("%v is none", m)
	}
	return []byte(m.String()), nil
}

// UnmarshalText is ParseMode.
func (m *Mode) UnmarshalText(text []byte) error {
	parsed, err := ParseMode(string(text))
	if err == nil {
		*m = parsed
	}
	return err
}
