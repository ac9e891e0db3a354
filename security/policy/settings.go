package policy

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"mtguard/mtproto"
	"mtguard/security/ratelimit"
)

// looserBound compares bounds of which 0 is none.
func looserBound[T int | int64 | time.Duration](a, b T) bool {
	return b != 0 && (a == 0 || a > b)
}

// count is a number of things at once; 0 is no bound.
type count struct{ p *int }

func (c count) read(v *value) (problem, hint string) { return readCount(v, c.p) }
func (c count) check() (problem, hint string)        { return checkCount(*c.p) }
func (c count) text() string                         { return strconv.Itoa(*c.p) }
func (c count) looser(than setting) bool             { return looserBound(*c.p, *than.(count).p) }
func (c count) take(other setting)                   { *c.p = *other.(count).p }

// atLeast is a number that something must reach.
type atLeast struct{ p *int }

func (a atLeast) read(v *value) (problem, hint string) { return readCount(v, a.p) }
func (a atLeast) check() (problem, hint string)        { return checkCount(*a.p) }
func (a atLeast) text() string                         { return strconv.Itoa(*a.p) }
func (a atLeast) looser(than setting) bool             { return *a.p < *than.(atLeast).p }
func (a atLeast) take(other setting)                   { *a.p = *other.(atLeast).p }

func readCount(v *value, p *int) (problem, hint string) {
	if v.kind != kindInteger {
		return v.wrong("a whole number"), "such as 64, without quotes"
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(strings.ReplaceAll(v.text, "_", ""), "+"), 0, 64)
	if err != nil || n < 0 || n > maxCount {
		return "is out of range", "0 (no bound) to 1_000_000_000"
	}
	*p = int(n)
	return "", ""
}

func checkCount(n int) (problem, hint string) {
	if n < 0 || n > maxCount {
		return "is out of range", "0 (no bound) to 1_000_000_000"
	}
	return "", ""
}

// rate is a rate of events.
type rate struct{ p *ratelimit.Limit }

func (r rate) read(v *value) (problem, hint string) {
	const form = `such as "20/s", "30/m burst 90", or "0" for no bound`
	if v.kind != kindString {
		return v.wrong("a rate in quotes"), form
	}
	l, err := ratelimit.ParseLimit(v.text)
	if err != nil {
		return "is no rate: " + quote(v.text), form
	}
	*r.p = l
	return "", ""
}

func (r rate) check() (problem, hint string) {
	if l, err := ratelimit.ParseLimit(r.p.String()); err != nil || l.String() != r.p.String() {
		return "is out of range", "events per s, m or h, 1 to 1_000_000_000"
	}
	return "", ""
}

func (r rate) text() string       { return strconv.Quote(r.p.String()) }
func (r rate) take(other setting) { *r.p = *other.(rate).p }

func (r rate) looser(than setting) bool {
	a, b := *r.p, *than.(rate).p
	if b.Events <= 0 || b.Per <= 0 {
		return false
	}
	if a.Events <= 0 || a.Per <= 0 {
		return true
	}
	// events/per crosswise: big, since both factors may be large
	left := new(big.Int).Mul(big.NewInt(int64(a.Events)), big.NewInt(int64(b.Per)))
	right := new(big.Int).Mul(big.NewInt(int64(b.Events)), big.NewInt(int64(a.Per)))
	return left.Cmp(right) > 0 || burstOf(a) > burstOf(b)
}

func burstOf(l ratelimit.Limit) int {
	if l.Burst > 0 {
		return l.Burst
	}
	return l.Events
}

// byteRate is a rate of bytes.
type byteRate struct{ p *ByteRate }

func (r byteRate) read(v *value) (problem, hint string) {
	const form = `such as "512KiB/s", "8KiB/s burst 256KiB", or "0" for no bound`
	if v.kind != kindString {
		return v.wrong("a rate in quotes"), form
	}
	parsed, err := ParseByteRate(v.text)
	if err != nil {
		return "is no rate of bytes: " + quote(v.text), form
	}
	*r.p = parsed
	return "", ""
}

func (r byteRate) check() (problem, hint string) {
	if r.p.PerSecond < 0 || r.p.PerSecond > maxBytes || r.p.Burst < 0 || r.p.Burst > maxBytes {
		return "is out of range", "at most \"1024GiB/s\""
	}
	return "", ""
}

func (r byteRate) text() string       { return strconv.Quote(r.p.String()) }
func (r byteRate) take(other setting) { *r.p = *other.(byteRate).p }
func (r byteRate) looser(than setting) bool {
	a, b := *r.p, *than.(byteRate).p
	return !b.Unlimited() && (a.Unlimited() || a.PerSecond > b.PerSecond || a.burst() > b.burst())
}

// zeroSpan says what a span of zero means.
type zeroSpan uint8

const (
	refused    zeroSpan = iota // it is out of range
	unbounded                  // no bound: the loosest
	strictless                 // no wait: the loosest, and shorter is looser
)

// span is a time span.
type span struct {
	p         *time.Duration
	low, high time.Duration
	zero      zeroSpan
}

func (s span) read(v *value) (problem, hint string) {
	if v.kind == kindInteger {
		return v.wrong("a duration in quotes"), "a number needs a unit: " + strconv.Quote(v.text+"d")
	}
	if v.kind != kindString {
		return v.wrong("a duration in quotes"), `such as "90d" or "12h"`
	}
	d, err := parseSpan(v.text)
	if err != nil {
		return "is no duration: " + quote(v.text), `such as "90d", "12h" or "7d12h"`
	}
	*s.p = d
	return "", ""
}

