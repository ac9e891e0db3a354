package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control"
	"mtguard/control/passkey"
	"mtguard/control/passkey/softkey"
	"mtguard/control/serving"
	"mtguard/security/access"
	"mtguard/security/token"
)

// letIn is how many connections of a source would be let in, trying every so often for a while, and how long after the first the last was.
func letIn(s *Sources, from func(i int) netip.Addr, begin time.Time, each, during time.Duration) (n int, spread time.Duration) {
	var first time.Time
	for i, at := 0, begin; at.Before(begin.Add(during)); i, at = i+1, at.Add(each) {
		if s.bounds(from(i), at) == (serving.Bounds{}) {
			continue
		}
		if n++; n == 1 {
			first = at
		}
		spread = at.Sub(first)
	}
	return n, spread
}

func always(text string) func(int) netip.Addr {
	a := netip.MustParseAddr(text)
	return func(int) netip.Addr { return a }
}

// blockOf returns the addresses of the /64s of 2001:db8:n::/48, one after the other.
func blockOf(n int) func(int) netip.Addr {
	return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::1", n, i%65536)) }
}

// TestWhoHasGuessedTooMuchIsSeldomHeard goes through how much was guessed from where, and how many of 10,000 connections in the ten seconds
// after that are let in.
func TestWhoHasGuessedTooMuchIsSeldomHeard(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	const all = 10_000
	heard := hearLimit.Burst + 1 // one more may be while they are
	for _, c := range []struct {
		name    string
		guesses int
		guesser func(int) netip.Addr
		comes   func(int) netip.Addr
		known   string // a regular
		after   time.Duration
		least   int
		most    int
	}{
		{"nobody has guessed", 0, always("192.0.2.1"), always("192.0.2.1"), "", 0, all, all},
		{"nineteen guesses", 19, always("192.0.2.1"), always("192.0.2.1"), "", 0, all, all},
		{"twenty", 20, always("192.0.2.1"), always("192.0.2.1"), "", 0, 4000, 4000 + heard}, // after six seconds one more may be made
		{"many", 500, always("192.0.2.1"), always("192.0.2.1"), "", 0, 4000, 4000 + heard},
		{"a neighbour", 500, always("192.0.2.1"), always("192.0.2.2"), "", 0, all, all},
		{"a regular", 500, always("192.0.2.1"), always("192.0.2.1"), "192.0.2.1", 0, all, all},
		{"a neighbour of a regular", 500, always("192.0.2.1"), always("192.0.2.1"), "192.0.2.2", 0, 4000, 4000 + heard},
		{"mapped into IPv6", 500, always("192.0.2.1"), always("::ffff:192.0.2.1"), "", 0, 4000, 4000 + heard},
		{"six seconds later", 500, always("192.0.2.1"), always("192.0.2.1"), "", 6 * time.Second, all, all},
		{"three minutes later", 500, always("192.0.2.1"), always("192.0.2.1"), "", 3 * time.Minute, all, all},
		{"a /64", 500, always("2001:db8:1:1::1"), always("2001:db8:1:1:ffff::1"), "", 0, 4000, 4000 + heard},
		{"another /64", 20, always("2001:db8:1:1::1"), always("2001:db8:1:2::1"), "", 0, all, all},
		{"another /64 of a /48 that guesses", 500, blockOf(1), always("2001:db8:1:ffff::1"), "", 0, 8500, 8500 + heard},
		{"every /64 of it", 500, blockOf(1), blockOf(1), "", 0, 8500, 8500 + wideFactor*heard},
		{"a regular's /64 in it", 500, blockOf(1), always("2001:db8:1:ffff::1"), "2001:db8:1:ffff::7", 0, all, all},
		{"another /48", 500, blockOf(1), always("2001:db8:2::1"), "", 0, all, all},
		{"loopback", 500, always("127.0.0.1"), always("127.0.0.1"), "", 0, 4000, 4000 + heard},
		{"loopback that somebody signed in from", 500, always("127.0.0.1"), always("127.0.0.1"), "127.0.0.1", 0, all, all},
	} {
		s := NewSources()
		for i := range c.guesses {
			s.guessed(c.guesser(i), now)
		}
		if c.known != "" {
			s.Know(netip.MustParseAddr(c.known), now)
		}
		n, _ := letIn(s, c.comes, now.Add(c.after), hearEvery/all, hearEvery)
		if n < c.least || n > c.most {
			t.Errorf("%s: %d of %d connections are let in, want %d to %d", c.name, n, all, c.least, c.most)
		}
		if refused := s.unheard.Load(); refused != int64(all-n) {
			t.Errorf("%s: %d refused connections are counted, want %d", c.name, refused, all-n)
		}
	}
}

