package links

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"mtguard/config"
	"mtguard/mtproto"
	"mtguard/security/keys"
)

const (
	plain = "7c1f0d93a55be24486f2b1093cd86e5a"
	other = "00112233445566778899aabbccddeeff"
	// other with the domain front.example.com
	fake = "ee00112233445566778899aabbccddeeff66726f6e742e6578616d706c652e636f6d"
)

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func unused() (string, error) { return "", errors.New("the default secret was asked for") }

func TestEveryUserHasALinkForEveryTransport(t *testing.T) {
	f := parse(t, `
cover.domains = ["a.example", "front.example.com"]
proxy.transports = ["faketls", "secure", "classic"]
[[user]]
name = "alice"
secret = "`+plain+`"
[[user]]
name = "bob"
secret = "`+fake+`"
`)
	list, err := Keys(f, unused)
	if err != nil {
		t.Fatal(err)
	}
	items, err := All(list, f.Proxy.Transports, f.Cover.Domains[0], Address{Host: "192.0.2.10", Port: 8443})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ user, kind, secret string }{
		{"alice", "faketls", "ee" + plain + "612e6578616d706c65"},
		{"alice", "secure", "dd" + plain},
		{"alice", "classic", plain},
		{"bob", "faketls", fake},
		{"bob", "secure", "dd" + other},
		{"bob", "classic", other},
	}
	if len(items) != len(want) {
		t.Fatalf("%d links, want %d", len(items), len(want))
	}
	for i, w := range want {
		query := "proxy?server=192.0.2.10&port=8443&secret=" + w.secret
		if got, want := items[i], (Item{w.user, w.kind, w.secret, "tg://" + query, "https://t.me/" + query}); got != want {
			t.Errorf("link %d: got %+v, want %+v", i, [5]string{got.User, got.Kind, got.Secret, got.TG, got.HTTPS}, want)
		}
	}
}

