package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mtguard/security/aead"
)

func parse(t testing.TB, text string) KEK {
	t.Helper()
	k, err := ParseKEK(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestMasterKeysAreReadAsTheyAreWritten(t *testing.T) {
	for range 100 {
		k := GenerateKEK()
		b := k.key.Material()
		for _, text := range []string{
			k.Encode(), k.Encode() + "\n", " \t" + k.Encode() + "\r\n",
			hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
			base64.URLEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b),
		} {
			got, err := ParseKEK(text)
			if err != nil || !bytes.Equal(got.key.Material(), b) || got.ID() != k.ID() {
				t.Fatalf("%q: %v, %v", text, got, err)
			}
		}
	}
}

func TestWhatIsNoMasterKeyIsRefusedWithoutTellingIt(t *testing.T) {
	good := GenerateKEK().Encode()
	count := make([]byte, 32)
	for i := range count {
		count[i] = byte(250 - 7*i)
	}
	tests := map[string]struct{ text, want string }{
		"nothing":               {"", "empty"},
		"white space":           {" \n", "empty"},
		"two keys":              {good + "\n" + good, "more than one line"},
		"a comment":             {"# key\n" + good, "more than one line"},
		"half a key":            {hex.EncodeToString(count[:16]), "bytes"},
		"31 bytes":              {base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 31)), "31 bytes"},
		"33 bytes":              {base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 33)), "33 bytes"},
		"a password":            {"correct horse battery staple", "neither"},
		"an encoded password":   {base64.StdEncoding.EncodeToString([]byte("correct horse battery staple! 12")), "text"},
		"zeros":                 {strings.Repeat("0", 64), "not random"},
		"one byte":              {strings.Repeat("a7", 32), "not random"},
		"half of it twice":      {strings.Repeat("00112233445566778899aabbccddeeff", 2), "not random"},
		"a counter":             {hex.EncodeToString(count), "not random"},
		"a novel":               {strings.Repeat("x", 1000), "1000 characters"},
		"hidden bits at an end": {strings.Repeat("A", 42) + "B=", "neither"},
		"binary":                {"\x00\x01\xff" + good[3:], "neither"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKEK(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) || !k.IsZero() {
				t.Fatalf("%v, %v; want an error with %q", k, err, test.want)
			}
			if text := strings.TrimSpace(test.text); len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
				t.Errorf("the error tells the key: %v", err)
			}
		})
	}
}

func TestMasterKeyShowsItsIDAlone(t *testing.T) {
	k := GenerateKEK()
	b := k.key.Material()
	type holder struct {
		Public  KEK
		private KEK
		Pointer *KEK
		Any     any
	}
	h := holder{k, k, &k, k}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, value := range []any{k, &k, h, &h, []KEK{k}, map[string]KEK{"k": k}, k.key} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{k, &k, h, map[string]any{"k": k}} {
		j, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
	}
	x, _ := xml.Marshal(k)
	out.Write(x)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("start", "kek", k, "holder", h, slog.Any("pointer", &k))
	}
	unreadable(t, []byte(out.String()), b)
	for _, format := range []string{"%v", "%+v", "%#v", "%d"} {
		if got, want := fmt.Sprintf(format, k), "master key "+k.ID(); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	if j, _ := json.Marshal(k); string(j) != `"`+k.ID()+`"` {
		t.Errorf("JSON: %s", j)
	}
}

// unreadable fails when any 6 bytes of secret stand in text, raw or in one of the ways that Go prints bytes.
func unreadable(t testing.TB, text, secret []byte) {
	t.Helper()
	lower := bytes.ToLower(text)
	for i := 0; i+6 <= len(secret); i++ {
		part := secret[i : i+6]
		list := fmt.Sprint(part)
		for _, form := range []string{string(part), base64.StdEncoding.EncodeToString(secret[i-i%3:])[:8], list[1 : len(list)-1]} {
			if bytes.Contains(text, []byte(form)) {
				t.Fatalf("bytes %d to %d of the secret can be read as %q", i, i+6, form)
			}
		}
		for _, form := range []string{hex.EncodeToString(part), fmt.Sprintf("%#x, %#x, %#x, %#x", part[0], part[1], part[2], part[3])} {
			if bytes.Contains(lower, []byte(form)) {
				t.Fatalf("bytes %d to %d of the secret can be read as %q", i, i+6, form)
			}
		}
	}
}

func TestTheZeroMasterKeyIsNone(t *testing.T) {
	var none KEK
	if !none.IsZero() || none.Encode() != "" || none.ID() != "0000000000000000" {
		t.Errorf("%v, %q", none, none.Encode())
	}
	if _, err := none.Derive("test", 32); err == nil {
		t.Error("something was derived from it")
	}
	if _, err := Create(none); err == nil {
		t.Error("a vault was made for it")
	}
	v, kek := create(t)
	if _, err := v.Sealed(none); err == nil {
		t.Error("keysets were sealed under it")
	}
	sealed, err := v.Sealed(kek)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(none, sealed); err == nil {
		t.Error("keysets were opened with it")
	}
}

func TestDerivedKeysDifferByPurposeAndMasterKey(t *testing.T) {
	k := GenerateKEK()
	again := parse(t, k.Encode())
	seen := map[string]bool{string(k.key.Material()): true}
	for _, key := range []KEK{k, GenerateKEK()} {
		for _, purpose := range []aead.Purpose{"backup", "other"} {
			b, err := key.Derive(purpose, 32)
			if err != nil || len(b) != 32 || seen[string(b)] {
				t.Errorf("%v %s: %d bytes, %v", key, purpose, len(b), err)
			}
			seen[string(b)] = true
		}
	}
	a, _ := k.Derive("backup", 32)
	if b, _ := again.Derive("backup", 32); !bytes.Equal(a, b) {
		t.Error("the same master key gave another key")
	}
}

func FuzzParseKEK(f *testing.F) {
	f.Add(strings.Repeat("0", 64))
	f.Add("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=")
	f.Add(hex.EncodeToString([]byte("0\xff\x001234567890abcdefghijklmnopqrst")))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKEK(text)
		if (err == nil) == k.IsZero() {
			t.Fatalf("%v, %v", k, err)
		}
		if err == nil && parse(t, k.Encode()).ID() != k.ID() {
			t.Fatal("what was read is not written so that it can be read")
		}
	})
}
