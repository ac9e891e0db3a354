package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fromEnvironment lays variables over a file as Load does.
func fromEnvironment(t *testing.T, text string, environ ...string) (*File, error) {
	t.Helper()
	f, problems := decode("test.toml", []byte(text))
	problems = append(problems, f.applyEnvironment(environ)...)
	f.settle()
	return f, f.report(append(problems, f.check()...))
}

func TestVariablesWinOverTheFile(t *testing.T) {
	f, err := fromEnvironment(t, `
[proxy]
listen = [":1"]
engine = "loop"
[cover]
domains = ["a.example.org"]
[upstream.dc]
2 = ["127.0.0.1:2"]
3 = ["127.0.0.1:3"]
`,
		"MTGUARD__PROXY__LISTEN=127.0.0.1:8443, [::1]:8443",
		"MTGUARD__PROXY__MAX_CONNECTIONS=100",
		"MTGUARD__PROXY__IDLE_TIMEOUT=1d",
		"MTGUARD__PROXY__PROXY_PROTOCOL_FROM=10.0.0.0/8,192.0.2.1",
		"MTGUARD__COVER__DOMAINS=b.example.org",
		"MTGUARD__UPSTREAM__PASS_THROUGH=false",
		"MTGUARD__UPSTREAM__DC__3=127.0.0.1:33,127.0.0.1:34",
		"MTGUARD__POLICY__CONTROLS__RATE_ACCEPT=enforce 5%",
		"MTGUARD__METRICS__LISTEN=",
		"MTGUARD_PORT=tcp://10.0.0.1:443", // what Kubernetes invents
		"PATH=/bin",
	)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Proxy.Listen = []string{"127.0.0.1:8443", "[::1]:8443"}
	want.Proxy.Engine = "loop"
	want.Proxy.MaxConnections, want.Limits.HalfOpen = 100, 100
	want.Proxy.IdleTimeout = 24 * time.Hour
	want.Proxy.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}
	want.Cover.Domains, want.Cover.FallBackTo = []string{"b.example.org"}, "b.example.org:443"
	want.Upstream.PassThrough = false
	want.Upstream.DC = map[string][]string{"2": {"127.0.0.1:2"}, "3": {"127.0.0.1:33", "127.0.0.1:34"}}
	want.Policy.Controls = map[string]string{"rate.accept": "enforce 5%"}
	want.Metrics.Listen = ""
	f.src, want.src = nil, nil
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
}

func TestBadVariablesAreErrors(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"MTGUARD__PROXY__LISTN=:1", "MTGUARD__PROXY__LISTN  unknown variable\n      did you mean MTGUARD__PROXY__LISTEN?"},
		{"MTGUARD__Proxy__Listen=:1", "MTGUARD__Proxy__Listen  unknown variable\n      did you mean MTGUARD__PROXY__LISTEN?"},
		{"MTGUARD__BANANA=1", "MTGUARD__BANANA  unknown variable"},
		{"MTGUARD__=1", "MTGUARD__  unknown variable"},
		{"MTGUARD__PROXY=1", "MTGUARD__PROXY  unknown variable"},
		{"MTGUARD__USER__0__SECRET=" + testSecret, "MTGUARD__USER__0__SECRET  users cannot be set by variables\n      a secret in the environment is seen by every child process: use [[user]] with secret_file"},
		{"MTGUARD__PROXY__MAX_CONNECTIONS=many", "MTGUARD__PROXY__MAX_CONNECTIONS  proxy.max_connections must be a whole number\n      such as 4096"},
		{"MTGUARD__PROXY__MAX_CONNECTIONS=0", "MTGUARD__PROXY__MAX_CONNECTIONS  proxy.max_connections is too small\n      allowed: 1 to 4_194_304"},
		{"MTGUARD__PROXY__IDLE_TIMEOUT=600", "MTGUARD__PROXY__IDLE_TIMEOUT  proxy.idle_timeout is no duration: a unit is missing\n      such as \"10s\", \"1h30m\", \"2d\" or \"1w\""},
		{"MTGUARD__UPSTREAM__PASS_THROUGH=yes", "MTGUARD__UPSTREAM__PASS_THROUGH  upstream.pass_through must be true or false"},
		{"MTGUARD__PROXY__LISTEN=", "MTGUARD__PROXY__LISTEN  proxy.listen is empty\n      such as [\":443\"]"},
		{"MTGUARD__PROXY__LISTEN=:1,8443", "MTGUARD__PROXY__LISTEN  proxy.listen holds \"8443\" without a host\n      write \":8443\""},
		{"MTGUARD__PROXY__PROXY_PROTOCOL_FROM=10.0.0.1/8", "MTGUARD__PROXY__PROXY_PROTOCOL_FROM  proxy.proxy_protocol_from has bits behind the prefix in \"10.0.0.1/8\"\n      did you mean \"10.0.0.0/8\"?"},
		{"MTGUARD__UPSTREAM__DC__9=127.0.0.1:1", "MTGUARD__UPSTREAM__DC__9  upstream.dc has the key \"9\", which is no data centre\n      1 to 5, 203, 10001 to 10003, or one of these negative"},
		{"MTGUARD__POLICY__CONTROLS__CONNS_TOTAL=off", "MTGUARD__POLICY__CONTROLS__CONNS_TOTAL  control conns.total has no mode: it bounds memory and is always enforced\n      remove this line"},
		{"MTGUARD__LOG__LEVEL=" + testSecret, "MTGUARD__LOG__LEVEL  log.level cannot be \"" + strings.Repeat("*", 32) + "\"\n      known: debug, info, warn, error"},
	}
	for _, test := range tests {
		if _, err := fromEnvironment(t, "", test.variable); err == nil || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.variable, err, test.want)
		}
	}
}