func TestWithoutUsersTheStoredSecretCounts(t *testing.T) {
	list, err := Keys(config.Default(), func() (string, error) { return plain, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].User() != DefaultUser {
		t.Fatalf("got %v", list)
	}
	if got := list[0].Secret().Encode(mtproto.Classic, ""); got != plain {
		t.Error("another secret than the stored one")
	}
	_, err = Keys(config.Default(), func() (string, error) { return "xyz", nil })
	if err == nil || !strings.Contains(err.Error(), "default secret") || strings.Contains(err.Error(), "xyz") {
		t.Errorf("a bad stored secret gives %v", err)
	}
	if _, err := Keys(config.Default(), unused); err == nil {
		t.Error("an unreadable stored secret gives no error")
	}
}

func TestBadSecretsAreConfigurationErrors(t *testing.T) {
	f := parse(t, "[[user]]\nname = \"a\"\nsecret = \"12\"\n[[user]]\nname = \"b\"\nsecret = \""+fake+"\"\n")
	_, err := Keys(f, unused)
	var problems *config.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 2 {
		t.Fatalf("got %v, want two problems", err)
	}
	for i, line := range []int{3, 6} {
		if got := problems.Problems[i].Line; got != line {
			t.Errorf("problem %d is on line %d, want %d", i, got, line)
		}
	}
}

func TestFakeTLSWithoutAnyDomainIsRefused(t *testing.T) {
	secret, err := keys.ParseSecret(plain)
	if err != nil {
		t.Fatal(err)
	}
	_, err = All([]*keys.Key{keys.NewKey("a", secret)}, []string{"faketls"}, "", Address{Host: "h", Port: 1})
	if err == nil {
		t.Error("no error")
	}
}

func TestNewSecretIsParsedBack(t *testing.T) {
	for _, domain := range []string{"", "www.example.com"} {
		a, err := NewSecret(domain)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := NewSecret(domain)
		secret, err := keys.ParseSecret(a)
		if err != nil || secret.Domain() != domain || a == b {
			t.Errorf("domain %q: %v, domain %q, equal twice: %v", domain, err, secret.Domain(), a == b)
		}
	}
	if _, err := NewSecret("no such name"); err == nil {
		t.Error("a bad domain gives no error")
	}
}

func TestItemsAreNotPrintedWithTheirSecret(t *testing.T) {
	item := Item{User: "alice", Kind: "classic", Secret: plain, TG: "tg://" + plain, HTTPS: "https://" + plain}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("link", "item", item)
	for _, text := range []string{fmt.Sprint(item), fmt.Sprintf("%+v %#v %s %q", item, item, item, []Item{item}), log.String()} {
		if strings.Contains(text, plain) {
			t.Errorf("secret in %s", text)
		}
	}
	if data, err := json.Marshal(item); err != nil || strings.Count(string(data), plain) != 3 {
		t.Errorf("JSON lacks the secret: %s, %v", data, err)
	}
}

func TestLocate(t *testing.T) {
	public := func() (netip.Addr, error) { return netip.MustParseAddr("203.0.113.7"), nil }
	private := func() (netip.Addr, error) { return netip.MustParseAddr("10.1.2.3"), nil }
	none := func() (netip.Addr, error) { return netip.Addr{}, errors.New("no route") }
	tests := []struct {
		public   string
		listen   string
		outbound func() (netip.Addr, error)
		host     string
		port     uint16
		note     string
	}{
		{"auto", ":443", public, "203.0.113.7", 443, ""},
		{"auto", "0.0.0.0:8443", public, "203.0.113.7", 8443, ""},
		{"auto", "[::]:8443", private, "10.1.2.3", 8443, "private"},
		{"auto", ":443", none, "127.0.0.1", 443, "no way to the internet"},
		{"auto", "198.51.100.9:443", none, "198.51.100.9", 443, ""},
		{"auto", "127.0.0.1:8443", none, "127.0.0.1", 8443, "this machine only"},
		{"auto", "[::1]:8443", none, "::1", 8443, "this machine only"},
		{"auto", "100.64.1.1:443", none, "100.64.1.1", 443, "private"},
		{"auto", "proxy.example.com:443", none, "proxy.example.com", 443, ""},
		{"proxy.example.com", ":8443", none, "proxy.example.com", 8443, ""},
		{"proxy.example.com:443", ":8443", none, "proxy.example.com", 443, ""},
		{"2001:db8::5", ":8443", none, "2001:db8::5", 8443, ""},
		{"[2001:db8::5]:443", ":8443", none, "2001:db8::5", 443, ""},
	}
	for _, test := range tests {
		got, err := locate(test.public, []string{test.listen}, test.outbound)
		if err != nil {
			t.Errorf("%s behind %s: %v", test.listen, test.public, err)
			continue
		}
		if got.Host != test.host || got.Port != test.port || (test.note == "") != (got.Note == "") || !strings.Contains(got.Note, test.note) {
			t.Errorf("%s behind %s: got %+v, want %s, %d, note %q", test.listen, test.public, got, test.host, test.port, test.note)
		}
	}
	if _, err := Locate("auto", nil); err == nil {
		t.Error("no listen address gives no error")
	}
}

// The drawing is read back into modules, which must be those of the code with a light
// border: in black on white, and the other way round.
func TestQRDrawsTheCode(t *testing.T) {
	text := "tg://proxy?server=203.0.113.7&port=443&secret=ee" + plain + "7777772e6578616d706c652e636f6d"
	dark, err := QR(text, true)
	if err != nil {
		t.Fatal(err)
	}
	light, err := QR(text, false)
	if err != nil {
		t.Fatal(err)
	}
	a, b := modules(t, dark), modules(t, light)
	if len(a) != 46 || len(a[0]) != 45 {
		t.Fatalf("%d × %d half cells, want 45 × 46: it would not fit a console", len(a[0]), len(a))
	}
	for y := range a[:45] {
		for x := range a[y] {
			border := x < quietZone || y < quietZone || x >= 43 || y >= 43
			if a[y][x] == b[y][x] || border && a[y][x] {
				t.Fatalf("module %d, %d: dark drawing %v, light drawing %v, border %v", x, y, a[y][x], b[y][x], border)
			}
		}
	}
	// A finder pattern: dark ring of 7, light ring of 5, dark square of 3.
	for y := range 7 {
		for x := range 7 {
			ring := max(abs(x-3), abs(y-3))
			if want := ring != 2; a[y+quietZone][x+quietZone] != want {
				t.Errorf("finder pattern at %d, %d: dark %v, want %v", x, y, !want, want)
			}
		}
	}
	if _, err := QR(strings.Repeat("x", 5000), false); err == nil {
		t.Error("a text too long gives no error")
	}
}

func abs(n int) int { return max(n, -n) }

func modules(t *testing.T, drawing string) [][]bool {
	t.Helper()
	var rows [][]bool
	for line := range strings.Lines(drawing) {
		line = strings.TrimSuffix(line, "\n")
		line = strings.TrimPrefix(line, "\x1b[38;5;16;48;5;231m")
		line = strings.TrimSuffix(line, "\x1b[0m")
		top, bottom := make([]bool, 0, utf8.RuneCountInString(line)), []bool{}
		for _, r := range line {
			top, bottom = append(top, r == '█' || r == '▀'), append(bottom, r == '█' || r == '▄')
		}
		rows = append(rows, top, bottom)
	}
	return rows
}

func TestWrite(t *testing.T) {
	items := []Item{{"alice", "classic", plain, "tg://1", "https://1"}, {"bob", "secure", plain, "tg://2", "https://2"}}
	var out strings.Builder
	if err := Write(&out, items, Style{}); err != nil {
		t.Fatal(err)
	}
	want := "alice (classic)\n  tg://1\n  https://1\n\nbob (secure)\n  tg://2\n  https://2\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if err := Write(&out, items, Style{QR: true}); err != nil || strings.Count(out.String(), "█") < 100 {
		t.Errorf("no codes in %q, %v", out.String(), err)
	}
}
