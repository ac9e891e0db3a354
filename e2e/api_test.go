package e2e

import (
	"context"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/dc"
)

// person is a user with the secrets of its links, in the forms that gotd takes.
type person struct {
	name string
	id   string // of the key
	ways map[string][]byte
	raw  []byte // the 16 bytes
	page string // address of the page, if there is one
}

// kinds of links, as the API names them.
var kinds = []string{"faketls", "secure", "classic"}

// add makes a user.
func (n *node) add(body admin.UserBody) person {
	n.t.Helper()
	r, err := n.api.AddUser(n.t.Context(), body, admin.ChangeOptions{})
	if err != nil {
		n.t.Fatalf("add user %s: %v", body.Name, err)
	}
	return n.person(r)
}

// rotate gives a user a new secret; the old one goes on for the overlap.
func (n *node) rotate(name string, overlap time.Duration) person {
	n.t.Helper()
	d := control.Duration(overlap)
	r, err := n.api.RotateKeys(n.t.Context(), admin.RotateBody{User: name, Overlap: &d}, admin.ChangeOptions{})
	if err != nil {
		n.t.Fatalf("rotate %s: %v", name, err)
	}
	return n.person(r)
}

// person reads the links of a change. Its secret may not appear in the log from now on.
func (n *node) person(r control.Result) person {
	n.t.Helper()
	p, err := personOf(r)
	if err != nil {
		n.t.Fatal(err)
	}
	n.keep(p.name+" with key "+p.id, p.raw)
	return p
}

func personOf(r control.Result) (person, error) {
	if r.User == nil || len(r.Links) == 0 {
		return person{}, errors.New("a result without a user, or without links")
	}
	p := person{name: r.User.Name, id: string(r.User.Key), ways: map[string][]byte{}, page: r.Page}
	for _, l := range r.Links {
		b, err := hex.DecodeString(l.Secret)
		if err != nil {
			return p, err
		}
		if l.Kind == "classic" {
			p.raw = b
			b = append([]byte{byte(dc.Abridged)}, b...) // gotd speaks the framing whose tag stands in front
		}
		p.ways[l.Kind] = b
	}
	if len(p.raw) != 16 || len(p.ways) != len(kinds) {
		return p, errors.New("links are missing")
	}
	return p, nil
}

// keep remembers a secret that may not appear in the log.
func (n *node) keep(name string, secret []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.users[name] = secret
}

func (n *node) user(name string) control.UserInfo {
	n.t.Helper()
	info, err := n.api.User(n.t.Context(), name)
	if err != nil {
		n.t.Fatalf("user %s: %v", name, err)
	}
	return info
}

func (n *node) key(id string) control.KeyInfo {
	n.t.Helper()
	info, err := n.api.Key(n.t.Context(), id)
	if err != nil {
		n.t.Fatalf("key %s: %v", id, err)
	}
	return info
}

func (n *node) set(name string, body admin.UserPatch) {
	n.t.Helper()
	if _, err := n.api.SetUser(n.t.Context(), name, body, admin.ChangeOptions{}); err != nil {
		n.t.Fatalf("set %s: %v", name, err)
	}
}

func (n *node) revoke(id string) control.Result {
	n.t.Helper()
	r, err := n.api.RevokeKey(n.t.Context(), id, admin.RevokeBody{}, admin.ChangeOptions{Reason: "seen in a chat"})
	if err != nil {
		n.t.Fatalf("revoke %s: %v", id, err)
	}
	return r
}

// refusedAs fails the test unless err is a refusal of that kind.
func refusedAs(t *testing.T, err error, want control.Kind) {
	t.Helper()
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != want {
		t.Errorf("got %v, want a refusal of kind %v", err, want)
	}
}

// lag measures how long this machine makes those wait who have something to do, until its context ends: what is
// allowed to be late by a fixed time is allowed this much more.
func lag(ctx context.Context) (worst func() time.Duration) {
	const nap = 5 * time.Millisecond
	late := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			begin := time.Now()
			time.Sleep(nap)
			most = max(most, time.Since(begin)-nap)
		}
		late <- most
	}()
	return func() time.Duration { return <-late }
}
