//go:build race

package replay

// inserts is smaller under the race detector, which has nothing to find in a single thread and takes ten times as long.
const inserts = 200_000
