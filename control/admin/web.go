package admin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control"
	"mtguard/control/passkey"
	"mtguard/control/serving"
	"mtguard/security/access"
	"mtguard/security/token"
)

// SignIn is what the listener for browsers and programs needs of the control plane to
// know who asks: *control.Plane.
type SignIn interface {
	Known(t token.Token) bool
	Authenticate(t token.Token, from netip.Addr) (control.Identity, bool)
	Look(t token.Token, from netip.Addr) (control.Identity, bool)
	Enter(ctx context.Context, code token.Token, where control.Where) (token.Token, control.Identity, error)
	Leave(ctx context.Context, id control.Identity) error
	FindPasskey(host, person string, raw []byte) (passkey.Credential, bool)
	PasskeysOf(host, person string) (raw [][]byte, handle []byte)
	EnterWithPasskey(ctx context.Context, proof passkey.Proof, where control.Where) (token.Token, control.Identity, error)
	StepUp(ctx context.Context, id control.Identity, proof passkey.Proof, where control.Where) (token.Token, control.Identity, error)
	MayEnrol(id control.Identity) bool
	Enrol(ctx context.Context, id control.Identity, name string, proof passkey.Proof) (token.Token, control.Identity, error)
	TwoPerson() []string
	Ceiling(from netip.Addr) access.Level
	Origin(host, port string) bool
}

var _ SignIn = (*control.Plane)(nil)

// WebOptions say how the API and the dashboard are served to browsers and programs.
type WebOptions struct {
	SignIn SignIn
	// Hosts are the names that requests may be for, beside localhost on a loopback
	// address.
	Hosts []string
	// Port is the listener's own.
	Port string
	// TLS says that the listener speaks it.
	TLS bool
	// Remote says that other machines can reach the listener. Nothing but enrolment is
	// served then to whoever has no passkey for the name, and nothing to programs while
	// nobody has one.
	Remote bool
	// Assets are the pages for those who have signed in; nil: there are none.
	Assets http.Handler
	// Enter is what a stranger sees: the page to sign in with.
	Enter http.Handler
	// Sources, unless nil, are shared with the listener: see WebServeOptions.
	Sources *Sources
	// Guessed, unless nil, is told of credentials that were wrong. It must not block.
	Guessed func(from netip.Addr)
}

// WebHandler serves the API and the pages to requests over TCP. Who asks is known by a
// token or a cookie; whoever has none learns nothing but that there is a page to sign
// in with: every other answer to him is the same, byte for byte.
func (a API) WebHandler(o WebOptions) http.Handler { return newWeb(a, o).handler() }

// web is the API behind sign-in.
type web struct {
	*server
	WebOptions
	guesses   *guesses
	strangers serving.Places // requests under way
	passkeys  *passkey.Passkeys
	auth      map[string]http.HandlerFunc // by method and path
	now       func() time.Time
	lookEvery time.Duration // how often is looked whether a credential is still good
}

func newWeb(a API, o WebOptions) *web {
	s := &web{server: a.server, WebOptions: o, guesses: newGuesses(o.Sources, o.Guessed, a.log), passkeys: passkey.New(), now: time.Now, lookEvery: lookAgain}
	s.auth = s.authRoutes()
	s.server.again = s.again // the socket, which shares the server, has nobody to look for again
	return s
}

func (s *web) handler() http.Handler {
	return s.outermost(s.placed(s.secured(http.HandlerFunc(s.serve))))
}

// contentPolicy lets a page load what is this node's own, and nothing run that was
// not served as a script. Pages that need more than this are wrong.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// secured sets what every answer has, and refuses requests for other hosts.
func (s *web) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		if s.TLS {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		name, _ := splitHost(r.Host)
		switch {
		case s.named(name):
			next.ServeHTTP(w, r)
		case !s.TLS && isLoopback(name) && r.Header.Get("Authorization") != "":
			next.ServeHTTP(w, r) // a program minds no names; and an address is no name that could be bent
		case !s.TLS && isLoopback(name) && safe(r.Method) && !strings.HasPrefix(r.URL.Path, "/api/"):
			s.rename(w, r)
		default:
			s.stranger(w, r)
		}
	})
}

// named reports whether a request may be for that host.
func (s *web) named(host string) bool {
	return !s.TLS && host == localhost || slices.Contains(s.Hosts, host)
}

const localhost = "localhost"

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// rename sends a browser to the name: passkeys and cookies are bound to one.
func (s *web) rename(w http.ResponseWriter, r *http.Request) {
	s.asStranger(w, r)
	_, port := splitHost(r.Host)
	to := "http://" + localhost
	if port != "" {
		to += ":" + port
	}
	http.Redirect(w, r, to+r.URL.EscapedPath(), http.StatusPermanentRedirect)
}

// splitHost takes a Host header apart, in lower case, an IPv6 address without its
// brackets. What has a port that is none is all host, and no name of ours.
func splitHost(text string) (host, port string) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ""
	}
	if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		host, port = text, ""
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

