package store

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestARecordIsTakenApartAsItWasMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.SliceOfN(rapid.OneOf(rapid.Int64().AsAny(), rapid.String().AsAny()), 0, 10).Draw(t, "columns")
		var made strings.Builder
		for _, c := range columns { // as SQLite does
			switch c := c.(type) {
			case int64:
				made.WriteString(strconv.FormatInt(c, 10) + " ")
			case string:
				made.WriteString(strconv.Itoa(len(c)) + ":" + c)
			}
		}
		f := fields{rest: made.String()}
		for _, c := range columns {
			switch c := c.(type) {
			case int64:
				if got := f.number(); got != c {
					t.Fatalf("%d: want %d", got, c)
				}
			case string:
				if got := f.text(); got != c {
					t.Fatalf("%q: want %q", got, c)
				}
			}
		}
		if err := f.end("t", 1); err != nil {
			t.Fatal(err)
		}
	})
}

// A damaged file can make anything of a record.
func FuzzFields(f *testing.F) {
	f.Add("1 2:ab3 ", "ntn")
	f.Add("-9223372036854775808 ", "n")
	f.Add("99999999999999999999:", "t")
	f.Add("-1:a", "ttttt")
	f.Fuzz(func(t *testing.T, record, kinds string) {
		got := fields{rest: record}
		taken := 0
		for _, kind := range kinds {
			switch kind {
			case 'n':
				got.number()
			case 't':
				taken += len(got.text())
			case 'w':
				taken += len(got.word())
			case 's':
				got.state()
			case 'i':
				got.time()
			}
		}
		if taken > len(record) {
			t.Errorf("%d bytes of text come out of %d", taken, len(record))
		}
		if err := got.end("t", 1); err != nil && len(record) > 8 && strings.Contains(err.Error(), record) {
			t.Errorf("the error tells what stood there: %v", err)
		}
	})
}
