package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtguard/control/advisory"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/aead"
)

// TakeBulletin puts a signed crypto bulletin in force, if it only tightens the one before it. BulletinKey of the File says whose
// signature counts.
type TakeBulletin struct{ Signed string }

// DropBulletin takes the bulletin's effect away: what the policy allows may be sealed with again. One of its number or below does
// not come back by itself.
type DropBulletin struct{}

func (TakeBulletin) action() string { return "crypto.bulletin.take" }
func (DropBulletin) action() string { return "crypto.bulletin.drop" }

func (TakeBulletin) object() string { return "crypto bulletin" }
func (DropBulletin) object() string { return "crypto bulletin" }

func (TakeBulletin) least() access.Level { return access.Superuser }
func (DropBulletin) least() access.Level { return access.Superuser }

var bulletinActor = Actor{Name: "crypto bulletin", Level: access.Superuser}

const settingBulletin = "crypto.bulletin"

// bulletinState is what is kept of bulletins. Number and Digest are of the newest that was taken with Key; Text is in force, "" for
// none. Another key begins with no number, but may not loosen what is in force either.
type bulletinState struct {
	Key, Digest string
	Number      int64
	Text        string
	Taken       time.Time
}

func readBulletin(tx *store.Tx) (s bulletinState, err error) {
	err = optionalSetting(tx, settingBulletin, &s)
	return s, err
}

func (s *bulletinState) put(tx *store.Tx) error {
	return putSetting(tx, settingBulletin, s)
}

// inForce is the bulletin that acts; nil: none.
func (s *bulletinState) inForce() (*advisory.Bulletin, error) {
	if s.Text == "" {
		return nil, nil
	}
	b, err := advisory.ParseBulletin(s.Text)
	if err != nil {
		return nil, fmt.Errorf("the crypto bulletin in the store cannot be read: %w", err)
	}
	return b, nil
}

func (c TakeBulletin) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	x.p.mu.Lock()
	key := x.p.bulletinKey
	x.p.mu.Unlock()
	if key == "" {
		return refused("set advisory.bulletin_key to the publisher's public key", "no publisher of crypto bulletins is known")
	}
	b, err := advisory.OpenBulletin([]byte(c.Signed), key)
	if err != nil {
		return invalid("signed", "crypto bulletin: %v", err)
	}
	s, err := readBulletin(x.tx)
	if err != nil {
		return err
	}
	before, err := s.inForce()
	if err != nil {
		return err
	}
	if s.Key != key {
		s = bulletinState{Key: key, Text: s.Text}
	}
	switch {
	case b.Number < s.Number:
		return invalid("number", "it is bulletin %d again, and bulletin %d is known already", b.Number, s.Number)
	case b.Number == s.Number && b.Digest() != s.Digest:
		return invalid("number", "bulletin %d is another one than before", b.Number)
	case b.Number == s.Number:
		return errUnchanged // also when it was dropped since
	case b.Time.After(x.now.Add(maxBundleAhead)):
		return invalid("time", "bulletin %d is of %s, which is to come", b.Number, b.Time.Format(time.RFC3339))
	}
	if why := b.Loosens(before); why != "" {
		return refused("a bulletin can only tighten; a person may drop the one in force: mtguard crypto bulletin drop", "bulletin %d would loosen: %s", b.Number, why)
	}
	s.Number, s.Digest, s.Text, s.Taken = b.Number, b.Digest(), b.Text, x.now
	var off []string
	for _, suite := range aead.Suites() {
		if use := b.Use(suite, x.now); use != advisory.Allowed {
			off = append(off, suite.String()+" "+use.String())
		}
	}
	x.detail("number", b.Number)
	x.detail("suites", orNone(off))
	x.result.Summary = fmt.Sprintf("crypto bulletin %d is in force: %s", b.Number, orNone(off))
	return s.put(x.tx)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nothing is forbidden or deprecated"
	}
	return strings.Join(list, ", ")
}

func (DropBulletin) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if err := x.requireReason(); err != nil {
		return err
	}
	s, err := readBulletin(x.tx)
	if err != nil {
		return err
	}
	if s.Text == "" {
		return notFound("crypto bulletin", "", "mtguard crypto bulletin show")
	}
	s.Text = ""
	x.detail("number", s.Number)
	x.result.Summary = fmt.Sprintf("crypto bulletin %d acts no more; the policy alone says what may be sealed with", s.Number)
	return s.put(x.tx)
}

// TakeFetchedBulletin puts a bulletin in force that the node itself has read, as the actor "crypto bulletin".
func (p *Plane) TakeFetchedBulletin(ctx context.Context, signed []byte) error {
	_, err := p.Apply(ctx, bulletinActor, TakeBulletin{Signed: string(signed)}, Options{})
	return err
}

// suites says which of all suites may seal now, the preferred one first: those of the policy that no bulletin forbids.
type suites struct {
	policy   []aead.Suite
	bulletin *advisory.Bulletin
	now      time.Time
}

// preferred returns what the policy alone says. Whoever reads the store asks before: what keeps the model in step with the store
// holds mu while it reads.
func (p *Plane) preferred() suites {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := suites{policy: aead.Suites(), now: p.parts.Now()}
	if p.effective != nil {
		s.policy = slices.Clone(p.effective.Encryption.Suites)
	}
	return s
}

// tighten adds what the bulletin in force says.
func (s *suites) tighten(tx *store.Tx) error {
	state, err := readBulletin(tx)
	if err == nil {
		s.bulletin, err = state.inForce()
	}
	return err
}