// TestWhoeverSharesAPrefixWithGuessersGetsIn: within ten seconds of trying, with all the connections that a page takes, as long as the others
// leave some; and guessers do not get in for longer than a second.
func TestWhoeverSharesAPrefixWithGuessersGetsIn(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	from := netip.MustParseAddr("192.0.2.1")
	s := NewSources()
	for at := now; at.Before(now.Add(10 * hearEvery)); at = at.Add(hearEvery) {
		guess := func(at time.Time) bool { s.guessed(from, at); return s.bounds(from, at) != (serving.Bounds{}) }
		for range guessLimit.Burst {
			guess(at)
		}
		heard, person, begun := 0, 0, time.Time{}
		for i := range 5000 { // every other millisecond
			at := at.Add(time.Duration(i) * hearEvery / 5000)
			if i%500 == 0 && guess(at) { // the others guess once a second
				heard++
			}
			if (i == 0 || !begun.IsZero() || i%50 == 0) && person < 6 && s.bounds(from, at) != (serving.Bounds{}) {
				if person++; person == 1 {
					begun = at
				}
			}
		}
		if person < 6 || heard > 2 {
			t.Errorf("a person has %d connections, those who guess %d", person, heard)
		}
	}
	// All that guess together are heard only so often.
	many := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{127, 1, byte(i % 10_000 >> 8), byte(i % 10_000)})
	}
	s = NewSources()
	for i := range 10_000 * 50 {
		s.guessed(many(i), now)
	}
	if n, _ := letIn(s, many, now, 10*time.Microsecond, time.Second); n > hearAllLimit.Burst+hearAllLimit.Events || n < hearAllLimit.Burst {
		t.Errorf("of 10,000 prefixes that guess %d connections are let in within a second", n)
	}
	if n, spread := letIn(s, always("127.1.0.1"), now, time.Millisecond, 5*time.Second); n > 2*hearLimit.Burst || spread > hearFor {
		t.Errorf("of one, %d in %v", n, spread)
	}
}

// arrivals is a listener in memory, whose connections come from where a test says.
type arrivals struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *arrivals) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *arrivals) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8380} }

type arrival struct {
	net.Conn
	from *net.TCPAddr
}

func (a arrival) RemoteAddr() net.Addr { return a.from }

// visitor is one connection of somebody.
type visitor struct {
	net.Conn
	answers *bufio.Reader
}

func (l *arrivals) dial(from string) *visitor {
	a, b := net.Pipe()
	l.conns <- arrival{b, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 50_000))}
	return &visitor{a, bufio.NewReader(a)}
}

