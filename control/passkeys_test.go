package control

import (
	"fmt"
	"testing"
	"time"

	"mtguard/control/passkey"
	"mtguard/control/passkey/softkey"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/token"
)

// device enrols a passkey in a fresh session.
func (b *bench) device(p *passkey.Passkeys, cookie token.Token, id Identity) (*softkey.Key, token.Token, Identity) {
	b.t.Helper()
	party := passkey.Party{Host: id.Host, Origin: "http://localhost:8380"}
	_, handle := b.PasskeysOf(id.Host, id.Person)
	whose := passkey.Person{Handle: handle, Name: id.Person}
	asked, err := p.BeginRegister(party, whose, id.Session, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	key, answer, err := softkey.Make(asked, party.Origin)
	if err != nil {
		b.t.Fatal(err)
	}
	proof, err := p.FinishRegister(party, whose, id.Session, answer)
	if err != nil {
		b.t.Fatal(err)
	}
	fresh, id, err := b.Enrol(b.t.Context(), id, "laptop", proof)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.good(cookie, loopback) {
		b.t.Error("the cookie from before the passkey is still good")
	}
	return key, fresh, id
}

func (b *bench) proof(p *passkey.Passkeys, key *softkey.Key, subject, person string) passkey.Proof {
	b.t.Helper()
	party := passkey.Party{Host: "localhost", Origin: "http://localhost:8380"}
	asked, err := p.BeginLogin(party, subject, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := key.Sign(asked)
	if err != nil {
		b.t.Fatal(err)
	}
	proof, err := p.FinishLogin(party, subject, answer, func(raw []byte) (passkey.Credential, bool) { return b.FindPasskey("localhost", person, raw) })
	if err != nil {
		b.t.Fatal(err)
	}
	return proof
}

func TestASessionIsFreshForAWhile(t *testing.T) {
	b := newBench(t)
	p := passkey.New()
	cookie, id := b.signIn("nadia")
	key, cookie, id := b.device(p, cookie, id)
	if !id.Fresh(b.clock()) || id.Actor.Person == operator.Name {
		t.Errorf("after enrolling it is %+v", id)
	}
	b.pass(freshFor)
	id, ok := b.Authenticate(cookie, loopback)
	if !ok || id.Fresh(b.clock()) {
		t.Fatalf("after five minutes it is %+v, %v", id, ok)
	}
	unused := b.proof(p, key, id.Session, "nadia")
	unused.Credential.Raw = []byte("another one") // as if it had been made, and checked
	if _, _, err := b.Enrol(t.Context(), id, "x", unused); err == nil {
		t.Error("a session that is not fresh enrols a passkey")
	}
	proof := b.proof(p, key, id.Session, "nadia")
	stepped, now, err := b.StepUp(t.Context(), id, proof, browserAt)
	if err != nil || !now.Fresh(b.clock()) || b.good(cookie, loopback) || !b.good(stepped, loopback) {
		t.Fatalf("stepping up: %+v, %v", now, err)
	}
	_, _, err = b.StepUp(t.Context(), now, proof, browserAt) // the same proof again
	deniedSignIn(t, err)
	b.jump(-time.Hour)
	if id, ok := b.Authenticate(stepped, loopback); ok && id.Fresh(b.clock()) {
		t.Error("it is fresh from the future")
	}
}

func TestAProofIsSpentForEver(t *testing.T) {
	b := newBench(t)
	p := passkey.New()
	cookie, id := b.signIn("nadia")
	key, _, _ := b.device(p, cookie, id)
	proof := b.proof(p, key, "", "")
	if _, id, err := b.EnterWithPasskey(t.Context(), proof, browserAt); err != nil || id.Via != "passkey" || id.Person != "nadia" {
		t.Fatalf("%+v, %v", id, err)
	}
	_, _, err := b.EnterWithPasskey(t.Context(), proof, browserAt)
	deniedSignIn(t, err)
	b.restart()
	_, _, err = b.EnterWithPasskey(t.Context(), proof, browserAt)
	deniedSignIn(t, err)

	items, err := b.Passkeys(t.Context())
	if err != nil || len(items) != 1 || items[0].Person != "nadia" || items[0].LastUsed == nil {
		t.Fatalf("%+v, %v", items, err)
	}
	unused := b.proof(p, key, "", "")
	result := b.apply(RemovePasskey{items[0].ID}, Options{Reason: "lost"})
	if sessions, _ := b.BrowserSessions(t.Context()); len(sessions) != 0 || result.Closed != 2 {
		t.Errorf("after the passkey is gone there are %+v, %d ended", sessions, result.Closed)
	}
	_, _, err = b.EnterWithPasskey(t.Context(), unused, browserAt)
	deniedSignIn(t, err)
	// Whoever has lost it gets in with a code again.
	if _, id := b.signIn("nadia"); !id.Fresh(b.clock()) {
		t.Error("a person without a passkey is not fresh after a code")
	}
}

// signInAt signs a person in with a code, at a host.
func (b *bench) signInAt(name, host string) (token.Token, Identity) {
	b.t.Helper()
	at := browserAt
	at.Host = host
	cookie, id, err := b.Enter(b.t.Context(), b.code(name), at)
	if err != nil {
		b.t.Fatal(err)
	}
	return cookie, id
}

func (b *bench) actor(cookie token.Token) Actor {
	b.t.Helper()
	id, ok := b.Authenticate(cookie, loopback)
	if !ok {
		b.t.Fatal("a credential is not good")
	}
	return id.Actor
}

// TestOnePersonIsNotTwo: whatever credentials somebody has got, he approves nothing that
// he has asked for with another one.
func TestOnePersonIsNotTwo(t *testing.T) {
	for name, both := range map[string]func(*bench, *passkey.Passkeys) (one, other Actor){
		"a token made before the passkey": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			cookie, id := b.signIn("nadia")
			r, err := b.Apply(t.Context(), id.Actor, CreateToken{Name: "t", Level: access.Superuser}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, cookie, _ = b.device(p, cookie, id)
			return b.actor(parsed(t, token.API, r.Secret)), b.actor(cookie)
		},
		"at a host where he has no passkey": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			cookie, id := b.signIn("nadia")
			_, cookie, _ = b.device(p, cookie, id)
			elsewhere, _ := b.signInAt("nadia", "admin.example.com")
			return b.actor(elsewhere), b.actor(cookie)
		},
		"passkeys at two hosts": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			cookie, id := b.signIn("nadia")
			_, cookie, _ = b.device(p, cookie, id)
			elsewhere, id := b.signInAt("nadia", "admin.example.com")
			_, elsewhere, _ = b.device(p, elsewhere, id)
			return b.actor(elsewhere), b.actor(cookie)
		},
		"root, and who root says he is in the dashboard": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			r, err := b.Apply(t.Context(), root, MakeCode{}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			cookie, id, err := b.Enter(t.Context(), parsed(t, token.Code, r.Secret), browserAt)
			if err != nil {
				t.Fatal(err)
			}
			_, cookie, _ = b.device(p, cookie, id)
			return root, b.actor(cookie)
		},
		"root, and a code that root has made": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			cookie, _ := b.signIn("nadia")
			return root, b.actor(cookie)
		},
		"root, and a token of such a session": func(b *bench, p *passkey.Passkeys) (Actor, Actor) {
			_, id := b.signIn("nadia")
			r, err := b.Apply(t.Context(), id.Actor, CreateToken{Name: "t", Level: access.Superuser}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return root, b.actor(parsed(t, token.API, r.Secret))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.takesTwo(ClassGlass)
			one, other := both(b, passkey.New())
			for _, who := range [][2]Actor{{one, other}, {other, one}} {
				id := b.asks(who[0], BreakGlass{For: Duration(time.Hour)}, Options{Reason: "test"})
				_, err := b.Approve(t.Context(), who[1], id, Options{})
				fails(t, Refused, fmt.Sprintf("%q asks, %q approves", who[0].Person, who[1].Person), err)
			}
		})
	}
}

