package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
)

var credentialTests = []test{
	{"what is put comes back", credentialsComeBack},
	{"a token's name is free again when it has ended", tokenNames},
	{"what has ended stays ended", tokensEnd},
	{"tokens are bounded", tokensAreBounded},
	{"a session gets another hash", sessionsRotate},
	{"sessions end by time", sessionsEnd},
	{"the quietest session makes room", sessionsAreBounded},
	{"a code is taken once", codesAreTakenOnce},
	{"what is spent stays spent", spentStaysSpent},
	{"a passkey takes its sessions along", passkeysGo},
	{"approvals wait, and expire", approvalsWait},
	{"what is no credential", noCredentials},
}

func hashOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newToken(name string) store.Token {
	return store.Token{
		ID: "id-" + name, Hash: hashOf(1), Name: name, Person: "uid 0", Level: access.Admin, Scopes: []string{"users", "keys:read"},
		From:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		MadeBy: "uid 0", Created: at, Expires: at.Add(time.Hour),
	}
}

func newSession(id string) store.Session {
	return store.Session{
		ID: id, Hash: hashOf(2), Person: "nadia", Owner: "uid 0", Via: "code", Level: access.Superuser, Host: "localhost",
		From: netip.MustParseAddr("192.0.2.7"), Agent: "a browser", Opened: at, Last: at, Expires: at.Add(12 * time.Hour),
	}
}

func credentialsComeBack(t *testing.T, open Open) {
	f := fresh(t, open)
	tok, session := newToken("ci"), newSession("s1")
	code := store.Code{ID: "c1", Hash: hashOf(3), Person: "nadia", Owner: "uid 0", Level: access.ReadOnly, Created: at, Expires: at.Add(time.Minute)}
	key := store.Passkey{
		ID: "p1", Raw: []byte{1}, Handle: []byte{2}, Person: "nadia", Owner: "uid 0", Name: "laptop", Level: access.Admin, Host: "localhost", Record: []byte(`{}`), Created: at,
	}
	before := f.Revision()
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.AddToken(&tok), tx.PutSession(&session), tx.AddCode(&code), tx.PutPasskey(&key))
	})
	if f.Revision() != before {
		t.Error("credentials raise the revision: everything is compiled anew")
	}
	tok.LastUsed, tok.LastFrom = at.Add(time.Minute), netip.MustParseAddr("192.0.2.9")
	key.Record, key.LastUsed = []byte(`{"n":1}`), at.Add(time.Minute)
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.TouchToken(tok.ID, tok.LastUsed, tok.LastFrom), tx.TouchToken("gone", at, tok.LastFrom), tx.PutPasskey(&key), tx.TouchSession("s1", at.Add(time.Minute)), tx.TouchSession("gone", at))
	})
	session.Last = at.Add(time.Minute)
	f.view(func(tx *store.Tx) error {
		tokens, err1 := tx.Tokens()
		sessions, err2 := tx.Sessions()
		codes, err3 := tx.Codes()
		keys, err4 := tx.Passkeys()
		for _, c := range []struct{ got, want any }{
			{tokens, []store.Token{tok}}, {sessions, []store.Session{session}}, {codes, []store.Code{code}}, {keys, []store.Passkey{key}},
		} {
			if !reflect.DeepEqual(c.got, c.want) {
				t.Errorf("%+v\nwant %+v", c.got, c.want)
			}
		}
		return errors.Join(err1, err2, err3, err4)
	})
}

func tokenNames(t *testing.T, open Open) {
	f := fresh(t, open)
	first := newToken("ci")
	f.update(func(tx *store.Tx) error { return tx.AddToken(&first) })
	second := newToken("ci")
	second.ID = "other"
	f.refused(store.ErrExists, func(tx *store.Tx) error { return tx.AddToken(&second) })
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.EndToken(first.ID, at.Add(time.Minute)), tx.AddToken(&second))
	})
	third := newToken("cd")
	third.ID = second.ID
	f.refused(store.ErrExists, func(tx *store.Tx) error { return tx.AddToken(&third) })
	f.update(func(tx *store.Tx) error { return tx.DropTokens(at) })
	count := func(want int) {
		t.Helper()
		f.view(func(tx *store.Tx) error {
			all, err := tx.Tokens()
			if len(all) != want {
				t.Errorf("%d tokens, want %d", len(all), want)
			}
			return err
		})
	}
	count(2)
	f.update(func(tx *store.Tx) error { return tx.DropTokens(at.Add(time.Hour)) })
	count(1) // the one that has not ended
}

