package control

import (
	"fmt"
	"time"

	"mtguard/security/policy"
)

// Duration is a time.Duration that is read and written in days too: "30d",
// "7d12h", "90m", "0s".
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads what policy.ParseSpan reads.
func ParseDuration(text string) (Duration, error) {
	d, err := policy.ParseSpan(text)
	if err != nil {
		return 0, fmt.Errorf("duration %q: want something like 30d, 12h or 90m, up to a century", text)
	}
	return Duration(d), nil
}

// String is the shortest form that ParseDuration reads back.
func (d Duration) String() string { return policy.FormatSpan(time.Duration(d)) }

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}
