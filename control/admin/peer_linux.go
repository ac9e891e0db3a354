package admin

import (
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

// peerOf asks the kernel who connected, with which groups. It is not asked of
// os/user: a service may have groups that no file lists, and files may list
// groups that a process has not got (yet, or any more).
func peerOf(c net.Conn) (p peer, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return p, errors.New("no Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return p, err
	}
	failed := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		p.uid = cred.Uid
		p.groups, err = peerGroups(int(fd))
		p.groups = append(p.groups, cred.Gid)
	})
	return p, errors.Join(failed, err)
}

// peerGroups returns the supplementary groups, which golang.org/x/sys has no call
// for (socket(7), SO_PEERGROUPS, Linux 4.13).
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups)) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno != unix.ERANGE || size/4 > maxGroups || int(size/4) <= len(groups):
			return nil, errno
		}
		groups = make([]uint32, size/4)
	}
}
