package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// maxConnections is how many may be open at once: a script that forgets to close
// them takes no descriptors from the proxy.
const maxConnections = 128

// Socket listens on a Unix socket.
type Socket struct {
	*net.UnixListener
	path  string
	info  fs.FileInfo // of our file at path
	gid   uint32
	open  chan struct{} // holds one for each open connection
	close sync.Once
}

// Listen makes a Unix socket at path with mode 0660 that belongs to group, a name
// or a number; empty: the group this process runs with. When the process may not
// give the socket to that group it keeps its own, which Group tells. A missing
// directory is made with mode 0750 and the same group.
//
// What a dead process has left at path is replaced. Something that answers there,
// or that is no socket, is an error. Two processes that start in the same instant
// have to be kept apart by something else; the lock of the store does.
func Listen(path string, group string) (*Socket, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes; that of a socket has at most %d", path, len(path), maxSocketPath)
	}
	gid, err := groupID(group)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := makeDirectory(filepath.Dir(path), gid); err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // Close looks first whose file it is
	s := &Socket{UnixListener: l, path: path, open: make(chan struct{}, maxConnections)}
	if err := s.prepare(gid); err != nil {
		l.Close()
		os.Remove(path)
		return nil, err
	}
	return s, nil
}

// keepGroup is no group: leave what the system gives.
const keepGroup = -1

func groupID(group string) (int, error) {
	if group == "" {
		return keepGroup, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q", group)
	}
	return strconv.Atoi(g.Gid)
}

// makeDirectory makes the directory of the socket; one that exists is left alone.
func makeDirectory(path string, gid int) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	// Of the group first: chown may take bits of the mode away.
	if err := chown(path, gid); err != nil {
		return err
	}
	return os.Chmod(path, 0o750) // whatever the umask
}

// chown gives path to a group, where that is permitted.
func chown(path string, gid int) error {
	if gid == keepGroup {
		return nil
	}
	err := os.Lchown(path, -1, gid)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// clearStale removes the socket of a process that has ended.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("socket %s: another process listens there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s is there already, and whether somebody listens cannot be told: %w", path, err)
	}
	return os.Remove(path)
}

// prepare sets who may connect.
func (s *Socket) prepare(gid int) error {
	if err := chown(s.path, gid); err != nil {
		return err
	}
	if err := os.Chmod(s.path, 0o660); err != nil {
		return err
	}
	info, err := os.Lstat(s.path)
	if err != nil {
		return err
	}
	s.info = info
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("socket %s: its group cannot be told", s.path)
	}
	s.gid = stat.Gid
	return nil
}

// Group is the group whose members may connect.
func (s *Socket) Group() int { return int(s.gid) }

// Accept returns the next connection. One above the bound is closed at once.
func (s *Socket) Accept() (net.Conn, error) {
	for {
		c, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		select {
		case s.open <- struct{}{}:
			return &connection{UnixConn: c, socket: s}, nil
		default:
			c.Close()
		}
	}
}

// Close stops listening and removes the file, unless somebody else's is there by now.
func (s *Socket) Close() error {
	s.close.Do(func() {
		if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) {
			os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}

// connection is counted until it is closed.
type connection struct {
	*net.UnixConn
	socket *Socket
	once   sync.Once
}

func (c *connection) Close() error {
	c.once.Do(func() { <-c.socket.open })
	return c.UnixConn.Close()
}
