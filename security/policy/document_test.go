package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/ratelimit"
)

func parse(t testing.TB, body string) *Document {
	t.Helper()
	d, err := Parse("policy.toml", []byte("schema = 1\n"+body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPresetsAreValidAndOnlyWatch(t *testing.T) {
	for _, preset := range Presets() {
		d := New(preset)
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", preset, err)
		}
		for _, name := range rollable() {
			if c := d.Control(name); c.Mode != Monitor || c.Candidate != nil {
				t.Errorf("%s: %s is %v", preset, name, c)
			}
		}
		if got := d.Bandwidth.Level[access.ReadOnly]; got != (ByteRate{8 << 10, 256 << 10}) {
			t.Errorf("%s: read_only may upload %v", preset, got)
		}
	}
	if err := New("secret").Validate(); err == nil {
		t.Error("a document with an unknown preset is valid")
	}
}

// Every value that a document may hold arrives where it belongs.
func TestParseReadsEveryKey(t *testing.T) {
	d := parse(t, `
preset = "community"
[encryption]
transports = ["secure", "faketls", "classic"]
suites = ["aes-256-gcm"]
until = { faketls = 2031-01-01, secure = 2030-01-01T12:00:00+02:00, classic = 2027-01-01 }
[authentication]
max_secret_age = "30d12h"
allow_imported = false
token_life = "90m"
[rates]
new_per_prefix = "7/s burst 70"
handshake_failures = "8/h"
[connections]
per_address = 0x10
per_prefix = 1_000
per_user = 50
read_only = 4
per_key = 40
addresses_per_user = 3
[bandwidth]
per_user = "1MiB/s"
level.read_only = "4KiB/s"
level.standard = "2MiB/s burst 1GiB"
level.admin = "3MiB/s"
level.superuser = "0"
[geography]
block = ["country:FR", "asn:64500"]
allow = ["country:DE"]
unknown = "deny"
[protocol]
min_transport = "classic"
require_key_share = true
[relay]
passthrough = false
[threat]
blocks_per_minute = 12
longest_block = "6h"
[rollout]
gate_time = "0s"
gate_decisions = 5
gate_refused = "12.25%"
step_back = "100%"
[controls."rate.accept"]
mode = "enforce"
percent = 33
[controls."bytes.user"]
mode = "off"
[controls."conns.user".candidate]
per_user = 48
read_only = 2
`)
	match := func(text string) access.Match {
		m, err := access.ParseMatch(text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := &Document{
		Preset: "community",
		Encryption: Encryption{
			Transports: []mtproto.Transport{mtproto.Secure, mtproto.FakeTLS, mtproto.Classic},
			Suites:     []aead.Suite{aead.AES256GCM},
		},
		Authentication: Authentication{MaxSecretAge: 30*day + 12*time.Hour, TokenLife: 90 * time.Minute},
		Rates:          Rates{ratelimit.Limit{Events: 7, Per: time.Second, Burst: 70}, ratelimit.Limit{Events: 8, Per: time.Hour, Burst: 8}},
		Connections:    Connections{PerAddress: 16, PerPrefix: 1000, PerUser: 50, ReadOnly: 4, PerKey: 40, AddressesPerUser: 3},
		Bandwidth:      Bandwidth{PerUser: ByteRate{1 << 20, 1 << 20}},
		Geography:      Geography{Block: []access.Match{match("country:FR"), match("asn:64500")}, Allow: []access.Match{match("country:DE")}, DenyUnknown: true},
		Protocol:       Protocol{MinTransport: mtproto.Classic, RequireKeyShare: true},
		Threat:         Threat{BlocksPerMinute: 12, LongestBlock: 6 * time.Hour},
		Rollout:        Rollout{GateDecisions: 5, GateRefused: 1225, StepBack: 10_000},
		Controls: map[string]ControlPolicy{
			RateAccept: {Control: Control{Enforce, 33}},
			BytesUser:  {Control: Control{Mode: Off}},
			ConnsUser:  {Control: Control{Mode: Monitor}, Candidate: map[string]string{"per_user": "48", "read_only": "2"}},
		},
	}
	want.Encryption.Until[mtproto.FakeTLS] = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	want.Encryption.Until[mtproto.Secure] = time.Date(2030, 1, 1, 10, 0, 0, 0, time.UTC)
	want.Encryption.Until[mtproto.Classic] = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want.Bandwidth.Level[access.ReadOnly] = ByteRate{4 << 10, 4 << 10}
	want.Bandwidth.Level[access.Standard] = ByteRate{2 << 20, 1 << 30}
	want.Bandwidth.Level[access.Admin] = ByteRate{3 << 20, 3 << 20}
	for _, f := range d.values() {
		if _, given := d.given[f.path]; !given {
			t.Errorf("the test does not give %s", f.path)
		}
	}
	got := d.Clone()
	got.name, got.given = "", nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if d.given["geography.unknown"] != 31 || d.given["controls.rate.accept"] != 46 {
		t.Errorf("places: %v", d.given)
	}
}

func TestParseNamesEveryProblem(t *testing.T) {
	_, err := Parse("p.toml", []byte("schema = 1\n[rates]\nnew_per_prefix = 20\n[connections]\nper_user = \"x\"\nper_usr = 1\n[controls.\"conns.user\"]\nmode = \"on\"\n"))
	refused, ok := errors.AsType[*Error](err)
	if !ok || len(refused.Problems) != 4 {
		t.Fatalf("got %v, want four problems", err)
	}
	text := err.Error()
	for _, want := range []string{"p.toml:3:18  rates.new_per_prefix must be", "p.toml:5:12  connections.per_user", "p.toml:6:1  unknown key connections.per_usr", "p.toml:8:8  controls.\"conns.user\".mode",
		"    3 | new_per_prefix = 20\n      |                  ^^  such as"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	if _, err := Parse("p.toml", make([]byte, maxDocument+1)); err == nil || !strings.Contains(err.Error(), "256 KiB") {
		t.Errorf("a large document: %.100v", err)
	}
	var many strings.Builder
	many.WriteString("schema = 1\n[rates]\n")
	for i := range 5000 {
		fmt.Fprintf(&many, "key%d = 1\n", i)
	}
	_, err := Parse("p.toml", []byte(many.String()))
	refused, ok := errors.AsType[*Error](err)
	if !ok || len(refused.Problems) != maxProblems+1 || !strings.HasPrefix(refused.Problems[maxProblems].Message, "and 9") {
		t.Errorf("many problems: %.300v", err)
	}
	for _, deep := range []string{strings.Repeat("[", maxDocument-30), strings.Repeat("{a=", maxDocument/4), "1 #" + strings.Repeat("\n[a.b]", maxDocument/8)} {
		if _, err := Parse("p.toml", []byte("schema = 1\nx = "+deep)); err == nil || len(err.Error()) > 100_000 {
			t.Errorf("%.10s…: %.300v", deep, err)
		}
	}
	list := `schema = 1` + "\n" + `geography.block = ["asn:1"` + strings.Repeat(`, "asn:1"`, maxList) + "]"
	if _, err := Parse("p.toml", []byte(list)); err == nil || !strings.Contains(err.Error(), "1001 entries") {
		t.Errorf("a long list: %.300v", err)
	}
}

// randomDocument is a valid document with values anywhere.
func randomDocument(r *rand.Rand) *Document {
	for {
		d := New(pick(r, append(Presets(), "")))
		for range r.IntN(12) {
			f := pick(r, d.values())
			text := pick(r, valuesOf(r, f))
			if err := d.Set(f.path, text, r.IntN(100)); err != nil {
				panic(fmt.Sprintf("%s = %s: %v", f.path, text, err))
			}
		}
		for range r.IntN(4) {
			name := pick(r, rollable())
			c := Control{Mode: Mode(r.IntN(3))}
			if c.Mode == Enforce {
				c.Percent = r.IntN(101)
			}
			d.SetControl(name, c)
			if known := d.candidates(name); len(known) > 0 && r.IntN(2) == 0 {
				f := pick(r, known)
				if err := d.SetCandidate(name, f.key(), pick(r, valuesOf(r, f))); err != nil {
					panic(err)
				}
			}
		}
		if d.Validate() == nil {
			return d
		}
	}
}

// valuesOf are some texts for a setting.
func valuesOf(r *rand.Rand, f field) []string {
	if f.path == "threat.longest_block" {
		return []string{`"10m"`, `"0s"`, fmt.Sprintf(`"%dm"`, 10+r.IntN(10_000)), `"7d"`}
	}
	switch f.setting.(type) {
	case count, atLeast:
		return []string{"0", "1", "8", fmt.Sprint(r.IntN(maxCount)), "1000000000"}
	case rate:
		return []string{`"0"`, `"20/s"`, fmt.Sprintf(`"%d/m burst %d"`, 1+r.IntN(1000), 1+r.IntN(5000)), `"1000000000/h"`}
	case byteRate:
		return []string{`"0"`, `"8KiB/s burst 256KiB"`, fmt.Sprintf(`"%dB/s"`, 1+r.IntN(1<<30)), `"1024GiB/s"`, `"1MiB/s burst 1B"`}
	case span:
		return []string{`"1h"`, `"90m"`, fmt.Sprintf(`"%dd%ds"`, 1+r.IntN(300), r.IntN(86400)), `"366d"`}
	case yesNo:
		return []string{"true", "false"}
	case unknown:
		return []string{`"allow"`, `"deny"`}
	case least:
		return []string{`"classic"`, `"secure"`, `"faketls"`}
	case end:
		return []string{`"never"`, "2027-01-01", fmt.Sprintf("2027-02-03T04:05:06.%d+01:00", 1+r.IntN(999999)), "2000-01-01"}
	case transports:
		return []string{`["faketls"]`, `["classic", "faketls"]`, `["secure", "classic", "faketls"]`}
	case suites:
		return []string{`["aes-128-gcm"]`, `["xchacha20-poly1305", "aes-256-gcm"]`}
	case places:
		return []string{`[]`, `["country:DE"]`, fmt.Sprintf(`["asn:%d", "country:FR"]`, 1+r.IntN(1<<31)), `["asn:64500", "country:DE"]`}
	case share:
		return []string{`"0%"`, `"0.5%"`, fmt.Sprintf(`"%d.%02d%%"`, r.IntN(100), r.IntN(100)), `"100%"`}
	}
	panic(f.path)
}

func TestFormatIsReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range long(300, 50_000) {
		d := randomDocument(r)
		text := Format(d)
		again, err := Parse("again", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if changes := Diff(d, again); len(changes) > 0 || again.Preset != d.Preset {
			t.Fatalf("read back with %+v\n%s", changes, text)
		}
		if third := Format(again); string(third) != string(text) {
			t.Fatalf("written again:\n%s\nfirst:\n%s", third, text)
		}
	}
}

// What equals the preset is written all the same when somebody said it: presets may change.
func TestFormatKeepsWhatWasGiven(t *testing.T) {
	text := "schema = 1\npreset = \"personal\"\n\n[connections]\nper_user = 128\n\n[controls.\"rate.accept\"]\nmode = \"monitor\"\n"
	d, err := Parse("p", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Format(d)); got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestSetRefuses(t *testing.T) {
	d := New("personal")
	for _, c := range []struct{ path, text, want string }{
		{"rates.new_per_prefx", `"20/s"`, "did you mean rates.new_per_prefix?"},
		{"rates.new_per_prefix", `20/s`, "is no value"},
		{"rates.new_per_prefix", `"20"`, "is no rate"},
		{"rates.new_per_prefix", "\"20/s\"\nx = 1", "is no value"},
		{"connections.per_user", "-1", "is out of range"},
		{"connections.per_user", "{}", "is no value"},
		{"controls.rate.accept", "enforce 0%", "enforce 10%"},
		{"controls.rate.accept", "monitor 10%", "enforce 10%"},
		{"controls.rate.accept.candidate", `"7/s"`, "must be a section"},
		{"controls.rate.accept.candidate", `{ new_per_prefix = "x" }`, "is no rate"},
		{"controls.rate.accept.candidate", `{ per_user = 7 }`, "unknown key"},
		{"controls.rate.accept.candidate", "{}\n[controls.\"conns.user\"]\nmode = \"enforce\"", "no single value"},
		{"controls.rate.accept.candidate", "{}\nnonsense", "is no candidate"},
		{"controls.conns.total", "off", "unknown key"},
	} {
		if err := d.Set(c.path, c.text, 3); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s: got %v, want %q", c.path, c.text, err, c.want)
		}
	}
	if !Equal(d, New("personal")) {
		t.Errorf("refused values are there: %+v", Diff(New("personal"), d))
	}
	if err := d.SetCandidate(RateAccept, "per_user", "3"); err == nil || !strings.Contains(err.Error(), "known: new_per_prefix") {
		t.Errorf("a foreign candidate: %v", err)
	}
	if err := d.SetCandidate(RateAccept, "new_per_prefix", `"x"`); err == nil || !strings.Contains(err.Error(), "is no rate") {
		t.Errorf("a wrong candidate: %v", err)
	}
}

func TestSetTextAndCandidate(t *testing.T) {
	d := New("community")
	for path, text := range map[string]string{"rates.new_per_prefix": `"9/s"`, "controls.rate.accept": "enforce 25%", "encryption.until.secure": "2027-01-01",
		"controls.conns.user.candidate": "{ per_user = 9, read_only = 3 }"} {
		if err := d.Set(path, text, 0); err != nil {
			t.Fatal(err)
		}
		if got, ok := d.Text(path); !ok || got != text {
			t.Errorf("%s: got %s, want %s", path, got, text)
		}
	}
	if err := d.Set("controls.conns.user.candidate", "{}", 0); err != nil || len(d.Control(ConnsUser).Candidate) != 0 {
		t.Errorf("an empty candidate: %v, %v", d.Control(ConnsUser), err)
	}
	if err := d.SetCandidate(RateAccept, "new_per_prefix", `"5/s"`); err != nil {
		t.Fatal(err)
	}
	d.SetControl(RateAccept, Control{Mode: Monitor})
	if got, _ := d.Text("controls.rate.accept.candidate"); got != `{ new_per_prefix = "5/s" }` {
		t.Errorf("a new mode leaves the candidate %s", got)
	}
	if err := d.SetCandidate(RateAccept, "new_per_prefix", ""); err != nil || len(d.Control(RateAccept).Candidate) != 0 {
		t.Errorf("the candidate is there: %v, %v", d.Control(RateAccept), err)
	}
	if _, ok := d.Text("nothing"); ok {
		t.Error("there is a value without a key")
	}
}

// A document that a program filled with nonsense is refused, and does not reach a snapshot.
func TestValidateRefusesWhatNoTextCanSay(t *testing.T) {
	for want, change := range map[string]func(*Document){
		"is no control":                  func(d *Document) { d.Controls["rate.acept"] = ControlPolicy{} },
		"has no mode: it bounds memory":  func(d *Document) { d.Controls[ConnsTotal] = ControlPolicy{} },
		"has a mode that is none":        func(d *Document) { d.SetControl(RateAccept, Control{Mode: 9}) },
		"has a percentage that is none":  func(d *Document) { d.SetControl(RateAccept, Control{Enforce, 101}) },
		"is empty":                       func(d *Document) { d.Encryption.Transports = nil },
		"holds what is no transport":     func(d *Document) { d.Encryption.Transports = []mtproto.Transport{9} },
		"holds what is no cipher suite":  func(d *Document) { d.Encryption.Suites = []aead.Suite{9} },
		"is no transport":                func(d *Document) { d.Protocol.MinTransport = 0 },
		"connections.per_user is out of": func(d *Document) { d.Connections.PerUser = -1 },
		"bandwidth.per_user is out of":   func(d *Document) { d.Bandwidth.PerUser.PerSecond = -1 },
		"rates.new_per_prefix is out of": func(d *Document) { d.Rates.NewPerPrefix = ratelimit.Limit{Events: 1, Per: time.Millisecond} },
		"is no country or AS number":     func(d *Document) { d.Geography.Block = []access.Match{{}} },
		"rollout.step_back is out of":    func(d *Document) { d.Rollout.StepBack = 10_001 },
		"rollout.gate_time is out of":    func(d *Document) { d.Rollout.GateTime = -1 },
		"encryption.until.secure is out": func(d *Document) { d.Encryption.Until[mtproto.Secure] = time.Unix(0, 0) },
		`has the unknown key "x"`: func(d *Document) {
			d.Controls[RateAccept] = ControlPolicy{Control{Monitor, 0}, map[string]string{"x": "1"}}
		},
		"cannot be tried: rates.new_per_p": func(d *Document) {
			d.Controls[RateAccept] = ControlPolicy{Control{Monitor, 0}, map[string]string{"new_per_prefix": "1"}}
		},
	} {
		d := New("personal")
		change(d)
		err := d.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		var s Snapshot
		if err := d.Apply(&s); err == nil || !reflect.DeepEqual(s, Snapshot{}) {
			t.Errorf("%s: it reached a snapshot", want)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	d := parse(t, "geography.block = [\"country:DE\"]\ngeography.allow = [\"country:FR\"]\n[controls.\"rate.accept\".candidate]\nnew_per_prefix = \"5/s\"\n")
	before := string(Format(d))
	c := d.Clone()
	c.Encryption.Transports[0], c.Encryption.Suites[0], c.Geography.Block[0], c.Geography.Allow[0] = 9, 9, access.Match{}, access.Match{}
	c.Controls[RateAccept].Candidate["new_per_prefix"] = `"1/s"`
	c.SetControl(ConnsAddr, Control{Mode: Off})
	if got := string(Format(d)); got != before {
		t.Errorf("the original is now\n%s", got)
	}
}

func TestTextForms(t *testing.T) {
	for text, want := range map[string]ByteRate{
		"0": {}, "1B/s": {1, 1}, "8KiB/s burst 256KiB": {8 << 10, 256 << 10}, "3MiB/s": {3 << 20, 3 << 20}, "1024GiB/s": {1 << 40, 1 << 40},
	} {
		if got, err := ParseByteRate(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %v (%q), %v", text, got, got.String(), err)
		}
	}
	for _, text := range []string{"", "1", "1B", "B/s", "-1B/s", "+1B/s", "1.5KiB/s", "0B/s", "1025GiB/s", "1KB/s", "1KiB/m", "1KiB/s burst", "1KiB/s burst 0B", "99999999999999999999B/s", "1 KiB/s"} {
		if got, err := ParseByteRate(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"0s": 0, "90d": 90 * day, "7d12h": 7*day + 12*time.Hour, "1h30m": 90 * time.Minute, "1d1ms": day + time.Millisecond} {
		if got, err := parseSpan(text); err != nil || got != want || FormatSpan(got) != text {
			t.Errorf("%q: got %v (%q), %v", text, got, FormatSpan(got), err)
		}
	}
	for _, text := range []string{"", "1", "d", "-1d", "1d-1h", "1d+1h", "1h1d", "99999d", "36600d1s", "2000000h", "1y", "1d2w"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for text, want := range map[string]Share{"0%": 0, "0.5%": 50, "2%": 200, "12.25%": 1225, "100%": 10_000, "0.01%": 1} {
		if got, ok := parseShare(text); !ok || got != want || got.String() != text {
			t.Errorf("%q: got %v (%q), %t", text, int(got), got.String(), ok)
		}
	}
	for _, text := range []string{"", "%", "1", ".5%", "1.%", "1.234%", "101%", "100.01%", "-1%", "+1%", "1.-1%", "99999%"} {
		if got, ok := parseShare(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.toml", "invalid/*.toml"} {
		names, _ := filepath.Glob(examples + pattern)
		for _, name := range names {
			if data, err := os.ReadFile(name); err == nil {
				f.Add(data)
			}
		}
	}
	f.Add([]byte("schema = 1\n[controls]\n\"rate.accept\".candidate = {new_per_prefix = \"1/s\"}\n\"\".x.\"\" = []\n[a.b]\n[[a.b.c]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("fuzz", data)
		if err != nil {
			refused, ok := errors.AsType[*Error](err)
			if !ok || d != nil || len(refused.Problems) == 0 || len(refused.Problems) > maxProblems+1 {
				t.Fatalf("refused with %v", err)
			}
			for _, p := range refused.Problems {
				if p.Message == "" || p.Line < 0 || len(p.Text()) > 4000 {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		text := Format(d)
		again, err := Parse("again", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if c := Diff(d, again); len(c) > 0 || again.Preset != d.Preset || string(Format(again)) != string(text) {
			t.Fatalf("read back with %+v\n%s", c, text)
		}
		if err := d.Apply(new(Snapshot)); err != nil {
			t.Fatalf("it was parsed and cannot be applied: %v", err)
		}
	})
}

func FuzzParseByteRate(f *testing.F) {
	f.Add("8KiB/s burst 256KiB")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseByteRate(text)
		if err != nil {
			return
		}
		if again, err := ParseByteRate(r.String()); err != nil || again != r || r.PerSecond < 0 || r.Burst < 0 {
			t.Fatalf("%q is %+v, and %q is %+v, %v", text, r, r.String(), again, err)
		}
	})
}

func TestControlNamesAreKnownOnce(t *testing.T) {
	names := Controls()
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != 18 {
		t.Errorf("%d names of controls, want 18", n)
	}
	for _, f := range New("").values() {
		if f.control != "" && !slices.Contains(rollable(), f.control) {
			t.Errorf("%s belongs to %q", f.path, f.control)
		}
	}
	for name, control := range map[string]string{access.ControlLevel: AccessLevel, access.ControlCountry: GeoCountry, access.ControlPattern: AccessPattern} {
		if name != control {
			t.Errorf("access calls %s %s", control, name)
		}
	}
}
