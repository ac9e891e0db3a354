package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/advisory"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/policy"
)

// publisherOf signs crypto bulletins.
type bulletinPublisher struct {
	t      *testing.T
	signer note.Signer
	key    string
}

func newBulletinPublisher(t *testing.T) *bulletinPublisher {
	t.Helper()
	private, public, err := note.GenerateKey(nil, "crypto")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &bulletinPublisher{t, signer, public}
}

// bulletin signs one of 26 November 2026.
func (p *bulletinPublisher) bulletin(number int, suites ...string) TakeBulletin {
	p.t.Helper()
	text := fmt.Sprintf("mtguard crypto bulletin\nnumber %d\ntime 2026-11-26T12:00:00Z\n", number)
	for _, s := range suites {
		text += "suite " + s + "\n"
	}
	signed, err := note.Sign(&note.Note{Text: text}, p.signer)
	if err != nil {
		p.t.Fatal(err)
	}
	return TakeBulletin{Signed: string(signed)}
}

// trust loads a file that names the publisher.
func (b *bench) trust(key string) {
	b.t.Helper()
	if _, err := b.Load(context.Background(), File{Base: policy.Snapshot{ServerNames: map[string]struct{}{"www.example.com": {}}}, BulletinKey: key}); err != nil {
		b.t.Fatal(err)
	}
}

// seals reports which suite a blob is sealed with when a suite is asked for by name, and why none is.
func (b *bench) seals(suite string) (string, error) {
	b.t.Helper()
	blob, err := b.Seal(context.Background(), operator, SealRequest{Suite: suite, Plaintext: []byte("x")})
	if err != nil {
		return "", err
	}
	rows, err := b.AuditTail(context.Background(), operator, 1, 0)
	if err != nil || len(blob) == 0 || rows[0].Action != "seal" {
		b.t.Fatalf("%v, %+v", err, rows)
	}
	return rows[0].Details["suite"], nil
}

func refusal(t *testing.T, err error, kind Kind, text string) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != kind || !strings.Contains(e.Text, text) {
		t.Errorf("%v, want %v with %q", err, kind, text)
	}
}