func (s span) check() (problem, hint string) {
	if *s.p == 0 && s.zero != refused {
		return "", ""
	}
	if *s.p < s.low || *s.p > s.high || *s.p < 0 {
		hint = fmt.Sprintf("allowed: %q to %q", FormatSpan(s.low), FormatSpan(s.high))
		if s.zero == unbounded {
			hint += `, or "0s" for no bound`
		}
		return "is out of range", hint
	}
	return "", ""
}

func (s span) text() string       { return strconv.Quote(FormatSpan(*s.p)) }
func (s span) take(other setting) { *s.p = *other.(span).p }
func (s span) looser(than setting) bool {
	a, b := *s.p, *than.(span).p
	if s.zero == strictless {
		return a < b
	}
	return looserBound(a, b)
}

// yesNo is a yes or no.
type yesNo struct {
	p     *bool
	loose bool // the value that admits more
}

func (f yesNo) read(v *value) (problem, hint string) {
	if v.kind != kindBool {
		return v.wrong("true or false"), "one of these words, without quotes"
	}
	*f.p = v.text == "true"
	return "", ""
}
func (f yesNo) check() (problem, hint string) { return "", "" }
func (f yesNo) text() string                  { return strconv.FormatBool(*f.p) }
func (f yesNo) take(other setting)            { *f.p = *other.(yesNo).p }
func (f yesNo) looser(than setting) bool      { return *f.p != *than.(yesNo).p && *f.p == f.loose }

// unknown is what happens to addresses without a country.
type unknown struct{ deny *bool }

func (u unknown) read(v *value) (problem, hint string) {
	if v.kind != kindString || v.text != "allow" && v.text != "deny" {
		return "cannot be " + v.shown(), `"allow" or "deny"`
	}
	*u.deny = v.text == "deny"
	return "", ""
}
func (u unknown) check() (problem, hint string) { return "", "" }
func (u unknown) take(other setting)            { *u.deny = *other.(unknown).deny }
func (u unknown) looser(than setting) bool      { return !*u.deny && *than.(unknown).deny }
func (u unknown) text() string {
	if *u.deny {
		return `"deny"`
	}
	return `"allow"`
}

const transportWords = "faketls, secure or classic"

// least is the least transport.
type least struct{ p *mtproto.Transport }

func (l least) read(v *value) (problem, hint string) {
	t, err := mtproto.ParseTransport(v.text)
	if v.kind != kindString || err != nil {
		return "cannot be " + v.shown(), transportWords
	}
	*l.p = t
	return "", ""
}

func (l least) check() (problem, hint string) {
	if _, err := mtproto.ParseTransport(l.p.String()); err != nil {
		return "is no transport", transportWords
	}
	return "", ""
}
func (l least) text() string             { return strconv.Quote(l.p.String()) }
func (l least) take(other setting)       { *l.p = *other.(least).p }
func (l least) looser(than setting) bool { return *l.p < *than.(least).p }

// end is when something ends; the zero time is never.
type end struct{ p *time.Time }

func (e end) read(v *value) (problem, hint string) {
	const form = `a date without quotes, such as 2027-01-01, or "never"`
	switch {
	case v.kind == kindString && v.text == "never":
		*e.p = time.Time{}
		return "", ""
	case v.kind != kindDate:
		return v.wrong("a date"), form
	}
	at, err := time.Parse(time.DateOnly, v.text)
	if err != nil {
		if at, err = time.Parse(time.RFC3339Nano, strings.Replace(strings.ToUpper(v.text), " ", "T", 1)); err != nil {
			return "has no time zone: " + v.text, form + ", or 2027-01-01T12:00:00Z"
		}
	}
	*e.p = at.UTC()
	return "", ""
}

func (e end) check() (problem, hint string) {
	if y := e.p.UTC().Year(); !e.p.IsZero() && (y < 2000 || y > 9000) {
		return "is out of range", `the years 2000 to 9000, or "never"`
	}
	return "", ""
}

func (e end) take(other setting) { *e.p = *other.(end).p }
func (e end) text() string {
	at := e.p.UTC()
	switch {
	case at.IsZero():
		return `"never"`
	case at.Equal(at.Truncate(day)): // the zero time is a midnight, and days have 24 hours since
		return at.Format(time.DateOnly)
	}
	return at.Format(time.RFC3339Nano)
}
func (e end) looser(than setting) bool {
	b := *than.(end).p
	return !b.IsZero() && (e.p.IsZero() || e.p.After(b))
}

// share is a part of a whole that may be reached.
type share struct {
	p    *Share
	zero bool // 0 is no bound
}

func (s share) read(v *value) (problem, hint string) {
	parsed, ok := parseShare(v.text)
	if v.kind != kindString || !ok {
		return "cannot be " + v.shown(), `a share in quotes, such as "0.5%"`
	}
	*s.p = parsed
	return "", ""
}

func (s share) check() (problem, hint string) {
	if *s.p < 0 || *s.p > 10_000 {
		return "is out of range", `"0%" to "100%"`
	}
	return "", ""
}
func (s share) text() string       { return strconv.Quote(s.p.String()) }
func (s share) take(other setting) { *s.p = *other.(share).p }
func (s share) looser(than setting) bool {
	a, b := *s.p, *than.(share).p
	if s.zero {
		return looserBound(int(a), int(b))
	}
	return a > b
}
