package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// ListOptions bound what ParseList takes. A zero field has the value in brackets.
type ListOptions struct {
	Name       string  // that rules know the list by: letters, digits, '-', '_', '.'
	MaxEntries int     // lines with an entry (1,000,000)
	MaxBytes   int64   // of the whole text (64 MiB)
	MinPrefix4 int     // shortest IPv4 prefix (8); -1: any
	MinPrefix6 int     // shortest IPv6 prefix (16); -1: any
	MaxShare   float64 // of the address space in all (0.01); see List.Share
	AllowEmpty bool    // a text without an entry is an empty list, not an error
}

const maxLine = 4096 // bytes of a line; what is longer is no list

// ListError says which line of a list is wrong.
type ListError struct {
	List    string
	Line    int // from 1; 0 when it is about the whole
	Problem string
	Wide    bool // it covers more than MinPrefix4, MinPrefix6 or MaxShare let it
}

func (e *ListError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("list %s: %s", e.List, e.Problem)
	}
	return fmt.Sprintf("list %s, line %d: %s", e.List, e.Line, e.Problem)
}

// ParseList reads a list, all or nothing: an error is a *ListError with the line,
// ErrEmpty, or one of the reader. It takes
//
//   - plain text: one address, prefix or range a line, comments from # or ; on,
//     empty lines, either kind of line end, a byte order mark;
//   - netset and ipset files of FireHOL, which are that;
//   - the output of "ipset save" with sets of addresses and networks.
//
// It refuses host bits, other words on a line, and lists that hold so much of the
// Internet that they are surely not meant (MinPrefix, MaxShare).
func ParseList(r io.Reader, o ListOptions) (*List, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	p := listParser{o: o.filled()}
	if err := p.read(r); err != nil {
		return nil, err
	}
	l := p.maker.list(o.Name)
	l.lines = p.lines
	if l.Len() == 0 && !o.AllowEmpty {
		return nil, fmt.Errorf("%w: no line of %s holds an entry", ErrEmpty, o.Name)
	}
	if share := l.Share(); share > p.o.MaxShare {
		p.line = 0
		return nil, p.wide("its entries are %.1f%% of all addresses, more than %.1f%%", 100*share, 100*p.o.MaxShare)
	}
	return l, nil
}

func (o ListOptions) filled() ListOptions {
	fill := func(n *int, normal int) {
		if *n == 0 {
			*n = normal
		}
	}
	fill(&o.MaxEntries, 1_000_000)
	fill(&o.MinPrefix4, 8)
	fill(&o.MinPrefix6, 16)
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxShare == 0 {
		o.MaxShare = 0.01
	}
	return o
}

type listParser struct {
	o     ListOptions
	maker listMaker
	line  int // the one being read
	lines int // with an entry
	size  int64
}

func (p *listParser) wrong(format string, args ...any) error {
	return &ListError{List: p.o.Name, Line: p.line, Problem: fmt.Sprintf(format, args...)}
}

func (p *listParser) wide(format string, args ...any) error {
	return &ListError{List: p.o.Name, Line: p.line, Problem: fmt.Sprintf(format, args...), Wide: true}
}

func (p *listParser) read(r io.Reader) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		p.line++
		p.size += int64(len(line))
		switch {
		case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine+2:
			return p.wrong("is longer than %d bytes%s", maxLine, notText(p.line, line))
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("list %s: %w", p.o.Name, err)
		case p.size > p.o.MaxBytes:
			return p.wrong("here the list becomes longer than %d bytes", p.o.MaxBytes)
		}
		if bad := p.parseLine(line); bad != nil {
			return bad
		}
		if err != nil {
			return nil
		}
	}
}

