package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"mtguard/mtproto"
	"mtguard/security/usage"
)

type vectorFile struct {
	Cases []struct {
		Name               string  `json:"name"`
		Text               string  `json:"text"`
		Expectation        string  `json:"expect"`
		Key                *string `json:"key"`
		Domain             *string `json:"domain"`
		CanonicalHex       string  `json:"canonical_hex"`
		CanonicalBase64URL string  `json:"canonical_base64url"`
	} `json:"cases"`
	Links []struct {
		Server string `json:"server"`
		Port   uint16 `json:"port"`
		Secret string `json:"secret"`
		TG     string `json:"tg"`
		TMe    string `json:"tme"`
	} `json:"links"`
}

func vectors(t testing.TB) (file vectorFile) {
	t.Helper()
	raw, err := os.ReadFile("testdata/secrets.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Cases) < 20 || len(file.Links) != 3 {
		t.Fatalf("%d cases, %d links, %v", len(file.Cases), len(file.Links), err)
	}
	return file
}

// stricter are the cases that the vectors' clients take and a proxy should not hand
// out (protocol paper, section 1.1).
var stricter = map[string]string{
	"ee-1-char-domain":   "tdesktop refuses domains below 4 bytes",
	"ee-domain-3-chars":  "tdesktop refuses domains below 4 bytes",
	"ee-nul-in-domain":   "no host name holds a NUL",
	"ee-182-char-domain": "its first label has 178 bytes; a label of a host name has at most 63",
	"zero-key-ee":        "a key of zeros is a placeholder that somebody forgot to fill in",
}

var kindNames = map[string]Kind{"plain": Plain, "dd": Padded, "ee": FakeTLS}
var transports = map[Kind]mtproto.Transport{Plain: mtproto.Classic, Padded: mtproto.Secure, FakeTLS: mtproto.FakeTLS}

func TestSecretVectors(t *testing.T) {
	refused := 0
	for _, c := range vectors(t).Cases {
		s, err := ParseSecret(c.Text)
		want := c.Expectation
		if why, ok := stricter[c.Name]; ok {
			refused++
			want = "error"
			if c.Expectation == "error" {
				t.Errorf("%s: needs no reason (%s)", c.Name, why)
			}
		}
		if want == "error" {
			if err == nil || s.Kind() != 0 || s.ID() != "" {
				t.Errorf("%s: %v, %v, want an error", c.Name, s.Kind(), err)
			}
			continue
		}
		if err != nil || s.Kind() != kindNames[want] {
			t.Errorf("%s: %v, %v, want %s", c.Name, s.Kind(), err, want)
			continue
		}
		if got := hex.EncodeToString((*s.material)[:]); got != *c.Key {
			t.Errorf("%s: key %s, want %s", c.Name, got, *c.Key)
		}
		domain := ""
		if c.Domain != nil {
			domain = *c.Domain
		}
		if s.Domain() != domain {
			t.Errorf("%s: domain %q, want %q", c.Name, s.Domain(), domain)
		}
		canonical := s.Encode(transports[s.Kind()], "")
		if c.CanonicalHex != "" && canonical != c.CanonicalHex {
			t.Errorf("%s: encodes as %s, want %s", c.Name, canonical, c.CanonicalHex)
		}
		for _, text := range []string{canonical, strings.ToUpper(canonical), c.CanonicalBase64URL} {
			if text == "" {
				continue
			}
			if again, err := ParseSecret(text); err != nil || !same(again, s) {
				t.Errorf("%s: %s is another secret, %v", c.Name, text, err)
			}
		}
	}
	if refused != len(stricter) {
		t.Errorf("%d reasons used of %d", refused, len(stricter))
	}
}

func same(a, b Secret) bool {
	return a.kind == b.kind && a.domain == b.domain && bytes.Equal((*a.material)[:], (*b.material)[:])
}

func TestLinkVectors(t *testing.T) {
	for _, c := range vectors(t).Links {
		l := Link{Server: c.Server, Port: c.Port, Secret: c.Secret}
		if got := l.TG(); got != c.TG {
			t.Errorf("%s, want %s", got, c.TG)
		}
		if got := l.HTTPS(); got != c.TMe {
			t.Errorf("%s, want %s", got, c.TMe)
		}
	}
	l := Link{Server: "fe80::1%eth0&x", Port: 1, Secret: "a+b"}
	if got, want := l.TG(), "tg://proxy?server=fe80::1%25eth0%26x&port=1&secret=a%2Bb"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

const key = "4aa64c177c5cd517d10a3ccc87024392"

// labels is a host name of n bytes.
func labels(n int) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len()%64 == 63 && b.Len() < n-1 {
			b.WriteByte('.')
		} else {
			b.WriteByte('a')
		}
	}
	return b.String()
}

