package control

import (
	"regexp"
	"slices"
	"strings"
)

// A person is one, however he comes: at the machine, in browsers, by tokens. What he
// answers under is a text of one or more names, joined by ", ". A system's user has his
// own, "uid 0". Whoever comes with a passkey has the name that it was enrolled in. Whoever
// came with a code has two, that name and that of the system's user who made the code,
// since it may be either of the two; so has what he makes meanwhile. Two are different
// people only when no name is the same.

// osUser is the form of a system's user.
var osUser = regexp.MustCompile(`^uid[ -]([0-9]+)$`)

// nameOf is what somebody answers under who is shown under that name. The name that a
// system's user has by default in the dashboard is himself.
func nameOf(person string) string {
	if m := osUser.FindStringSubmatch(person); m != nil {
		return "uid " + m[1]
	}
	return person
}

// eitherOf is whoever is one of these, in their order.
func eitherOf(people ...string) string {
	var names []string
	for _, person := range people {
		for name := range strings.SplitSeq(person, ", ") {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

// mayBeOne reports whether two may be the same person.
func mayBeOne(a, b string) bool {
	names := strings.Split(a, ", ")
	return slices.ContainsFunc(strings.Split(b, ", "), func(name string) bool { return slices.Contains(names, name) })
}

// firstName is the name that somebody is shown under.
func firstName(person string) string {
	name, _, _ := strings.Cut(person, ", ")
	return name
}
