package control

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/token"
)

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	outside  = netip.MustParseAddr("198.51.100.7")
)

// parsed is the token that a text is; it fails the test when it is none.
func parsed(t testing.TB, kind token.Kind, text string) token.Token {
	t.Helper()
	got, ok := token.Parse(kind, text)
	if !ok {
		t.Fatal("no token is handed out")
	}
	return got
}

func (b *bench) token(c CreateToken) token.Token {
	b.t.Helper()
	return parsed(b.t, token.API, b.apply(c, Options{}).Secret)
}

func (b *bench) code(person string) token.Token {
	b.t.Helper()
	return parsed(b.t, token.Code, b.apply(MakeCode{Person: person}, Options{}).Secret)
}

var browserAt = Where{Host: "localhost", From: loopback, Agent: "test"}

// signIn signs a person in with a code.
func (b *bench) signIn(person string) (token.Token, Identity) {
	b.t.Helper()
	cookie, id, err := b.Enter(b.t.Context(), b.code(person), browserAt)
	if err != nil {
		b.t.Fatal(err)
	}
	return cookie, id
}

func (b *bench) good(t token.Token, from netip.Addr) bool {
	_, ok := b.Authenticate(t, from)
	return ok
}

// deniedSignIn expects signing in to fail, and to say nothing.
func deniedSignIn(t testing.TB, err error) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Denied || e.Text != errSignIn.Text {
		t.Errorf("signing in: %v", err)
	}
}

func TestATokenIsGoodForWhatItWasMadeFor(t *testing.T) {
	b := newBench(t)
	home := netip.MustParsePrefix("198.51.100.0/24")
	made := b.token(CreateToken{Name: "ci", Level: access.Admin, For: Duration(time.Hour), Scopes: []string{"users"}, From: []netip.Prefix{home, netip.MustParsePrefix("127.0.0.0/8")}})
	id, ok := b.Authenticate(made, loopback)
	if !ok || id.Actor.Level != access.Admin || id.Actor.Name != "token ci" || id.Actor.Person != operator.Name || id.Token != made.ID() || len(id.Scopes) != 1 {
		t.Fatalf("it is %+v, %v", id, ok)
	}
	// A token is never worth more than where it comes from: see decision 6.
	if id, ok := b.Authenticate(made, outside); !ok || id.Actor.Level != access.Standard || id.Granted != access.Admin {
		t.Errorf("from an address without a rule it is %+v, %v", id, ok)
	}
	b.apply(AddRule{Match: "198.51.100.0/25", Level: access.Superuser}, Options{})
	if id, ok := b.Authenticate(made, outside); !ok || id.Actor.Level != access.Admin {
		t.Errorf("from where a superuser may come it is %+v, %v", id, ok)
	}
	b.apply(AddRule{Match: outside.String(), Level: access.None}, Options{})
	if id, ok := b.Authenticate(made, outside); !ok || id.Actor.Level != access.None {
		t.Errorf("from an address that is shut out it is %+v, %v", id, ok)
	}
	if b.good(made, netip.MustParseAddr("192.0.2.1")) {
		t.Error("it is good where it is not bound to")
	}
	if !b.Known(made) || b.Known(token.New(token.API)) {
		t.Error("what is known is not")
	}
	if items, _ := b.Tokens(t.Context()); len(items) != 1 || items[0].LastUsed == nil || items[0].LastFrom != outside.String() || items[0].State != "ok" {
		t.Errorf("the list has %+v", items)
	}
	b.jump(time.Hour)
	if b.good(made, loopback) {
		t.Error("it is good after its time")
	}
	b.jump(-time.Hour)
	if !b.good(made, loopback) {
		t.Error("a clock that was wrong for a moment has ended it")
	}
	b.pass(time.Hour)
	b.jump(-time.Hour) // somebody sets the clock back
	if b.good(made, loopback) {
		t.Error("it is good again when the clock is set back")
	}
	b.restart()
	if b.good(made, loopback) {
		t.Error("it is good again after a restart with the clock set back")
	}
}

