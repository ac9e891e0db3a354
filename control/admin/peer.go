package admin

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"mtguard/control"
	"mtguard/security/access"
)

// peer is the process at the other end of a connection.
type peer struct {
	uid    uint32
	groups []uint32 // all it belongs to
}

type peerKey struct{}

// recognise adds to ctx who is at the other end of c: an actor when it is root,
// the node's own user, or in the group of the socket. A Unix socket's ceiling is
// Superuser, and what could be withheld from a member of the group can be had by
// whoever may restart the node.
func recognise(ctx context.Context, c net.Conn, group uint32) context.Context {
	p, err := peerOf(c)
	if err != nil {
		return ctx
	}
	if p.uid == 0 || p.uid == uint32(os.Geteuid()) || slices.Contains(p.groups, group) {
		name := "uid " + strconv.FormatUint(uint64(p.uid), 10)
		return WithActor(ctx, control.Actor{Name: name, Level: access.Superuser, Person: name})
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// stranger is the problem of a request from somebody that recognise does not know.
func stranger(ctx context.Context) *Problem {
	who := "nobody known"
	if p, ok := ctx.Value(peerKey{}).(peer); ok {
		who = fmt.Sprintf("uid %d", p.uid)
	}
	return kinds[control.Denied].problem("you are %s; the socket is for root, the node's own user and the socket's group", who)
}
