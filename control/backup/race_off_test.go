//go:build !race

package backup

// stretches says whether tests may take the seconds that age gives to a passphrase.
const stretches = true
