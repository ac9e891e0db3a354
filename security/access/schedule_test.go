package access

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestSchedulesHaveOneText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"  ":                                "",
		"mon-fri 08:00-18:00 Europe/Berlin": "mon-fri 08:00-18:00 Europe/Berlin",
		"Mon-Fri  08:00-18:00   UTC":        "mon-fri 08:00-18:00 UTC",
		"22:00-06:00":                       "22:00-06:00 UTC",
		"daily 00:00-24:00":                 "00:00-24:00 UTC",
		"mon,tue,wed,thu,fri,sat,sun 01:00-02:00":                          "01:00-02:00 UTC",
		"sat,sun 10:00-14:00":                                              "sat,sun 10:00-14:00 UTC",
		"sun,sat 10:00-14:00":                                              "sat,sun 10:00-14:00 UTC",
		"fri-mon 20:00-04:00 America/New_York":                             "mon,fri-sun 20:00-04:00 America/New_York",
		"mon,wed,fri 08:00-09:00":                                          "mon,wed,fri 08:00-09:00 UTC",
		"mon-fri 08:00-18:00; sat 10:00-14:00 Europe/Berlin":               "mon-fri 08:00-18:00; sat 10:00-14:00 Europe/Berlin",
		"mon-fri 08:00-18:00 Europe/Berlin;sat 10:00-14:00":                "mon-fri 08:00-18:00; sat 10:00-14:00 Europe/Berlin",
		"mon-fri 08:00-18:00 Europe/Berlin; sat 10:00-14:00 Europe/Berlin": "mon-fri 08:00-18:00; sat 10:00-14:00 Europe/Berlin",
		"mon 00:00-00:01 Etc/GMT+5":                                        "mon 00:00-00:01 Etc/GMT+5",
	} {
		s, err := ParseSchedule(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, s, err, want)
			continue
		}
		raw, err := json.Marshal(s)
		var back Schedule
		if err != nil || json.Unmarshal(raw, &back) != nil || back.String() != want {
			t.Errorf("%q: JSON %s, %v", text, raw, err)
		}
	}
}

func TestWrongSchedulesAreRefusedWithASuggestion(t *testing.T) {
	for text, want := range map[string]string{
		"mon-fri":                          "no window like",
		"always":                           "mon-fri or sat,sun",
		"08:00":                            "no hours like",
		"08:00-8:30":                       "time of day like 08:00",
		"08:00-25:00":                      "time of day",
		"08:00-24:01":                      "time of day",
		"08:60-09:00":                      "time of day",
		"+8:00-09:00":                      "time of day",
		"08:00-08:00":                      "the whole day is 00:00-24:00",
		"24:00-08:00":                      "begins at 00:00",
		"monday 08:00-09:00":               "mon-fri",
		"mon- 08:00-09:00":                 "mon-fri",
		"mon,,tue 08:00-09:00":             "mon-fri",
		"08:00-09:00 Europe/Bonn":          "no zone",
		"08:00-09:00 Local":                "no zone",
		"08:00-09:00 ../../etc/passwd":     "no zone",
		"08:00-09:00 UTC; 10:00-11:00 GMT": "one zone for all",
		"08:00-09:00 UTC UTC":              "no window",
		"08:00-09:00;":                     "no window",
		";":                                "no window",
		strings.Repeat("01:00-02:00;", 40): "more than 32 windows",
		strings.Repeat("x", 600):           "longer than 512",
	} {
		s, err := ParseSchedule(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, s, err, want)
		}
		if !s.IsZero() {
			t.Errorf("%q: an error and %v", text, s)
		}
	}
}

