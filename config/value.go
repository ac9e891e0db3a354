package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads what time.ParseDuration reads, and d (24 hours) and w (7
// days) besides. Negative durations are refused: no key has a use for one.
func ParseDuration(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	if text == "" {
		return 0, errors.New("empty")
	}
	if text[0] == '-' {
		return 0, errors.New("negative")
	}
	var sum time.Duration
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unit := strings.IndexAny(rest[digits:]+"0", "0123456789.")
		if digits == 0 {
			return 0, errors.New("a number is missing")
		}
		part, err := durationPart(rest[:digits], rest[digits:digits+unit])
		if err != nil {
			return 0, err
		}
		if part > math.MaxInt64-sum {
			return 0, errors.New("too long")
		}
		sum += part
		rest = rest[digits+unit:]
	}
	return sum, nil
}

func durationPart(number, unit string) (time.Duration, error) {
	var long time.Duration
	switch unit {
	case "d":
		long = 24 * time.Hour
	case "w":
		long = 7 * 24 * time.Hour
	case "":
		return 0, errors.New("a unit is missing")
	default:
		part, err := time.ParseDuration(number + unit)
		if err != nil {
			return 0, fmt.Errorf("unit or number unknown in %q", number+unit)
		}
		return part, nil
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		if whole > math.MaxInt64/int64(long) {
			return 0, errors.New("too long")
		}
		return time.Duration(whole) * long, nil
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", number)
	}
	if value *= float64(long); value >= math.MaxInt64 {
		return 0, errors.New("too long")
	}
	return time.Duration(value), nil
}

// FormatDuration writes a duration as short as ParseDuration can read it back:
// "10m" and not "10m0s".
func FormatDuration(d time.Duration) string {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d >= week && d%week == 0:
		return strconv.FormatInt(int64(d/week), 10) + "w"
	case d >= day && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// parsePrefix reads a prefix or a single address. Bits behind the prefix are
// refused, because they show that something else was meant.
func parsePrefix(text string) (p netip.Prefix, problem, hint string) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return p, fmt.Sprintf("%q has a zone", text), "a prefix cannot have one"
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), "", ""
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Sprintf("must hold prefixes, and %q is none", text), `such as "10.0.0.0/8" or "2001:db8::/32"`
	case p.Masked() != p:
		return p, fmt.Sprintf("has bits behind the prefix in %q", text), fmt.Sprintf("did you mean %q?", p.Masked())
	case p.Bits() == 0:
		return p, fmt.Sprintf("takes everybody, with %q", text), "whom it names is believed: list your own machines and balancers"
	}
	return p, "", ""
}

// isHostName reports whether name is a lower-case host name with labels of
// letters, digits and dashes, which is what may stand in a hello and a certificate.
func isHostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// number writes an integer with underscores, as the file's examples do.
func number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "_" + digits[i:]
	}
	return digits
}