func TestDomains(t *testing.T) {
	for domain, ok := range map[string]bool{
		"a.bc": true, "front.example.com": true, "xn--e1afmkfd.example": true, "1.example": true, "localhost": true,
		labels(182): true, labels(183): false, labels(63): true, strings.Repeat("a", 64): false,
		"a.b": false, "Front.example.com": false, "a..example": false, ".example": false, "example.com.": false,
		"-a.example": false, "a-.example": false, "a_b.example": false, "a b.example": false, "é.example": false,
		"a\x00b.com": false, "192.0.2.10": false, "2001:db8::5": false, "a.example/x": false, "a.example:443": false,
	} {
		s, err := ParseSecret("ee" + key + hex.EncodeToString([]byte(domain)))
		if (err == nil) != ok || ok && s.Domain() != domain {
			t.Errorf("domain %q: %v, want ok %v", domain, err, ok)
		}
		_, err = NewSecret(rand.NewChaCha8([32]byte{}), domain)
		if (err == nil) != ok {
			t.Errorf("new secret for %q: %v, want ok %v", domain, err, ok)
		}
	}
}

func TestMalformedSecrets(t *testing.T) {
	for _, text := range []string{
		" " + key, key + "\n", key[:16] + "\n" + key[16:], "0x" + key, key + "=", key + "==", "SqZMF3xc1RfRCjzMhwJDkg=",
		"SqZMF3xc1RfRCjzMhwJDkg\n==", "SqZMF3xc1RfRCjzMhwJD\r\nkg", "SqZMF3xc1RfRCjzMhwJDkg===", "+_ZMF3xc1RfRCjzMhwJDkg", "ee" + key + "zz",
		strings.Repeat("0", 32), "dd" + strings.Repeat("0", 32), strings.Repeat("a", 399), strings.Repeat("ee", 1<<20), "====", "=",
	} {
		if s, err := ParseSecret(text); err == nil {
			t.Errorf("%.50q is %v", text, s.Kind())
		}
	}
	for _, text := range []string{"SqZMF3xc1RfRCjzMhwJDkg", "SqZMF3xc1RfRCjzMhwJDkg==", "3UqmTBd8XNUX0Qo8zIcCQ5I="} {
		if _, err := ParseSecret(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func mustParse(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEncodeServesEveryTransport(t *testing.T) {
	domain := hex.EncodeToString([]byte("front.example.com"))
	for _, text := range []string{key, "dd" + key, "ee" + key + hex.EncodeToString([]byte("own.example"))} {
		s := mustParse(t, text)
		for transport, want := range map[mtproto.Transport]string{
			mtproto.Classic: key, mtproto.Secure: "dd" + key, mtproto.FakeTLS: "ee" + key + domain, 0: "", 9: "",
		} {
			if got := s.Encode(transport, "front.example.com"); got != want {
				t.Errorf("%v secret for %v: %s, want %s", s.Kind(), transport, got, want)
			}
		}
	}
	if got := mustParse(t, key).Encode(mtproto.FakeTLS, ""); got != "" {
		t.Errorf("fake TLS without a domain: %s", got)
	}
	if got := (Secret{}).Encode(mtproto.Classic, ""); got != "" {
		t.Errorf("no secret: %s", got)
	}
}

func TestNewSecret(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	plain, err := NewSecret(r, "")
	if err != nil || plain.Kind() != Plain || plain.Domain() != "" {
		t.Errorf("plain: %v %q, %v", plain.Kind(), plain.Domain(), err)
	}
	tls, err := NewSecret(r, "front.example.com")
	if err != nil || tls.Kind() != FakeTLS || tls.Domain() != "front.example.com" || tls.ID() == plain.ID() {
		t.Errorf("fake TLS: %v %q, %v", tls.Kind(), tls.Domain(), err)
	}
	if again := mustParse(t, tls.Encode(mtproto.FakeTLS, "")); !same(again, tls) {
		t.Error("a new secret does not come back from its text")
	}
	gone := errors.New("gone")
	if s, err := NewSecret(iotest.ErrReader(gone), ""); !errors.Is(err, gone) || s.ID() != "" {
		t.Errorf("broken randomness: %v", err)
	}
	if s, err := NewSecret(bytes.NewReader(make([]byte, 16)), ""); err == nil || s.ID() != "" {
		t.Errorf("zeros: %v", err)
	}
}

func TestIDIsOfTheMaterialAlone(t *testing.T) {
	const want = "a69e7b2f47a107eb"
	for _, text := range []string{key, "dd" + key, "ee" + key + hex.EncodeToString([]byte("own.example"))} {
		if got := mustParse(t, text).ID(); got != want {
			t.Errorf("%s: %s, want %s", text[:2], got, want)
		}
	}
}

// TestNothingPrintsTheMaterial formats and encodes every type that holds it, also where
// fmt cannot call methods.
func TestNothingPrintsTheMaterial(t *testing.T) {
	const canary = "63616e6172792d6c65616b2d74657374" // "canary-leak-test"
	s := mustParse(t, "ee"+canary+hex.EncodeToString([]byte("front.example.com")))
	k := NewKey("alice", s)
	set, err := NewSet([]*Key{k})
	if err != nil {
		t.Fatal(err)
	}
	link := Link{Server: "proxy.example.com", Port: 443, Secret: s.Encode(mtproto.FakeTLS, "")}
	spec := Spec{ID: s.ID(), User: "alice", State: Active, Secret: s, PseudonymKey: (*[32]byte)([]byte("canary-leak-testcanary-leak-test"))}
	ring := NewRing()
	if err := ring.Put(spec); err != nil {
		t.Fatal(err)
	}
	lease, _ := ring.Key(s.ID()).Acquire()
	values := []any{
		s, &s, k, set, *set, link, &link, []Secret{s}, map[string]Secret{"a": s}, struct{ s Secret }{s},
		struct{ k *Key }{k}, struct{ set *Set }{set}, struct{ set Set }{*set},
		spec, &spec, struct{ s *Spec }{&spec}, struct{ s *usage.Sightings }{ring.Key(s.ID()).Use()}, ring, struct{ r *Ring }{ring}, ring.Set(), ring.Key(s.ID()), ring.Key(s.ID()).Use(), lease,
	}
	var out strings.Builder
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v)
		}
		if _, ok := v.(Link); ok {
			continue // encoding a link is how it is handed out
		} else if _, ok := v.(*Link); ok {
			continue
		}
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, whole := range []any{k, ring, ring.Key(s.ID())} { // by value, which must not be copied
		fmt.Fprintf(&out, "%v %+v %#v %x", reflect.ValueOf(whole).Elem(), reflect.ValueOf(whole).Elem(), reflect.ValueOf(whole).Elem(), reflect.ValueOf(whole).Elem())
	}
	_, err = NewSet([]*Key{k, NewKey("bob", s)})
	fmt.Fprintln(&out, err)
	_, err = NewSet([]*Key{k, k})
	fmt.Fprintln(&out, err)
	text := strings.ToLower(out.String())
	raw, _ := hex.DecodeString(canary)
	for _, leak := range []string{"canary", canary, canary[:12], "y2fuyxj5", strings.Trim(fmt.Sprint(raw[:6]), "[]"), "0x63, 0x61, 0x6e"} {
		if at := strings.Index(text, leak); at >= 0 {
			t.Errorf("material is printed as %q: …%s…", leak, text[max(0, at-80):min(len(text), at+80)])
		}
	}
	if !strings.Contains(text, string(s.ID())) {
		t.Error("the ID is nowhere")
	}
	if (*Key)(nil).String() != "no key" {
		t.Error("a nil key does not print")
	}
}

func TestEveryVerbPrintsTheID(t *testing.T) {
	s := mustParse(t, key)
	k := NewKey("alice", s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%20v"} {
		if got, want := fmt.Sprintf(verb, s), "secret a69e7b2f47a107eb"; got != want {
			t.Errorf("%s of a secret: %q, want %q", verb, got, want)
		}
		if got, want := fmt.Sprintf(verb, k), "key a69e7b2f47a107eb of alice"; got != want {
			t.Errorf("%s of a key: %q, want %q", verb, got, want)
		}
	}
}

func TestErrorsDoNotQuoteTheSecret(t *testing.T) {
	for _, text := range []string{
		key + "zz", key[:30], "dd" + key + "61", "ee" + key, "ff" + key, "ee" + key + hex.EncodeToString([]byte("BAD.example")),
		"SqZMF3xc1RfRCjzMhwJDkg!", "zz!!" + key, strings.Repeat(key, 20),
	} {
		_, err := ParseSecret(text)
		if err == nil {
			t.Fatalf("%q parses", text)
		}
		for n := 0; n+6 <= len(text); n++ {
			if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(text[n:n+6])) {
				t.Errorf("error %q quotes %q", err, text[n:n+6])
			}
		}
		if strings.Contains(err.Error(), "BAD.") {
			t.Errorf("error %q quotes the domain", err)
		}
	}
}
