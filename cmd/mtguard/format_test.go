package main

import (
	"testing"
	"time"

	"mtguard/control"
)

func TestWhatOthersWroteCannotDriveTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                     "alice",
		"Алиса, علی, 爱丽丝":           "Алиса, علی, 爱丽丝",
		"\x1b[2Jalice":              "[2Jalice",
		"\x1b]0;title\x07alice":     "]0;titlealice",
		"a\u009b31mb":               "a31mb",
		"a\u202ebob\u2066c":         "abobc",
		"two\nlines\tand\ra return": "two lines anda return",
		"bad\xffbytes":              "badbytes",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := cleanLines("a\x1b\nb\x07"); got != "a\nb" {
		t.Errorf("got %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31malice\x1b[0m")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range clean(text) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || turnsDirection(r) {
				t.Errorf("%q left %U", text, r)
			}
		}
	})
}

func TestTimesSayHowFarTheyAre(t *testing.T) {
	now := time.Date(2026, 12, 2, 14, 0, 0, 0, time.Local)
	for d, want := range map[time.Duration]string{
		0:                     "now",
		30 * time.Second:      "in 30s",
		-90 * time.Second:     "90s ago",
		5 * time.Minute:       "in 5m",
		-47 * time.Hour:       "47h ago",
		72 * time.Hour:        "in 3d",
		-400 * 24 * time.Hour: "400d ago",
	} {
		at := now.Add(d)
		if got := soon(&at, now); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	at := now.AddDate(0, 0, 3)
	if got, want := when(&at, now), "2026-12-05 14:00 (in 3d)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if when(nil, now) != "" || when(new(time.Time), now) != "" {
		t.Error("a time that is not set is shown")
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 12, 2, 14, 30, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"2026-12-31":           time.Date(2026, 12, 31, 0, 0, 0, 0, time.Local),
		"2026-12-31 03:15":     time.Date(2026, 12, 31, 3, 15, 0, 0, time.Local),
		"2026-12-31T03:15:00Z": time.Date(2026, 12, 31, 3, 15, 0, 0, time.UTC),
		"30d":                  now.Add(30 * 24 * time.Hour),
		"90m":                  now.Add(90 * time.Minute),
		"never":                {},
	} {
		got, err := parseExpiry(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0s", "-3d", "tomorrow", "31.12.2026", "2026-13-01", "30"} {
		if got, err := parseExpiry(text, now); err == nil {
			t.Errorf("%q gives %v", text, got)
		}
	}
	if _, err := parseTime("never", now); err == nil {
		t.Error("a rotation never takes place, and that is no error")
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 10: "1 KiB", 1536: "1.5 KiB", 300 << 20: "300 MiB", 5 << 29: "2.5 GiB", 12 << 40: "12 TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestQuotas(t *testing.T) {
	for text, want := range map[string]control.Quota{
		"none":        {},
		"10GiB/month": {Bytes: 10 << 30, Per: "month"},
		"500MB/day":   {Bytes: 500e6, Per: "day"},
		"1 TiB/month": {Bytes: 1 << 40, Per: "month"},
		"4096/day":    {Bytes: 4096, Per: "day"},
		"4096B/day":   {Bytes: 4096, Per: "day"},
	} {
		got, err := parseQuota(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10GiB", "10GiB/week", "0/day", "-1GiB/day", "GiB/day", "1.5GiB/day", "9999999TiB/month", "10 G/day"} {
		if got, err := parseQuota(text); err == nil {
			t.Errorf("%q gives %v", text, got)
		}
	}
	if got := quotaText(&control.Quota{Bytes: 10 << 30, Per: "month"}); got != "10 GiB/month" {
		t.Errorf("got %q", got)
	}
}

func TestPlural(t *testing.T) {
	for want, got := range map[string]string{"1 user": plural(1, "user"), "0 users": plural(0, "user"), "2 addresses": plural(2, "address")} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