// 23 November 2026 is a Monday. Berlin is an hour ahead of UTC then.
func TestHoursAreThoseOfTheZoneAndTheDayTheyBeginOn(t *testing.T) {
	for text, times := range map[string]map[string]bool{
		"mon-fri 08:00-18:00 Europe/Berlin": {
			"2026-11-23 06:59": false, "2026-11-23 07:00": true, "2026-11-23 16:59": true, "2026-11-23 17:00": false,
			"2026-11-28 10:00": false, "2026-11-29 10:00": false, "2026-07-01 06:00": true, "2026-07-01 16:00": false,
		},
		"fri 22:00-06:00": { // until Saturday morning, and not on Friday morning
			"2026-11-27 05:00": false, "2026-11-27 22:00": true, "2026-11-28 05:59": true, "2026-11-28 06:00": false, "2026-11-28 23:00": false,
		},
		"sun 22:00-06:00": {"2026-11-29 22:00": true, "2026-11-30 05:00": true, "2026-11-29 05:00": false},
		"wed 00:00-24:00": {"2026-11-24 23:59": false, "2026-11-25 00:00": true, "2026-11-25 23:59": true, "2026-11-26 00:00": false},
		"tue 12:00-00:00": {"2026-11-24 23:59": true, "2026-11-25 00:00": false},
		// The clock goes from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October.
		"02:30-03:30 Europe/Berlin": {
			"2026-03-29 00:59": false, "2026-03-29 01:00": true, "2026-03-29 01:29": true, "2026-03-29 01:30": false,
			"2026-10-25 00:30": true, "2026-10-25 01:00": false, "2026-10-25 01:30": true, "2026-10-25 02:29": true, "2026-10-25 02:30": false,
		},
	} {
		s := hours(t, text)
		for at, want := range times {
			if s.Active(instant(at)) != want {
				t.Errorf("%s at %s: %v", text, at, !want)
			}
		}
	}
	if !(Schedule{}).Active(time.Time{}) || !(Schedule{}).Next(epoch).IsZero() {
		t.Error("the zero schedule is not always")
	}
}

// TestNextIsTheNextChange compares Next with a walk from minute to minute, over the
// days on which clocks change too.
func TestNextIsTheNextChange(t *testing.T) {
	texts := append([]string{"02:30-03:30 Europe/Berlin", "sun 01:45-02:15 Australia/Lord_Howe", "00:00-24:00", "mon 00:00-24:00; tue-sun 00:00-24:00",
		"mon 12:00-12:01 Pacific/Apia", "sat 23:00-03:00; sun 02:00-04:00 America/New_York"}, schedules...)
	r := rand.New(rand.NewPCG(5, 5))
	for _, text := range texts {
		s := hours(t, text)
		for range 60 {
			days := []string{"2026-03-28 00:00", "2026-10-24 00:00", "2026-11-01 00:00", "2026-04-04 00:00", "2026-11-23 00:00"}
			from := instant(days[r.IntN(len(days))]).Add(time.Duration(r.IntN(3*24*3600)) * time.Second)
			was, want := s.Active(from), time.Time{}
			for at := from.Truncate(time.Minute).Add(time.Minute); at.Before(from.Add(8 * 24 * time.Hour)); at = at.Add(time.Minute) {
				if s.Active(at) != was {
					want = at
					break
				}
			}
			if got := s.Next(from); !got.Equal(want) {
				t.Errorf("%s after %v: %v, want %v", text, from, got.UTC(), want)
			}
		}
	}
}

func TestChecksOfHoursDoNotAllocate(t *testing.T) {
	s := hours(t, schedules[0])
	if n := testing.AllocsPerRun(100, func() { s.Active(epoch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, text := range append([]string{"", "08:00-18:00", "mon-fri 08:00-18:00;;", "sat-tue,thu 23:59-00:00 Asia/Kathmandu", "00:00-24:00 Z"}, schedules...) {
		f.Add(text, int64(1790000000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %v, which is read as %v, %v", text, s, again, err)
		}
		now := time.Unix(seconds%(1<<33), 0)
		if s.Active(now) != again.Active(now) {
			t.Fatalf("%q at %v: %v and %v", text, now, s.Active(now), again.Active(now))
		}
		if next := s.Next(now); !next.IsZero() && (!next.After(now) || s.Active(next) == s.Active(now)) {
			t.Fatalf("%q after %v: %v", text, now, next)
		}
	})
}