// tokensEnd: by time with the time, and what has ended stays so, whatever is written of it afterwards.
func tokensEnd(t *testing.T, open Open) {
	f := fresh(t, open)
	revoked, over, live := newToken("a"), newToken("b"), newToken("c")
	over.Expires, live.Expires = at.Add(time.Minute), at.Add(2*time.Hour)
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.AddToken(&revoked), tx.AddToken(&over), tx.AddToken(&live), tx.EndToken(revoked.ID, at.Add(time.Second)))
	})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.EndToken(revoked.ID, at.Add(time.Minute)) })
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.TouchToken(revoked.ID, at, revoked.LastFrom), tx.TouchToken(over.ID, at, over.LastFrom), tx.EndTokens(at.Add(time.Hour)))
	})
	f.view(func(tx *store.Tx) error {
		all, err := tx.Tokens()
		for i, want := range []time.Time{at.Add(time.Second), over.Expires, {}} {
			if !all[i].Ended.Equal(want) {
				t.Errorf("token %s has ended at %v, want %v", all[i].Name, all[i].Ended, want)
			}
		}
		return err
	})
}

func tokensAreBounded(t *testing.T, open Open) {
	f := fresh(t, open)
	f.update(func(tx *store.Tx) error {
		for i := range store.MaxTokens {
			tok := newToken(fmt.Sprint("t", i))
			if err := tx.AddToken(&tok); err != nil {
				return err
			}
		}
		return nil
	})
	more := newToken("more")
	f.refused(store.ErrTooMany, func(tx *store.Tx) error { return tx.AddToken(&more) })
}

func sessionsRotate(t *testing.T, open Open) {
	f := fresh(t, open)
	s := newSession("s1")
	f.update(func(tx *store.Tx) error { return tx.PutSession(&s) })
	s.ID, s.Hash, s.Fresh, s.Passkey = "s2", hashOf(9), at.Add(time.Minute), "p1"
	f.update(func(tx *store.Tx) error { return tx.PutSession(&s) })
	f.view(func(tx *store.Tx) error {
		all, err := tx.Sessions()
		if len(all) != 1 || !reflect.DeepEqual(all[0], s) {
			t.Errorf("%+v, want %+v", all, s)
		}
		return err
	})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.DropSession("s1") })
	f.update(func(tx *store.Tx) error { return tx.DropSession("s2") })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.PutSession(&s) })
}

func sessionsEnd(t *testing.T, open Open) {
	f := fresh(t, open)
	f.update(func(tx *store.Tx) error {
		for i := range 4 {
			s := newSession(fmt.Sprint("s", i))
			s.Last = at.Add(time.Duration(i) * time.Minute)
			if i == 3 {
				s.Expires = at.Add(time.Second)
			}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return tx.DropSessions(at.Add(time.Hour), at.Add(time.Minute))
	})
	f.view(func(tx *store.Tx) error {
		all, err := tx.Sessions()
		if len(all) != 1 || all[0].ID != "s2" {
			t.Errorf("%+v", all)
		}
		return err
	})
}

func sessionsAreBounded(t *testing.T, open Open) {
	f := fresh(t, open)
	f.update(func(tx *store.Tx) error {
		for i := range store.MaxSessions + 1 {
			s := newSession(fmt.Sprint("s", i))
			if i != 7 {
				s.Last = at.Add(time.Hour)
			}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	})
	f.view(func(tx *store.Tx) error {
		all, err := tx.Sessions()
		if len(all) != store.MaxSessions {
			t.Errorf("%d sessions", len(all))
		}
		for _, s := range all {
			if s.ID == "s7" {
				t.Error("another one made room")
			}
		}
		return err
	})
}

func codesAreTakenOnce(t *testing.T, open Open) {
	f := fresh(t, open)
	add := func(id string, until time.Duration) {
		c := store.Code{ID: id, Hash: hashOf(3), Person: "nadia", Owner: "uid 0", Level: access.Admin, Created: at, Expires: at.Add(until)}
		f.update(func(tx *store.Tx) error { return tx.AddCode(&c) })
	}
	add("c1", time.Minute)
	f.refused(store.ErrNotFound, func(tx *store.Tx) error {
		if _, err := tx.TakeCode("c1"); err != nil {
			return err
		}
		_, err := tx.TakeCode("c1") // given up: it is there again
		return err
	})
	f.update(func(tx *store.Tx) error {
		c, err := tx.TakeCode("c1")
		if c.Person != "nadia" || c.Level != access.Admin {
			t.Errorf("%+v", c)
		}
		return err
	})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.TakeCode("c1"); return err })
	for i := range store.MaxCodes + 2 {
		add(fmt.Sprint("n", i), time.Duration(i)*time.Second)
	}
	f.update(func(tx *store.Tx) error { return tx.DropCodes(at.Add(10 * time.Second)) })
	f.view(func(tx *store.Tx) error {
		all, err := tx.Codes()
		if len(all) != store.MaxCodes+2-11 || all[0].ID != "n11" {
			t.Errorf("%d codes, the first is %+v", len(all), all[0])
		}
		return err
	})
}

