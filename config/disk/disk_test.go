package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestADirectoryIsSynced(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	gone := filepath.Join(dir, "gone")
	if err := SyncDir(gone); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), gone) {
		t.Errorf("of none: %v", err)
	}
}

// TestAFileSystemThatCannotIsNoError: a store on it must start; what is really wrong is told.
func TestAFileSystemThatCannotIsNoError(t *testing.T) {
	for _, cause := range []error{syscall.EINVAL, syscall.ENOTSUP, errors.ErrUnsupported, nil} {
		err := cause
		if cause != nil {
			err = &fs.PathError{Op: "sync", Path: "/mnt", Err: cause}
		}
		if err := orNoBetter(err); err != nil {
			t.Errorf("%v: %v", cause, err)
		}
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
		if err := orNoBetter(&fs.PathError{Op: "sync", Path: "/mnt", Err: cause}); !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