// ask sends a request and returns the answer with its head, or that the connection was closed without one.
func (v *visitor) ask(method, path, body, header string) (status int, head string, answer []byte) {
	if header != "" {
		header += "\r\n"
	}
	if body != "" {
		header += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	go fmt.Fprintf(v, "%s %s HTTP/1.1\r\nHost: localhost:8380\r\n%s\r\n%s", method, path, header, body) // a pipe holds nothing
	w, err := http.ReadResponse(v.answers, nil)
	if err != nil {
		return 0, "", nil
	}
	answer, _ = io.ReadAll(w.Body)
	var text bytes.Buffer
	w.Header.Del("Date")
	w.Header.Write(&text)
	return w.StatusCode, text.String(), answer
}

func (v *visitor) over() bool {
	_, err := v.answers.ReadByte()
	return err != nil && !errors.Is(err, context.DeadlineExceeded)
}

// TestWhoGuessesIsClosedAtTheDoor is the listener and the handler together, with a clock of their own: what those who guess get, and that
// whoever has something good comes in beside them.
func TestWhoGuessesIsClosedAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sources := NewSources()
		s := newSite(t, WebOptions{Sources: sources})
		var log bytes.Buffer
		s.web.log = slog.New(slog.NewTextHandler(&log, nil))
		s.web.guesses.log = s.web.log
		s.web.now = time.Now
		l := &arrivals{conns: make(chan net.Conn), done: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- ServeWeb(ctx, l, s.h, WebServeOptions{Sources: sources, Log: slog.New(slog.DiscardHandler)})
		}()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		const guesser = "192.0.2.1"
		wrong := func() string { return "Authorization: Bearer " + token.New(token.API).Reveal() }
		once := func(from, method, path, body, header string) (int, string, []byte) {
			v := l.dial(from)
			defer v.Close()
			return v.ask(method, path, body, header)
		}
		spend := func() { // all that may be guessed
			for sources.mayGuess(netip.MustParseAddr(guesser), time.Now()) {
				sources.guessed(netip.MustParseAddr(guesser), time.Now())
			}
		}
		// wait until connections of the source are let in, or closed, although too much is guessed all the time.
		wait := func(heard bool) {
			t.Helper()
			for range 2 * hearEvery / (10 * time.Millisecond) {
				spend()
				in := l.dial(guesser)
				go io.WriteString(in, "GET /enter HTTP/1.1\r\nHost: localhost:8380\r\nConnection: close\r\n\r\n")
				_, err := in.answers.ReadByte()
				in.Close()
				if (err == nil) == heard {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("in twenty seconds connections are never let in: %v", heard)
		}

		// A connection that was there before.
		waiting := l.dial(guesser)
		defer waiting.Close()
		if code, _, _ := waiting.ask("GET", "/enter", "", ""); code != http.StatusOK {
			t.Fatalf("the page to sign in with: %d", code)
		}

		// What may be guessed gets the ordinary answer.
		_, head, body := once("198.51.100.1", "GET", apiPath+"/status", "", "")
		for i := range guessLimit.Burst {
			code, h, b := once(guesser, "GET", apiPath+"/status", "", wrong())
			if code != http.StatusUnauthorized || h != head || !bytes.Equal(b, body) {
				t.Fatalf("guess %d: %d %s %s", i+1, code, h, b)
			}
		}
		// Then whatever the connection carries would not be heard.
		wait(false)
		good := s.token(access.ReadOnly)
		for _, header := range []string{wrong(), good, "", "Cookie: mtguard_8380=x"} {
			if code, _, _ := once(guesser, "GET", apiPath+"/status", "", header); code != 0 {
				t.Errorf("%q from who has guessed too much: %d", header, code)
			}
		}
		if code, _, _ := once("192.0.2.2", "GET", apiPath+"/status", "", wrong()); code != http.StatusUnauthorized {
			t.Errorf("a neighbour: %d", code)
		}

		// In the second in which some are let in, each gets the ordinary answer, and no more than one on its connection.
		wait(true)
		spend()
		in := l.dial(guesser)
		if code, h, b := in.ask("GET", apiPath+"/status", "", wrong()); code != http.StatusUnauthorized || h != head || !bytes.Equal(b, body) || !in.over() {
			t.Errorf("a guess too many that was let in: %d %s %s", code, h, b)
		}
		in.Close()
		// A connection that is open may still sign in: with a code that nobody else has.
		code := token.New(token.Code)
		s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x"}
		enter := `{"code":"` + code.Reveal() + `"}`
		time.Sleep(5 * time.Second)
		spend()
		if status, _, _ := waiting.ask("POST", "/auth/enter", enter, ""); status != http.StatusOK {
			t.Fatalf("a good code on a connection that was open: %d", status)
		}
		// From then on nothing of the prefix is closed, although all around guess on.
		for range 3 * int(hearEvery/time.Second) {
			time.Sleep(time.Second)
			spend()
			if status, _, _ := once(guesser, "GET", apiPath+"/status", "", good); status != http.StatusOK {
				t.Fatalf("a good token from where somebody has signed in: %d", status)
			}
			if status, _, _ := once(guesser, "GET", apiPath+"/status", "", wrong()); status != http.StatusUnauthorized {
				t.Fatalf("a guess from there: %d", status)
			}
		}
		if !strings.Contains(log.String(), "connections_refused=") {
			t.Errorf("the log does not tell: %s", log.String())
		}
	})
}

