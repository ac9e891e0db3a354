package auditlog

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCanonicalFormOfVersion1(t *testing.T) {
	e := Entry{Seq: 7, Time: time.Date(2026, 1, 2, 5, 4, 5, 6, time.FixedZone("", 7200)), Actor: "uid 0", Action: "key.rotate", Object: "user \"n\\\" ü",
		Outcome: Done, Reason: "asked <for> & done", Details: []Detail{{"z", "1"}, {"a", ""}}}
	want := `{"v":1,"seq":7,"time":"2026-01-02T03:04:05.000000006Z","actor":"uid 0","action":"key.rotate","object":"user \"n\\\" ü",` +
		`"outcome":"done","reason":"asked <for> & done","details":{"z":"1","a":""}}`
	got, err := e.Canonical()
	if err != nil || string(got) != want {
		t.Fatalf("got  %s, %v\nwant %s", got, err, want)
	}
	// The hash was computed by another program.
	row, _, err := Append(State{}, Entry{Time: day, Actor: "a", Action: "b", Outcome: Failed})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := row.Hash.String(), "JA68G/q5qJdQO8QJzDYdsq00PflcnnoKYdUBIMB/VjE="; got != want {
		t.Errorf("hash of a first row: %s, want %s", got, want)
	}
}

func TestEntriesThatAreRefused(t *testing.T) {
	long := strings.Repeat
	for name, spoil := range map[string]func(*Entry){
		"no seq":             func(e *Entry) { e.Seq = 0 },
		"seq too large":      func(e *Entry) { e.Seq = MaxRows + 1 },
		"no time":            func(e *Entry) { e.Time = time.Time{} },
		"time before 1970":   func(e *Entry) { e.Time = time.Unix(-1, 0) },
		"time after 9999":    func(e *Entry) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no actor":           func(e *Entry) { e.Actor = "" },
		"long actor":         func(e *Entry) { e.Actor = long("x", MaxActor+1) },
		"no action":          func(e *Entry) { e.Action = "" },
		"long action":        func(e *Entry) { e.Action = long("x", MaxAction+1) },
		"action with spaces": func(e *Entry) { e.Action = "key rotate" },
		"action in capitals": func(e *Entry) { e.Action = "Key" },
		"long object":        func(e *Entry) { e.Object = long("x", MaxObject+1) },
		"no outcome":         func(e *Entry) { e.Outcome = 0 },
		"unknown outcome":    func(e *Entry) { e.Outcome = Failed + 1 },
		"long reason":        func(e *Entry) { e.Reason = long("x", MaxReason+1) },
		"line break":         func(e *Entry) { e.Reason = "a\nb" },
		"escape sequence":    func(e *Entry) { e.Reason = "\x1b[2J" },
		"DEL":                func(e *Entry) { e.Reason = "\x7f" },
		"C1":                 func(e *Entry) { e.Reason = "\u009b2J" },
		"line separator":     func(e *Entry) { e.Reason = "\u2028" },
		"right to left":      func(e *Entry) { e.Object = "user \u202eaidan" },
		"isolate":            func(e *Entry) { e.Object = "\u2066" },
		"not UTF-8":          func(e *Entry) { e.Actor = "\xff" },
		"surrogate":          func(e *Entry) { e.Actor = "\xed\xa0\x80" },
		"many details":       func(e *Entry) { e.Details = make([]Detail, MaxDetails+1) },
		"key twice":          func(e *Entry) { e.Details = []Detail{{"a", "1"}, {"b", "1"}, {"a", "2"}} },
		"empty key":          func(e *Entry) { e.Details = []Detail{{"", "1"}} },
		"key with quote":     func(e *Entry) { e.Details = []Detail{{`a"`, "1"}} },
		"long key":           func(e *Entry) { e.Details = []Detail{{long("a", MaxDetailKey+1), "1"}} },
		"long value":         func(e *Entry) { e.Details = []Detail{{"a", long("1", MaxDetailValue+1)}} },
		"value with control": func(e *Entry) { e.Details = []Detail{{"a", "\r"}} },
	} {
		e := testEntry(2)
		e.Seq = 1
		if _, err := e.Canonical(); err != nil {
			t.Fatal(err)
		}
		spoil(&e)
		b, err := e.Canonical()
		if err == nil {
			t.Errorf("%s: encoded as %s", name, b)
			continue
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: the error quotes the entry or has several lines: %v", name, err)
		}
		// The parser holds the same rules, were the bytes made without them.
		if got, err := ParseEntry(e.encode(nil)); err == nil {
			t.Errorf("%s: parsed to %+v", name, got)
		}
	}
}

