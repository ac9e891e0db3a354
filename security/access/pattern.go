package access

import (
	"fmt"
	"strings"
)

const (
	nameBytes = "-_." // beside letters and digits
	ja4Bytes  = "_"
)

// checkGlob refuses a pattern that is empty or holds a byte that what it is
// compared with never holds.
func checkGlob(glob, extra string) error {
	if glob == "" {
		return fmt.Errorf("a pattern is empty")
	}
	for _, c := range []byte(glob) {
		if !lowerDigit(c) && c != '*' && c != '?' && strings.IndexByte(extra, c) < 0 {
			return fmt.Errorf("pattern %s: letters, digits, %q, '*' and '?' only", quote(glob), extra)
		}
	}
	return nil
}

func parseServerName(text string) (Match, error) {
	glob := strings.TrimSuffix(strings.ToLower(text), ".")
	if err := checkGlob(glob, nameBytes); err != nil {
		return Match{}, fmt.Errorf("server name: %w, as in sni:*.example.com", err)
	}
	if strings.Contains(glob, "..") || strings.HasPrefix(glob, ".") || strings.HasSuffix(glob, ".") {
		return Match{}, fmt.Errorf("server name %s has an empty part", quote(glob))
	}
	if len(glob) > 253 {
		return Match{}, fmt.Errorf("server name %s is longer than 253 bytes", quote(glob))
	}
	return Match{kind: ServerName, text: squeeze(glob)}, nil
}

func parseFingerprint(text string) (Match, error) {
	glob := squeeze(strings.ToLower(text))
	if err := checkGlob(glob, ja4Bytes); err != nil {
		return Match{}, fmt.Errorf("fingerprint: %w, as in ja4:t13d*", err)
	}
	fixed := len(glob) - strings.Count(glob, "*")
	switch {
	case fixed > ja4Size:
		return Match{}, fmt.Errorf("fingerprint %s matches nothing: one has %d characters, this wants %d or more", quote(glob), ja4Size, fixed)
	case fixed == len(glob) && fixed < ja4Size:
		return Match{}, fmt.Errorf("fingerprint %s matches nothing, since one has %d characters: end a part of one with a star, ja4:%s*", quote(glob), ja4Size, clip(glob))
	}
	return Match{kind: Fingerprint, text: glob}, nil
}

// squeeze makes one star of several, so that equal patterns have equal texts.
func squeeze(glob string) string {
	for strings.Contains(glob, "**") {
		glob = strings.ReplaceAll(glob, "**", "*")
	}
	return glob
}

// globMatch tells whether a pattern, in which '*' stands for any bytes or none and
// '?' for one, is all of the text. It goes back to the last star only, so it takes
// at most the product of the two lengths.
func globMatch(glob, text string) bool {
	g, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, t
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == text[t]):
			g, t = g+1, t+1
		case star >= 0:
			from++
			g, t = star+1, from
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

// patterns are the rules on one field of the hello. Those without a wildcard, and
// those that only ask how the text ends from a dot on, are found by the text;
// others are tried one by one.
type patterns struct {
	exact  map[string][]int32 // by the whole text
	suffix map[string][]int32 // of "*.rest", by ".rest"
	globs  []globRule
}

type globRule struct {
	glob string
	rule int32
}

func (p *patterns) add(glob string, rule int32) {
	rest, starred := strings.CutPrefix(glob, "*")
	switch {
	case !strings.ContainsAny(glob, "*?"):
		if p.exact == nil {
			p.exact = make(map[string][]int32)
		}
		p.exact[glob] = append(p.exact[glob], rule)
	case starred && strings.HasPrefix(rest, ".") && !strings.ContainsAny(rest, "*?"):
		if p.suffix == nil {
			p.suffix = make(map[string][]int32)
		}
		p.suffix[rest] = append(p.suffix[rest], rule)
	default:
		p.globs = append(p.globs, globRule{glob, rule})
	}
}

func (p *patterns) empty() bool { return p.exact == nil && p.suffix == nil && p.globs == nil }

// each calls f with every rule that matches the text.
func (p *patterns) each(text string, f func(rule int32)) {
	for _, rule := range p.exact[text] {
		f(rule)
	}
	for i := 0; i < len(text) && p.suffix != nil; i++ {
		if text[i] == '.' {
			for _, rule := range p.suffix[text[i:]] {
				f(rule)
			}
		}
	}
	for _, g := range p.globs {
		if globMatch(g.glob, text) {
			f(g.rule)
		}
	}
}
