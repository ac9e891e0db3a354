package policy

import "mtguard/config/spelling"

// didYouMean is ": did you mean …?", or nothing when no known word is near.
func didYouMean(word string, known []string) string {
	if near := spelling.Nearest(word, known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ""
}
