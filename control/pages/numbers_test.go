package pages

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Dates of the calendar of Iran as its own office published them: new years, the last days of leap years, changes of month.
func TestSolarHijriDates(t *testing.T) {
	for gregorian, want := range map[string]string{
		"1979-02-11": "1357-11-22",
		"1996-03-19": "1374-12-29", "1996-03-20": "1375-01-01", // 1375 is leap
		"1997-03-20": "1375-12-30", "1997-03-21": "1376-01-01",
		"2000-01-01": "1378-10-11",
		"2017-03-20": "1395-12-30", "2017-03-21": "1396-01-01",
		"2021-03-20": "1399-12-30", "2021-03-21": "1400-01-01",
		"2025-03-20": "1403-12-30", "2025-03-21": "1404-01-01",
		"2026-09-22": "1405-06-31", "2026-09-23": "1405-07-01",
		"2026-12-05": "1405-09-14",
		"2030-03-20": "1408-12-30", "2030-03-21": "1409-01-01",
	} {
		day, err := time.Parse(time.DateOnly, gregorian)
		if err != nil {
			t.Fatal(err)
		}
		y, m, d := solarHijri(day)
		if got := fmt.Sprintf("%d-%02d-%02d", y, m, d); got != want {
			t.Errorf("%s: got %s, want %s", gregorian, got, want)
		}
	}
	// Every day follows the one before.
	y, m, d := solarHijri(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC))
	for day := time.Date(1900, 1, 2, 0, 0, 0, 0, time.UTC); day.Year() < 2200; day = day.AddDate(0, 0, 1) {
		y2, m2, d2 := solarHijri(day)
		if !(y2 == y && m2 == m && d2 == d+1 || y2 == y && m2 == m+1 && d2 == 1 && d >= 30 || y2 == y+1 && m2 == 1 && d2 == 1 && m == 12 && d >= 29) {
			t.Fatalf("%s is %d-%d-%d, the day before %d-%d-%d", day.Format(time.DateOnly), y2, m2, d2, y, m, d)
		}
		y, m, d = y2, m2, d2
	}
}

func plainSpaces(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

func TestDatesAreThoseOfTheReadersCalendarAndZone(t *testing.T) {
	at := time.Date(2026, 12, 4, 21, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		l                 *words
		day, clock, later string
	}{
		{&english, "4 December", "4 December, 21:30 UTC", "4 March 2027"},
		{&russian, "5 декабря", "5 декабря, 00:30 МСК", "5 марта 2027 г."},
		{&persian, "۱۴ آذر", "۱۴ آذر ساعت ۰۱:۰۰ به وقت تهران", "۱۴ اسفند"}, // still 1405
	} {
		n := &test.l.numbers
		if got := plainSpaces(n.date(at, start)); got != test.day {
			t.Errorf("%s: the day is %q, want %q", test.l.Lang, got, test.day)
		}
		if got := plainSpaces(n.clock(at)); got != test.clock {
			t.Errorf("%s: the time is %q, want %q", test.l.Lang, got, test.clock)
		}
		if got := plainSpaces(n.date(at.AddDate(0, 3, 0), start)); got != test.later {
			t.Errorf("%s: the day in three months is %q, want %q", test.l.Lang, got, test.later)
		}
	}
	if got := plainSpaces(persian.numbers.date(start.AddDate(0, 4, 0), start)); got != "۸ فروردین ۱۴۰۶" {
		t.Errorf("the Persian day in four months is %q", got)
	}
}

func TestSpansAndAmounts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s ago", 0: "0 s ago", 40 * time.Second: "40 s ago", 89 * time.Second: "89 s ago", 90 * time.Second: "1 min ago",
		89 * time.Minute: "89 min ago", 90 * time.Minute: "1 h ago", 47 * time.Hour: "47 h ago", 48 * time.Hour: "2 d ago",
	} {
		if got := plainSpaces(english.numbers.since(start.Add(-d), start)); got != want {
			t.Errorf("%v ago: got %q, want %q", d, got, want)
		}
	}
	for bytes, want := range map[int64]string{
		math.MinInt64: "0.0 MB", 0: "0.0 MB", 99_999: "0.0 MB", 100_000: "0.1 MB", 9_999_999: "9.9 MB", 10_000_000: "10 MB", 999_999_999: "999 MB",
		1_000_000_000: "1.0 GB", 3_249_999_999: "3.2 GB", 999_999_999_999: "999 GB", 1_000_000_000_000: "1.0 TB", math.MaxInt64: "9223372 TB",
	} {
		if got := plainSpaces(english.numbers.amount(bytes)); got != want {
			t.Errorf("%d bytes: got %q, want %q", bytes, got, want)
		}
	}
	if got := plainSpaces(russian.numbers.amount(3_249_999_999)); got != "3,2 ГБ" {
		t.Errorf("in Russian %q", got)
	}
	if got := plainSpaces(persian.numbers.amount(3_249_999_999)); got != "۳٫۲ گیگابایت" {
		t.Errorf("in Persian %q", got)
	}
}

// Every text is there in every language, takes the same times, and is written in the language's own letters.
func TestAllLanguagesSayTheSame(t *testing.T) {
	verb := regexp.MustCompile(`%(\[\d\])?s`)
	letters := map[string]*regexp.Regexp{"en": regexp.MustCompile(`[a-z]`), "ru": regexp.MustCompile(`[а-я]`), "fa": regexp.MustCompile(`[\x{0600}-\x{06ff}]`)}
	foreign := map[string]*regexp.Regexp{"en": regexp.MustCompile(`[^\x00-\x7f›]`), "ru": regexp.MustCompile(`[\x{0600}-\x{06ff}]`), "fa": regexp.MustCompile(`[а-я٠-٩يك]`)}
	for _, l := range languages {
		own, first := reflect.ValueOf(*l), reflect.ValueOf(*languages[0])
		for i := range own.NumField() {
			name := own.Type().Field(i).Name
			if own.Field(i).Kind() != reflect.String || name == "Lang" || name == "Dir" {
				continue
			}
			text := own.Field(i).String()
			if !letters[l.Lang].MatchString(text) {
				t.Errorf("%s: %s is %q", l.Lang, name, text)
			}
			if foreign[l.Lang].MatchString(text) {
				t.Errorf("%s: %s has letters of another language: %q", l.Lang, name, text)
			}
			got, want := verb.FindAllString(text, -1), verb.FindAllString(first.Field(i).String(), -1)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s takes %v, in English %v", l.Lang, name, got, want)
			}
			if i > 0 && l != languages[0] && text == first.Field(i).String() {
				t.Errorf("%s: %s is English: %q", l.Lang, name, text)
			}
		}
		if want := map[string]string{"fa": "rtl"}[l.Lang]; (l.Dir == "rtl") != (want == "rtl") {
			t.Errorf("%s is written %s", l.Lang, l.Dir)
		}
	}
}
