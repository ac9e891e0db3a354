//go:build race

package backup

// stretches is off under the race detector, which makes twenty seconds of one.
const stretches = false
