package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/aead"
)

// maxList is the most entries of a list in a document.
const maxList = 1000

// readList reads a list of words.
func readList[T any](v *value, what, example string, parse func(string) (T, error)) (list []T, problem, hint string) {
	if v.kind != kindList {
		hint = example
		if v.kind == kindString {
			hint = "write [" + quote(v.text) + "]"
		}
		return nil, v.wrong("a list"), hint
	}
	if len(v.items) > maxList {
		return nil, fmt.Sprintf("has %d entries", len(v.items)), fmt.Sprintf("at most %d; import a list instead", maxList)
	}
	for _, item := range v.items {
		entry, err := parse(item.text)
		if item.kind != kindString || err != nil {
			v.where = item.where // that is what to show
			return nil, "holds " + item.shown() + ", which is no " + what, example
		}
		list = append(list, entry)
	}
	return list, "", ""
}

func twice[T comparable](list []T) (entry T, yes bool) {
	for i, entry := range list {
		if slices.Contains(list[:i], entry) {
			return entry, true
		}
	}
	return entry, false
}

func writeList[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, entry := range list {
		texts[i] = strconv.Quote(entry.String())
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// missing reports whether a has an entry that b has not.
func missing[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(entry T) bool { return !slices.Contains(b, entry) })
}

// transports is a set, written from the hardest to recognise to the easiest.
type transports struct{ p *[]mtproto.Transport }

func (t transports) read(v *value) (problem, hint string) {
	list, problem, hint := readList(v, "transport", transportWords, mtproto.ParseTransport)
	if problem == "" {
		*t.p = list
	}
	return problem, hint
}

func (t transports) check() (problem, hint string) {
	if len(*t.p) == 0 {
		return "is empty", "nobody could connect: " + transportWords
	}
	if entry, yes := twice(*t.p); yes {
		return "holds " + entry.String() + " twice", "name each once"
	}
	for _, entry := range *t.p {
		if _, err := mtproto.ParseTransport(entry.String()); err != nil {
			return "holds what is no transport", transportWords
		}
	}
	return "", ""
}

func (t transports) text() string {
	sorted := slices.Clone(*t.p)
	slices.Sort(sorted)
	slices.Reverse(sorted)
	return writeList(sorted)
}
func (t transports) take(other setting)       { *t.p = slices.Clone(*other.(transports).p) }
func (t transports) looser(than setting) bool { return missing(*t.p, *than.(transports).p) }

// suites is a list in the order of preference.
type suites struct{ p *[]aead.Suite }

func (s suites) read(v *value) (problem, hint string) {
	list, problem, hint := readList(v, "cipher suite", suiteWords(), aead.ParseSuite)
	if problem == "" {
		*s.p = list
	}
	return problem, hint
}

func suiteWords() string {
	var names []string
	for _, s := range aead.Suites() {
		names = append(names, s.String())
	}
	return "known: " + strings.Join(names, ", ")
}

func (s suites) check() (problem, hint string) {
	if len(*s.p) == 0 {
		return "is empty", "nothing could be sealed; " + suiteWords()
	}
	if entry, yes := twice(*s.p); yes {
		return "holds " + entry.String() + " twice", "name each once"
	}
	for _, entry := range *s.p {
		if !entry.Valid() {
			return "holds what is no cipher suite", suiteWords()
		}
	}
	return "", ""
}
func (s suites) text() string             { return writeList(*s.p) }
func (s suites) take(other setting)       { *s.p = slices.Clone(*other.(suites).p) }
func (s suites) looser(than setting) bool { return missing(*s.p, *than.(suites).p) }

// places is a set of countries and AS numbers.
type places struct {
	p     *[]access.Match
	allow bool
}

const placeForm = `write "country:DE" or "asn:64500"`

func parsePlace(text string) (access.Match, error) {
	m, err := access.ParseMatch(text)
	if err == nil && m.Kind() != access.InCountry && m.Kind() != access.InASN {
		err = fmt.Errorf("%v is neither a country nor an AS number", m)
	}
	return m, err
}

func (l places) read(v *value) (problem, hint string) {
	list, problem, hint := readList(v, "country or AS number", placeForm, parsePlace)
	if problem == "" {
		*l.p = list
		return "", ""
	}
	for _, item := range v.items {
		if text := strings.ToUpper(item.text); item.kind == kindString && len(text) == 2 && isCountry(text) {
			return problem, "write " + strconv.Quote("country:"+text)
		}
	}
	return problem, hint
}

func (l places) check() (problem, hint string) {
	if entry, yes := twice(*l.p); yes {
		return "holds " + entry.String() + " twice", "name each once"
	}
	for _, m := range *l.p {
		if m.Kind() != access.InCountry && m.Kind() != access.InASN {
			return "holds " + quote(m.String()) + ", which is no country or AS number", placeForm
		}
		if m.Text() == access.UnknownCountry {
			return "holds " + quote(m.String()), `geography.unknown is "allow" or "deny"`
		}
	}
	return "", ""
}

func (l places) text() string {
	sorted := slices.Clone(*l.p)
	slices.SortFunc(sorted, func(a, b access.Match) int { return strings.Compare(a.String(), b.String()) })
	return writeList(sorted)
}
func (l places) take(other setting) { *l.p = slices.Clone(*other.(places).p) }
func (l places) looser(than setting) bool {
	a, b := *l.p, *than.(places).p
	if !l.allow {
		return missing(b, a)
	}
	// no list of the allowed allows everybody
	return len(b) > 0 && (len(a) == 0 || missing(a, b))
}
