package admin

import (
	"encoding/json"
	"net/http"

	"mtguard/control/passkey"
	"mtguard/security/access"
)

// nothing is the body of what only begins.
type nothing struct{}

// party is where the browser of a request is. Its host was looked at before; ok is whether passkeys are taken at its
// port: a page at another one could have a browser sign for it, and hand that on with a Host header of its own.
func (s *web) party(r *http.Request) (party passkey.Party, ok bool) {
	host, port := splitHost(r.Host)
	origin := "http://" + host
	if s.TLS {
		origin = "https://" + host
	}
	if port != "" {
		origin += ":" + port
	}
	port = s.port(r)
	return passkey.Party{Host: host, Origin: origin}, port == s.Port || s.SignIn.Origin(host, port)
}

// notHere is what a session is told at a port where no passkeys are taken.
func (s *web) notHere(r *http.Request) *Problem {
	return stepUpRequired.problem("at port %s passkeys are not taken before somebody has signed in there with a code", s.port(r)).fixedBy("mtguard dashboard --local-port %s", s.port(r))
}

// options answers with what a browser is to be asked for.
func (s *web) options(w http.ResponseWriter, r *http.Request, public json.RawMessage, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}{public})
}

// authLoginBegin tells nobody whether there are passkeys at all.
func (s *web) authLoginBegin(w http.ResponseWriter, r *http.Request) {
	if s.SignIn.Ceiling(sourceOf(r)) < access.ReadOnly || s.read(w, r, new(nothing)) != nil {
		s.stranger(w, r)
		return
	}
	party, ok := s.party(r)
	if !ok {
		s.stranger(w, r)
		return
	}
	public, err := s.passkeys.BeginLogin(party, "", nil)
	s.options(w, r, public, err)
}

func (s *web) authLoginFinish(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Credential json.RawMessage `json:"credential"`
	}
	if s.SignIn.Ceiling(sourceOf(r)) < access.ReadOnly || s.read(w, r, &in) != nil {
		s.stranger(w, r)
		return
	}
	party, here := s.party(r)
	if !here {
		s.stranger(w, r)
		return
	}
	busy := false
	proof, err := s.passkeys.FinishLogin(party, "", in.Credential, func(raw []byte) (passkey.Credential, bool) {
		known, ok := s.SignIn.FindPasskey(party.Host, "", raw)
		// Only who has a challenge of ours and names a passkey there is costs a proof, so that nobody else can use them up.
		busy = ok && !s.guesses.mayProve(s.now())
		return known, ok && !busy
	})
	if err != nil {
		if !busy { // which is nobody's guess
			s.unproved(r, err)
		}
		s.stranger(w, r)
		return
	}
	before, _ := s.identify(r)
	cookie, id, err := s.SignIn.EnterWithPasskey(r.Context(), proof, s.where(r))
	if err != nil {
		s.failedSignIn(w, r, err)
		return
	}
	s.replace(r, before)
	s.begin(w, r, cookie, id)
}

// unproved notes a passkey that did not do.
func (s *web) unproved(r *http.Request, err error) {
	s.guesses.wrong(sourceOf(r), s.now())
	s.log.Debug("admin: passkey refused", "error", err)
}

// inBrowser is for what takes a session.
func (s *web) inBrowser(do func(http.ResponseWriter, *http.Request, caller)) http.HandlerFunc {
	return s.signedIn(func(w http.ResponseWriter, r *http.Request, c caller) {
		if c.Session == "" {
			s.stranger(w, r)
			return
		}
		do(w, r, c)
	})
}

func (s *web) authStepUpBegin(w http.ResponseWriter, r *http.Request, c caller) {
	if err := s.read(w, r, new(nothing)); err != nil {
		malformed.problem("it takes an empty object").write(w)
		return
	}
	party, here := s.party(r)
	if !here {
		s.notHere(r).write(w)
		return
	}
	have, _ := s.SignIn.PasskeysOf(party.Host, c.Identity.Person)
	if len(have) == 0 {
		stepUpRequired.problem("you have no passkey here: sign in with a new address, and set one up").fixedBy("mtguard dashboard").write(w)
		return
	}
	public, err := s.passkeys.BeginLogin(party, c.Session, have)
	s.options(w, r, public, err)
}

func (s *web) authStepUpFinish(w http.ResponseWriter, r *http.Request, c caller) {
	var in struct {
		Credential json.RawMessage `json:"credential"`
	}
	if err := s.read(w, r, &in); err != nil {
		malformed.problem("it takes a credential").write(w)
		return
	}
	party, here := s.party(r)
	if !here {
		s.notHere(r).write(w)
		return
	}
	proof, err := s.passkeys.FinishLogin(party, c.Session, in.Credential, func(raw []byte) (passkey.Credential, bool) {
		return s.SignIn.FindPasskey(party.Host, c.Identity.Person, raw)
	})
	if err != nil {
		s.unproved(r, err)
		stepUpRequired.problem("this passkey did not do").write(w)
		return
	}
	cookie, id, err := s.SignIn.StepUp(r.Context(), c.Identity, proof, s.where(r))
	if err != nil {
		s.failedSignIn(w, r, err)
		return
	}
	s.begin(w, r, cookie, id)
}

func (s *web) authRegisterBegin(w http.ResponseWriter, r *http.Request, c caller) {
	if err := s.read(w, r, new(nothing)); err != nil {
		malformed.problem("it takes an empty object").write(w)
		return
	}
	if !s.SignIn.MayEnrol(c.Identity) {
		stepUp().write(w)
		return
	}
	party, here := s.party(r)
	if !here {
		s.notHere(r).write(w)
		return
	}
	have, handle := s.SignIn.PasskeysOf(party.Host, c.Identity.Person)
	public, err := s.passkeys.BeginRegister(party, passkey.Person{Handle: handle, Name: c.Identity.Person}, c.Session, have)
	s.options(w, r, public, err)
}

func (s *web) authRegisterFinish(w http.ResponseWriter, r *http.Request, c caller) {
	var in struct {
		Name       string          `json:"name"`
		Credential json.RawMessage `json:"credential"`
	}
	if err := s.read(w, r, &in); err != nil || len(in.Name) > maxPasskeyName {
		malformed.problem("it takes a name of at most %d bytes, and a credential", maxPasskeyName).write(w)
		return
	}
	if !s.SignIn.MayEnrol(c.Identity) {
		stepUp().write(w)
		return
	}
	party, here := s.party(r)
	if !here {
		s.notHere(r).write(w)
		return
	}
	_, handle := s.SignIn.PasskeysOf(party.Host, c.Identity.Person)
	proof, err := s.passkeys.FinishRegister(party, passkey.Person{Handle: handle, Name: c.Identity.Person}, c.Session, in.Credential)
	if err != nil {
		s.unproved(r, err)
		malformed.problem("this passkey did not do").write(w)
		return
	}
	cookie, id, err := s.SignIn.Enrol(r.Context(), c.Identity, in.Name, proof)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.begin(w, r, cookie, id)
}

// maxPasskeyName is how many bytes a passkey's name may have.
const maxPasskeyName = 64
