package advisory

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/security/aead"
)

const bulletin3 = `mtguard crypto bulletin
number 3
time 2026-11-26T12:00:00Z
suite aes-128-gcm forbidden 2026-12-01T00:00:00Z
suite chacha20-poly1305 deprecated
suite aes-256-gcm allowed
suite ascon-128 forbidden 2026-01-01T00:00:00Z
`

func mustBulletin(t *testing.T, text string) *Bulletin {
	t.Helper()
	b, err := ParseBulletin(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatABulletinSays(t *testing.T) {
	b := mustBulletin(t, bulletin3)
	if b.Number != 3 || !b.Time.Equal(today) || len(b.Rulings) != 4 {
		t.Errorf("%+v", b)
	}
	from := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		suite aead.Suite
		at    time.Time
		want  Use
	}{
		{aead.AES128GCM, from.Add(-time.Second), Deprecated}, {aead.AES128GCM, from, Forbidden}, {aead.ChaCha20Poly1305, from, Deprecated},
		{aead.AES256GCM, from, Allowed}, {aead.XChaCha20Poly1305, from, Allowed},
	} {
		if got := b.Use(c.suite, c.at); got != c.want {
			t.Errorf("%v at %v is %v, want %v", c.suite, c.at, got, c.want)
		}
	}
	if (*Bulletin)(nil).Use(aead.AES128GCM, from) != Allowed {
		t.Error("no bulletin forbids something")
	}
}

func TestABulletinOnlyTightens(t *testing.T) {
	before := mustBulletin(t, bulletin3)
	for _, c := range []struct {
		name, from, to string
		loosens        string
	}{
		{"the same", "number 3", "number 4", ""},
		{"earlier", "2026-12-01", "2026-11-30", ""},
		{"forbidden now", "suite chacha20-poly1305 deprecated", "suite chacha20-poly1305 forbidden 2027-01-01T00:00:00Z", ""},
		{"deprecated now", "suite aes-256-gcm allowed", "suite aes-256-gcm deprecated", ""},
		{"more", "suite aes-256-gcm allowed\n", "suite aes-256-gcm allowed\nsuite xchacha20-poly1305 deprecated\n", ""},
		{"what is allowed left out", "suite aes-256-gcm allowed\n", "", ""},
		{"later", "2026-12-01", "2026-12-02", "aes-128-gcm"},
		{"deprecated again", "suite aes-128-gcm forbidden 2026-12-01T00:00:00Z", "suite aes-128-gcm deprecated", "aes-128-gcm"},
		{"allowed again", "suite chacha20-poly1305 deprecated", "suite chacha20-poly1305 allowed", "chacha20-poly1305"},
		{"left out", "suite chacha20-poly1305 deprecated\n", "", "chacha20-poly1305"},
		{"a suite that we do not have", "suite ascon-128 forbidden 2026-01-01T00:00:00Z\n", "", "ascon-128"},
		{"nothing left", "suite chacha20-poly1305 deprecated\nsuite aes-256-gcm allowed\n", `suite chacha20-poly1305 forbidden 2027-01-01T00:00:00Z
suite aes-256-gcm forbidden 2027-01-01T00:00:00Z
suite xchacha20-poly1305 forbidden 2027-01-01T00:00:00Z
`, "no suite"},
	} {
		text := strings.Replace(bulletin3, c.from, c.to, 1)
		if text == bulletin3 {
			t.Fatalf("%s: nothing replaced", c.name)
		}
		why := mustBulletin(t, text).Loosens(before)
		if (why != "") != (c.loosens != "") || !strings.Contains(why, c.loosens) {
			t.Errorf("%s: %q", c.name, why)
		}
	}
	if why := before.Loosens(nil); why != "" {
		t.Errorf("the first one: %q", why)
	}
}

func TestBulletinsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "another title": strings.Replace(bulletin3, "crypto", "policy", 1), "no end": strings.TrimSuffix(bulletin3, "\n"),
		"number 0": strings.Replace(bulletin3, "number 3", "number 0", 1), "number 03": strings.Replace(bulletin3, "number 3", "number 03", 1),
		"another zone": strings.Replace(bulletin3, "12:00:00Z", "12:00:00+00:00", 1), "a fraction": strings.Replace(bulletin3, "12:00:00Z", "12:00:00.5Z", 1),
		"no date": strings.Replace(bulletin3, " 2026-12-01T00:00:00Z", "", 1), "a date too many": strings.Replace(bulletin3, "deprecated", "deprecated 2026-12-01T00:00:00Z", 1),
		"twice": bulletin3 + "suite aes-128-gcm allowed\n", "another use": strings.Replace(bulletin3, "deprecated", "fine", 1),
		"two spaces": strings.Replace(bulletin3, "suite aes", "suite  aes", 1), "capitals": strings.Replace(bulletin3, "aes", "AES", 1),
		"something else": bulletin3 + "group x25519 deprecated\n", "an empty line": bulletin3 + "\n", "many": bulletin3 + strings.Repeat("suite x deprecated\n", maxRulings),
	} {
		if b, err := ParseBulletin(text); err == nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestASignedBulletin(t *testing.T) {
	private, public, err := note.GenerateKey(nil, "crypto")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: bulletin3}, signer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenBulletin(signed, public)
	if err != nil || b.Text != bulletin3 || b.Digest() == mustBulletin(t, strings.Replace(bulletin3, "3", "4", 1)).Digest() {
		t.Errorf("%+v, %v", b, err)
	}
	_, other, err := note.GenerateKey(nil, "crypto")
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed {
		altered := append([]byte(nil), signed...)
		altered[i] ^= 1
		if b, err := OpenBulletin(altered, public); err == nil && b.Text != bulletin3 {
			t.Fatalf("byte %d altered: %+v", i, b)
		}
	}
	for name, c := range map[string]struct {
		signed []byte
		key    string
	}{"another key": {signed, other}, "no key": {signed, ""}, "not signed": {[]byte(bulletin3), public}, "long": {append(signed, make([]byte, maxBulletin)...), public}} {
		if _, err := OpenBulletin(c.signed, c.key); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzParseBulletin(f *testing.F) {
	f.Add(bulletin3, strings.Replace(bulletin3, "deprecated", "allowed", 1))
	f.Fuzz(func(t *testing.T, text, next string) {
		before, err := ParseBulletin(text)
		if err != nil {
			return
		}
		after, err := ParseBulletin(next)
		if err != nil || after.Loosens(before) != "" {
			return
		}
		for _, s := range aead.Suites() {
			for _, at := range []time.Time{{}, today, today.AddDate(100, 0, 0)} {
				if after.Use(s, at) < before.Use(s, at) {
					t.Errorf("%v at %v is %v, and was %v", s, at, after.Use(s, at), before.Use(s, at))
				}
			}
		}
	})
}