// TestEachWayInOpensTheDoor: whatever somebody signs in with, it takes a few tries, and then his prefix is a regular.
func TestEachWayInOpensTheDoor(t *testing.T) {
	for name, way := range map[string]func(s *site, key *softkey.Key, v *visitor) int{
		"a token": func(s *site, _ *softkey.Key, v *visitor) int {
			status, _, _ := v.ask("GET", apiPath+"/status", "", s.token(access.ReadOnly))
			return status
		},
		"a code": func(s *site, _ *softkey.Key, v *visitor) int {
			code := token.New(token.Code)
			s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x"}
			status, _, _ := v.ask("POST", "/auth/enter", `{"code":"`+code.Reveal()+`"}`, "")
			return status
		},
		"a passkey": func(s *site, key *softkey.Key, v *visitor) int {
			status, _, asked := v.ask("POST", "/auth/passkey/login/begin", "{}", "")
			if status != http.StatusOK {
				return status
			}
			status, _, _ = v.ask("POST", "/auth/passkey/login/finish", signed(s.t, key, asked), "")
			return status
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sources := NewSources()
				s := newSite(t, WebOptions{Sources: sources})
				s.web.now = time.Now
				l := &arrivals{conns: make(chan net.Conn), done: make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					ended <- ServeWeb(ctx, l, s.h, WebServeOptions{Sources: sources, Log: slog.New(slog.DiscardHandler)})
				}()
				defer func() { stop(); <-ended }()
				key := s.enrol()
				from := netip.MustParseAddr("192.0.2.1")
				tries, status := 0, 0
				for ; status == 0 && tries < 20; tries++ {
					for range guessLimit.Burst {
						sources.guessed(from, time.Now())
					}
					v := l.dial(from.String())
					status = way(s, key, v)
					v.Close()
					time.Sleep(time.Second - time.Millisecond) // somebody who tries again
				}
				if status != http.StatusOK || tries > 11 {
					t.Fatalf("%d after %d tries", status, tries)
				}
				if b := sources.bounds(from, time.Now()); b.All != maxWebConnections {
					t.Errorf("then he has %+v", b)
				}
			})
		})
	}
}

// enrol makes a passkey that signs somebody in.
func (s *site) enrol() *softkey.Key {
	s.t.Helper()
	party := passkey.Party{Host: "localhost", Origin: "http://localhost:8380"}
	whose := passkey.Person{Handle: []byte("handle"), Name: "nadia"}
	asked, err := s.web.passkeys.BeginRegister(party, whose, "s1", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	key, answer, err := softkey.Make(asked, party.Origin)
	if err != nil {
		s.t.Fatal(err)
	}
	proof, err := s.web.passkeys.FinishRegister(party, whose, "s1", answer)
	if err != nil {
		s.t.Fatal(err)
	}
	s.signIn.passkey = proof.Credential
	return key
}

// signed is the body that answers what a browser is asked for.
func signed(t *testing.T, key *softkey.Key, asked []byte) string {
	t.Helper()
	var options struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(asked, &options); err != nil {
		t.Fatal(err)
	}
	answer, err := key.Sign(options.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return `{"credential":` + string(answer) + `}`
}

// TestAPasskeyIsNotHeldUpByGuesses: neither by those of its prefix, nor by passkeys that nobody has, however many; and of proofs for one that
// somebody has only so many are checked.
func TestAPasskeyIsNotHeldUpByGuesses(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := s.enrol()
	begin := func() []byte { return s.ask("POST", "/auth/passkey/login/begin", "{}").Body.Bytes() }
	finish := func(key *softkey.Key, from string) int {
		return s.ask("POST", "/auth/passkey/login/finish", signed(t, key, begin()), "From: "+from).Code
	}
	unknown := *key
	unknown.Raw = []byte("nobody's passkey")
	for i := range 4 * proofLimit.Burst {
		if code := finish(&unknown, fmt.Sprintf("192.0.2.%d:1", i)); code != http.StatusUnauthorized {
			t.Fatalf("a passkey that nobody has: %d", code)
		}
	}
	from := "198.51.100.1:1"
	for range 2 * guessLimit.Burst {
		s.ask("GET", apiPath+"/status", "", "Authorization: Bearer "+token.New(token.API).Reveal(), "From: "+from)
	}
	if code := finish(key, from); code != http.StatusOK {
		t.Errorf("a good passkey from where too much was guessed: %d", code)
	}
	answer := signed(t, key, begin())
	served := 0
	for range 2 * proofLimit.Burst {
		if s.ask("POST", "/auth/passkey/login/finish", answer, "From: "+from).Code == http.StatusOK {
			served++
		}
	}
	if served >= proofLimit.Burst {
		t.Errorf("%d proofs are checked at once", served)
	}
}
