//go:build !linux

package statedir_test

import "testing"

func inChild(*testing.T) bool { return true }

func limitFileSize(t *testing.T, _ uint64) (restore func()) {
	t.Skip("needs a limit on file sizes")
	return nil
}
