package keys

import "errors"

// CheckStrength tells what is wrong with a secret that somebody made up rather than drew: one of few different bytes, a repeated pattern, a
// count up or down, text. Less than one in 2^40 random secrets is refused: all of it together, see TestStrengthRefusesHardlyAnyRandomSecret.
// It is for secrets that come from outside. What it lets pass may still be known to others.
func CheckStrength(s Secret) error {
	if s.material == nil {
		return errors.New("no secret")
	}
	m := **s.material
	n := nibblesOf(m)
	switch {
	case distinct(m[:]) < minBytes:
		return errors.New("secret has too few different bytes to be random")
	case distinct(n[:]) < minDigits:
		return errors.New("secret has too few different hex digits to be random")
	case repeats(n):
		return errors.New("secret repeats a pattern")
	case mirrored(n):
		return errors.New("secret is the same backwards")
	case counts(m):
		return errors.New("secret counts up or down")
	case every(m, func(b byte) bool { return isDigit(b) || b >= 'a' && b <= 'z' }), every(m, func(b byte) bool { return isDigit(b) || b >= 'A' && b <= 'Z' }):
		return errors.New("secret is text: want random bytes")
	}
	return nil
}

const (
	minBytes   = 8 // at most 7 different ones of 16: 2^-40.5
	minDigits  = 5 // at most 4 different ones of 32: 2^-53
	longestRun = 7 // 8 or more with one step between them: 2^-44.8
)

// nibblesOf is the material as its hex digits, which is how people see it.
func nibblesOf(m [Size]byte) (n [2 * Size]byte) {
	for i, b := range m {
		n[2*i], n[2*i+1] = b>>4, b&15
	}
	return n
}

func distinct(b []byte) int {
	var seen [256]bool
	n := 0
	for _, x := range b {
		if !seen[x] {
			seen[x] = true
			n++
		}
	}
	return n
}

// repeats tells whether the digits are a pattern of at most half their number, over and over.
func repeats(n [2 * Size]byte) bool {
	for period := 1; period <= Size; period++ {
		i := period
		for i < len(n) && n[i] == n[i-period] {
			i++
		}
		if i == len(n) {
			return true
		}
	}
	return false
}

func mirrored(n [2 * Size]byte) bool {
	for i := range Size {
		if n[i] != n[len(n)-1-i] {
			return false
		}
	}
	return true
}

// counts tells whether somewhere the bytes rise or fall by the same step for longer than a random secret's do, or stay the same.
func counts(m [Size]byte) bool {
	run := 2
	for i := 2; i < len(m); i++ {
		if m[i]-m[i-1] != m[i-1]-m[i-2] {
			run = 1
		}
		run++
		if run > longestRun {
			return true
		}
	}
	return false
}

func every(m [Size]byte, ok func(byte) bool) bool {
	for _, b := range m {
		if !ok(b) {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
