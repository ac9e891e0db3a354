package policy

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
)

func TestMergeKnowsWhereEachValueComesFrom(t *testing.T) {
	file := New("")
	file.name = "mtguard.toml"
	if err := file.Set("connections.per_address", "300", 12); err != nil {
		t.Fatal(err)
	}
	if err := file.Set("controls.rate.accept", "enforce 10%", 20); err != nil {
		t.Fatal(err)
	}
	draft, err := Parse("draft.toml", []byte("schema = 1\npreset = \"community\"\n[connections]\nper_user = 40\nper_key = 40\n[controls.\"rate.accept\"]\nmode = \"monitor\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Merge(Layer{Document: file}, Layer{}, Layer{Document: draft}, Layer{Origin: "policy r7", Document: parse(t, "rates.new_per_prefix = \"9/s\"\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"preset":                        `"community" draft.toml:2`,
		"connections.per_address":       "300 mtguard.toml:12",
		"connections.per_user":          "40 draft.toml:4",
		"connections.per_prefix":        "4096 preset community",
		"rates.new_per_prefix":          `"9/s" policy r7`,
		"controls.rate.accept":          "monitor draft.toml:7", // and no share is left of the other layer
		"controls.conns.addr":           "monitor preset community",
		"authentication.max_secret_age": `"365d" preset community`,
	}
	seen := 0
	for _, v := range e.Values() {
		if w, ok := want[v.Path]; ok {
			seen++
			if got := v.Text + " " + v.Origin; got != w {
				t.Errorf("%s: got %s, want %s", v.Path, got, w)
			}
		}
		if v.Origin == "" || strings.HasSuffix(v.Path, ".candidate") {
			t.Errorf("%+v", v)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d values are there", seen, len(want))
	}
	if e.Origin("connections.per_user") != "draft.toml:4" || e.Origin("nothing") != "" {
		t.Errorf("origins: %q, %q", e.Origin("connections.per_user"), e.Origin("nothing"))
	}
	if c := e.Control(RateAccept); c.Control != (Control{Mode: Monitor}) {
		t.Errorf("rate.accept is %v", c)
	}
}

func TestMergeRefusesContradictionsAndNamesTheirOrigin(t *testing.T) {
	low := parse(t, "connections = { per_address = 50, per_prefix = 60 }\n")
	_, err := Merge(Layer{Document: low}, Layer{Origin: "policy r7", Document: parse(t, "connections.per_address = 100\n")})
	if err == nil || err.Error() != "policy r7  connections.per_address is 100, above connections.per_prefix, which is 60\n      it would never be reached: give connections.per_address = 60" {
		t.Errorf("got %v", err)
	}
}

// TestOneChangeLowersWhatIsWithin: of the bounds that nobody gave.
func TestOneChangeLowersWhatIsWithin(t *testing.T) {
	lower := parse(t, "connections.per_user = 4\nconnections.per_prefix = 100\n")
	if c := lower.Connections; c.PerKey != 4 || c.ReadOnly != 4 || c.PerAddress != 100 {
		t.Errorf("alone: %+v", c)
	}
	if text := string(Format(lower)); strings.Contains(text, "per_key") || strings.Contains(text, "read_only") || strings.Contains(text, "per_address") {
		t.Errorf("what nobody gave is written down:\n%s", text)
	}
	file := parse(t, "connections.per_key = 3\n")
	e, err := Merge(Layer{Origin: "file", Document: file}, Layer{Origin: "policy r7", Document: lower})
	if err != nil || e.Connections.PerKey != 3 || e.Connections.ReadOnly != 4 || e.Origin("connections.per_key") != "file" ||
		e.Origin("connections.read_only") != "preset personal, at most connections.per_user" {
		t.Errorf("%+v, %v", e, err)
	}
	// Raised again, nothing of the lowering is left.
	again, err := Parse("again", Format(lower))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Set("connections.per_user", "100", 0); err != nil {
		t.Fatal(err)
	}
	e, err = Merge(Layer{Document: again})
	if err != nil || e.Connections.PerKey != 100 || e.Connections.ReadOnly != 8 {
		t.Errorf("%+v, %v", e, err)
	}
	// 0 is no bound, so nothing is within it.
	if c := parse(t, "connections.per_user = 0\n").Connections; c.PerKey != 128 || c.ReadOnly != 8 {
		t.Errorf("without a bound: %+v", c)
	}
	// What contradicts it is refused with the one line that mends it.
	for text, line := range map[string]string{
		"connections.per_user = 16\nconnections.per_key = 32\n": "connections.per_key = 16", "connections.per_key = 200\n": "connections.per_user = 200",
		"connections.read_only = 200\n": "connections.per_user = 200", "connections.per_address = 2000\n": "connections.per_prefix = 2000",
	} {
		_, err := Parse("p", []byte("schema = 1\n"+text))
		if err == nil || !strings.HasSuffix(err.Error(), "it would never be reached: give "+line) {
			t.Errorf("%s: %v", text, err)
		}
		text = strings.Replace(text, "connections.per_key = 32\n", "", 1)
		if _, err := Parse("p", []byte("schema = 1\n"+text+line+"\n")); err != nil {
			t.Errorf("%s with %s: %v", text, line, err)
		}
	}
	// The same where a value is only tried.
	d := parse(t, "[controls.\"conns.user\".candidate]\nper_user = 4\n")
	with, err := d.WithCandidate(ConnsUser)
	if err != nil || with.Connections.PerUser != 4 || with.Connections.ReadOnly != 4 || d.Connections.ReadOnly != 8 {
		t.Errorf("a candidate: %+v, %v", with, err)
	}
}

// Merging is taking the values one by one: the last layer that gives one wins, and writing the result keeps it.
func TestMergeAgainstPlainMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	merged := 0
	for range long(150, 5000) {
		layers := []Layer{{"one", randomDocument(r)}, {"two", randomDocument(r)}, {"three", randomDocument(r)}}
		e, err := Merge(layers...)
		if err != nil {
			continue // two right documents may contradict each other
		}
		merged++
		preset := ""
		want := map[string]string{}
		for _, l := range layers {
			if l.Document.Preset != "" {
				preset = l.Document.Preset
			}
			for _, f := range l.Document.own() {
				want[f.path] = f.text()
			}
		}
		for _, f := range New(preset).fields() {
			if _, ok := want[f.path]; !ok {
				want[f.path] = f.text()
			}
		}
		for path, text := range want {
			if got, _ := e.Text(path); got != text {
				t.Fatalf("%s: got %s, want %s", path, got, text)
			}
		}
		again, err := Parse("again", Format(&e.Document))
		if err != nil || !Equal(again, &e.Document) {
			t.Fatalf("written and read again: %v, %+v", err, Diff(&e.Document, again))
		}
	}
	if merged < 15 {
		t.Errorf("only %d merges", merged)
	}
}

func TestApply(t *testing.T) {
	d := parse(t, `
preset = "community"
[encryption]
transports = ["faketls", "secure"]
until.secure = 2027-01-01
[authentication]
allow_imported = false
[relay]
passthrough = false
[controls."rate.accept"]
mode = "enforce"
percent = 10
[controls."encryption.required".candidate]
transports = ["faketls"]
until.secure = "never"
`)
	s := &Snapshot{PassThrough: true, Limits: Limits{MaxConnections: 1000, HalfOpen: 100}, Glass: noon}
	if err := d.Apply(s); err != nil {
		t.Fatal(err)
	}
	l := s.Limits
	if l.MaxConnections != 1000 || l.HalfOpen != 100 || l.ConnectionsPerAddress != 512 || l.ConnectionsReadOnly != 8 || !l.RefuseImported || s.PassThrough || !s.Glass.Equal(noon) {
		t.Errorf("applied: %+v", s)
	}
	if s.Controls[RateAccept] != (Control{Enforce, 10}) {
		t.Errorf("controls: %+v", s.Controls)
	}
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		l    *Limits
		tr   mtproto.Transport
		at   time.Time
		want bool
	}{
		{&l, mtproto.FakeTLS, end, true}, {&l, mtproto.Secure, end.Add(-1), true}, {&l, mtproto.Secure, end, false}, {&l, mtproto.Classic, noon, false}, {&l, 9, noon, false},
		{s.Candidates[EncryptionRequired], mtproto.Secure, noon, false}, {s.Candidates[EncryptionRequired], mtproto.FakeTLS, noon, true},
		{new(Limits), mtproto.Classic, noon, true},
	} {
		if got := c.l.Allows(c.tr, c.at); got != c.want {
			t.Errorf("%v at %v: allowed %t, want %t", c.tr, c.at, got, c.want)
		}
	}
	if c := s.Candidates[EncryptionRequired]; c.MaxConnections != 1000 || c.ConnectionsPerAddress != 512 || len(s.Candidates) != 1 {
		t.Errorf("candidates: %+v", s.Candidates)
	}
	if with, err := d.WithCandidate(RateAccept); with != nil || err != nil {
		t.Errorf("a candidate that there is not: %v, %v", with, err)
	}
}

