//go:build race

package sqlite_test

// race thins out what is tried many times in one goroutine: SQLite takes ten times as
// long under the race detector, which finds nothing there.
const race = true
