//go:build !linux

package statedir_test

import "testing"

func limitFileSize(t *testing.T, _ uint64) (restore func()) {
	t.Skip("needs a limit on file sizes")
	return nil
}
