package sqlite

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"mtguard/config/disk"
)

// snapshot writes a copy of the file with VACUUM INTO, over a connection of its own:
// the writer goes on, and readers may not create files.
func (db *database) snapshot(ctx context.Context, path string) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	// An empty file is filled; made here it has our rights and nobody else's content.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(path)
		}
	}()
	copying := connect(db.path, url.Values{"_pragma": {"cache_size(-512)"}}, 1)
	defer copying.Close()
	if _, err := copying.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}
