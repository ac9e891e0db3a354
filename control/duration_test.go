package control

import (
	"testing"
	"time"
)

func TestDurationsAreReadAndWrittenInDays(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		back string
	}{
		{"0s", 0, "0s"}, {"90m", 90 * time.Minute, "1h30m"}, {"30d", 30 * day, "30d"}, {"7d12h", 7*day + 12*time.Hour, "7d12h"},
		{"2w", 14 * day, "14d"}, {"1w1d1h", 8*day + time.Hour, "8d1h"}, {"24h", day, "1d"}, {"1h0m1s", time.Hour + time.Second, "1h0m1s"},
		{"1d500ms", day + 500*time.Millisecond, "1d500ms"}, {"10m", 10 * time.Minute, "10m"},
	}
	for _, test := range tests {
		d, err := ParseDuration(test.text)
		if err != nil || time.Duration(d) != test.want || d.String() != test.back {
			t.Errorf("%q: %v (%v), %v; want %v (%s)", test.text, time.Duration(d), d, err, test.want, test.back)
		}
	}
	for _, text := range []string{"", "d", "-1h", "1d-1h", "30", "1.5d", "+1d", "1d1w", "999999d", "forever", "60000w", "36500d2562047h"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"30d", "7d12h", "1w2d3h4m5s", "0s", "-1d", "9999999999999999h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%q is %v, which is read back as %v, %v", text, d, back, err)
		}
	})
}
