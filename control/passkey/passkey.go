// Package passkey has people prove with a passkey (WebAuthn) who they are. It keeps
// nothing: what a challenge is for stands in the challenge, under a key of this
// process, and whoever signs people in writes down which are used up.
//
//	p := passkey.New()
//	options, err := p.BeginLogin(party, "", nil)        // to the browser, as JSON
//	proof, err := p.FinishLogin(party, "", answer, find) // what it answers
//	… in one transaction: spend proof.Challenge, keep proof.Credential
//
// A challenge is good for five minutes, for what it was made for, in this process; a
// restart ends all of them. Passkeys are discoverable and always verify their person.
// All methods may be called concurrently.
package passkey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Life is how long a challenge is good.
const Life = 5 * time.Minute

// Party is where a browser is: the name in its address, and the origin as it has it,
// such as "https://admin.example.com" or "http://localhost:8380".
type Party struct{ Host, Origin string }

// Person is whom a new passkey is for. Handle is what authenticators call him: 1 to
// 64 bytes that say nothing about him.
type Person struct {
	Handle []byte
	Name   string
}

// Credential is a passkey: a public key and what its checks take. Nothing of it is
// secret.
type Credential struct {
	Raw      []byte // the authenticator's name for it
	Handle   []byte // its person's there
	Record   []byte // JSON, to be kept as it is
	BackedUp bool   // it lives on several devices
}

// Proof is what a browser has shown.
type Proof struct {
	Credential Credential // with the record as it is to be kept now
	Challenge  []byte     // good once: spend it
	Until      time.Time  // when it would not be good any more
}

// Passkeys makes challenges and checks what comes back.
type Passkeys struct {
	key [32]byte
	now func() time.Time
}

// New returns one with a key of its own.
func New() *Passkeys {
	p := &Passkeys{now: time.Now}
	rand.Read(p.key[:])
	return p
}

// What a challenge is for.
const (
	forLogin    = "login"
	forRegister = "register"
)

// Layout of a challenge: random bytes, when it ends, and a MAC over these and what it
// is for.
const (
	nonceSize     = 16
	challengeSize = nonceSize + 8 + sha256.Size
)

func (p *Passkeys) challenge(purpose, subject string, party Party) []byte {
	b := make([]byte, nonceSize+8, challengeSize)
	rand.Read(b[:nonceSize])
	binary.BigEndian.PutUint64(b[nonceSize:], uint64(p.now().Add(Life).Unix()))
	return append(b, p.mac(b, purpose, subject, party)...)
}

func (p *Passkeys) mac(head []byte, purpose, subject string, party Party) []byte {
	h := hmac.New(sha256.New, p.key[:])
	h.Write(head)
	fmt.Fprintf(h, "%q %q %q %q", purpose, subject, party.Host, party.Origin)
	return h.Sum(nil)
}

var errChallenge = errors.New("this challenge is not for that, or too old")

// open checks a challenge that came back.
func (p *Passkeys) open(text, purpose, subject string, party Party) (challenge []byte, until time.Time, err error) {
	challenge, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(challenge) != challengeSize {
		return nil, until, errChallenge
	}
	head := challenge[:nonceSize+8]
	if !hmac.Equal(challenge[nonceSize+8:], p.mac(head, purpose, subject, party)) {
		return nil, until, errChallenge
	}
	until = time.Unix(int64(binary.BigEndian.Uint64(head[nonceSize:])), 0)
	if now := p.now(); now.After(until) || until.Sub(now) > Life+time.Minute {
		return nil, until, errChallenge
	}
	return challenge, until, nil
}

// algorithms are those that a new passkey may have, the best first.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