// why says why a suite may not seal; "" when it may.
func (s *suites) why(suite aead.Suite) string {
	switch {
	case s.bulletin.Use(suite, s.now) == advisory.Forbidden:
		return fmt.Sprintf("crypto bulletin %d forbids it", s.bulletin.Number)
	case !slices.Contains(s.policy, suite):
		return "the policy's encryption.suites leaves it out"
	}
	return ""
}

// pick returns the suite to seal with: the one that is asked for, or for 0 the preferred one.
func (s *suites) pick(asked aead.Suite) (aead.Suite, error) {
	if asked != 0 {
		if why := s.why(asked); why != "" {
			return 0, refused("mtguard crypto status", "%v may not seal: %s", asked, why)
		}
		return asked, nil
	}
	for _, suite := range s.policy {
		if s.why(suite) == "" {
			return suite, nil
		}
	}
	return 0, refused("mtguard policy explain", "no suite may seal: every one of the policy's encryption.suites is forbidden by crypto bulletin %d", s.bulletin.Number)
}

// BulletinInfo is the crypto bulletin in force. Without a Number there is none.
type BulletinInfo struct {
	Number int64      `json:"number" doc:"0: none is in force"`
	Time   *time.Time `json:"time,omitempty" doc:"that it bears"`
	Taken  *time.Time `json:"taken,omitempty"`
	Key    string     `json:"key,omitempty" doc:"whose signature counts, in the form of golang.org/x/mod/sumdb/note"`
	Suites []SuiteUse `json:"suites,omitempty"`
}

// SuiteUse is what the bulletin says of a suite.
type SuiteUse struct {
	Name string     `json:"name"`
	Use  string     `json:"use" enum:"allowed,deprecated,forbidden"`
	From *time.Time `json:"from,omitempty" doc:"of a forbidden one"`
}

// CryptoInfo is the cryptography of a node: what it is made of, what may be used of it, and what is known against it.
type CryptoInfo struct {
	Inventory advisory.Inventory `json:"inventory"`
	Bulletin  BulletinInfo       `json:"bulletin"`
	Asked     bool               `json:"asked" doc:"the configuration names somebody who is asked regularly"`
	Next      *time.Time         `json:"next,omitempty" doc:"when, next"`
	Last      *advisory.Outcome  `json:"last,omitempty" doc:"what came of it last"`
}

// Watch is what the node does by itself about its cryptography.
type Watch interface {
	// Standing adds to c whether and when somebody is asked, and what came of it last.
	Standing(c *CryptoInfo)
	// Check asks now. It is refused when the configuration names nobody.
	Check(ctx context.Context) (*advisory.Outcome, error)
}

// CryptoStatus is what a node's status says of its cryptography.
type CryptoStatus struct {
	Asked    bool       `json:"asked" doc:"somebody is asked regularly whether something has to be replaced"`
	Checked  *time.Time `json:"checked,omitempty" doc:"when, last"`
	Verdict  string     `json:"verdict,omitempty" enum:"ok,unknown,found" doc:"what came of it"`
	Findings []string   `json:"findings,omitempty"`
}

func (p *Plane) cryptoStatus() (s CryptoStatus) {
	if p.parts.Watch == nil {
		return s
	}
	var c CryptoInfo
	p.parts.Watch.Standing(&c)
	if s.Asked = c.Asked; c.Last != nil {
		s.Checked, s.Verdict, s.Findings = &c.Last.Time, c.Last.Verdict, c.Last.Findings
	}
	return s
}

// Crypto returns the node's cryptography.
func (p *Plane) Crypto(ctx context.Context) (c CryptoInfo, err error) {
	if c.Inventory, err = advisory.Read(); err != nil {
		return c, err
	}
	s := p.preferred()
	err = p.view(ctx, func(tx *store.Tx) error {
		if err := s.tighten(tx); err != nil {
			return err
		}
		state, err := readBulletin(tx)
		if err != nil {
			return err
		}
		for i, suite := range aead.Suites() {
			why := s.why(suite)
			c.Inventory.Suites[i].On, c.Inventory.Suites[i].Why = why == "", why
		}
		c.Bulletin = bulletinInfo(s.bulletin, state)
		return nil
	})
	p.mu.Lock()
	c.Bulletin.Key = p.bulletinKey
	p.mu.Unlock()
	if p.parts.Watch != nil {
		p.parts.Watch.Standing(&c)
	}
	return c, explain(err)
}

func bulletinInfo(b *advisory.Bulletin, state bulletinState) (info BulletinInfo) {
	if b == nil {
		return info
	}
	info.Number, info.Time, info.Taken = b.Number, maybe(b.Time), maybe(state.Taken)
	for _, suite := range aead.Suites() {
		r := b.Rulings[suite.String()]
		info.Suites = append(info.Suites, SuiteUse{Name: suite.String(), Use: r.Use.String(), From: maybe(r.From)})
	}
	return info
}

// CheckCrypto asks the sources of the configuration now, and notes that in the audit log.
func (p *Plane) CheckCrypto(ctx context.Context, by Actor) (*advisory.Outcome, error) {
	if by.Level < access.Admin {
		return nil, &Error{Kind: Denied, Text: fmt.Sprintf("crypto.check needs the level %v", access.Admin)}
	}
	if p.parts.Watch == nil {
		return nil, refused("", "this node asks nobody")
	}
	outcome, err := p.parts.Watch.Check(ctx)
	if err != nil {
		return nil, err
	}
	return outcome, p.note(ctx, by, "crypto.check", outcome.Verdict)
}