// TestTwoPeopleAreTwo: a person with a passkey, another one, and a system's user.
func TestTwoPeopleAreTwo(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassGlass)
	var people []Actor
	for _, name := range []string{"nadia", "omid"} {
		cookie, id := b.signIn(name)
		_, cookie, _ = b.device(passkey.New(), cookie, id)
		people = append(people, b.actor(cookie))
	}
	people = append(people, root)
	for i, by := range people {
		id := b.asks(by, BreakGlass{For: Duration(time.Hour)}, Options{Reason: "test"})
		if _, err := b.Approve(t.Context(), people[(i+1)%3], id, Options{}); err != nil {
			t.Errorf("%s asks: %v", by.Name, err)
		}
	}
}

// TestTheFirstPasskeyEndsOtherSessions: whoever has one of those has not shown it.
func TestTheFirstPasskeyEndsOtherSessions(t *testing.T) {
	b := newBench(t)
	p := passkey.New()
	first, _ := b.signIn("nadia")
	elsewhere, _ := b.signInAt("nadia", "admin.example.com")
	others, _ := b.signIn("omid")
	cookie, id := b.signIn("nadia")
	_, cookie, _ = b.device(p, cookie, id)
	if b.good(first, loopback) || b.good(elsewhere, loopback) {
		t.Error("a session of before the passkey goes on")
	}
	if !b.good(cookie, loopback) || !b.good(others, loopback) {
		t.Error("the wrong session ends")
	}
	later, _ := b.signIn("nadia")
	elsewhere, id = b.signInAt("nadia", "admin.example.com")
	_, third, _ := b.device(p, elsewhere, id)
	if !b.good(cookie, loopback) || !b.good(later, loopback) || !b.good(third, loopback) {
		t.Error("the second passkey ends sessions")
	}
}