func (party Party) relying() (*webauthn.WebAuthn, error) {
	resident := true
	timeout := webauthn.TimeoutConfig{Timeout: Life, TimeoutUVD: Life}
	return webauthn.New(&webauthn.Config{
		RPID: party.Host, RPDisplayName: party.Host, RPOrigins: []string{party.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &resident, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// Managers of passwords add outputs that nobody has asked for; none of them is used.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// person is a Person as the library has it, with the one passkey that is looked at.
type person struct {
	Person
	keys []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return p.Handle }
func (p person) WebAuthnName() string                       { return p.Name }
func (p person) WebAuthnDisplayName() string                { return p.Name }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.keys }

// BeginLogin returns what to ask a browser for, as JSON. Only the passkeys in allow
// will do; none means any, which the browser lets its person choose from. subject is
// whom the answer is for: the session that is to be made fresh, or "".
func (p *Passkeys) BeginLogin(party Party, subject string, allow [][]byte) (json.RawMessage, error) {
	relying, err := party.relying()
	if err != nil {
		return nil, err
	}
	options := []webauthn.LoginOption{webauthn.WithChallenge(p.challenge(forLogin, subject, party)), webauthn.WithUserVerification(protocol.VerificationRequired)}
	if len(allow) > 0 {
		options = append(options, webauthn.WithAllowedCredentials(descriptors(allow)))
	}
	assertion, _, err := relying.BeginDiscoverableLogin(options...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(assertion.Response)
}

func descriptors(raw [][]byte) (all []protocol.CredentialDescriptor) {
	for _, id := range raw {
		all = append(all, protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: id})
	}
	return all
}

// ErrUnknown is a passkey that find does not have.
var ErrUnknown = errors.New("nobody has this passkey")

// FinishLogin checks what a browser answered to BeginLogin with the same party and
// subject. find looks a passkey up by the authenticator's name for it. Errors tell
// what is wrong to the log, not to whoever sent it.
func (p *Passkeys) FinishLogin(party Party, subject string, answer []byte, find func(raw []byte) (Credential, bool)) (Proof, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Proof{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	challenge, until, err := p.open(parsed.Response.CollectedClientData.Challenge, forLogin, subject, party)
	if err != nil {
		return Proof{}, err
	}
	known, ok := find(parsed.RawID)
	if !ok {
		return Proof{}, ErrUnknown
	}
	var record webauthn.Credential
	if err := json.Unmarshal(known.Record, &record); err != nil {
		return Proof{}, fmt.Errorf("the record of a passkey cannot be read: %w", err)
	}
	relying, err := party.relying()
	if err != nil {
		return Proof{}, err
	}
	session := webauthn.SessionData{
		Challenge: parsed.Response.CollectedClientData.Challenge, RelyingPartyID: party.Host, UserVerification: protocol.VerificationRequired,
	}
	whose := person{Person{Handle: known.Handle}, []webauthn.Credential{record}}
	if subject == "" {
		_, shown, err := relying.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return whose, nil }, session, parsed)
		return p.proof(known, shown, challenge, until, err)
	}
	session.UserID = known.Handle // an authenticator that was told which passkey may leave its person out
	shown, err := relying.ValidateLogin(whose, session, parsed)
	return p.proof(known, shown, challenge, until, err)
}

func (p *Passkeys) proof(known Credential, shown *webauthn.Credential, challenge []byte, until time.Time, err error) (Proof, error) {
	if err != nil {
		return Proof{}, err
	}
	if shown.Authenticator.CloneWarning {
		return Proof{}, errors.New("the counter of a passkey went back: there may be a copy of it")
	}
	if known.Record, err = json.Marshal(shown); err != nil {
		return Proof{}, err
	}
	known.BackedUp = shown.Flags.BackupState
	return Proof{known, challenge, until}, nil
}

// BeginRegister returns what to have a browser make a passkey of, as JSON. Those in
// have are not made again. subject is the session that asks.
func (p *Passkeys) BeginRegister(party Party, whose Person, subject string, have [][]byte) (json.RawMessage, error) {
	relying, err := party.relying()
	if err != nil {
		return nil, err
	}
	creation, _, err := relying.BeginRegistration(person{Person: whose},
		webauthn.WithCredentialParameters(algorithms), webauthn.WithExclusions(descriptors(have)),
		func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Challenge = p.challenge(forRegister, subject, party)
			return nil
		})
	if err != nil {
		return nil, err
	}
	return json.Marshal(creation.Response)
}

// FinishRegister checks what a browser answered to BeginRegister with the same party,
// person and subject.
func (p *Passkeys) FinishRegister(party Party, whose Person, subject string, answer []byte) (Proof, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Proof{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	challenge, until, err := p.open(parsed.Response.CollectedClientData.Challenge, forRegister, subject, party)
	if err != nil {
		return Proof{}, err
	}
	// Nobody asks which make a device is. What would have to be looked into for that is not.
	if format := parsed.Response.AttestationObject.Format; format != "none" && format != "packed" {
		return Proof{}, fmt.Errorf("an attestation of the form %.16q, which nobody asked for", format)
	}
	relying, err := party.relying()
	if err != nil {
		return Proof{}, err
	}
	made, err := relying.CreateCredential(person{Person: whose}, webauthn.SessionData{
		Challenge: parsed.Response.CollectedClientData.Challenge, RelyingPartyID: party.Host, UserID: whose.Handle,
		UserVerification: protocol.VerificationRequired, CredParams: algorithms,
	}, parsed)
	if err != nil {
		return Proof{}, err
	}
	made.Attestation = webauthn.CredentialAttestation{} // which make it is matters to nobody
	record, err := json.Marshal(made)
	if err != nil {
		return Proof{}, err
	}
	return Proof{Credential{Raw: made.ID, Handle: whose.Handle, Record: record, BackedUp: made.Flags.BackupState}, challenge, until}, nil
}

// BackedUp reports whether the passkey of a record lives on several devices.
func BackedUp(record []byte) bool {
	var kept webauthn.Credential
	return json.Unmarshal(record, &kept) == nil && kept.Flags.BackupState
}
