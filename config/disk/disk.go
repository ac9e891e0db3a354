// Package disk makes files outlive a crash of the machine.
package disk

import (
	"errors"
	"os"
	"syscall"
)

// SyncDir returns when the names in a directory are on disk: what was made, renamed or
// removed in it before is so after a crash, too. File systems that cannot sync a
// directory have no better to offer, and are no error. The error names the directory.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return orNoBetter(dir.Sync())
}

// orNoBetter takes away the errors of a file system that cannot sync a directory.
func orNoBetter(err error) error {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
