package control

import (
	"strings"
	"testing"
	"time"

	"mtguard/control/passkey"
	"mtguard/control/store"
	"mtguard/security/access"
)

// update changes the store behind the plane's back.
func (b *bench) update(do func(*store.Tx) error) {
	b.t.Helper()
	if _, err := b.store.Update(b.t.Context(), do); err != nil {
		b.t.Fatal(err)
	}
}

// TestWhatWaitsGoesWithItsCredential: it leaves the queue at once, and what others asked for stays.
func TestWhatWaitsGoesWithItsCredential(t *testing.T) {
	for name, ends := range map[string]func(*bench, *passkey.Passkeys) (by Actor, end func()){
		"a token": func(b *bench, _ *passkey.Passkeys) (Actor, func()) {
			by := b.actor(b.token(CreateToken{Name: "ci", Level: access.Superuser}))
			return by, func() { b.apply(RevokeToken{"ci"}, Options{Reason: "lost"}) }
		},
		"a passkey": func(b *bench, p *passkey.Passkeys) (Actor, func()) {
			cookie, id := b.signIn("nadia")
			_, cookie, _ = b.device(p, cookie, id)
			return b.actor(cookie), func() {
				items, _ := b.Passkeys(b.t.Context())
				b.apply(RemovePasskey{items[0].ID}, Options{Reason: "lost"})
			}
		},
		"a passkey whose session is over": func(b *bench, p *passkey.Passkeys) (Actor, func()) {
			cookie, id := b.signIn("nadia")
			_, _, id = b.device(p, cookie, id)
			return id.Actor, func() {
				if err := b.Leave(b.t.Context(), id); err != nil {
					b.t.Fatal(err)
				}
				items, _ := b.Passkeys(b.t.Context())
				b.apply(RemovePasskey{items[0].ID}, Options{Reason: "lost"})
			}
		},
		"the passkey that the session was made fresh with later": func(b *bench, p *passkey.Passkeys) (Actor, func()) {
			cookie, id := b.signIn("nadia")
			key, _, _ := b.device(p, cookie, id)
			b.jump(time.Second)
			_, id = b.signIn("nadia")
			return id.Actor, func() {
				if _, _, err := b.StepUp(b.t.Context(), id, b.proof(p, key, id.Session, "nadia"), browserAt); err != nil {
					b.t.Fatal(err)
				}
				items, _ := b.Passkeys(b.t.Context())
				b.apply(RemovePasskey{items[0].ID}, Options{Reason: "lost"})
			}
		},
		"a session from before the first passkey": func(b *bench, p *passkey.Passkeys) (Actor, func()) {
			_, stolen := b.signIn("nadia")
			b.jump(time.Second)
			return stolen.Actor, func() {
				cookie, id := b.signIn("nadia")
				b.device(p, cookie, id)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.takesTwo(ClassGlass)
			change := BreakGlass{For: Duration(time.Hour)}
			by, end := ends(b, passkey.New())
			gone := b.asks(by, change, Options{Reason: "test"})
			b.jump(time.Second)
			_, other := b.signIn("omid")
			stays := b.asks(other.Actor, change, Options{Reason: "test"})
			end()
			if info, err := b.Approval(t.Context(), gone); err != nil || info.State != approvalRefused {
				t.Errorf("it is %v, %v", info.State, err)
			}
			_, err := b.Approve(t.Context(), person("leila"), gone, Options{})
			fails(t, Refused, "approved", err)
			if info, err := b.Approval(t.Context(), stays); err != nil || info.State != approvalPending {
				t.Errorf("what somebody else asked for is %v, %v", info.State, err)
			}
		})
	}
}

// TestNobodyFillsTheQueue: one person's questions leave room for another's.
func TestNobodyFillsTheQueue(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassGlass)
	change := BreakGlass{For: Duration(time.Hour)}
	one := b.actor(b.token(CreateToken{Name: "a", Level: access.Superuser}))
	other := b.actor(b.token(CreateToken{Name: "b", Level: access.Superuser})) // of the same person
	var first string
	for range store.MaxPendingOf {
		first = b.asks(one, change, Options{Reason: "test"})
	}
	_, err := b.Apply(t.Context(), other, change, Options{Reason: "test"})
	fails(t, Refused, "one more", err)
	if e, ok := err.(*Error); !ok || !strings.Contains(e.Fix, "mtguard approval list") || !strings.Contains(e.Fix, "approval refuse") {
		t.Errorf("it tells no way out: %+v", err)
	}
	b.asks(person("omid"), change, Options{Reason: "test"})
	b.apply(RefuseApproval{first}, Options{})
	b.asks(other, change, Options{Reason: "test"})
}

// TestTheAuditLogNamesWhomACodeIsFor, also when nobody has said it.
func TestTheAuditLogNamesWhomACodeIsFor(t *testing.T) {
	b := newBench(t)
	for person, want := range map[string]string{"": "person uid-0", "nadia": "person nadia"} {
		if _, err := b.Apply(t.Context(), root, MakeCode{Person: person}, Options{}); err != nil {
			t.Fatal(err)
		}
		rows, err := b.AuditTail(t.Context(), operator, 1, 0)
		if err != nil || len(rows) != 1 || rows[0].Action != "signin.code" || rows[0].Object != want {
			t.Errorf("of a code for %q the audit log has %+v, %v", person, rows, err)
		}
	}
}
