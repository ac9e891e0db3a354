package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is a document that cannot be used. It holds at least one problem, in the order of the text.
type Error struct {
	Problems []Problem
}

// Problem is one thing to repair.
type Problem struct {
	// Origin is the name of the text; empty for a document without one.
	Origin string `json:"origin,omitempty"`
	// Line and Column count from 1, columns in characters; 0 when the text does not hold the value.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Key is the dotted path of the value.
	Key string `json:"key,omitempty"`
	// Message says what is wrong; Hint how to repair it, or nothing.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	excerpt string // the line, cut to a width
	indent  int    // characters in front of the carets
	carets  int
	order   int // offset in the text
}

// Error returns all problems, each with its line underlined.
func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Text()
	}
	return strings.Join(texts, "\n")
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

// Text returns the problem with its line underlined and the hint, as a terminal wants it.
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

// maxProblems bounds what is reported of one text.
const maxProblems = 100

// report turns problems into an error, or nil when there is none. Only the first thing said about a value helps.
func report(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	said := make(map[string]bool, len(problems))
	problems = slices.DeleteFunc(problems, func(p Problem) bool {
		again := p.Key != "" && said[p.Key]
		said[p.Key] = true
		return again
	})
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.order, b.order) })
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], Problem{Origin: problems[0].Origin, Message: fmt.Sprintf("and %d more problems", more)})
	}
	return &Error{Problems: problems}
}

// place is a range of bytes of a text.
type place struct{ start, end int }

// source is a text with its lines.
type source struct {
	name  string
	data  []byte
	lines []int // offset of each line's first byte
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns the number of the line, from 1, that holds an offset.
func (s *source) line(offset int) int {
	number, found := slices.BinarySearch(s.lines, offset)
	if found {
		number++
	}
	return number
}

func (s *source) problem(where place, key, message, hint string) Problem {
	const width = 100 // of an excerpt; it keeps an underlined line within a terminal
	where.start = min(where.start, len(s.data))
	number := s.line(where.start)
	begin, end := s.lines[number-1], len(s.data)
	if number < len(s.lines) {
		end = s.lines[number] - 1
	}
	before := utf8.RuneCount(s.data[begin:where.start])
	line := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSuffix(string(s.data[begin:end]), "\r")))
	first := 0
	if before > width*2/3 {
		first = before - width/2
	}
	first = min(first, len(line))
	last := min(len(line), first+width)
	carets := utf8.RuneCount(s.data[where.start:max(where.start, min(where.end, end))])
	return Problem{
		Origin: s.name, Line: number, Column: 1 + before, Key: key, Message: message, Hint: hint,
		excerpt: string(line[first:last]), indent: before - first, carets: max(1, min(carets, last-before)), order: where.start,
	}
}
