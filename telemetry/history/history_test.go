package history

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var columns = []Column{{Name: "accepted", Unit: "count"}, {Name: "open", Unit: "count", Max: true}}

var nan = math.NaN()

// start is a minute, a quarter and an hour.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, path string, columns []Column) (*History, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	h, err := Open(path, columns, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, &log
}

func add(t *testing.T, h *History, at time.Time, values ...float64) {
	t.Helper()
	if err := h.Add(at, values); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, h *History, q Query, now time.Time) []Series {
	t.Helper()
	list, err := h.Query(q, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		for i := 1; i < len(s.Points); i++ {
			if !s.Points[i-1].At.Before(s.Points[i].At) {
				t.Fatalf("%s: %v after %v", s.Name, s.Points[i], s.Points[i-1])
			}
		}
	}
	return list
}

func values(s Series) (all []float64) {
	for _, p := range s.Points {
		all = append(all, p.Value)
	}
	return all
}

func TestMinutesBecomeQuartersAndHours(t *testing.T) {
	h, _ := open(t, filepath.Join(t.TempDir(), "h"), columns)
	for m := range 120 {
		add(t, h, start.Add(time.Duration(m)*time.Minute+7*time.Second), 2, float64(m))
	}
	now := start.Add(2 * time.Hour)
	for _, c := range []struct {
		from        time.Time
		step        time.Duration
		seconds     int64
		points      int
		first, most float64
	}{
		{start, 0, 60, 120, 2, 0},
		{start, 10 * time.Minute, 600, 12, 20, 9},
		{now.Add(-25 * time.Hour), 0, 900, 8, 30, 14},
		{now.Add(-31 * 24 * time.Hour), 0, 3600, 2, 120, 59},
		{now.Add(-89 * 24 * time.Hour), 0, 3 * 3600, 1, 240, 119},
	} {
		list := query(t, h, Query{From: c.from, To: now, Step: c.step}, now)
		sum, most := values(list[0]), values(list[1])
		if list[0].By != "sum" || list[1].By != "max" || list[0].Step != c.seconds || len(sum) != c.points || sum[0] != c.first || most[0] != c.most {
			t.Errorf("from %v by %v: step %d, %d points, first %v and %v; want %+v", c.from, c.step, list[0].Step, len(sum), sum[:1], most[:1], c)
		}
		total := 0.0
		for _, v := range sum {
			total += v
		}
		if total != 240 || slices.Max(most) != 119 {
			t.Errorf("from %v by %v: sum %v, maximum %v", c.from, c.step, total, slices.Max(most))
		}
	}
}

func TestTheFileIsReadAgainAndStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	h, _ := open(t, path, columns)
	add(t, h, start, 1, 5)
	h.Close()
	h, log := open(t, path, append(slices.Clone(columns), Column{Name: "fresh", Unit: "bytes"}))
	add(t, h, start.Add(10*time.Second), 1, 3, 9)
	for d := range 200 { // two hundred days, one sample each
		add(t, h, start.Add(time.Duration(d+1)*24*time.Hour), 1, 1, 1)
	}
	h.Close()
	if info, err := os.Stat(path); err != nil || info.Size() > Size || Size > 7<<20 {
		t.Errorf("%v, %v; at most %d", info.Size(), err, Size)
	}
	h, _ = open(t, path, []Column{columns[1]}) // accepted is not written any more; its place is not given away
	add(t, h, start.Add(201*24*time.Hour), 8)
	h.Close()
	h, _ = open(t, path, columns)
	now := start.Add(201*24*time.Hour + time.Minute)
	list := query(t, h, Query{Names: []string{"acc*", "open"}, From: now.Add(-Span - time.Hour), To: now}, now)
	if got := values(list[0]); len(got) != 90 && len(got) != 89 || slices.Max(got) != 1 {
		t.Errorf("days of accepted: %v", got)
	}
	if got := values(list[1]); got[len(got)-1] != 8 {
		t.Errorf("days of open: %v", got)
	}
	if log.Len() > 0 {
		t.Errorf("a new column: %s", log)
	}
}

// TestAClockThatWasSetBack makes no row twice, and nothing negative; one that was far ahead is in nobody's way.
// TestTheMinuteThatHasJustBegunIsThere, in its first second too, unless it is not asked for.
func TestTheMinuteThatHasJustBegunIsThere(t *testing.T) {
	h, _ := open(t, filepath.Join(t.TempDir(), "h"), columns)
	add(t, h, start, 2, 1)
	for _, c := range []struct {
		to   time.Duration
		want int
	}{{time.Millisecond, 1}, {time.Second, 1}, {time.Minute, 1}, {0, 0}, {-time.Millisecond, 0}} {
		now := start.Add(max(c.to, 0))
		if got := len(query(t, h, Query{From: start.Add(-time.Hour), To: start.Add(c.to)}, now)[0].Points); got != c.want {
			t.Errorf("until %v after the minute began: %d points, want %d", c.to, got, c.want)
		}
	}
}

