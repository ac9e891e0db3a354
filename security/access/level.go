package access

import (
	"fmt"
	"strconv"
)

// Level says how much somebody may do; a higher one may do all that a lower one
// may. The zero Level is None.
type Level uint8

// The levels, rising.
const (
	None Level = iota
	ReadOnly
	Standard
	Admin
	Superuser
)

var levelNames = [...]string{None: "none", ReadOnly: "read_only", Standard: "standard", Admin: "admin", Superuser: "superuser"}

// Levels returns all levels, rising.
func Levels() []Level { return []Level{None, ReadOnly, Standard, Admin, Superuser} }

// String is the level's name, as commands and the API write it.
func (l Level) String() string {
	if int(l) >= len(levelNames) {
		return "level(" + strconv.Itoa(int(l)) + ")"
	}
	return levelNames[l]
}

// ParseLevel reads a level as String writes it.
func ParseLevel(text string) (Level, error) {
	for l, name := range levelNames {
		if name == text {
			return Level(l), nil
		}
	}
	return None, fmt.Errorf("level %q: want none, read_only, standard, admin or superuser", text)
}

// MarshalText is String; a number that is no level is an error.
func (l Level) MarshalText() ([]byte, error) {
	if int(l) >= len(levelNames) {
		return nil, fmt.Errorf("%v is none", l)
	}
	return []byte(l.String()), nil
}

// UnmarshalText is ParseLevel.
func (l *Level) UnmarshalText(text []byte) error {
	parsed, err := ParseLevel(string(text))
	if err == nil {
		*l = parsed
	}
	return err
}
