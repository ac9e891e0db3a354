package backup

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk is played by the limit on the size of files, which the kernel enforces at the same place. The limit is the process's, and
// the testing package writes a file now and then too: so it happens in a process of its own.
func TestAFullDiskChangesNothing(t *testing.T) {
	const sign = "BACKUP_TEST_CHILD"
	if os.Getenv(sign) == "" {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), sign+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	from, b, id := small(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "mtguard.db")
	crashedDB(t, target)
	before := contents(t, dir)
	restore := limitFileSize(t, 700)
	_, errRestore := Restore(bytes.NewReader(b), id, target, nil)
	_, errCreate := CreateFile(filepath.Join(dir, "backup"), from, ForMasterKey())
	restore()
	for _, err := range []error{errRestore, errCreate} {
		if !errors.Is(err, syscall.EFBIG) || errors.Is(err, ErrDamaged) {
			t.Errorf("%v; want the system's error", err)
		}
	}
	if !maps.Equal(contents(t, dir), before) {
		t.Errorf("there are %v now", names(t, dir))
	}
}

func limitFileSize(t *testing.T, size uint64) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	signal.Ignore(syscall.SIGXFSZ)
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}))
	return func() {
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
		signal.Reset(syscall.SIGXFSZ)
	}
}
