package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ByteRate is a steady rate of bytes with a burst. The zero ByteRate is no bound.
type ByteRate struct {
	// PerSecond are the bytes per second in the long run.
	PerSecond int64
	// Burst is how many bytes may go at once after a quiet time; 0 means as many as PerSecond.
	Burst int64
}

// maxBytes bounds a rate and a burst: 1 TiB, beyond every network card, and far from overflow in any product.
const maxBytes = 1 << 40

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// Unlimited reports whether the rate is no bound.
func (r ByteRate) Unlimited() bool { return r.PerSecond <= 0 }

// burst is Burst with its default.
func (r ByteRate) burst() int64 {
	if r.Burst > 0 {
		return r.Burst
	}
	return r.PerSecond
}

// ParseByteRate reads a rate such as "512KiB/s" or "8KiB/s burst 256KiB". "0" is the zero ByteRate.
func ParseByteRate(text string) (ByteRate, error) {
	s := strings.TrimSpace(text)
	if s == "0" {
		return ByteRate{}, nil
	}
	rate, burst, hasBurst := strings.Cut(s, " burst ")
	size, perSecond := strings.CutSuffix(rate, "/s")
	if !perSecond {
		return ByteRate{}, fmt.Errorf("rate %q: want bytes per second, such as \"512KiB/s\"", text)
	}
	var r ByteRate
	var err error
	if r.PerSecond, err = parseBytes(size); err != nil {
		return ByteRate{}, fmt.Errorf("rate %q: %w", text, err)
	}
	if r.Burst = r.PerSecond; hasBurst {
		if r.Burst, err = parseBytes(burst); err != nil {
			return ByteRate{}, fmt.Errorf("rate %q: burst: %w", text, err)
		}
	}
	return r, nil
}

var errBytes = errors.New("want a whole number with B, KiB, MiB or GiB, at most 1024GiB")

func parseBytes(text string) (int64, error) {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63) // takes no sign
		if err != nil || n < 1 || n > uint64(maxBytes/u.size) {
			return 0, errBytes
		}
		return int64(n) * u.size, nil
	}
	return 0, errBytes
}

// String returns the rate in the form ParseByteRate reads.
func (r ByteRate) String() string {
	if r.Unlimited() {
		return "0"
	}
	s := formatBytes(r.PerSecond) + "/s"
	if r.Burst > 0 && r.Burst != r.PerSecond {
		s += " burst " + formatBytes(r.Burst)
	}
	return s
}

func formatBytes(n int64) string {
	for _, u := range byteUnits {
		if n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return "" // not reached: the last unit is one byte
}
