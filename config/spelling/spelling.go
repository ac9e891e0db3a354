// Package spelling finds what a misspelt word was probably meant to be.
package spelling

// Nearest returns the known word that a misspelt one was probably meant to be,
// "" when none is near enough to help.
func Nearest(word string, known []string) string {
	best, distance := "", 1+max(1, min(len(word), 12)/3)
	for _, candidate := range known {
		if d := Distance(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// Distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b. Of words above 64 bytes it says 64.
func Distance(a, b string) int {
	const longest = 64 // a word above this is no slip of the finger
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, previous, current := &rows[(i+2)%3], &rows[i%3], &rows[(i+1)%3]
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], older[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