// A value that a variable replaced is not checked, and its line not blamed.
func TestVariablesAreNamedInsteadOfTheFile(t *testing.T) {
	if _, err := fromEnvironment(t, `log.level = "loud"`, "MTGUARD__LOG__LEVEL=info"); err != nil {
		t.Errorf("a replaced value is refused: %v", err)
	}
	_, err := fromEnvironment(t, `log.level = "info"`, "MTGUARD__LOG__LEVEL=loud")
	if p := problemsOf(t, err); p[0].Origin != "MTGUARD__LOG__LEVEL" || p[0].Line != 0 {
		t.Errorf("blamed %s:%d", p[0].Origin, p[0].Line)
	}
	// The file has a value at the same place of the list, which is not to blame either.
	_, err = fromEnvironment(t, `proxy.listen = [":1"]`, "MTGUARD__PROXY__LISTEN=nowhere")
	if p := problemsOf(t, err); p[0].Origin != "MTGUARD__PROXY__LISTEN" || p[0].Line != 0 {
		t.Errorf("blamed %s:%d", p[0].Origin, p[0].Line)
	}
}

func TestLoadTakesTheEnvironmentAndParseDoesNot(t *testing.T) {
	t.Setenv("MTGUARD__PROXY__LISTEN", "127.0.0.1:1")
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte(`proxy.listen = [":2"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil || loaded.Proxy.Listen[0] != "127.0.0.1:1" || loaded.Path() != path {
		t.Errorf("Load: %+v, %v", loaded, err)
	}
	if without, err := Load(""); err != nil || without.Proxy.Listen[0] != "127.0.0.1:1" {
		t.Errorf("Load of no file: %+v, %v", without, err)
	}
	parsed, err := Parse("a.toml", []byte(`proxy.listen = [":2"]`))
	if err != nil || parsed.Proxy.Listen[0] != ":2" {
		t.Errorf("Parse: %+v, %v", parsed, err)
	}
	if got := Environment(); !reflect.DeepEqual(got, []string{"MTGUARD__PROXY__LISTEN"}) {
		t.Errorf("Environment: %q", got)
	}
}

func TestSetWinsAndIsNamedInErrors(t *testing.T) {
	f, err := fromEnvironment(t, `proxy.listen = [":1"]`, "MTGUARD__PROXY__LISTEN=:2")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set("--listen", "proxy.listen", ":3", "4"); err != nil {
		t.Fatal(err)
	}
	p := problemsOf(t, f.Validate())
	if len(p) != 1 || p[0].Origin != "--listen" {
		t.Errorf("got %+v", p)
	}
	for key, values := range map[string][]string{
		"proxy.listn": {":1"}, "listen": {":1"}, "proxy": {":1"}, "user.name": {"x"}, "upstream.dc": {"x"}, "proxy.listen.x": {"x"},
		"proxy.engine": {"auto", "loop"}, "proxy.idle_timeout": {"x"},
	} {
		if err := f.Set("--x", key, values...); err == nil {
			t.Errorf("%s: no error", key)
		} else if p := problemsOf(t, err); p[0].Origin != "--x" {
			t.Errorf("%s: %+v", key, p)
		}
	}
}
