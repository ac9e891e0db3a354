package policy

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var errSpan = errors.New("want a duration such as 90d, 12h or 7d12h")

// parseSpan is ParseSpan for a document, where no sign stands.
func parseSpan(text string) (time.Duration, error) {
	if strings.ContainsAny(text, "+-") {
		return 0, errSpan
	}
	return ParseSpan(text)
}

// ParseSpan reads whole weeks and days (w, d) followed by what [time.ParseDuration] reads: "30d", "7d12h", "90m", "0s". A negative one is
// refused, as is more than a century.
func ParseSpan(text string) (time.Duration, error) {
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
		if err != nil || time.Duration(n) > century/unit.length {
			return 0, errSpan
		}
		sum, rest = sum+time.Duration(n)*unit.length, behind
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > century {
			return 0, errSpan
		}
		sum += d
	}
	if text == "" || sum > century {
		return 0, errSpan
	}
	return sum, nil
}

// FormatSpan is the shortest form that ParseSpan reads back.
func FormatSpan(d time.Duration) string {
	text := ""
	if d >= day {
		text = strconv.FormatInt(int64(d/day), 10) + "d"
		if d %= day; d == 0 {
			return text
		}
	}
	rest := d.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return text + rest
}

// parseShare reads "0%", "0.5%", "12.25%".
func parseShare(text string) (Share, bool) {
	number, percent := strings.CutSuffix(text, "%")
	whole, fraction, dotted := strings.Cut(number, ".")
	if !percent || dotted && (fraction == "" || len(fraction) > 2) {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+(fraction + "00")[:2], 10, 16)
	return Share(n), err == nil && whole != "" && n <= 10_000
}

// String is the share in percent: "0.5%".
func (s Share) String() string {
	text := strconv.FormatFloat(float64(s)/100, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
}

// quote is strconv.Quote of as much of a text as fits a line.
func quote(text string) string {
	const longest = 80
	if utf8.RuneCountInString(text) > longest {
		text = string([]rune(text)[:longest]) + "…"
	}
	return strconv.Quote(text)
}

// pathOf joins the parts of a path as the document spells them.
func pathOf(parts []string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if isBare(part) {
			b.WriteString(part)
		} else {
			b.WriteString(quote(part))
		}
	}
	return b.String()
}

func isBare(part string) bool {
	return part != "" && len(part) <= 80 && !strings.ContainsFunc(part, func(r rune) bool {
		return r > unicode.MaxASCII || r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// shownPath is a path of this package as the document spells it: a control's name in quotes.
func shownPath(path string) string {
	name, ok := strings.CutPrefix(path, "controls.")
	if !ok {
		return path
	}
	if control, ok := strings.CutSuffix(name, ".candidate"); ok {
		return `controls."` + control + `".candidate`
	}
	return `controls."` + name + `"`
}
