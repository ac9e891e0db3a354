package passkey

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mtguard/control/passkey/softkey"
)

var (
	here  = Party{"localhost", "http://localhost:8380"}
	nadia = Person{[]byte("handle-of-nadia-"), "nadia"}
)

// enrolled is a passkey that a device has made, and what is kept of it.
func enrolled(t *testing.T, p *Passkeys, subject string) (*softkey.Key, Credential) {
	t.Helper()
	asked, err := p.BeginRegister(here, nadia, subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, answer, err := softkey.Make(asked, here.Origin)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := p.FinishRegister(here, nadia, subject, answer)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(proof.Credential.Raw, key.Raw) || !bytes.Equal(proof.Credential.Handle, nadia.Handle) {
		t.Fatal("another passkey is kept than the device has made")
	}
	return key, proof.Credential
}

func only(c Credential) func([]byte) (Credential, bool) {
	return func(raw []byte) (Credential, bool) { return c, bytes.Equal(raw, c.Raw) }
}

func TestAPasskeySignsIn(t *testing.T) {
	p := New()
	key, kept := enrolled(t, p, "s1")
	for _, subject := range []string{"", "s1", ""} {
		asked, err := p.BeginLogin(here, subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := key.Sign(asked)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := p.FinishLogin(here, subject, answer, only(kept))
		if err != nil {
			t.Fatal(err)
		}
		if len(proof.Challenge) != challengeSize || time.Until(proof.Until) > Life || bytes.Equal(proof.Credential.Record, kept.Record) {
			t.Errorf("the proof is %+v", proof)
		}
		kept = proof.Credential // with the counter
	}
}

// TestWhatDoesNotSignIn has every part of an answer wrong once.
func TestWhatDoesNotSignIn(t *testing.T) {
	now := time.Now()
	p := New()
	p.now = func() time.Time { return now }
	key, kept := enrolled(t, p, "s1")
	signed := func(at Party, subject string, change func(*softkey.Key)) json.RawMessage {
		t.Helper()
		asked, err := p.BeginLogin(at, subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		mine := *key
		change(&mine)
		answer, err := mine.Sign(asked)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	as := func(*softkey.Key) {}
	other := New()
	there := Party{"localhost", "http://localhost:9999"}
	for _, c := range []struct {
		name    string
		answer  json.RawMessage
		by      *Passkeys
		at      Party
		subject string
		after   time.Duration
	}{
		{"too late", signed(here, "", as), p, here, "", Life + time.Second},
		{"the clock was set back", signed(here, "", as), p, here, "", -2 * time.Hour},
		{"for a step up", signed(here, "", as), p, here, "s1", 0},
		{"for another session", signed(here, "s2", as), p, here, "s1", 0},
		{"for no session", signed(here, "s1", as), p, here, "", 0},
		{"after a restart", signed(here, "", as), other, here, "", 0},
		{"a challenge for another origin", signed(there, "", as), p, here, "", 0},
		{"another origin", signed(here, "", func(k *softkey.Key) { k.Origin = "https://evil.example" }), p, here, "", 0},
		{"another party", signed(here, "", func(k *softkey.Key) { k.OtherHost = "evil.example" }), p, here, "", 0},
		{"nobody was verified", signed(here, "", func(k *softkey.Key) { k.Unverified = true }), p, here, "", 0},
		{"another's person", signed(here, "", func(k *softkey.Key) { k.Handle = []byte("handle-of-another") }), p, here, "", 0},
		{"an unknown passkey", signed(here, "", func(k *softkey.Key) { k.Raw = bytes.Repeat([]byte{1}, 32) }), p, here, "", 0},
		{"nothing", json.RawMessage(`{}`), p, here, "", 0},
		{"no JSON", json.RawMessage(`x`), p, here, "", 0},
		{"very much", json.RawMessage(`{"id":"` + strings.Repeat("A", 1<<20) + `"}`), p, here, "", 0},
	} {
		start := now
		now = now.Add(c.after)
		if _, err := c.by.FinishLogin(c.at, c.subject, c.answer, only(kept)); err == nil {
			t.Errorf("%s: it is accepted", c.name)
		}
		now = start
	}
	answer := signed(here, "", as)
	for i := range 400 {
		b := bytes.Clone(answer)
		at := (i * 7919) % len(b)
		if b[at] ^= 1; bytes.ContainsAny(b[at:at+1], "\x00\n") {
			continue
		}
		proof, err := p.FinishLogin(here, "", b, only(kept))
		if err == nil && !sameMeaning(answer, b) {
			t.Fatalf("an answer changed at %d is accepted: %+v", at, proof)
		}
	}
}

// sameMeaning reports whether two answers differ in nothing that is signed or looked
// up: names that nobody reads may change.
func sameMeaning(a, b []byte) bool {
	read := func(text []byte) (in struct {
		RawID    string `json:"rawId"`
		Response struct {
			Client    string `json:"clientDataJSON"`
			Data      string `json:"authenticatorData"`
			Signature string `json:"signature"`
			Handle    string `json:"userHandle"`
		} `json:"response"`
	}) {
		json.Unmarshal(text, &in)
		return in
	}
	return read(a) == read(b)
}

func TestACopiedPasskeyIsRefused(t *testing.T) {
	p := New()
	key, kept := enrolled(t, p, "s1")
	sign := func(k *softkey.Key) (Proof, error) {
		asked, err := p.BeginLogin(here, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := k.Sign(asked)
		if err != nil {
			t.Fatal(err)
		}
		return p.FinishLogin(here, "", answer, only(kept))
	}
	twin := *key
	for range 3 {
		proof, err := sign(key)
		if err != nil {
			t.Fatal(err)
		}
		kept = proof.Credential
	}
	if _, err := sign(&twin); err == nil || !strings.Contains(err.Error(), "copy") {
		t.Errorf("a copy whose counter is behind: %v", err)
	}
}

func TestWhatIsNotEnrolled(t *testing.T) {
	p := New()
	asked, err := p.BeginRegister(here, nadia, "s1", [][]byte{{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(asked), `"residentKey":"required"`) || !strings.Contains(string(asked), `"userVerification":"required"`) || !strings.Contains(string(asked), `"AQID"`) {
		t.Errorf("it asks for %s", asked)
	}
	for _, c := range []struct {
		name, origin, subject string
		whose                 Person
	}{
		{"another origin", "https://evil.example", "s1", nadia},
		{"another session", here.Origin, "s2", nadia},
		{"a login", here.Origin, "", nadia},
	} {
		_, answer, err := softkey.Make(asked, c.origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.FinishRegister(here, c.whose, c.subject, answer); err == nil {
			t.Errorf("%s: it is enrolled", c.name)
		}
	}
	for _, text := range []string{"", "{}", `{"type":"public-key"}`} {
		if _, err := p.FinishRegister(here, nadia, "s1", []byte(text)); err == nil {
			t.Errorf("%q is enrolled", text)
		}
	}
}

func FuzzFinish(f *testing.F) {
	p := New()
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"id":"AQID","rawId":"AQID","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"","signature":"","userHandle":""}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := p.FinishLogin(here, "", answer, func([]byte) (Credential, bool) { return Credential{}, false }); err == nil {
			t.Error("nobody signs in")
		}
		if _, err := p.FinishRegister(here, nadia, "", answer); err == nil {
			t.Error("nothing is enrolled")
		}
	})
}