func spentStaysSpent(t *testing.T, open Open) {
	f := fresh(t, open)
	id := []byte("challenge")
	f.update(func(tx *store.Tx) error { return tx.Spend(id, at.Add(time.Minute), at) })
	f.refused(store.ErrExists, func(tx *store.Tx) error { return tx.Spend(id, at.Add(time.Hour), at.Add(time.Minute-time.Microsecond)) })
	f.update(func(tx *store.Tx) error { return tx.Spend([]byte("another"), at.Add(time.Minute), at) })
	f.update(func(tx *store.Tx) error { return tx.Spend(id, at.Add(time.Hour), at.Add(time.Minute)) }) // its time has passed: it was not good any more
	for _, none := range [][]byte{nil, make([]byte, 65)} {
		if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.Spend(none, at.Add(time.Hour), at) }); err == nil {
			t.Errorf("%d bytes are spent", len(none))
		}
	}
}

func passkeysGo(t *testing.T, open Open) {
	f := fresh(t, open)
	key := store.Passkey{ID: "p1", Raw: []byte{1}, Handle: []byte{2}, Person: "nadia", Owner: "x", Host: "localhost", Record: []byte(`{}`), Created: at}
	twin := key
	twin.ID = "p2"
	with, without := newSession("s1"), newSession("s2")
	with.Passkey = "p1"
	f.update(func(tx *store.Tx) error {
		return errors.Join(tx.PutPasskey(&key), tx.PutSession(&with), tx.PutSession(&without))
	})
	f.refused(store.ErrExists, func(tx *store.Tx) error { return tx.PutPasskey(&twin) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.DropPasskey("p9"); return err })
	f.update(func(tx *store.Tx) error {
		n, err := tx.DropPasskey("p1")
		if n != 1 {
			t.Errorf("%d sessions end", n)
		}
		return err
	})
	f.view(func(tx *store.Tx) error {
		all, err := tx.Sessions()
		if len(all) != 1 || all[0].ID != "s2" {
			t.Errorf("%+v", all)
		}
		return err
	})
}

func approvalsWait(t *testing.T, open Open) {
	f := fresh(t, open)
	put := func(tx *store.Tx, i int) error {
		uid := fmt.Sprint("uid ", i/store.MaxPendingOf)
		a := store.Approval{
			ID: fmt.Sprint("w", i), Class: "kek", Action: "key.rotate", Object: "master", Body: []byte(`{}`), Actor: uid, Person: uid, Reason: "r",
			Asked: at, Expires: at.Add(time.Duration(i) * time.Minute), State: store.StatePending,
		}
		return tx.PutApproval(&a)
	}
	f.refused(store.ErrTooMany, func(tx *store.Tx) error { // of one person
		for i := range store.MaxPendingOf {
			if err := put(tx, i); err != nil {
				return err
			}
		}
		a := store.Approval{ID: "w", Body: []byte(`{}`), Person: "uid 0", State: store.StatePending}
		return tx.PutApproval(&a)
	})
	f.update(func(tx *store.Tx) error {
		for i := range store.MaxPending {
			if err := put(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	f.refused(store.ErrTooMany, func(tx *store.Tx) error { return put(tx, store.MaxPending) })
	f.update(func(tx *store.Tx) error {
		n, err := tx.ExpireApprovals(at.Add(9 * time.Minute))
		if n != 10 {
			t.Errorf("%d expire", n)
		}
		a, err2 := tx.Approval("w20")
		a.State, a.Decider, a.Decided = "approved", "nadia", at
		return errors.Join(err, err2, tx.PutApproval(&a), put(tx, store.MaxPending))
	})
	f.view(func(tx *store.Tx) error {
		a, err := tx.Approval("w20")
		if a.State != "approved" || a.Decider != "nadia" || !a.Decided.Equal(at) {
			t.Errorf("%+v", a)
		}
		if old, _ := tx.Approval("w3"); old.State != "expired" {
			t.Errorf("%+v", old)
		}
		page, err2 := tx.Approvals(0, 2)
		if len(page) != 2 || page[0].ID != fmt.Sprint("w", store.MaxPending) {
			t.Errorf("%+v", page)
		}
		next, err3 := tx.Approvals(page[1].Seq, 1)
		if len(next) != 1 || next[0].Seq >= page[1].Seq {
			t.Errorf("%+v", next)
		}
		return errors.Join(err, err2, err3)
	})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Approval("w999"); return err })
}

func noCredentials(t *testing.T, open Open) {
	f := fresh(t, open)
	tok, session := newToken("ci"), newSession("s1")
	tok.Hash = tok.Hash[:31]
	session.Agent = "a\x00b"
	for name, put := range map[string]func(*store.Tx) error{
		"a short hash":      func(tx *store.Tx) error { return tx.AddToken(&tok) },
		"a zero in a text":  func(tx *store.Tx) error { return tx.PutSession(&session) },
		"a code without ID": func(tx *store.Tx) error { return tx.AddCode(&store.Code{Hash: hashOf(1)}) },
		"an empty passkey":  func(tx *store.Tx) error { return tx.PutPasskey(&store.Passkey{ID: "p"}) },
		"an empty approval": func(tx *store.Tx) error { return tx.PutApproval(&store.Approval{ID: "w"}) },
	} {
		if _, err := f.Update(t.Context(), put); err == nil {
			t.Errorf("%s is kept", name)
		}
	}
}