// TestACodeIsFreshForWhoHasNoPasskey, at no host.
func TestACodeIsFreshForWhoHasNoPasskey(t *testing.T) {
	b := newBench(t)
	p := passkey.New()
	cookie, id := b.signIn("nadia")
	b.device(p, cookie, id)
	_, here := b.signIn("nadia")
	elsewhere, there := b.signInAt("nadia", "admin.example.com")
	if here.Fresh(b.clock()) || there.Fresh(b.clock()) {
		t.Errorf("fresh at the same host: %v, at another: %v", here.Fresh(b.clock()), there.Fresh(b.clock()))
	}
	if b.MayEnrol(here) || !b.MayEnrol(there) {
		t.Errorf("may enrol at the same host: %v, at another: %v", b.MayEnrol(here), b.MayEnrol(there))
	}
	b.pass(freshFor)
	if b.MayEnrol(there) {
		t.Error("a passkey can be enrolled for ever")
	}
	_, _, err := b.Enrol(t.Context(), there, "x", made(8))
	fails(t, Denied, "five minutes after the code", err)
	b.jump(-freshFor - 2*clockSlack)
	if b.MayEnrol(there) {
		t.Error("a passkey can be enrolled from the future")
	}
	b.jump(2 * clockSlack)
	b.device(p, elsewhere, there)
	_, again := b.signInAt("nadia", "admin.example.com")
	if b.MayEnrol(again) {
		t.Error("a code enrols beside a passkey")
	}
	_, err = b.Apply(t.Context(), again.Actor, enrol{id: again, name: "x", proof: made(9), out: new(opened)}, Options{})
	fails(t, Denied, "two at once", err)
}

// made is a proof as if a passkey had just been made.
func made(n byte) passkey.Proof {
	return passkey.Proof{
		Credential: passkey.Credential{Raw: []byte{n}, Handle: []byte("h"), Record: []byte("{}")}, Challenge: []byte{n},
		Until: time.Date(2026, 11, 26, 13, 0, 0, 0, time.UTC),
	}
}