func (s *web) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case slices.Contains(enterPaths, path) && safe(r.Method) && s.Enter != nil && s.mayCome(r):
		s.asStranger(w, r)
		s.Enter.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/auth/"):
		s.serveAuth(w, r)
	case strings.HasPrefix(path, "/api/"):
		s.serveAPI(w, r)
	default:
		s.servePage(w, r)
	}
}

// enterPath is the page to sign in with; enterPaths are all that it is made of.
const enterPath = "/enter"

var enterPaths = []string{enterPath, enterPath + ".js", enterPath + ".css"}

// mayCome reports whether the access rules leave anything to where a request comes
// from.
func (s *web) mayCome(r *http.Request) bool { return s.SignIn.Ceiling(sourceOf(r)) > access.None }

func (s *web) serveAPI(w http.ResponseWriter, r *http.Request) {
	id, ok := s.identify(r)
	switch {
	case !ok || id.mustEnrol:
		s.stranger(w, r)
		return
	case foreign(r):
		otherOrigin().write(w)
		return
	}
	ctx, end := context.WithCancel(withIdentity(r.Context(), id))
	defer end()
	defer s.watch(ctx, id, end).Stop()
	s.server.ServeHTTP(w, r.WithContext(ctx))
}

// lookAgain is how long a request, such as a stream of events, may go on after its
// credential has ended.
const lookAgain = time.Second

// watch ends a request, which has ctx, when its credential is not good any more, or is
// worth less than when it began: whoever asks again gets what is left to him. Stop ends
// the watch, and the end of ctx does.
func (s *web) watch(ctx context.Context, c caller, end func()) *time.Timer {
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() { // not before timer is set
		if ctx.Err() != nil {
			return
		}
		if id, ok := s.SignIn.Look(c.shown, c.Actor.From); !ok || id.Actor.Level < c.came {
			end()
			return
		}
		timer.Reset(s.lookEvery)
	})
	timer.Reset(s.lookEvery)
	return timer
}

// servePage serves the dashboard to a person who has signed in.
func (s *web) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.stranger(w, r)
		return
	}
	id, ok := s.identify(r)
	switch {
	case ok && id.Session != "" && !id.mustEnrol && s.Assets == nil:
		noPath.problem("this node has no pages; the API is below %s", apiPath).write(w)
	case ok && id.Session != "" && !id.mustEnrol:
		s.Assets.ServeHTTP(w, r.WithContext(withIdentity(r.Context(), id)))
	case r.URL.Path == "/" && s.Enter != nil && s.mayCome(r):
		s.asStranger(w, r)
		http.Redirect(w, r, enterPath, http.StatusSeeOther)
	default:
		s.stranger(w, r)
	}
}

// sourceOf is the address that a request comes from, as the socket has it. What a
// header says about it counts for nothing.
func sourceOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// identify says who sends a request. A wrong credential is a guess; none is not.
func (s *web) identify(r *http.Request) (caller, bool) {
	t, presented, ok := s.credential(r)
	from := sourceOf(r)
	if !ok {
		if presented {
			s.guesses.wrong(from, s.now())
		}
		return caller{}, false
	}
	if !s.SignIn.Known(t) {
		// It is refused whatever the rest is. While the source may guess it takes as long as one that is known.
		if s.guesses.mayGuess(from, s.now()) {
			s.SignIn.Authenticate(t, from)
		}
		s.guesses.wrong(from, s.now())
		return caller{}, false
	}
	ask := s.SignIn.Authenticate
	if t.Kind() == token.Session && !byPerson(r) {
		ask = s.SignIn.Look
	}
	id, ok := ask(t, from)
	if !ok {
		s.guesses.wrong(from, s.now())
		return caller{}, false
	}
	c, ok := s.judge(r, t, id)
	if ok {
		s.guesses.Know(from, s.now())
	}
	return c, ok
}

// judge says what a request may that came with t, whose identity that is; not ok: it is a
// stranger's.
func (s *web) judge(r *http.Request, t token.Token, id control.Identity) (c caller, ok bool) {
	host, _ := splitHost(r.Host)
	if id.Actor.Level < access.ReadOnly || id.Session != "" && id.Host != host {
		return caller{}, false // nothing is left to the source; or it is another name's cookie
	}
	c = caller{Identity: id, shown: t, came: id.Actor.Level}
	if s.Remote && !s.enrolled(&c, host) {
		return caller{}, false
	}
	if id.Session != "" && id.Actor.Level == access.Superuser && !safe(r.Method) && !id.Fresh(s.now()) {
		c.Actor.Level, c.stepUp = access.Admin, true
	}
	return c, true
}

