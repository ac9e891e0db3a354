package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/token"
)

// Me is who has signed in.
type Me struct {
	Person     string       `json:"person"`
	Session    string       `json:"session,omitempty"`
	Level      access.Level `json:"level"`
	Via        string       `json:"via"`
	Opened     time.Time    `json:"opened"`
	Expires    time.Time    `json:"expires"`
	Idle       int          `json:"idle_seconds,omitempty"`
	FreshUntil *time.Time   `json:"fresh_until,omitempty"`
	Passkeys   int          `json:"passkeys"`
	MustEnrol  bool         `json:"enrol_required"`
	TwoPerson  []string     `json:"two_person"`
	May        []string     `json:"may"` // the operations of the API that it may use, sorted
}

// maxAuthBody is how much JSON signing in takes: an attestation has some kilobytes.
const maxAuthBody = 32 << 10

// authRoutes is what a browser signs in with, by method and path. No mux finds these: it
// redirects, and says which method a path takes, which tells strangers what there is.
func (s *web) authRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /auth/enter":                   s.byStranger(s.authEnter),
		"POST /auth/logout":                  s.signedIn(s.authLogout),
		"GET /auth/me":                       s.signedIn(s.authMe),
		"POST /auth/passkey/login/begin":     s.byStranger(s.authLoginBegin),
		"POST /auth/passkey/login/finish":    s.byStranger(s.authLoginFinish),
		"POST /auth/passkey/register/begin":  s.inBrowser(s.authRegisterBegin),
		"POST /auth/passkey/register/finish": s.inBrowser(s.authRegisterFinish),
		"POST /auth/step-up/begin":           s.inBrowser(s.authStepUpBegin),
		"POST /auth/step-up/finish":          s.inBrowser(s.authStepUpFinish),
	}
}

// serveAuth serves what a browser signs in with, to pages of this origin: another must
// neither act for who has signed in nor sign somebody in as somebody else. Only who has
// signed in is told so.
func (s *web) serveAuth(w http.ResponseWriter, r *http.Request) {
	do := s.auth[r.Method+" "+r.URL.Path]
	switch {
	case do == nil:
		s.stranger(w, r)
	case !foreign(r):
		do(w, r)
	default:
		if _, ok := s.identify(r); !ok {
			s.stranger(w, r)
			return
		}
		otherOrigin().write(w)
	}
}

// signedIn is for what takes a session, or a token.
func (s *web) signedIn(do func(http.ResponseWriter, *http.Request, caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, ok := s.identify(r)
		if !ok {
			s.stranger(w, r)
			return
		}
		do(w, r, id)
	}
}

// byStranger is for what somebody has to sign in with.
func (s *web) byStranger(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.asStranger(w, r)
		do(w, r)
	}
}

func (s *web) authEnter(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Code    string `json:"code"`
		Instead bool   `json:"instead"` // of the session that the browser has
	}
	from := sourceOf(r)
	if s.SignIn.Ceiling(from) < access.ReadOnly || s.read(w, r, &in) != nil {
		s.stranger(w, r)
		return
	}
	code, ok := token.Parse(token.Code, in.Code)
	if !ok || !s.SignIn.Known(code) && !s.guesses.mayGuess(from, s.now()) {
		s.guesses.wrong(from, s.now())
		s.stranger(w, r)
		return
	}
	// Anybody can have a browser follow an address of his, whose session its owner would then take for his own.
	before, ok := s.identify(r)
	if ok && !in.Instead {
		p := signedInAlready.problem("say instead to sign in as somebody else, or anew")
		p.Current = s.me(r, before.Identity)
		p.write(w)
		return
	}
	cookie, id, err := s.SignIn.Enter(r.Context(), code, s.where(r))
	if err != nil {
		s.failedSignIn(w, r, err)
		return
	}
	s.replace(r, before)
	s.begin(w, r, cookie, id)
}

// replace ends the session that a browser had, whose cookie the next takes the place of: nobody could end it any more.
// That it could not be ended is no reason to refuse the next.
func (s *web) replace(r *http.Request, before caller) {
	if before.Session == "" {
		return
	}
	if err := s.SignIn.Leave(r.Context(), before.Identity); err != nil {
		s.log.Warn("admin: the session before goes on", "session", before.Session, "error", err)
	}
}

// where is what is known of the browser of a request.
func (s *web) where(r *http.Request) control.Where {
	host, _ := splitHost(r.Host)
	return control.Where{Host: host, Port: s.port(r), From: sourceOf(r), Agent: r.UserAgent()}
}

// begin answers somebody who has just signed in.
func (s *web) begin(w http.ResponseWriter, r *http.Request, cookie token.Token, id control.Identity) {
	s.guesses.Know(sourceOf(r), s.now())
	s.setCookie(w, r, cookie)
	s.tell(w, r, id)
}

// failedSignIn answers somebody who could not: a refusal looks like every other, a
// node that cannot says so.
func (s *web) failedSignIn(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*control.Error](err); ok && e.Kind == control.Denied {
		s.guesses.wrong(sourceOf(r), s.now())
		s.stranger(w, r)
		return
	}
	s.fail(w, r, err)
}

func (s *web) authMe(w http.ResponseWriter, r *http.Request, c caller) { s.tell(w, r, c.Identity) }

func (s *web) authLogout(w http.ResponseWriter, r *http.Request, c caller) {
	if err := s.SignIn.Leave(r.Context(), c.Identity); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, r, token.Token{})
	s.json(w, struct{}{})
}

// tell answers with who somebody is.
func (s *web) tell(w http.ResponseWriter, r *http.Request, id control.Identity) {
	s.json(w, s.me(r, id))
}

func (s *web) me(r *http.Request, id control.Identity) Me {
	me := Me{
		Person: id.Person, Session: id.Session, Level: id.Actor.Level, Via: id.Via, Opened: id.Opened.UTC(), Expires: id.Expires.UTC(),
		TwoPerson: s.SignIn.TwoPerson(), May: s.operations(id),
	}
	if id.Session != "" {
		host, _ := splitHost(r.Host)
		have, _ := s.SignIn.PasskeysOf(host, id.Person)
		me.Passkeys, me.MustEnrol = len(have), s.Remote && len(have) == 0
		me.Idle = int(control.SessionIdle / time.Second)
		if until := id.FreshUntil.UTC(); id.Fresh(s.now()) {
			me.FreshUntil = &until
		}
	}
	return me
}

func (s *web) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// read reads a body of JSON, strictly.
func (s *web) read(w http.ResponseWriter, r *http.Request, into any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return errors.New("no JSON")
	}
	b, p := s.readAll(w, r, maxAuthBody, s.slow)
	if p != nil {
		return p
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}
