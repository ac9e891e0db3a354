package control

import (
	"context"
	"errors"
	"slices"

	"mtguard/security/access"
	"mtguard/telemetry/live"
)

// Events gives an actor a place to look at what happens, which he closes. The audit
// log takes the level admin: an actor below it who asks for no kinds gets all but that.
func (p *Plane) Events(_ context.Context, by Actor, q live.Query) (*live.View, error) {
	if err := may(by, access.ReadOnly, "look at events"); err != nil {
		return nil, err
	}
	switch {
	case by.Level >= access.Admin:
	case len(q.Kinds) == 0:
		q.Kinds = slices.DeleteFunc(live.Kinds(), func(k live.Kind) bool { return k == live.Audit })
	case slices.Contains(q.Kinds, live.Audit):
		return nil, may(by, access.Admin, "look at the audit log")
	}
	if p.parts.Events == nil {
		return nil, &Error{Kind: Unavailable, Text: "nobody notes what happens in this process"}
	}
	if by.From.IsValid() { // over TCP
		q.Who = by.Name
	}
	view, err := p.parts.Events.View(q)
	switch {
	case errors.Is(err, live.ErrTooMany):
		return nil, &Error{Kind: Unavailable, Text: "too many viewers look already", Fix: "close one, and try again"}
	case errors.Is(err, live.ErrEnded):
		return nil, &Error{Kind: Unavailable, Text: "the node stops"}
	case err != nil:
		return nil, invalid("kind", "%v", err)
	}
	return view, nil
}