func TestAClockThatWasSetBack(t *testing.T) {
	h, _ := open(t, filepath.Join(t.TempDir(), "h"), columns)
	for _, m := range []int{0, 1, 2, 3, 1, 2, 3, 4} {
		add(t, h, start.Add(time.Duration(m)*time.Minute), 1, 1)
	}
	now := start.Add(5 * time.Minute)
	if got := values(query(t, h, Query{From: start, To: now}, now)[0]); !slices.Equal(got, []float64{1, 2, 2, 2, 1}) {
		t.Errorf("%v", got)
	}
	ahead := start.Add(400 * 24 * time.Hour)
	add(t, h, ahead, 100, 100)
	add(t, h, start.Add(4*time.Minute), 1, 1)
	if got := values(query(t, h, Query{From: start.Add(time.Minute), To: ahead.Add(time.Hour)}, now)[0]); slices.Max(got) > 2 || got[len(got)-1] != 2 {
		t.Errorf("with a row of the future: %v", got)
	}
}

func TestGapsAreGaps(t *testing.T) {
	h, _ := open(t, filepath.Join(t.TempDir(), "h"), columns)
	add(t, h, start, 1, nan)
	add(t, h, start.Add(3*time.Minute), nan, 4)
	now := start.Add(4 * time.Minute)
	list := query(t, h, Query{From: start, To: now}, now)
	if len(list[0].Points) != 1 || len(list[1].Points) != 1 || !list[1].Points[0].At.Equal(start.Add(3*time.Minute)) {
		t.Errorf("%+v", list)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	many := make([]Column, maxColumns)
	for i := range many {
		many[i] = Column{Name: "c" + strings.Repeat("x", i%3) + string(rune('a'+i/26)) + string(rune('a'+i%26)), Unit: "count"}
	}
	h, _ := open(t, filepath.Join(t.TempDir(), "h"), many)
	row := make([]float64, maxColumns)
	now := start.Add(24 * time.Hour)
	for at := start; at.Before(now); at = at.Add(time.Minute) {
		add(t, h, at, row...)
	}
	if list := query(t, h, Query{Names: []string{many[0].Name}, From: start.Add(time.Minute), To: now}, now); len(list[0].Points) > maxPoints || len(list[0].Points) < 700 {
		t.Errorf("%d points of one series", len(list[0].Points))
	}
	points := 0
	for _, s := range query(t, h, Query{From: start, To: now, Step: time.Minute}, now) {
		points += len(s.Points)
	}
	if points > maxAll || points < maxAll/2 {
		t.Errorf("%d points of %d series", points, maxColumns)
	}
	for _, q := range []Query{{From: now, To: now}, {From: start, To: now, Step: time.Second}, {From: start, To: now, Step: -time.Minute}, {Names: []string{"none"}, From: start, To: now}} {
		if _, err := h.Query(q, now); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if err := h.Add(start, row[1:]); err == nil {
		t.Error("a row with a value missing was taken")
	}
}

// TestDamageCostsWhatIsDamaged: a row that was half written is missing, and a file whose head is damaged begins anew.
func TestDamageCostsWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	h, _ := open(t, path, columns)
	add(t, h, start, 1, 1)
	add(t, h, start.Add(time.Minute), 2, 2)
	at := tiers[0].offset(start.Unix())
	h.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at+rowHead+3] ^= 1
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(data)
	now := start.Add(2 * time.Minute)
	h, log := open(t, path, columns)
	if got := values(query(t, h, Query{From: start, To: now}, now)[0]); !slices.Equal(got, []float64{2}) || log.Len() > 0 {
		t.Errorf("%v, %s", got, log)
	}
	h.Close()
	for name, bad := range map[string][]byte{"cut": data[:headSize/2], "another word": append([]byte("X"), data[1:]...), "a name": bytes.Replace(data, []byte("open"), []byte("shut"), 1)} {
		put(bad)
		h, log := open(t, path, columns)
		add(t, h, start, 7, 7)
		if got := values(query(t, h, Query{From: start, To: now}, now)[0]); !slices.Equal(got, []float64{7}) || !strings.Contains(log.String(), "begins anew") {
			t.Errorf("%s: %v, %q", name, got, log)
		}
		h.Close()
	}
}

func BenchmarkAdd(b *testing.B) {
	h, err := Open(filepath.Join(b.TempDir(), "h"), columns, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := h.Add(start.Add(time.Duration(i)*time.Minute), []float64{1, 2}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(magic + `["accepted"]` + "\n"))
	f.Add([]byte(magic + `["a","a","a"]`))
	f.Fuzz(func(t *testing.T, head []byte) {
		path := filepath.Join(t.TempDir(), "h")
		b := make([]byte, headSize)
		copy(b, head[:min(len(head), headSize-4)])
		for _, file := range [][]byte{head, sealHead(b)} {
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := Open(path, columns, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Add(start, []float64{1, 2}); err != nil {
				t.Fatal(err)
			}
			list, err := h.Query(Query{From: start, To: start.Add(time.Minute)}, start.Add(time.Minute))
			if err != nil || len(list) != 2 || len(list[0].Points) != 1 || list[0].Points[0].Value != 1 || list[1].Points[0].Value != 2 {
				t.Errorf("%+v, %v", list, err)
			}
			h.Close()
		}
	})
}