func TestABulletinTurnsASuiteOff(t *testing.T) {
	b, publisher, ctx := newBench(t), newBulletinPublisher(t), context.Background()
	b.trust(publisher.key)
	if got, err := b.seals(""); err != nil || got != "xchacha20-poly1305" {
		t.Fatalf("before: %q, %v", got, err)
	}
	before, err := b.Seal(ctx, operator, SealRequest{Suite: "aes-128-gcm", Plaintext: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	take := publisher.bulletin(1, "aes-128-gcm forbidden 2026-01-01T00:00:00Z", "xchacha20-poly1305 forbidden 2026-11-27T00:00:00Z", "aes-256-gcm deprecated")
	if r := b.apply(take, Options{}); !strings.Contains(r.Summary, "aes-128-gcm forbidden") {
		t.Errorf("%+v", r)
	}
	_, err = b.seals("aes-128-gcm")
	refusal(t, err, Refused, "crypto bulletin 1 forbids it")
	_, err = b.Apply(ctx, operator, RotateSealKey{Suite: aead.AES128GCM}, Options{})
	refusal(t, err, Refused, "crypto bulletin 1 forbids it")
	if got, err := b.Open(ctx, operator, OpenRequest{Sealed: before}); err != nil || string(got) != "old" {
		t.Errorf("what was sealed before: %q, %v", got, err)
	}
	if got, err := b.seals(""); err != nil || got != "xchacha20-poly1305" {
		t.Errorf("the day before: %q, %v", got, err)
	}
	b.restart()
	b.trust(publisher.key)
	b.pass(24 * time.Hour)
	if got, err := b.seals(""); err != nil || got != "aes-256-gcm" {
		t.Errorf("the day after: %q, %v", got, err)
	}
	rows, err := b.AuditTail(ctx, operator, 1, 0)
	if err != nil || !strings.Contains(fmt.Sprint(rows[0].Details), "crypto bulletin 1") {
		t.Errorf("nobody is told of a deprecated suite: %+v", rows)
	}
	info, err := b.Crypto(ctx)
	if err != nil || info.Bulletin.Number != 1 || info.Bulletin.Key != publisher.key || info.Bulletin.Suites[1].Use != "forbidden" {
		t.Errorf("%+v, %v", info.Bulletin, err)
	}
	on := make(map[string]bool)
	for _, s := range info.Inventory.Suites {
		if on[s.Name] = s.On; s.On != (s.Why == "") {
			t.Errorf("%+v", s)
		}
	}
	if on["aes-128-gcm"] || on["xchacha20-poly1305"] || !on["aes-256-gcm"] || !on["chacha20-poly1305"] {
		t.Errorf("on: %v", on)
	}
}

func TestABulletinThatIsNotTaken(t *testing.T) {
	b, publisher, ctx := newBench(t), newBulletinPublisher(t), context.Background()
	second := publisher.bulletin(2, "aes-128-gcm forbidden 2026-12-01T00:00:00Z")
	_, err := b.Apply(ctx, operator, second, Options{})
	refusal(t, err, Refused, "no publisher")
	b.trust(publisher.key)
	b.apply(second, Options{})
	for _, c := range []struct {
		name string
		take TakeBulletin
		by   Actor
		kind Kind
		text string
	}{
		{"one that loosens", publisher.bulletin(3), operator, Refused, "would loosen"},
		{"one that is later", publisher.bulletin(3, "aes-128-gcm forbidden 2026-12-02T00:00:00Z"), operator, Refused, "would loosen"},
		{"one that leaves nothing", publisher.bulletin(3, "aes-128-gcm forbidden 2026-12-01T00:00:00Z", "aes-256-gcm forbidden 2026-12-01T00:00:00Z", "chacha20-poly1305 forbidden 2026-12-01T00:00:00Z", "xchacha20-poly1305 forbidden 2026-12-01T00:00:00Z"), operator, Refused, "no suite"},
		{"an older one", publisher.bulletin(1, "aes-128-gcm forbidden 2026-01-01T00:00:00Z"), operator, Invalid, "again"},
		{"another of that number", publisher.bulletin(2, "aes-128-gcm forbidden 2026-11-01T00:00:00Z"), operator, Invalid, "another one"},
		{"one of somebody else", newBulletinPublisher(t).bulletin(3, "aes-128-gcm forbidden 2026-01-01T00:00:00Z"), operator, Invalid, "has not signed it"},
		{"an altered one", TakeBulletin{Signed: strings.Replace(publisher.bulletin(3, "aes-128-gcm forbidden 2026-12-01T00:00:00Z").Signed, "2026-12", "2026-10", 1)}, operator, Invalid, "signature"},
		{"by one who may not", publisher.bulletin(3, "aes-128-gcm forbidden 2026-11-01T00:00:00Z"), Actor{Name: "uid 7", Level: access.Admin}, Denied, "level"},
	} {
		_, err := b.Apply(ctx, c.by, c.take, Options{})
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != c.kind || !strings.Contains(e.Text, c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if info, err := b.Crypto(ctx); err != nil || info.Bulletin.Number != 2 {
			t.Errorf("%s: bulletin %d is in force: %v", c.name, info.Bulletin.Number, err)
		}
	}
	rows, err := b.AuditTail(ctx, operator, 1, 0)
	if err != nil || rows[0].Action != "crypto.bulletin.take" || rows[0].Outcome == "done" {
		t.Errorf("a refusal is not in the audit log: %+v, %v", rows, err)
	}
	before := b.store.Revision()
	if err := b.TakeFetchedBulletin(ctx, []byte(second.Signed)); err != nil || b.store.Revision() != before {
		t.Errorf("the one in force again: %v", err)
	}
	if err := b.TakeFetchedBulletin(ctx, []byte(publisher.bulletin(3, "aes-128-gcm forbidden 2026-11-01T00:00:00Z").Signed)); err != nil {
		t.Error(err)
	}
	b.pass(-2 * time.Hour)
	_, err = b.Apply(ctx, operator, publisher.bulletin(4, "aes-128-gcm forbidden 2026-11-01T00:00:00Z"), Options{})
	refusal(t, err, Invalid, "to come")
}

// Whoever has a new key may not loosen by that what another one forbade.
func TestAnotherPublisherTightensToo(t *testing.T) {
	b, first, second, ctx := newBench(t), newBulletinPublisher(t), newBulletinPublisher(t), context.Background()
	b.trust(first.key)
	b.apply(first.bulletin(9, "aes-128-gcm forbidden 2026-01-01T00:00:00Z"), Options{})
	b.trust(second.key)
	_, err := b.Apply(ctx, operator, second.bulletin(1), Options{})
	refusal(t, err, Refused, "would loosen")
	b.apply(second.bulletin(1, "aes-128-gcm forbidden 2026-01-01T00:00:00Z"), Options{})
}

func TestADroppedBulletinStaysAway(t *testing.T) {
	b, publisher, ctx := newBench(t), newBulletinPublisher(t), context.Background()
	b.trust(publisher.key)
	_, err := b.Apply(ctx, operator, DropBulletin{}, Options{Reason: "none"})
	refusal(t, err, NotFound, "crypto bulletin")
	take := publisher.bulletin(1, "aes-128-gcm forbidden 2026-01-01T00:00:00Z")
	b.apply(take, Options{})
	_, err = b.Apply(ctx, operator, DropBulletin{}, Options{})
	refusal(t, err, Invalid, "reason")
	b.apply(DropBulletin{}, Options{Reason: "false alarm"})
	if got, err := b.seals("aes-128-gcm"); err != nil || got != "aes-128-gcm" {
		t.Errorf("%q, %v", got, err)
	}
	if err := b.TakeFetchedBulletin(ctx, []byte(take.Signed)); err != nil {
		t.Error(err)
	}
	if _, err := b.seals("aes-128-gcm"); err != nil {
		t.Errorf("it came back: %v", err)
	}
	b.apply(publisher.bulletin(2, "aes-128-gcm forbidden 2026-01-01T00:00:00Z"), Options{})
	if _, err := b.seals("aes-128-gcm"); err == nil {
		t.Error("the next one does not act")
	}
}

// encryption.suites of the policy says what seals, and in which order.
func TestThePolicySaysWhatSeals(t *testing.T) {
	b, publisher, ctx := newBench(t), newBulletinPublisher(t), context.Background()
	b.trust(publisher.key)
	b.apply(SetPolicy{Document: "schema = 1\n[encryption]\nsuites = [\"chacha20-poly1305\", \"aes-256-gcm\"]\n"}, Options{Reason: "ours"})
	if got, err := b.seals(""); err != nil || got != "chacha20-poly1305" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := b.seals("xchacha20-poly1305")
	refusal(t, err, Refused, "the policy's encryption.suites leaves it out")
	b.apply(publisher.bulletin(1, "chacha20-poly1305 forbidden 2026-01-01T00:00:00Z"), Options{})
	if got, err := b.seals(""); err != nil || got != "aes-256-gcm" {
		t.Errorf("%q, %v", got, err)
	}
	b.apply(publisher.bulletin(2, "chacha20-poly1305 forbidden 2026-01-01T00:00:00Z", "aes-256-gcm forbidden 2026-01-01T00:00:00Z"), Options{})
	_, err = b.seals("")
	refusal(t, err, Refused, "no suite may seal")
	_, err = b.Apply(ctx, operator, RotateSealKey{}, Options{})
	refusal(t, err, Refused, "no suite may seal")
}

// asked is a Watch that answers.
type asked struct{ outcome advisory.Outcome }

func (a *asked) Standing(c *CryptoInfo) { c.Asked, c.Last = true, &a.outcome }
func (a *asked) Check(context.Context) (*advisory.Outcome, error) {
	a.outcome.Verdict = advisory.Concern
	return &a.outcome, nil
}

func TestACheckOnDemandIsAudited(t *testing.T) {
	b, ctx := newBench(t), context.Background()
	_, err := b.CheckCrypto(ctx, operator)
	refusal(t, err, Refused, "asks nobody")
	b.parts.Watch = &asked{advisory.Outcome{Time: b.now, Verdict: advisory.Fine, Findings: []string{"version 1.5.0 is there"}}}
	_, err = b.CheckCrypto(ctx, Actor{Name: "uid 7", Level: access.ReadOnly})
	refusal(t, err, Denied, "level")
	outcome, err := b.CheckCrypto(ctx, operator)
	if err != nil || outcome.Verdict != advisory.Concern {
		t.Errorf("%+v, %v", outcome, err)
	}
	rows, err := b.AuditTail(ctx, operator, 1, 0)
	if err != nil || rows[0].Action != "crypto.check" || rows[0].Object != "found" {
		t.Errorf("%+v, %v", rows, err)
	}
	status, err := b.Status(ctx)
	if err != nil || !status.Crypto.Asked || status.Crypto.Verdict != "found" || len(status.Crypto.Findings) != 1 {
		t.Errorf("%+v, %v", status.Crypto, err)
	}
}