// again looks once more who sends a request, now that all of it is there: what was
// revoked while it was on its way does nothing any more. Requests over the socket have
// nothing that could be.
func (s *web) again(r *http.Request) (*http.Request, *Problem) {
	was := callerOf(r.Context())
	id, ok := s.SignIn.Look(was.shown, was.Actor.From)
	var c caller
	if ok {
		c, ok = s.judge(r, was.shown, id)
	}
	if !ok || c.mustEnrol {
		return r, unauthenticated.problem("sign in first")
	}
	return r.WithContext(withIdentity(r.Context(), c)), nil
}

// hereHeader is what the dashboard says of each of its requests: "yes" when somebody has
// touched the page since the one before, else "no".
const hereHeader = "Mtguard-Here"

// byPerson reports whether a person does something with a request, so that his session
// goes on. Pages that look again by themselves, and streams, prolong nothing.
func byPerson(r *http.Request) bool {
	said := r.Header.Get(hereHeader)
	return (said == "yes" || said == "" && !safe(r.Method)) && !foreign(r)
}

// enrolled reports whether a listener that others can reach serves c: a program when
// somebody has a passkey here. Of a person without one it notes that he has to make
// one first.
func (s *web) enrolled(c *caller, host string) bool {
	if c.Session == "" {
		have, _ := s.SignIn.PasskeysOf(host, "")
		return len(have) > 0
	}
	have, _ := s.SignIn.PasskeysOf(host, c.Identity.Person)
	c.mustEnrol = len(have) == 0
	return true
}

// caller is who sends a request over TCP.
type caller struct {
	control.Identity
	shown     token.Token
	came      access.Level // that the credential was worth when the request came
	stepUp    bool         // has less than he could have until he shows his passkey again
	mustEnrol bool         // has to make a passkey before anything else
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

type callerKey struct{}

func withIdentity(ctx context.Context, c caller) context.Context {
	return context.WithValue(WithActor(ctx, c.Actor), callerKey{}, &c)
}

// callerOf is who sends the request of ctx; nil when it came over the socket.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// credential is what a request carries: a program's token, or a browser's cookie.
// presented says that there is something; two of a kind are none.
func (s *web) credential(r *http.Request) (t token.Token, presented, ok bool) {
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		text, bearer := strings.CutPrefix(headers[0], "Bearer ")
		if len(headers) > 1 || !bearer {
			return token.Token{}, true, false
		}
		t, ok = token.Parse(token.API, text)
		return t, true, ok
	}
	return s.session(r.CookiesNamed(s.cookieName(r)))
}

// session finds the one among cookies that is known. A page at another port of localhost
// may have set others beside it, which must neither keep its person out nor take its
// place: when two are known, neither counts. How many there are is bounded with the header.
func (s *web) session(cookies []*http.Cookie) (t token.Token, presented, ok bool) {
	known := 0
	for _, c := range cookies {
		one, good := token.Parse(token.Session, c.Value)
		if good && (!ok || s.SignIn.Known(one)) {
			t, ok = one, true // the first, so that what is wrong counts as a guess
		}
		if good && s.SignIn.Known(one) {
			known++
		}
	}
	return t, len(cookies) > 0, ok && known < 2
}

// port is the one in the address that a browser shows for a request, as its Host header has it.
func (s *web) port(r *http.Request) string {
	_, port := splitHost(r.Host)
	switch {
	case len(port) > 5 || strings.Trim(port, "0123456789") != "":
		return "0" // there is none such
	case port == "" && s.TLS:
		return "443"
	case port == "":
		return "80"
	}
	return port
}

// cookieName is that of the session. Without TLS it has the port that the browser
// sees: nodes behind several tunnels are all "localhost" to it.
func (s *web) cookieName(r *http.Request) string {
	if s.TLS {
		return "__Host-mtguard"
	}
	_, port := splitHost(r.Host)
	return "mtguard_" + port
}

func (s *web) setCookie(w http.ResponseWriter, r *http.Request, t token.Token) {
	c := &http.Cookie{Name: s.cookieName(r), Value: t.Reveal(), Path: "/", HttpOnly: true, Secure: s.TLS, SameSite: http.SameSiteStrictMode}
	if t == (token.Token{}) {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// strangersAnswer is all that whoever is nobody is ever told.
var strangersAnswer = func() []byte {
	b, err := json.Marshal(unauthenticated.problem("sign in first"))
	if err != nil {
		panic(err) // it is plain text
	}
	return append(b, '\n')
}()

// stranger answers whoever is nobody: always the same, and the connection is over, so
// that nobody keeps places that others need.
func (s *web) stranger(w http.ResponseWriter, r *http.Request) {
	s.asStranger(w, r)
	h := w.Header()
	h.Set("WWW-Authenticate", "Bearer")
	h.Set("Content-Type", problemMedia)
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(len(strangersAnswer)))
	w.WriteHeader(unauthenticated.status)
	w.Write(strangersAnswer)
}

// foreign reports whether a page of another origin has a browser send r. Reading counts too: some of what is read is
// noted in the name of who reads it, and pages at another port of localhost come with his cookie.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none" || crossOriginProtection.Check(r) != nil
}

var crossOriginProtection = http.NewCrossOriginProtection()
