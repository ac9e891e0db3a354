package sqlite_test

import (
	"path/filepath"
	"testing"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/control/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) *store.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "mtguard.db")})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
