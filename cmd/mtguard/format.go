package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mtguard/control"
)

// clean makes foreign text fit to be printed in a line. Names and notes may hold what others
// wrote: an escape sequence would drive the terminal, and a character that turns the direction
// of writing would make one name look like another.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r) || turnsDirection(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
}

// turnsDirection tells the marks, embeddings, overrides and isolates of Unicode (UAX #9, 2).
func turnsDirection(r rune) bool {
	return r == 0x061c || r == 0x200e || r == 0x200f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

// cleanLines is clean for text of several lines.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}

const dateTime = "2006-01-02 15:04"

// when is a time for people: "2026-12-05 14:00 (in 3d)". A time that is not set is "".
func when(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format(dateTime) + " (" + distance(t.Sub(now)) + ")"
}

// soon is when without the date, for tables: "in 3d", "5m ago".
func soon(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return distance(t.Sub(now))
}

func distance(d time.Duration) string {
	switch text := about(max(d, -d)); {
	case text == "0s":
		return "now"
	case d < 0:
		return text + " ago"
	default:
		return "in " + text
	}
}

// about is a length of time in its largest unit.
func about(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return strconv.Itoa(int(d.Round(day/2)/day)) + "d"
	case d >= 2*time.Hour:
		return strconv.Itoa(int(d.Round(time.Hour)/time.Hour)) + "h"
	case d >= 2*time.Minute:
		return strconv.Itoa(int(d.Round(time.Minute)/time.Minute)) + "m"
	default:
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
}

// byteUnits are what sizes are read in; those that sizeText writes come first.
var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	for _, unit := range byteUnits[:4] {
		if n >= unit.size {
			value := float64(n) / float64(unit.size)
			digits := 0
			if value < 10 {
				digits = 1
			}
			return strings.TrimSuffix(strconv.FormatFloat(value, 'f', digits, 64), ".0") + " " + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// parseSize reads a size such as 10GiB, 500MB or 1048576.
func parseSize(text string) (int64, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits {
		if rest, found := strings.CutSuffix(number, u.name); found {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("size %q: want something like 10GiB or 500MB", text)
	}
	return n * unit, nil
}

// parseQuota reads 10GiB/month, 500MB/day or none.
func parseQuota(text string) (control.Quota, error) {
	if text == "none" {
		return control.Quota{}, nil
	}
	amount, per, found := strings.Cut(text, "/")
	if !found || per != "day" && per != "month" {
		return control.Quota{}, fmt.Errorf("quota %q: want something like 10GiB/month, 500MB/day or none", text)
	}
	n, err := parseSize(amount)
	if err != nil {
		return control.Quota{}, err
	}
	return control.Quota{Bytes: n, Per: per}, nil
}

func quotaText(q *control.Quota) string {
	if q == nil || q.Bytes == 0 {
		return ""
	}
	return sizeText(q.Bytes) + "/" + q.Per
}

// parseTime reads a point in time as people write it: a date, which means its first minute here,
// an RFC 3339 time, or a duration from now on.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, dateTime} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if d, err := control.ParseDuration(text); err == nil && d > 0 {
		return now.Add(time.Duration(d)).Truncate(time.Second), nil
	}
	return time.Time{}, fmt.Errorf("time %q: want a date (2026-12-31), an RFC 3339 time or a duration from now (30d)", text)
}

// parseExpiry is parseTime and "never", which is the zero time.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	return parseTime(text, now)
}

// plural is a number with its noun: "1 user", "3 users", "2 addresses".
func plural(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "s"):
		noun += "es"
	default:
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
