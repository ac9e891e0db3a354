package pages

import (
	"fmt"
	"strings"
	"time"
)

// numbers is how a language writes dates, spans and amounts. A date is that of the zone most of its readers live in, or of UTC. No-break
// spaces keep a number with what it counts.
type numbers struct {
	zone     *time.Location
	day      func(t time.Time) string // without the year
	dayYear  string                   // a day and its year
	year     func(t time.Time) int
	dayClock string    // a day and a time of day, with the zone
	ago      [4]string // seconds, minutes, hours, days
	bytes    [3]string // MB, GB, TB
	point    string
	digits   string // "": 0 to 9
}

var (
	englishNumbers = numbers{
		zone:    time.UTC,
		day:     func(t time.Time) string { return t.Format("2\u00a0January") },
		dayYear: "%s\u00a0%d", year: time.Time.Year,
		dayClock: "%s, %s\u00a0UTC",
		ago:      [4]string{"%d\u00a0s ago", "%d\u00a0min ago", "%d\u00a0h ago", "%d\u00a0d ago"},
		bytes:    [3]string{"%s\u00a0MB", "%s\u00a0GB", "%s\u00a0TB"},
		point:    ".",
	}
	russianNumbers = numbers{
		// Moscow has had no summer time since 2014.
		zone:    time.FixedZone("MSK", 3*60*60),
		day:     func(t time.Time) string { return fmt.Sprintf("%d\u00a0%s", t.Day(), russianMonths[t.Month()-1]) },
		dayYear: "%s %d\u00a0г.", year: time.Time.Year,
		dayClock: "%s, %s\u00a0МСК",
		ago:      [4]string{"%d\u00a0с назад", "%d\u00a0мин назад", "%d\u00a0ч назад", "%d\u00a0дн. назад"},
		bytes:    [3]string{"%s\u00a0МБ", "%s\u00a0ГБ", "%s\u00a0ТБ"},
		point:    ",",
	}
	persianNumbers = numbers{
		// Iran has had no summer time since 2022.
		zone: time.FixedZone("IRST", 3*60*60+30*60),
		day: func(t time.Time) string {
			_, month, day := solarHijri(t)
			return fmt.Sprintf("%d\u00a0%s", day, persianMonths[month-1])
		},
		dayYear: "%s %d", year: func(t time.Time) int { year, _, _ := solarHijri(t); return year },
		dayClock: "%s ساعت %s به وقت تهران",
		ago:      [4]string{"%d\u00a0ثانیه پیش", "%d\u00a0دقیقه پیش", "%d\u00a0ساعت پیش", "%d\u00a0روز پیش"},
		bytes:    [3]string{"%s\u00a0مگابایت", "%s\u00a0گیگابایت", "%s\u00a0ترابایت"},
		point:    "٫",
		digits:   "۰۱۲۳۴۵۶۷۸۹",
	}
	russianMonths = [12]string{"января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря"}
	persianMonths = [12]string{"فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور", "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند"}
)

// date writes the day of t, with the year when it is not that of now.
func (n *numbers) date(t, now time.Time) string {
	t, now = t.In(n.zone), now.In(n.zone)
	text := n.day(t)
	if n.year(t) != n.year(now) {
		text = fmt.Sprintf(n.dayYear, text, n.year(t))
	}
	return n.own(text)
}

// clock writes the day and the time of day of t.
func (n *numbers) clock(t time.Time) string {
	t = t.In(n.zone)
	return n.own(fmt.Sprintf(n.dayClock, n.day(t), t.Format("15:04")))
}

// since writes how long ago t was.
func (n *numbers) since(t, now time.Time) string {
	d := max(now.Sub(t), 0)
	switch {
	case d < 90*time.Second:
		return n.own(fmt.Sprintf(n.ago[0], d/time.Second))
	case d < 90*time.Minute:
		return n.own(fmt.Sprintf(n.ago[1], d/time.Minute))
	case d < 48*time.Hour:
		return n.own(fmt.Sprintf(n.ago[2], d/time.Hour))
	}
	return n.own(fmt.Sprintf(n.ago[3], d/(24*time.Hour)))
}

// amount writes a number of bytes in units of ten, always rounded down: nobody should count on more than there is.
func (n *numbers) amount(bytes int64) string {
	tenths, unit := max(bytes, 0)/100_000, 0
	for unit < len(n.bytes)-1 && tenths >= 10_000 {
		tenths, unit = tenths/1000, unit+1
	}
	text := fmt.Sprint(tenths / 10)
	if tenths < 100 {
		text += n.point + fmt.Sprint(tenths%10)
	}
	return n.own(fmt.Sprintf(n.bytes[unit], text))
}

// own puts the language's digits for 0 to 9.
func (n *numbers) own(text string) string {
	if n.digits == "" {
		return text
	}
	digits := []rune(n.digits)
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return digits[r-'0']
		}
		return r
	}, text)
}

// solarHijri returns the date of t, in its own zone, in the calendar of Iran. A year begins at the spring equinox; the cycle of 33 years, in
// which these are leap, agrees with it from 1799 to 2254.
func solarHijri(t time.Time) (year, month, day int) {
	left := int(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix()/(24*60*60)) - firstDay
	year = firstYear
	for left < 0 {
		year--
		left += yearDays(year)
	}
	for left >= yearDays(year) {
		left -= yearDays(year)
		year++
	}
	if left < 6*31 {
		return year, left/31 + 1, left%31 + 1
	}
	left -= 6 * 31
	return year, 7 + left/30, left%30 + 1
}

const (
	firstYear = 1400
	firstDay  = 18_707 // 1 Farvardin 1400 is 21 March 2021, in days since 1970
)

func yearDays(year int) int {
	switch year % 33 {
	case 1, 5, 9, 13, 17, 22, 26, 30:
		return 366
	}
	return 365
}