// notText guesses what a text is that is no list, from its first line.
func notText(number int, line []byte) string {
	switch {
	case number > 1:
	case bytes.HasPrefix(line, []byte{0x1f, 0x8b}):
		return ": this is a gzip file, unpack it"
	case bytes.HasPrefix(line, []byte{0xff, 0xfe}), bytes.HasPrefix(line, []byte{0xfe, 0xff}):
		return ": this is UTF-16, save it as plain text (UTF-8)"
	case bytes.HasPrefix(line, []byte("PK\x03\x04")):
		return ": this is a zip file, unpack it"
	case bytes.HasPrefix(bytes.TrimSpace(line), []byte("<")):
		return ": this is a web page, not a list: check the URL"
	case bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")), bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")):
		return ": this is JSON, want one address or prefix a line"
	}
	return ""
}

func (p *listParser) parseLine(line []byte) error {
	if p.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		if guess := notText(1, line); guess != "" {
			return p.wrong("is no list%s", guess)
		}
	}
	if i := bytes.IndexByte(line, 0); i >= 0 {
		return p.wrong("has a zero byte at %d: this is no text", i+1)
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' || line[0] == ';' {
		return nil
	}
	if word, _, spaced := bytes.Cut(line, []byte(" ")); spaced {
		switch string(word) {
		case "create":
			return p.ipsetCreate(strings.Fields(string(line)))
		case "add":
			return p.ipsetAdd(string(line))
		case "flush":
			return nil
		}
	}
	if string(line) == "COMMIT" {
		return nil
	}
	if i := bytes.IndexAny(line, "#;"); i >= 0 {
		line = bytes.TrimSpace(line[:i])
	}
	if bytes.ContainsAny(line, " \t,") {
		return p.wrong("%s holds more than one entry: want one address, prefix or range a line, and comments after #", quote(string(line)))
	}
	return p.entry(string(line))
}

// ipsetCreate checks that a set holds addresses alone.
func (p *listParser) ipsetCreate(words []string) error {
	if len(words) < 3 {
		return p.wrong("create without a set's name and type")
	}
	if kind := words[2]; !slices.Contains([]string{"hash:ip", "hash:net", "bitmap:ip"}, kind) {
		return p.wrong("set %s is of type %s: only hash:ip, hash:net and bitmap:ip hold addresses alone", quote(words[1]), quote(kind))
	}
	return nil
}

// ipsetAdd reads one entry of "ipset save": add SET ENTRY, then options.
func (p *listParser) ipsetAdd(line string) error {
	// A comment stands in quotes, with any words in it.
	if first, last := strings.IndexByte(line, '"'), strings.LastIndexByte(line, '"'); first < last {
		line = line[:first] + line[last+1:]
	}
	words := strings.Fields(line)
	if len(words) > 1 && words[1] == "-exist" {
		words = slices.Delete(words, 1, 2)
	}
	if len(words) < 3 {
		return p.wrong("add without a set's name and an entry")
	}
	if slices.Contains(words[3:], "nomatch") {
		return p.wrong("%s is an exception (nomatch): leave it out, and make a rule for it", quote(words[2]))
	}
	return p.entry(words[2])
}

// entry reads an address, a prefix or a range.
func (p *listParser) entry(text string) error {
	if p.lines++; p.lines > p.o.MaxEntries {
		return p.wrong("here the list has more than %d entries", p.o.MaxEntries)
	}
	if strings.Contains(text, "-") {
		m, err := parseRange(text)
		if err != nil {
			return p.wrong("%v", err)
		}
		for _, prefix := range m.Prefixes() {
			if err := p.add(prefix, text); err != nil {
				return err
			}
		}
		return nil
	}
	if strings.Contains(text, "/") {
		prefix, err := parsePrefix(text)
		if err != nil {
			return p.wrong("%v", err)
		}
		return p.add(prefix, text)
	}
	a, err := parseAddr(text)
	if err != nil {
		return p.wrong("%v", err)
	}
	return p.add(netip.PrefixFrom(a, a.BitLen()), text)
}

func (p *listParser) add(prefix netip.Prefix, text string) error {
	least := p.o.MinPrefix4
	if prefix.Addr().Is6() {
		least = p.o.MinPrefix6
	}
	if prefix.Bits() < least {
		return p.wide("%s is wider than /%d", quote(text), least)
	}
	p.maker.add(prefix)
	return nil
}
