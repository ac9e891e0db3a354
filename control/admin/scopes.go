package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"mtguard/control"
	"mtguard/security/access"
)

// A scope of a token is a noun of the API, such as users; a noun of which only what
// reads may be used, such as users:read; or one operation, such as list-users.
const onlyReads = ":read"

// noun is the first segment of a route's path.
func (r *route) noun() string {
	noun, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	return noun
}

// within reports whether scopes let r be used. None let everything.
func (r *route) within(scopes []string) bool {
	if len(scopes) == 0 {
		return true
	}
	return slices.ContainsFunc(scopes, func(scope string) bool {
		noun, reading := strings.CutSuffix(scope, onlyReads)
		if reading {
			return noun == r.noun() && r.method == http.MethodGet
		}
		return scope == r.noun() || scope == r.id
	})
}

// scopes are all that a token can have, sorted.
func (s *server) scopes() []string {
	all := make(map[string]bool)
	for _, r := range s.served {
		all[r.noun()], all[r.noun()+onlyReads], all[r.id] = true, true, true
	}
	return slices.Sorted(maps.Keys(all))
}

// operations are those that id may use, sorted: of its level and its scopes, a fresh
// passkey aside.
func (s *server) operations(id control.Identity) []string {
	all := []string{}
	for _, r := range s.served {
		if id.Actor.Level >= r.least && r.within(id.Scopes) {
			all = append(all, r.id)
		}
	}
	slices.Sort(all)
	return all
}

// denied says why whoever asks may not use r; nil when he may.
func (r *route) denied(ctx context.Context) *Problem {
	by, c := actor(ctx), callerOf(ctx)
	switch {
	case c != nil && !r.within(c.Scopes):
		return kinds[control.Denied].problem("the scopes of %s do not have %s", by.Name, r.id)
	case by.Level >= r.least:
		return nil
	case c != nil && c.stepUp && r.least <= access.Superuser:
		return stepUp()
	}
	return kinds[control.Denied].problem("%s has the level %v; this takes %v", by.Name, by.Level, r.least)
}

// stepUp is what a session is told that could do more.
func stepUp() *Problem {
	return stepUpRequired.problem("this takes a passkey that was shown within the last minutes")
}