func TestGeoRulesDecide(t *testing.T) {
	for _, c := range []struct {
		body string
		want map[string]access.Level // by country and AS number, as a rule would say
	}{
		{``, map[string]access.Level{"country:DE": access.Standard, "country:unknown": access.Standard}},
		{"geography.block = [\"country:FR\", \"asn:64500\"]\n", map[string]access.Level{"country:FR": access.None, "asn:64500": access.None, "country:DE": access.Standard}},
		{"geography.unknown = \"deny\"\n", map[string]access.Level{"country:unknown": access.None, "country:DE": access.Standard}},
		{"geography.allow = [\"country:DE\", \"asn:64500\"]\n", map[string]access.Level{"country:DE": access.Standard, "asn:64500": access.Standard,
			"country:FR": access.None, "country:ZZ": access.None, "country:unknown": access.Standard}},
	} {
		rules := parse(t, c.body).GeoRules(access.Standard)
		if _, err := access.Compile(rules, access.Options{Default: access.Standard, NoGeo: true}); err != nil {
			t.Errorf("%q: %v", c.body, err)
		}
		for text, want := range c.want {
			got := access.Standard // the default
			if i := slices.IndexFunc(rules, func(r access.Rule) bool { return r.Match.String() == text }); i >= 0 {
				got = rules[i].Level
			}
			if got != want {
				t.Errorf("%q: %s is %v, want %v", c.body, text, got, want)
			}
		}
	}
}
