package access

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that a zone means the same on a machine without zone files
)

const (
	maxSchedule = 512 // bytes of a schedule's text
	maxWindows  = 32
	dayMinutes  = 24 * 60
)

// Schedule is hours of the week, on the clock of one zone:
//
//	mon-fri 08:00-18:00 Europe/Berlin
//	mon-fri 08:00-18:00; sat,sun 10:00-14:00 Europe/Berlin
//	22:00-06:00                                             every day, UTC
//
// A window that ends at or before its beginning goes on until then on the next
// day, and belongs to the day it begins on. When clocks change, the hours are those
// the clock shows: what it leaves out does not occur, what it shows twice occurs
// twice. The zero Schedule is always.
type Schedule struct{ s *schedule }

type schedule struct {
	windows []window
	zone    *time.Location
}

type window struct {
	days     uint8 // bit time.Weekday
	from, to int   // minutes of the day
}

const everyDay = 1<<7 - 1

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseSchedule reads a schedule; no text is always.
func ParseSchedule(text string) (Schedule, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Schedule{}, nil
	}
	if len(text) > maxSchedule {
		return Schedule{}, fmt.Errorf("schedule %s is longer than %d bytes", quote(text), maxSchedule)
	}
	parts := strings.Split(text, ";")
	if len(parts) > maxWindows {
		return Schedule{}, fmt.Errorf("schedule %s has more than %d windows", quote(text), maxWindows)
	}
	s := schedule{zone: time.UTC}
	zone := ""
	for _, part := range parts {
		w, name, err := parseWindow(part)
		if err != nil {
			return Schedule{}, fmt.Errorf("schedule %s: %w", quote(text), err)
		}
		if name != "" && zone != "" && name != zone {
			return Schedule{}, fmt.Errorf("schedule %s: one zone for all windows, not %s and %s", quote(text), quote(zone), quote(name))
		}
		if name != "" {
			zone = name
		}
		s.windows = append(s.windows, w)
	}
	if zone != "" {
		var err error
		if s.zone, err = loadZone(zone); err != nil {
			return Schedule{}, fmt.Errorf("schedule %s: %w", quote(text), err)
		}
	}
	return Schedule{&s}, nil
}

// loadZone takes names of the zone database only: "Local" means something else on
// every machine.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("no zone %s: want one like Europe/Berlin or UTC", quote(name))
	}
	return zone, nil
}

// parseWindow reads [days] HH:MM-HH:MM [zone].
func parseWindow(text string) (w window, zone string, err error) {
	words := strings.Fields(text)
	w.days = everyDay
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		if w.days, err = parseDays(words[0]); err != nil {
			return window{}, "", err
		}
		words = words[1:]
	}
	if len(words) == 0 || len(words) > 2 {
		return window{}, "", fmt.Errorf("%s is no window like mon-fri 08:00-18:00", quote(strings.TrimSpace(text)))
	}
	from, to, ok := strings.Cut(words[0], "-")
	if !ok {
		return window{}, "", fmt.Errorf("%s are no hours like 08:00-18:00", quote(words[0]))
	}
	if w.from, err = parseClock(from); err != nil {
		return window{}, "", err
	}
	if w.to, err = parseClock(to); err != nil {
		return window{}, "", err
	}
	if w.from == dayMinutes {
		return window{}, "", fmt.Errorf("a window begins at 00:00, not at 24:00")
	}
	if w.from == w.to {
		return window{}, "", fmt.Errorf("%s is empty: the whole day is 00:00-24:00", quote(words[0]))
	}
	if len(words) == 2 {
		zone = words[1]
	}
	return w, zone, nil
}

