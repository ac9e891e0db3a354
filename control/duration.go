package control

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is read and written in days too: "30d",
// "7d12h", "90m", "0s".
type Duration time.Duration

const day = 24 * time.Hour

// maxDuration keeps sums of times far from overflow.
const maxDuration = 100 * 366 * day

// ParseDuration reads whole weeks and days (w, d) followed by what
// time.ParseDuration reads. A negative one is refused, as is more than a century.
func ParseDuration(text string) (Duration, error) {
	var sum time.Duration
	rest := text
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, behind, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || time.Duration(n) > maxDuration/unit.length {
			return 0, fmt.Errorf("duration %q: want something like 30d, 12h or 90m, up to a century", text)
		}
		sum += time.Duration(n) * unit.length
		rest = behind
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("duration %q: want something like 30d, 12h or 90m", text)
		}
		sum += d
	}
	if text == "" || sum > maxDuration {
		return 0, fmt.Errorf("duration %q: want something like 30d, 12h or 90m, up to a century", text)
	}
	return Duration(sum), nil
}

// String is the shortest form that ParseDuration reads back.
func (d Duration) String() string {
	rest := time.Duration(d)
	if rest < day {
		return short(rest)
	}
	text := strconv.Itoa(int(rest/day)) + "d"
	if rest %= day; rest > 0 {
		text += short(rest)
	}
	return text
}

// short is d without the zeros that time.Duration writes: "1h", not "1h0m0s".
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

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