func TestLargestEntryFits(t *testing.T) {
	e := Entry{Seq: MaxRows, Time: day, Actor: strings.Repeat(`"`, MaxActor), Action: strings.Repeat("a", MaxAction),
		Object: strings.Repeat(`\`, MaxObject), Outcome: Refused, Reason: strings.Repeat(`"`, MaxReason)}
	for i := range MaxDetails {
		e.Details = append(e.Details, Detail{strings.Repeat("k", MaxDetailKey-1) + string(rune('a'+i)), strings.Repeat(`\`, MaxDetailValue)})
	}
	b, err := e.Canonical()
	if err != nil || len(b) > MaxCanonical {
		t.Fatalf("%d bytes, %v; the most is %d", len(b), err, MaxCanonical)
	}
	if got, err := ParseEntry(b); err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("parsed to %+v, %v", got, err)
	}
}

func TestOtherFormsOfAnEntryAreRefused(t *testing.T) {
	const good = `{"v":1,"seq":7,"time":"2026-01-02T03:04:05.000000006Z","actor":"a","action":"b","object":"","outcome":"done","reason":"","details":{"k":"v"}}`
	if _, err := ParseEntry([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"v":1`, `"v":2`}, {`"v":1`, `"v":01`}, {`"v":1`, `"v":1.0`}, {`"v":1`, `"v":-1`}, {`"v":1,`, ``},
		{`"seq":7`, `"seq":07`}, {`"seq":7`, `"seq":"7"`}, {`"seq":7`, `"seq":7e0`}, {`"seq":7`, `"seq":+7`}, {`"seq":7`, `"seq":99999999999999999999`}, {`"seq":7`, `"seq":`},
		{`006Z`, `006+00:00`}, {`006Z`, `0060Z`}, {`.000000006Z`, `Z`}, {`.000`, `,000`}, {`T03`, `t03`}, {`05.`, `60.`}, {`2026-01`, `2026-13`}, {`2026-01-02`, `2026-1-2`},
		{`"actor":"a"`, `"actor":"\u0061"`}, {`"actor":"a"`, `"actor":"\/"`}, {`"actor":"a"`, `"actor":"\n"`}, {`"actor":"a"`, `"actor":null`}, {`"actor":"a"`, `"Actor":"a"`},
		{`"actor":"a"`, `"actor": "a"`}, {`"actor":"a","action":"b"`, `"action":"b","actor":"a"`}, {`"actor":"a"`, `"actor":"a","actor":"a"`},
		{`"done"`, `"Done"`}, {`"done"`, `""`}, {`"done"`, `"outcome 0"`}, {`{"k":"v"}`, `{"k":"v",}`}, {`{"k":"v"}`, `{,"k":"v"}`}, {`{"k":"v"}`, `{"k":"v","k":"v"}`},
		{`{"k":"v"}`, `{"k":"v" }`}, {`{"k":"v"}`, `null`}, {`{"k":"v"}`, `[]`}, {`{"k":"v"}`, `{"k":1}`}, {`"}}`, `"}}` + "\n"}, {`"}}`, `"}} `}, {`"}}`, `"}`}, {`{"v"`, ` {"v"`},
	} {
		text := strings.Replace(good, c[0], c[1], 1)
		if text == good {
			t.Fatalf("%s is not in the entry", c[0])
		}
		if e, err := ParseEntry([]byte(text)); err == nil {
			t.Errorf("%s for %s: parsed to %+v", c[1], c[0], e)
		}
	}
	for n := range len(good) {
		if e, err := ParseEntry([]byte(good[:n])); err == nil {
			t.Errorf("the first %d bytes: parsed to %+v", n, e)
		}
	}
	if _, err := ParseEntry([]byte(strings.Repeat(" ", MaxCanonical+1))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large entry: %v", err)
	}
	if _, err := ParseEntry([]byte(strings.Replace(good, `"v":1`, `"v":2`, 1))); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
}

func drawEntry(t *rapid.T) Entry {
	text := func(most int) *rapid.Generator[string] {
		return rapid.Map(rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune(`"\,:{}n é😀`)))), func(s string) string { return Clip(s, most) })
	}
	name := func(most int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.RuneFrom([]rune("abz09._-")), 1, most, most)
	}
	e := Entry{
		Seq:     rapid.Int64Range(1, MaxRows).Draw(t, "seq"),
		Time:    time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
		Actor:   "a" + text(MaxActor-1).Draw(t, "actor"),
		Action:  name(MaxAction).Draw(t, "action"),
		Object:  text(MaxObject).Draw(t, "object"),
		Outcome: Outcome(rapid.IntRange(int(Done), int(Failed)).Draw(t, "outcome")),
		Reason:  text(MaxReason).Draw(t, "reason"),
	}
	for _, key := range rapid.SliceOfNDistinct(name(MaxDetailKey), 0, MaxDetails, rapid.ID).Draw(t, "keys") {
		e.Details = append(e.Details, Detail{key, text(MaxDetailValue).Draw(t, "value")})
	}
	return e
}

func TestCanonicalEncodingIsAOneToOneMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, other := drawEntry(t), drawEntry(t)
		b, err := e.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEntry(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%s\nparsed to %+v, %v\nwant %+v", b, got, err, e)
		}
		// Any JSON reader finds the same in it.
		var read struct {
			V, Seq                                 int64
			Time                                   time.Time
			Actor, Action, Object, Outcome, Reason string
			Details                                map[string]string
		}
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		if read.V != 1 || read.Seq != e.Seq || !read.Time.Equal(e.Time) || read.Actor != e.Actor || read.Action != e.Action || read.Object != e.Object ||
			read.Outcome != e.Outcome.String() || read.Reason != e.Reason || len(read.Details) != len(e.Details) {
			t.Fatalf("%s\nread as %+v", b, read)
		}
		for _, d := range e.Details {
			if read.Details[d.Key] != d.Value {
				t.Fatalf("%s\ndetail %q read as %q", b, d.Key, read.Details[d.Key])
			}
		}
		c, err := other.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(b, c) != reflect.DeepEqual(e, other) {
			t.Fatalf("%+v and %+v both are %s", e, other, b)
		}
		// The same instant, said elsewhere, is the same row.
		e.Time = e.Time.In(time.FixedZone("", rapid.IntRange(-40000, 40000).Draw(t, "zone")))
		if again, err := e.Canonical(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("in another zone: %s, %v", again, err)
		}
		// One changed byte is no entry or another one.
		i, x := rapid.IntRange(0, len(b)-1).Draw(t, "at"), byte(rapid.IntRange(1, 255).Draw(t, "xor"))
		changed := bytes.Clone(b)
		changed[i] ^= x
		if got, err := ParseEntry(changed); err == nil {
			if again, err := got.Canonical(); err != nil || !bytes.Equal(again, changed) {
				t.Fatalf("%s\nparsed to %+v, whose encoding is %s", changed, got, again)
			}
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	for i := range 6 {
		e := testEntry(i)
		e.Seq = int64(i + 1)
		b, err := e.Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"seq":1,"time":"2026-01-02T03:04:05.000000006Z","actor":"\`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			if !reflect.DeepEqual(e, Entry{}) {
				t.Fatalf("%+v beside %v", e, err)
			}
			return
		}
		again, err := e.Canonical()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q parsed to %+v, whose encoding is %q, %v", b, e, again, err)
		}
		if !json.Valid(b) || bytes.ContainsAny(b, "\n\r\x1b") {
			t.Fatalf("%q is no harmless line of JSON", b)
		}
	})
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"fits", 4, "fits"}, {"fits not", 4, "fits"}, {"", 0, ""}, {"x", 0, ""}, {"x", -1, ""}, {"a\nb", 10, "a\ufffdb"}, {"a\nb", 4, "a\ufffd"}, {"a\nb", 3, "a"},
		{"ééé", 5, "éé"}, {"é", 1, ""}, {"\xff\xfe", 100, "\ufffd\ufffd"}, {"\u202e", 3, "\ufffd"}, {"\x1b[2J", 100, "\ufffd[2J"}, {"a😀", 4, "a"}, {"a😀", 5, "a😀"},
	} {
		if got := Clip(c.in, c.limit); got != c.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "in")) + rapid.String().Draw(t, "text")
		limit := rapid.IntRange(0, 64).Draw(t, "limit")
		got := Clip(in, limit)
		if err := checkText("x", got, limit); err != nil {
			t.Fatal(err)
		}
		if checkText("x", in, limit) == nil && got != in {
			t.Fatalf("%q became %q", in, got)
		}
		whole := Clip(in, math.MaxInt/2)
		if !strings.HasPrefix(whole, got) {
			t.Fatalf("%q is no beginning of %q", got, whole)
		}
		if rest := whole[len(got):]; rest != "" {
			if _, n := utf8.DecodeRuneInString(rest); len(got)+n <= limit {
				t.Fatalf("%q could be longer: %q", got, whole)
			}
		}
	})
}
