package serving

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAcceptor takes connections off the queue itself. One that is refused costs three system calls, none of which can block, and Go's
// scheduler and poller never know of it.
type rawAcceptor struct {
	at   net.Addr
	file *os.File // the listening socket, waited for in Go's poller
	raw  syscall.RawConn
	over atomic.Bool
}

// refuseMost is how many are refused in a row before others have their turn.
const refuseMost = 64

// acceptorOf is that of a TCP listener, whose socket it takes over; nil for any other.
func acceptorOf(l net.Listener) acceptor {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	file, err := t.File()
	if err != nil {
		return nil
	}
	raw, err := file.SyscallConn()
	if err != nil || file.SetReadDeadline(time.Time{}) != nil { // a file that knows no deadline is none that can be waited for
		file.Close()
		return nil
	}
	t.Close() // or the poller would tell of each connection twice
	return &rawAcceptor{at: l.Addr(), file: file, raw: raw}
}

func (a *rawAcceptor) close() error {
	a.over.Store(true)
	return a.file.Close()
}

func (a *rawAcceptor) accept(may func(netip.Addr) bool) (net.Conn, netip.AddrPort, error) {
	for {
		fd, from, err := -1, netip.AddrPort{}, error(nil)
		waited := a.raw.Read(func(listening uintptr) bool {
			for range refuseMost {
				next, source, errno := rawAccept(int(listening))
				switch {
				case errno == unix.EAGAIN:
					return false // wait
				case errno == unix.EINTR || errno == unix.ECONNABORTED:
				case errno != 0:
					err = &net.OpError{Op: "accept", Net: "tcp", Addr: a.at, Err: os.NewSyscallError("accept4", errno)}
					return true
				case may(source.Addr()):
					fd, from = next, source
					return true
				default:
					rawReset(next)
				}
			}
			return true
		})
		switch {
		case waited != nil && a.over.Load():
			return nil, from, net.ErrClosed
		case waited != nil:
			return nil, from, waited
		case err != nil:
			return nil, from, err
		case fd >= 0:
			c, err := connOf(fd)
			return c, from, err
		}
		runtime.Gosched()
	}
}

// connOf makes a connection of a descriptor, which it owns.
func connOf(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "")
	defer file.Close() // net has its own by then
	return net.FileConn(file)
}

// rawAccept takes a connection off the queue. Its descriptor blocks, so that nobody but net.FileConn gives it to the poller.
func rawAccept(listening int) (fd int, from netip.AddrPort, errno unix.Errno) {
	var address unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	got, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listening), uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)), unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, from, errno
	}
	return int(got), addrPortOf(&address), 0
}

func addrPortOf(address *unix.RawSockaddrAny) netip.AddrPort {
	port := func(network *uint16) uint16 {
		b := (*[2]byte)(unsafe.Pointer(network))
		return uint16(b[0])<<8 | uint16(b[1])
	}
	switch address.Addr.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(address))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port(&v4.Port))
	case unix.AF_INET6:
		v6 := (*unix.RawSockaddrInet6)(unsafe.Pointer(address))
		return netip.AddrPortFrom(netip.AddrFrom16(v6.Addr).Unmap(), port(&v6.Port))
	}
	return netip.AddrPort{}
}

// rawReset closes a connection with a reset: the kernel keeps nothing of it.
func rawReset(fd int) {
	linger := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}
