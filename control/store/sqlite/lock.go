package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"mtguard/control/store"
)

// lock is a file that one process at a time has locked. The lock goes with the process,
// however it ends, so a file left behind is no obstacle; what stands in it is only for
// the error of the next.
type lock struct{ file *os.File }

func acquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w%s", store.ErrLocked, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	sign(f)
	return &lock{file: f}, nil
}

// sign writes who we are. On a full disk it does not work, and the lock is there all
// the same.
func sign(f *os.File) {
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

func holder(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// release leaves the file: taking it away would let two processes lock two files of one
// name.
func (l *lock) release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	f.Truncate(0) // as for sign
	return f.Close()
}
