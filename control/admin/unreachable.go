package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// UnreachableError means that nobody answered at a socket.
type UnreachableError struct {
	Socket string // or its address
	Why    string // what was found, one line
	Hint   string // what to try, one line; may be empty
	Err    error
}

// Error says which socket.
func (e *UnreachableError) Error() string { return "the node is not answering on " + e.Socket }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// unreachable explains why a request came to no answer. When the caller gave up,
// it is the caller's error.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return cause
	}
	e := &UnreachableError{Socket: c.socket, Err: err}
	switch {
	case c.bearer.ID() != "":
		e.Why, e.Hint = elsewhere(err)
	case len(c.socket) > maxSocketPath:
		e.Why = fmt.Sprintf("the path has %d bytes; that of a socket has at most %d", len(c.socket), maxSocketPath)
	case errors.Is(err, context.DeadlineExceeded):
		e.Why = "it gave no answer in time"
		e.Hint = "give it more time with --timeout, or look into the node's log"
	case errors.Is(err, fs.ErrNotExist):
		e.Why = "there is no such socket"
		e.Hint = "is the node running? systemctl status mtguard, or name its socket with --server"
	case errors.Is(err, fs.ErrPermission):
		e.Why, e.Hint = forbidden(c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Why = "the socket is there, but nobody listens: its node has ended"
		e.Hint = "systemctl restart mtguard"
	default:
		e.Why = "the connection broke"
		e.Hint = "look into the node's log"
	}
	return e
}

// elsewhere explains why a node could not be asked over the network.
func elsewhere(err error) (why, hint string) {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not trusted: " + invalid.Err.Error(), "is this the name in its certificate, and has it expired?"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it gave no answer in time", "give it more time with --timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there", "is the node running, with [admin] listen, and the tunnel up?"
	}
	return "the connection broke", "is this the address of its dashboard, and does it speak TLS there?"
}

// forbidden explains a socket that may not be opened.
func forbidden(path string) (why, hint string) {
	info, err := os.Stat(path)
	what := "the socket exists"
	if err != nil { // then the directory is in the way
		what = "its directory exists"
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Sprintf("you are uid %d and may not open it", os.Getuid()), "run it with sudo"
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("%s, but you may not open it", what), "run it with sudo"
	}
	group := strconv.FormatUint(uint64(owner.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	why = fmt.Sprintf("%s, but you are uid %d and it belongs to group %s", what, os.Getuid(), group)
	if owner.Gid == 0 {
		return why, "run it with sudo"
	}
	return why, fmt.Sprintf("run it with sudo, or: sudo usermod -aG %s $USER (then log in again)", group)
}
