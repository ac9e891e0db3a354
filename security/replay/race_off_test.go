//go:build !race

package replay

// inserts is how many handshakes the long single-threaded test makes.
const inserts = 2_000_000
