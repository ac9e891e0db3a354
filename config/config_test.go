package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"
)

const testSecret = "7c1f0d93a55be24486f2b1093cd86e5a"

// parseProblems parses text that must be refused.
func parseProblems(t *testing.T, text string) []Problem {
	t.Helper()
	_, err := Parse("test.toml", []byte(text))
	return problemsOf(t, err)
}

func problemsOf(t *testing.T, err error) []Problem {
	t.Helper()
	problems, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	return problems.Problems
}

// Each file of examples/invalid begins with place, message and hint of its only problem.
func TestInvalidExamplesAreRefused(t *testing.T) {
	names, err := filepath.Glob("../examples/invalid/*.toml")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(string(data), "\n")
		_, err = Parse(name, data)
		problems, ok := errors.AsType[*Error](err)
		if !ok || len(problems.Problems) != 1 {
			t.Errorf("%s: got %v, want one problem", name, err)
			continue
		}
		p := problems.Problems[0]
		got := fmt.Sprintf("# %d:%d  %s", p.Line, p.Column, p.Message)
		if p.Hint != "" {
			got += " | " + p.Hint
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestAllProblemsAreReportedAtOnceInTheOrderOfTheFile(t *testing.T) {
	_, err := Parse("/etc/mtguard/mtguard.toml", []byte(`[proxy]
lisen = ["127.0.0.1:8443"]
idle_timeout = 600
	engine = "epol"   # a tab in front
[cover]
domains = ["пример.example", "www.example.org", "WWW.example.org"]
[limits]
half_open = 0
`))
	want := `/etc/mtguard/mtguard.toml:2:1  unknown key proxy.lisen
    2 | lisen = ["127.0.0.1:8443"]
      | ^^^^^  did you mean listen?
/etc/mtguard/mtguard.toml:3:16  proxy.idle_timeout must be a duration in quotes, not a number
    3 | idle_timeout = 600
      |                ^^^  a number needs a unit: "600s"
/etc/mtguard/mtguard.toml:4:11  proxy.engine cannot be "epol"
    4 |  engine = "epol"   # a tab in front
      |           ^^^^^^  known: auto, loop, goroutine
/etc/mtguard/mtguard.toml:6:12  cover.domains holds "пример.example", which is no host name
    6 | domains = ["пример.example", "www.example.org", "WWW.example.org"]
      |            ^^^^^^^^^^^^^^^^  letters, digits and dashes between dots; other scripts as xn--…
/etc/mtguard/mtguard.toml:6:49  cover.domains holds "WWW.example.org" with capitals
    6 | domains = ["пример.example", "www.example.org", "WWW.example.org"]
      |                                                 ^^^^^^^^^^^^^^^^^  write "www.example.org"
/etc/mtguard/mtguard.toml:8:13  limits.half_open is too small
    8 | half_open = 0
      |             ^  allowed: 1 to 1_048_576`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	_, err := Parse("test.toml", []byte(`
[proxy]
listen = ["127.0.0.1:8443", "[::1]:8443"]
public_address = "proxy.example.com:443"
transports = ["secure", "classic", "faketls"]
max_connections = 0x1_000
handshake_timeout = "1m30s"
idle_timeout = "0.5d"
drain_timeout = "0"
proxy_protocol_from = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:192.0.2.2"]
clock_skew = "2m"
engine = "goroutine"
[cover]
domains = ["a.example.org", "b.example.org"]
fall_back_to = "127.0.0.1:4443"
proxy_protocol = true
connect_timeout = "1s"
max_connections = 7
[[user]]
name = "alice"
secret = "`+testSecret+`"
[[user]]
name = "bob"
secret_file = "bob.secret"
[upstream]
prefer = "only-ipv6"
socks5 = "127.0.0.1:1080"
pass_through = false
connect_timeout = "100ms"
dc.2 = ["127.0.0.1:1", "[::1]:2"]
[upstream.dc]
-10003 = ["127.0.0.1:3"]
`))
	if err == nil {
		t.Error("a section that dotted keys made was opened again, which TOML forbids")
	}
	got, err := Parse("test.toml", []byte(`
proxy = { listen = ["127.0.0.1:8443", "[::1]:8443"], public_address = "proxy.example.com:443", engine = "goroutine" }
user = [{ name = "alice", secret = "`+testSecret+`" }, { name = "bob", secret_file = "bob.secret" }]
upstream.prefer = "only-ipv6"
upstream.socks5 = "127.0.0.1:1080"
upstream.pass_through = false
upstream.connect_timeout = "100ms"
upstream.dc.2 = ["127.0.0.1:1", "[::1]:2"]
upstream.dc.-10003 = ["127.0.0.1:3"]
[cover]
domains = ["a.example.org", "b.example.org"]
fall_back_to = "127.0.0.1:4443"
proxy_protocol = true
connect_timeout = "1s"
max_connections = 7
[limits]
connections_per_address = 1
new_per_prefix = "5/m burst 50"
half_open = +9
[policy]
controls = { "rate.accept" = "enforce 100%", "conns.addr" = "off" }
[metrics]
listen = ""
[state]
dir = '/srv/mtguard'
[log]
level = """debug"""
format = "text"
address = "hash"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Proxy.Listen = []string{"127.0.0.1:8443", "[::1]:8443"}
	want.Proxy.PublicAddress = "proxy.example.com:443"
	want.Proxy.Engine = "goroutine"
	want.Cover = Cover{[]string{"a.example.org", "b.example.org"}, "127.0.0.1:4443", true, time.Second, 7}
	want.Users = []User{{Name: "alice", Secret: NewSecret(testSecret)}, {Name: "bob", SecretFile: "bob.secret"}}
	want.Upstream = Upstream{"only-ipv6", "127.0.0.1:1080", false, 100 * time.Millisecond, map[string][]string{"2": {"127.0.0.1:1", "[::1]:2"}, "-10003": {"127.0.0.1:3"}}}
	want.Limits = Limits{1, "5/m burst 50", 9}
	want.Policy.Controls = map[string]string{"rate.accept": "enforce 100%", "conns.addr": "off"}
	want.Metrics.Listen, want.State.Dir = "", "/srv/mtguard"
	want.Log = Log{"debug", "text", "hash"}
	got.src, want.src = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestProxySectionIsRead(t *testing.T) {
	got, err := Parse("test.toml", []byte(`[proxy]
transports = ["secure", "classic", "faketls"]
max_connections = 0x1_000
handshake_timeout = "1m30s"
idle_timeout = "0.5d"
drain_timeout = "0"
proxy_protocol_from = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:192.0.2.2"]
clock_skew = "2m"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default().Proxy
	want.Transports = []string{"secure", "classic", "faketls"}
	want.MaxConnections = 4096
	want.HandshakeTimeout, want.IdleTimeout, want.DrainTimeout, want.ClockSkew = 90*time.Second, 12*time.Hour, 0, 2*time.Minute
	want.ProxyProtocolFrom = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.2/32"),
	}
	if !reflect.DeepEqual(got.Proxy, want) {
		t.Errorf("got  %+v\nwant %+v", got.Proxy, want)
	}
}

func TestDefaultsThatFollowOtherValues(t *testing.T) {
	tests := []struct{ text, fallBackTo string }{
		{"", "www.example.com:443"},
		{`cover.domains = ["www.example.org"]`, "www.example.org:443"},
		{`cover.domains = ["www.example.org"]` + "\n" + `cover.fall_back_to = ""`, ""},
		{`cover.fall_back_to = "127.0.0.1:4443"`, "127.0.0.1:4443"},
	}
	for _, test := range tests {
		f, err := Parse("test.toml", []byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if f.Cover.FallBackTo != test.fallBackTo {
			t.Errorf("%s: falls back to %q, want %q", test.text, f.Cover.FallBackTo, test.fallBackTo)
		}
	}
	f, err := Parse("test.toml", []byte("proxy.max_connections = 100"))
	if err != nil || f.Limits.HalfOpen != 100 {
		t.Errorf("half_open %d, %v; want it lowered to max_connections", f.Limits.HalfOpen, err)
	}
}

func TestExplicit(t *testing.T) {
	f, err := Parse("test.toml", []byte("[proxy]\nengine = \"auto\"\n[state]\ndir = \""+DefaultStateDir+"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set("--listen", "proxy.listen", ":8443"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"proxy.engine": true, "proxy.listen": true, "metrics.listen": false, "state.dir": false} {
		if got := f.Explicit(key); got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	if err := f.Set("--state-dir", "state.dir", DefaultStateDir); err != nil || !f.Explicit("state.dir") {
		t.Errorf("state.dir given as a flag is not explicit: %v", err)
	}
}

func TestLongAndStrangeLinesAreShownAroundThePlace(t *testing.T) {
	many := strings.Repeat(`"a.example.org", `, 40)
	p := parseProblems(t, "cover.domains = ["+many+"\"x\"]\n")
	for _, p := range p {
		for line := range strings.Lines(p.Text()) {
			if len(line) > 300 {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
	}
	last := p[len(p)-1]
	if under := []rune(last.excerpt)[last.indent : last.indent+last.carets]; string(under) != `"x"` {
		t.Errorf("the carets of %q stand under %q", last.excerpt, string(under))
	}
	p = parseProblems(t, "log.level = \"\x1b[31m\xff\"\r\n")
	if strings.ContainsAny(p[0].Text(), "\x1b\r") {
		t.Errorf("control characters of the file reach the terminal: %q", p[0].Text())
	}
	p = parseProblems(t, "log.level = \""+strings.Repeat("x", 100_000)+"\"")
	if len(p[0].Text()) > 1000 {
		t.Errorf("a text of %d bytes", len(p[0].Text()))
	}
}

func TestSecretsDoNotReachErrors(t *testing.T) {
	const base64 = "fB8Nk6Vb4kSG8rEJPNhuWg"
	for _, text := range []string{
		"[[user]]\nname = \"%s\"\n",
		"[[user]]\nsecret = \"%s\"\n",
		"[[user]]\nname = \"a\"\nsecrt = \"%s\"\n",
		"[[user]]\nname = \"a\"\nsecret = \"%s\"\nsecret_file = \"x\" # was %s\n",
		"[[user]]\nname = \"a\"\nsecret = \"%s\n",
		"[[user]]\nname = \"a\"\nsecret = %s\n",
		"[[user]]\nname = \"a\"\nsecret = [\"%s\"]\n",
		"[user]\nname = \"a\"\nsecret = \"%s\"\n",
		"user = \"%s\"\n",
		"cover.domains = [\"%s_\"]\n",
		"proxy.public_address = \"%s/\"\n",
		"proxy.listen = [\"%s:x\"]\n",
		"log.level = \"%s\"\n",
		"upstream.socks5 = \"me:%s@127.0.0.1:1080\"\n",
		"[limits]\nnew_per_prefix = \"%s\"\n",
		"policy.controls.\"%s\" = \"off\"\n",
		"upstream.dc.2 = [\"%s\"]\n",
		"%s = 1\n",
		"[%s]\n",
	} {
		for _, secret := range []string{testSecret, "ee" + testSecret + "7777772e6578616d706c652e636f6d", base64} {
			_, err := Parse("test.toml", []byte(strings.ReplaceAll(text, "%s", secret)))
			for _, p := range problemsOf(t, err) {
				raw, _ := json.Marshal(p)
				if shown := p.Text() + string(raw); strings.Contains(shown, secret) {
					t.Errorf("%q: the secret is in\n%s", text, shown)
				}
			}
		}
	}
}

func TestSecretPrintsAPlaceholder(t *testing.T) {
	f, err := Parse("test.toml", []byte("[[user]]\nname = \"a\"\nsecret = \""+testSecret+"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", f.Users[0].Secret, "user", f.Users[0], "file", f)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", f.Users[0].Secret, "user", f.Users[0], "file", f)
	encoded, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := toml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	type nested struct{ inner User } // fmt cannot call methods in here
	shown := log.String() + string(encoded) + string(again)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb+verb, f, *f, f.Users[0].Secret, nested{f.Users[0]})
	}
	if strings.Contains(shown, testSecret) || strings.Contains(shown, fmt.Sprintf("%x", testSecret)) {
		t.Errorf("the secret is in %s", shown)
	}
	if !strings.Contains(shown, hidden) {
		t.Errorf("no placeholder in %s", shown)
	}
	if f.Users[0].Secret.Reveal() != testSecret || !NewSecret("").IsZero() || NewSecret("").Reveal() != "" {
		t.Error("Reveal is not what was put in")
	}
}

func TestLoadNamesAFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.toml")
	if _, err := Load(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("directory: %v", err)
	}
	huge := filepath.Join(dir, "huge.toml")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(huge); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("huge file: %v", err)
	}
}

func TestParseDuration(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "10s": 10 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1w": 168 * time.Hour,
		"1w2d3h4m5s6ms": 168*time.Hour + 51*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond,
		"1.5d":          36 * time.Hour, "0.5w": 84 * time.Hour, "1.5h": 90 * time.Minute, "15250w": 15250 * 168 * time.Hour,
	}
	for text, want := range good {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "s", "-1s", "1x", "1 s", "1..5s", ".s", "15251w", "1.7e9d", "99999999999999999999d", "9999999h9999999999h", "106752d", "15250w30d", "1d-1h", "+1s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestFormatDurationIsShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Minute: "1m", 90 * time.Minute: "1h30m", time.Hour: "1h", 24 * time.Hour: "1d", 36 * time.Hour: "36h",
		168 * time.Hour: "1w", 100 * time.Millisecond: "100ms", 30 * time.Second: "30s", 40 * time.Minute: "40m",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d ns: %q, want %q", d, got, want)
		}
	}
}

// FuzzParse: whatever the file, the answer is a valid configuration that the library reads
// too, or problems that stand in the file, fit a terminal and tell no secret.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../examples/*.toml", "../examples/invalid/*.toml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seeds in %s, %v", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("a.b.c = [[1, {x = 2}], 'y']\n[a.b]\n[[a]]\n"))
	tail := "\n[[user]]\nname = \"last\"\nsecret = \"" + testSecret + "\"\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data) + tail
		file, err := Parse("fuzz.toml", []byte(text))
		if err == nil {
			if err := file.Validate(); err != nil {
				t.Errorf("valid at first, then: %v", err)
			}
			var all map[string]any
			if err := toml.Unmarshal([]byte(text), &all); err != nil {
				t.Errorf("accepted what is not TOML: %v", err)
			}
			return
		}
		problems, ok := errors.AsType[*Error](err)
		if !ok || len(problems.Problems) == 0 {
			t.Fatalf("error %v", err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, p := range problems.Problems {
			if p.Line < 0 || p.Line > lines || p.Message == "" {
				t.Errorf("line %d of %d, message %q", p.Line, lines, p.Message)
			}
			for line := range strings.Lines(p.Text()) {
				if len([]rune(line)) > 1000 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
			if strings.ContainsFunc(p.excerpt, unicode.IsControl) || strings.Contains(p.Text(), testSecret) {
				t.Errorf("text %q", p.Text())
			}
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"1w2d3h", "10s", "1.5d", "0", "9223372036854775807ns", "-1s", "1e9d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %v", text, d)
		}
		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Errorf("%q: %v is written %q and read %v, %v", text, d, FormatDuration(d), again, err)
		}
		if std, err := time.ParseDuration(text); err == nil && std != d {
			t.Errorf("%q: %v, the standard library says %v", text, d, std)
		}
	})
}
