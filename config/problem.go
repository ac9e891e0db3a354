package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is a configuration that cannot be used. It holds at least one problem,
// in the order of the file.
type Error struct {
	Problems []Problem
}

// Problem is one thing to repair. Its texts contain no secret.
type Problem struct {
	// Origin is the file, the variable (MTGUARD__…) or the flag that holds the value;
	// empty for a value nobody set.
	Origin string `json:"origin,omitempty"`
	// Line and Column count from 1, columns in characters; 0 when Origin is no file.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Key is the dotted path of the value, such as "proxy.listen[1]".
	Key string `json:"key,omitempty"`
	// Message says what is wrong; Hint how to repair it, or nothing.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	excerpt string // the line of the file, masked and cut to a width
	indent  int    // characters in front of the carets
	carets  int
	order   int // byte offset in the file
}

// Error returns all problems, each with its line of the file underlined.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Text())
	}
	return b.String()
}

// String returns place and message on one line, as a log wants it.
func (p Problem) String() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d  %s", p.Origin, p.Line, p.Column, p.Message)
	case p.Origin != "":
		return p.Origin + "  " + p.Message
	}
	return p.Message
}

// Text returns the problem with the line of the file it is about, underlined,
// and the hint, as a terminal wants it.
func (p Problem) Text() string {
	text := p.String()
	switch {
	case p.Line > 0:
		text += fmt.Sprintf("\n%5d | %s\n      | %s%s", p.Line, p.excerpt, strings.Repeat(" ", p.indent), strings.Repeat("^", p.carets))
		if p.Hint != "" {
			text += "  " + p.Hint
		}
	case p.Hint != "":
		text += "\n      " + p.Hint
	}
	return text
}

// report turns problems into an error, or nil when there is none.
func (f *File) report(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	// A value that could not be read is checked as what it was before; only the
	// first thing said about it helps.
	said := make(map[string]bool, len(problems))
	problems = slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool {
		again := p.Key != "" && said[p.Key]
		said[p.Key] = true
		return again
	})
	for i := range problems {
		problems[i].Key = safe(problems[i].Key)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.order, b.order) })
	return &Error{Problems: problems}
}

// span is a range of bytes of the file.
type span struct{ start, end int }

// source remembers where each value of a File came from.
type source struct {
	name     string
	data     []byte
	keys     map[string]span
	values   map[string]span
	override map[string]string // path → variable or flag that set it after the file
	secrets  []span            // never shown
	lines    []int             // offset of each line's first byte
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data, keys: map[string]span{}, values: map[string]span{}, override: map[string]string{}, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// lineOf returns the number, from 1, and the bounds of the line that holds offset.
func (s *source) lineOf(offset int) (number, start, end int) {
	number, found := slices.BinarySearch(s.lines, offset)
	if found {
		number++
	}
	end = len(s.data)
	if number < len(s.lines) {
		end = s.lines[number] - 1
	}
	return number, s.lines[number-1], end
}

// problem describes what is wrong with the value at path, pointing at the
// value, its key, or the nearest enclosing thing that stands in the file.
func (s *source) problem(path, message, hint string) Problem {
	for at := path; at != ""; at = parent(at) {
		if name := s.override[at]; name != "" {
			return Problem{Origin: name, Key: path, Message: safe(message), Hint: safe(hint), order: len(s.data)}
		}
	}
	for at := path; at != ""; at = parent(at) {
		if where, ok := s.values[at]; ok {
			return s.problemAt(where, path, message, hint)
		}
		if where, ok := s.keys[at]; ok {
			return s.problemAt(where, path, message, hint)
		}
	}
	return Problem{Origin: s.name, Key: path, Message: safe(message), Hint: safe(hint), order: len(s.data)}
}

// problemWithKey is problem, pointing at the key instead of its value.
func (s *source) problemWithKey(path, message, hint string) Problem {
	if where, ok := s.keys[path]; ok && s.override[path] == "" {
		return s.problemAt(where, path, message, hint)
	}
	return s.problem(path, message, hint)
}

// parent cuts the last part off a path: "a.b[1]" → "a.b" → "a" → "".
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// excerptWidth keeps an underlined line within a terminal.
const excerptWidth = 100

func (s *source) problemAt(where span, key, message, hint string) Problem {
	where.start = min(where.start, len(s.data))
	number, lineStart, lineEnd := s.lineOf(where.start)
	before := utf8.RuneCount(s.data[lineStart:where.start])
	p := Problem{
		Origin:  s.name,
		Line:    number,
		Column:  1 + before,
		Key:     key,
		Message: safe(message),
		Hint:    safe(hint),
		order:   where.start,
		carets:  max(1, utf8.RuneCount(s.data[where.start:max(where.start, min(where.end, lineEnd))])),
	}
	line := []rune(s.masked(lineStart, lineEnd))
	first := 0
	if before > excerptWidth*2/3 {
		first = before - excerptWidth/2
	}
	last := min(len(line), first+excerptWidth)
	p.indent = before - first
	p.carets = max(1, min(p.carets, last-before))
	p.excerpt = string(line[first:last])
	return p
}

// masked returns a line of the file fit for a terminal: secrets replaced by
// stars and control characters by spaces, so that every character keeps its column.
func (s *source) masked(start, end int) string {
	line := slices.Clone(s.data[start:end])
	for _, hide := range s.secrets {
		for i := max(hide.start, start); i < min(hide.end, end); i++ {
			if c := line[i-start]; c != '"' && c != '\'' && c != '\r' {
				line[i-start] = '*'
			}
		}
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSuffix(string(line), "\r"))
	return scrub(text)
}

var (
	longRun     = regexp.MustCompile(`[A-Za-z0-9+/_=-]{22,}`)
	hexRun      = regexp.MustCompile(`[0-9A-Fa-f]{32,}`)
	afterSecret = regexp.MustCompile(`(?i)secret["']?\s*=\s*`)
)

// scrub hides what looks like a secret wherever a user put it by mistake: a
// secret in the wrong key must not end up in a log or a bug report.
func scrub(text string) string {
	stars := func(run string) string { return strings.Repeat("*", len(run)) }
	text = hexRun.ReplaceAllStringFunc(text, stars)
	return longRun.ReplaceAllStringFunc(text, func(run string) string {
		if strings.ContainsAny(run, "0123456789") && strings.ToLower(run) != run && strings.ToUpper(run) != run {
			return stars(run)
		}
		return run
	})
}

// safe is a text of ours that quotes the file: scrubbed, and short enough for a line of a log.
func safe(text string) string {
	const longest = 300
	text = scrub(text)
	if utf8.RuneCountInString(text) > longest {
		text = string([]rune(text)[:longest]) + "…"
	}
	return text
}

// hideUnparsed masks the rest of every line that seems to assign a secret. It is
// used when the file has no syntax tree that would say where secrets are.
func (s *source) hideUnparsed() {
	for _, at := range afterSecret.FindAllIndex(s.data, -1) {
		_, _, end := s.lineOf(at[1])
		s.secrets = append(s.secrets, span{at[1], end})
	}
}

// Join makes one error of several, nil ones left out. Errors of configuration are merged into
// one *Error; any other error comes first and alone, since it hides what else is wrong.
func Join(errs ...error) error {
	var all []Problem
	for _, err := range errs {
		if err == nil {
			continue
		}
		problems, ok := errors.AsType[*Error](err)
		if !ok {
			return err
		}
		all = append(all, problems.Problems...)
	}
	if len(all) == 0 {
		return nil
	}
	return &Error{Problems: all}
}