// parseClock reads HH:MM, up to 24:00.
func parseClock(text string) (int, error) {
	h, m, ok := strings.Cut(text, ":")
	if ok && len(h) == 2 && len(m) == 2 {
		hours, bad1 := strconv.ParseUint(h, 10, 8)
		minutes, bad2 := strconv.ParseUint(m, 10, 8)
		if at := int(hours)*60 + int(minutes); bad1 == nil && bad2 == nil && minutes < 60 && at <= dayMinutes {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%s is no time of day like 08:00", quote(text))
}

// parseDays reads days and spans of days with commas between, or "daily".
func parseDays(text string) (days uint8, err error) {
	low := strings.ToLower(text)
	if low == "daily" {
		return everyDay, nil
	}
	for _, part := range strings.Split(low, ",") {
		first, second, span := strings.Cut(part, "-")
		from, to := dayOf(first), dayOf(second)
		if !span {
			to = from
		}
		if from < 0 || to < 0 {
			return 0, fmt.Errorf("%s are no days like mon-fri or sat,sun", quote(text))
		}
		for day := from; ; day = (day + 1) % 7 {
			days |= 1 << day
			if day == to {
				break
			}
		}
	}
	return days, nil
}

func dayOf(text string) int {
	for i, name := range dayNames {
		if name == text {
			return i
		}
	}
	return -1
}

// IsZero tells whether this is always.
func (s Schedule) IsZero() bool { return s.s == nil }

// String is the schedule as ParseSchedule reads it, with its zone; "" for always.
func (s Schedule) String() string {
	if s.s == nil {
		return ""
	}
	var b strings.Builder
	for i, w := range s.s.windows {
		if i > 0 {
			b.WriteString("; ")
		}
		if w.days != everyDay {
			b.WriteString(daysText(w.days) + " ")
		}
		fmt.Fprintf(&b, "%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
	}
	return b.String() + " " + s.s.zone.String()
}

// daysText begins with Monday and writes three days and more that follow one
// another as a span.
func daysText(days uint8) string {
	var parts []string
	for at := 0; at < 7; {
		n := 0
		for at+n < 7 && days&(1<<((1+at+n)%7)) != 0 {
			n++
		}
		first, last := dayNames[(1+at)%7], dayNames[(at+max(n, 1))%7]
		switch {
		case n >= 3:
			parts = append(parts, first+"-"+last)
		case n == 2:
			parts = append(parts, first, last)
		case n == 1:
			parts = append(parts, first)
		}
		at += n + 1
	}
	return strings.Join(parts, ",")
}

// MarshalText is String.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSchedule.
func (s *Schedule) UnmarshalText(text []byte) error {
	parsed, err := ParseSchedule(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// Active tells whether a time is within the schedule.
func (s Schedule) Active(now time.Time) bool {
	if s.s == nil {
		return true
	}
	local := now.In(s.s.zone)
	day := int(local.Weekday())
	minute := local.Hour()*60 + local.Minute()
	today, yesterday := uint8(1)<<day, uint8(1)<<((day+6)%7)
	for _, w := range s.s.windows {
		over := w.to <= w.from
		if w.days&today != 0 && minute >= w.from && (over || minute < w.to) || over && w.days&yesterday != 0 && minute < w.to {
			return true
		}
	}
	return false
}

// Next is when Active changes next after a time; zero when it never does.
func (s Schedule) Next(now time.Time) time.Time {
	if s.s == nil {
		return time.Time{}
	}
	const ahead = 9 * 24 * time.Hour // a week and what a change of clocks may add
	was := s.Active(now)
	var next time.Time
	try := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) && s.Active(at) != was {
			next = at
		}
	}
	// What changes it is a time of day, at any difference from UTC that the zone has
	// in these days, or a change of that difference.
	offsets := map[int]bool{}
	for at := now.In(s.s.zone); at.Before(now.Add(ahead)); {
		_, offset := at.Zone()
		offsets[offset] = true
		_, end := at.ZoneBounds()
		if end.IsZero() {
			break
		}
		try(end)
		at = end
	}
	y, m, d := now.In(s.s.zone).Date()
	for day := -1; day <= 9; day++ {
		midnight := time.Date(y, m, d+day, 0, 0, 0, 0, time.UTC)
		for offset := range offsets {
			at := midnight.Add(-time.Duration(offset) * time.Second)
			try(at)
			for _, w := range s.s.windows {
				try(at.Add(time.Duration(w.from) * time.Minute))
				try(at.Add(time.Duration(w.to) * time.Minute))
			}
		}
	}
	return next
}