func TestARevokedTokenStaysRevoked(t *testing.T) {
	b := newBench(t)
	made := b.token(CreateToken{Name: "ci", Level: access.ReadOnly})
	b.refuses(Exists, CreateToken{Name: "ci", Level: access.ReadOnly}, Options{})
	b.refuses(Invalid, RevokeToken{"ci"}, Options{})
	b.refuses(NotFound, RevokeToken{"cd"}, Options{Reason: "test"})
	b.restart()
	if !b.good(made, loopback) {
		t.Fatal("a restart loses a token")
	}
	b.apply(RevokeToken{made.ID()}, Options{Reason: "test"})
	if b.good(made, loopback) {
		t.Error("it is good although it was revoked")
	}
	b.restart()
	if b.good(made, loopback) {
		t.Error("it is good again after a restart")
	}
	other := b.token(CreateToken{Name: "ci", Level: access.ReadOnly}) // the name is free again
	if !b.good(other, loopback) || b.good(made, loopback) {
		t.Error("the new one is not, or the old one is")
	}
	b.pass(keepTokens + 2*day)
	if items, _ := b.Tokens(t.Context()); len(items) != 1 || items[0].ID != other.ID() {
		t.Errorf("after a month the list has %+v", items)
	}
}

func TestWhatNoTokenIsMadeOf(t *testing.T) {
	b := newBench(t)
	prefix := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for name, c := range map[string]CreateToken{
		"no name": {Level: access.ReadOnly}, "a name of two lines": {Name: "a\nb", Level: access.ReadOnly}, "a long name": {Name: strings.Repeat("a", 65), Level: access.ReadOnly},
		"a level of users": {Name: "x", Level: access.Standard}, "no level": {Name: "x"}, "a long life": {Name: "x", Level: access.ReadOnly, For: Duration(366 * day)},
		"no life": {Name: "x", Level: access.ReadOnly, For: Duration(time.Second)}, "a negative life": {Name: "x", Level: access.ReadOnly, For: -1},
		"a scope that is none": {Name: "x", Level: access.ReadOnly, Scopes: []string{"users and keys"}}, "many scopes": {Name: "x", Level: access.ReadOnly, Scopes: make([]string, 33)},
		"no prefix": {Name: "x", Level: access.ReadOnly, From: []netip.Prefix{{}}}, "bits behind": {Name: "x", Level: access.ReadOnly, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
	} {
		t.Run(name, func(t *testing.T) { b.refuses(Invalid, c, Options{}) })
	}
	low := Actor{Name: "token x", Level: access.Superuser - 1}
	if _, err := b.Apply(t.Context(), low, CreateToken{Name: "x", Level: access.ReadOnly, From: prefix}, Options{}); err == nil {
		t.Error("an admin makes tokens")
	}
	strong := b.token(CreateToken{Name: "root", Level: access.Superuser})
	if _, err := b.Apply(t.Context(), low, RevokeToken{"root"}, Options{Reason: "test"}); err == nil || !b.good(strong, loopback) {
		t.Error("an admin revokes a superuser's token")
	}
	// Repeated with the same key, it is the same token, and is not shown again.
	once := Options{IdempotencyKey: "k"}
	first := b.apply(CreateToken{Name: "one", Level: access.ReadOnly}, once)
	again := b.apply(CreateToken{Name: "one", Level: access.ReadOnly}, once)
	if !again.Repeated || again.Secret != "" || again.Token.ID != first.Token.ID {
		t.Errorf("repeated it is %+v", again)
	}
	if dry := b.apply(CreateToken{Name: "dry", Level: access.ReadOnly}, Options{DryRun: true}); dry.Secret != "" {
		t.Error("a token that was not made is shown")
	}
}

func TestACodeSignsInOnce(t *testing.T) {
	b := newBench(t)
	code := b.code("nadia")
	cookie, id, err := b.Enter(t.Context(), code, browserAt)
	if err != nil || id.Person != "nadia" || id.Actor.Level != access.Superuser || !id.Fresh(b.clock()) || id.Actor.Person != "nadia, "+operator.Name {
		t.Fatalf("%+v, %v", id, err)
	}
	if !b.good(cookie, loopback) {
		t.Fatal("the cookie is not good")
	}
	_, _, err = b.Enter(t.Context(), code, browserAt)
	deniedSignIn(t, err)
	b.restart()
	_, _, err = b.Enter(t.Context(), code, browserAt)
	deniedSignIn(t, err)
	if !b.good(cookie, loopback) {
		t.Error("a restart ends sessions")
	}
	late := b.code("omid")
	b.pass(codeLife)
	_, _, err = b.Enter(t.Context(), late, browserAt)
	deniedSignIn(t, err)
	if _, _, err := b.Enter(t.Context(), token.New(token.Code), browserAt); err == nil {
		t.Error("a code that nobody made signs in")
	}
	for _, kind := range []token.Kind{token.API, token.Session} { // another kind with the same id is another token
		forged, _ := token.Parse(kind, string(kind)+code.Reveal()[3:])
		if b.good(forged, loopback) {
			t.Errorf("a code passes for one of kind %s", kind)
		}
	}
}

// TestManyAtOnceSignInOnce: of all who use one code at the same moment one gets in.
func TestManyAtOnceSignInOnce(t *testing.T) {
	b := newBench(t)
	for range 5 {
		code := b.code("nadia")
		var in atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if _, _, err := b.Enter(context.Background(), code, browserAt); err == nil {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 1 {
			t.Fatalf("%d got in", in.Load())
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(*bench, token.Token)
		good bool
	}{
		{"a while", func(b *bench, _ token.Token) { b.pass(SessionIdle - time.Second) }, true},
		{"half an hour without a request", func(b *bench, _ token.Token) { b.pass(SessionIdle) }, false},
		{"requests all the time", func(b *bench, c token.Token) {
			for range 10 {
				b.pass(SessionIdle - time.Minute)
				b.good(c, loopback)
			}
		}, true},
		{"pages that look by themselves all the time", func(b *bench, c token.Token) {
			for range 10 {
				b.pass(SessionIdle / 8)
				b.Look(c, loopback)
			}
		}, false},
		{"twelve hours, whatever is asked", func(b *bench, c token.Token) {
			for range 60 {
				b.pass(12 * time.Minute)
				b.good(c, loopback)
			}
		}, false},
		{"a restart", func(b *bench, _ token.Token) { b.restart() }, true},
		{"a restart after half an hour", func(b *bench, _ token.Token) { b.pass(SessionIdle); b.restart() }, false},
		{"the clock jumps ahead", func(b *bench, _ token.Token) { b.jump(48 * time.Hour) }, false},
		{"the clock jumps back", func(b *bench, _ token.Token) { b.jump(-time.Hour) }, false},
		{"the clock jumps back, and a restart", func(b *bench, _ token.Token) { b.jump(-time.Hour); b.restart() }, false},
		{"the clock is set by a second", func(b *bench, _ token.Token) { b.jump(-time.Second) }, true},
		{"it is ended", func(b *bench, c token.Token) { b.apply(EndSession{c.ID()}, Options{}) }, false},
		{"all of the person are", func(b *bench, _ token.Token) { b.apply(EndSessions{Person: "nadia"}, Options{}) }, false},
		{"all of another person are", func(b *bench, _ token.Token) { b.apply(EndSessions{Person: "omid"}, Options{}) }, true},
		{"all from there are", func(b *bench, _ token.Token) {
			b.apply(EndSessions{From: netip.MustParsePrefix("127.0.0.0/8")}, Options{})
		}, false},
		{"all of the person from elsewhere are", func(b *bench, _ token.Token) {
			b.apply(EndSessions{Person: "nadia", From: netip.MustParsePrefix("192.0.2.0/24")}, Options{})
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			cookie, _ := b.signIn("nadia")
			c.then(b, cookie)
			if got := b.good(cookie, loopback); got != c.good {
				t.Errorf("the session goes on: %v", got)
			}
			items, err := b.BrowserSessions(t.Context())
			if err != nil || (len(items) == 1) != c.good {
				t.Errorf("the list has %+v, %v", items, err)
			}
		})
	}
}

// jump sets the clock without time going by.
func (b *bench) jump(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
}

func TestLeavingEndsTheSession(t *testing.T) {
	b := newBench(t)
	cookie, id := b.signIn("nadia")
	other, _ := b.signIn("nadia")
	if err := b.Leave(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if b.good(cookie, loopback) || !b.good(other, loopback) {
		t.Error("the wrong session ends")
	}
	if err := b.Leave(t.Context(), id); err != nil {
		t.Errorf("twice: %v", err)
	}
	b.refuses(Invalid, EndSessions{}, Options{})
	b.refuses(NotFound, EndSession{"x"}, Options{})
	admin := Actor{Name: "token x", Level: access.Admin, Person: "token x"}
	if _, err := b.Apply(t.Context(), admin, EndSessions{Person: "nadia"}, Options{}); err == nil || !b.good(other, loopback) {
		t.Error("an admin ends a superuser's session")
	}
}

// TestNoMutatedCredentialIsAccepted: MTGUARD_MUTATIONS says how many.
func TestNoMutatedCredentialIsAccepted(t *testing.T) {
	n := 10_000
	if text := os.Getenv("MTGUARD_MUTATIONS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t)
	api := b.token(CreateToken{Name: "ci", Level: access.Superuser})
	cookie, _ := b.signIn("nadia")
	r := rand.New(rand.NewPCG(3, 4))
	asked := 0
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	for i := range n {
		of := []token.Token{api, cookie}[i%2]
		text := []byte(of.Reveal())
		at := 4 + r.IntN(len(text)-4)
		if r.IntN(4) > 0 {
			at = 21 + r.IntN(len(text)-21) // the secret: its id is known
		}
		for text[at] == '_' || string(text) == of.Reveal() {
			if text[at] == '_' {
				at++
			}
			text[at] = letters[r.IntN(len(letters))]
		}
		forged, ok := token.Parse(of.Kind(), string(text))
		if !ok {
			continue
		}
		if b.Known(forged) {
			asked++
		}
		if id, ok := b.Authenticate(forged, loopback); ok {
			t.Fatalf("a changed credential is %+v", id)
		}
	}
	if asked < n/2 {
		t.Errorf("only %d of %d had an id that is known", asked, n)
	}
	if !b.good(api, loopback) || !b.good(cookie, loopback) {
		t.Error("the credentials themselves are refused")
	}
}

// TestCredentialsAreInTheAuditLog, and their secrets are not.
func TestCredentialsAreInTheAuditLog(t *testing.T) {
	b := newBench(t)
	code := b.code("nadia")
	cookie, id, err := b.Enter(t.Context(), code, browserAt)
	if err != nil {
		t.Fatal(err)
	}
	api := b.token(CreateToken{Name: "ci", Level: access.Admin})
	b.apply(RevokeToken{"ci"}, Options{Reason: "test"})
	if err := b.Leave(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	rows, err := b.AuditTail(t.Context(), operator, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(row.Action + " " + row.Actor + " " + row.Object + " " + row.Reason)
		for key, value := range row.Details {
			text.WriteString(" " + key + "=" + value)
		}
		text.WriteString("\n")
	}
	for _, action := range []string{"signin.code", "signin.enter nadia", "token.create", "token.revoke", "signin.leave"} {
		if !strings.Contains(text.String(), action) {
			t.Errorf("the audit log has no %s:\n%s", action, text.String())
		}
	}
	for _, secret := range []token.Token{code, cookie, api} {
		if strings.Contains(text.String()+b.log.String(), secret.Reveal()[21:]) {
			t.Error("a secret is in the audit log, or in the log")
		}
	}
}