func TestPasskeysAreBounded(t *testing.T) {
	b := newBench(t)
	_, id := b.signIn("nadia")
	for n := range maxPasskeysOf {
		var err error
		if _, id, err = b.Enrol(t.Context(), id, "", made(byte(n))); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := b.Enrol(t.Context(), id, "", made(maxPasskeysOf))
	fails(t, Refused, "one more", err)
	_, other := b.signIn("omid")
	if _, _, err := b.Enrol(t.Context(), other, "", made(maxPasskeysOf)); err != nil {
		t.Errorf("of another person: %v", err)
	}
}

// TestAPasskeyIsMadeOnce: the answer of a device that has made one enrols nothing again,
// not when the passkey was taken out meanwhile either.
func TestAPasskeyIsMadeOnce(t *testing.T) {
	b := newBench(t)
	_, id := b.signIn("nadia")
	if _, _, err := b.Enrol(t.Context(), id, "", made(1)); err != nil {
		t.Fatal(err)
	}
	items, err := b.Passkeys(t.Context())
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	b.refuses(Invalid, RemovePasskey{items[0].ID}, Options{}) // why?
	b.apply(RemovePasskey{items[0].ID}, Options{Reason: "lost"})
	_, id = b.signIn("nadia")
	_, _, err = b.Enrol(t.Context(), id, "", made(1))
	deniedSignIn(t, err)
}

// TestAPasskeyIsOfOnePersonAndHost.
func TestAPasskeyIsOfOnePersonAndHost(t *testing.T) {
	b := newBench(t)
	p := passkey.New()
	cookie, id := b.signIn("nadia")
	key, _, nadia := b.device(p, cookie, id)
	cookie, id = b.signIn("omid")
	others, _, _ := b.device(p, cookie, id)
	for _, c := range []struct {
		host, person string
		found        bool
	}{{"localhost", "", true}, {"localhost", "nadia", true}, {"localhost", "omid", false}, {"admin.example.com", "", false}} {
		if _, found := b.FindPasskey(c.host, c.person, key.Raw); found != c.found {
			t.Errorf("of %q at %s: found %v", c.person, c.host, found)
		}
	}
	_, _, err := b.StepUp(t.Context(), nadia, b.proof(p, others, nadia.Session, ""), browserAt)
	deniedSignIn(t, err)
	elsewhere := browserAt
	elsewhere.Host = "admin.example.com"
	_, _, err = b.EnterWithPasskey(t.Context(), b.proof(p, key, "", ""), elsewhere)
	deniedSignIn(t, err)
	// A code tells who it may be; the passkey, who it is.
	_, code := b.signIn("nadia")
	if code.Actor.Person != "nadia, uid 0" {
		t.Fatalf("by a code it is %q", code.Actor.Person)
	}
	cookie, _, err = b.StepUp(t.Context(), code, b.proof(p, key, code.Session, "nadia"), browserAt)
	if err != nil || b.actor(cookie).Person != "nadia" {
		t.Errorf("by a passkey: %v", err)
	}
}

// TestAChangeGoesWithItsPasskey: see TestWhoAskedMayStillAsk.
func TestAChangeGoesWithItsPasskey(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassGlass)
	cookie, id := b.signIn("nadia")
	_, cookie, _ = b.device(passkey.New(), cookie, id)
	waits := b.asks(b.actor(cookie), BreakGlass{For: Duration(time.Hour)}, Options{Reason: "test"})
	items, _ := b.Passkeys(t.Context())
	b.update(func(tx *store.Tx) error { // as an earlier version: it took nothing back
		_, err := tx.DropPasskey(items[0].ID)
		return err
	})
	_, err := b.Approve(t.Context(), person("omid"), waits, Options{})
	fails(t, Refused, "approved", err)
}

func TestWhatNoCodeIsMadeFor(t *testing.T) {
	b := newBench(t)
	for _, c := range []MakeCode{{Level: access.Standard}, {Level: access.Superuser + 1}, {Person: "a b"}, {Person: "x, y"}} {
		b.refuses(Invalid, c, Options{})
	}
	low := person("nadia")
	low.Level = access.Admin
	_, err := b.Apply(t.Context(), low, MakeCode{Level: access.ReadOnly}, Options{})
	fails(t, Denied, "an admin lets somebody in", err)
}
