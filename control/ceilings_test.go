package control

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
)

// listOf writes a list, and returns its place.
func listOf(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func isDenied(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == Denied
}

// TestNobodyLiftsTheCeilingHeIsUnder: whom the rules leave less than his credential has
// does not get it back by moving the rules.
func TestNobodyLiftsTheCeilingHeIsUnder(t *testing.T) {
	b := newBench(t)
	made := b.token(CreateToken{Name: "root", Level: access.Superuser})
	home := b.apply(AddRule{Match: "198.51.100.0/24", Level: access.Superuser}, Options{}).Rule.ID
	down := b.apply(AddRule{Match: outside.String(), Level: access.Admin}, Options{}).Rule.ID
	b.apply(AddRule{Match: "203.0.113.0/24", Level: access.Admin}, Options{})
	small := b.apply(AddRule{Match: "203.0.113.7", Level: access.ReadOnly}, Options{}).Rule.ID
	inLoopback := b.apply(AddRule{Match: "127.0.0.9", Level: access.ReadOnly}, Options{}).Rule.ID
	old := b.apply(AddRule{Match: "198.51.100.99", Level: access.ReadOnly, Until: b.clock().Add(time.Minute)}, Options{}).Rule.ID
	fromHere := b.apply(AddRule{Match: "192.0.2.0/24", Level: access.Superuser, Until: b.clock().Add(time.Minute)}, Options{}).Rule.ID
	below := b.apply(AddRule{Match: "192.0.2.7", Level: access.ReadOnly}, Options{}).Rule.ID
	pattern := b.apply(AddRule{Match: "sni:vip.example.com", Level: access.Superuser}, Options{}).Rule.ID
	b.apply(Block{Target: "198.51.100.8"}, Options{})
	b.apply(Block{Target: "198.18.0.8"}, Options{})
	friends, foes, strangers := listOf(t, "198.18.5.0/24\n"), listOf(t, "198.51.100.64/28\n"), listOf(t, "198.18.6.0/24\n")
	b.apply(SetList{Name: "friends", Origin: friends, Level: access.Superuser}, Options{})
	b.apply(RemoveList{"friends"}, Options{})
	b.apply(SetList{Name: "foes", Origin: foes, Level: access.None}, Options{})
	b.apply(SetList{Name: "strangers", Origin: strangers, Level: access.None}, Options{})
	b.jump(2 * time.Minute)

	id, ok := b.Authenticate(made, outside)
	if !ok || id.Actor.Level != access.Admin {
		t.Fatalf("from there it is %+v, %v", id, ok)
	}
	for _, c := range []struct {
		name    string
		c       Change
		refused bool
	}{
		{"a rule above", AddRule{Match: outside.String(), Level: access.Superuser}, true},
		{"a rule above, for a while", AddRule{Match: outside.String(), Level: access.Superuser, Until: b.clock().Add(time.Hour)}, true},
		{"a rule above, elsewhere", AddRule{Match: "203.0.113.9", Level: access.Superuser}, true},
		{"a rule on a country above", AddRule{Match: "country:DE", Level: access.Superuser}, true},
		{"a rule as high", AddRule{Match: "203.0.113.10", Level: access.Admin}, false},
		{"no level at all", AddRule{Match: "203.0.113.11", Level: access.Superuser + 1}, false}, // invalid
		{"away with what holds him down", RemoveRule{down}, true},
		{"away with what is above him", RemoveRule{home}, true},
		{"away with what holds down by no more than he has", RemoveRule{small}, false},
		{"away with what holds down somebody at the machine", RemoveRule{inLoopback}, true},
		{"away with what is over", RemoveRule{old}, false},
		{"away with what holds down under a rule that is over", RemoveRule{below}, false},
		{"away with what is above him and over", RemoveRule{fromHere}, true},
		{"away with a pattern above him", RemoveRule{pattern}, true},
		{"unblock under a rule above him", Unblock{"198.51.100.8"}, true},
		{"unblock elsewhere", Unblock{"198.18.0.8"}, false},
		{"a list above", SetList{Name: "mine", Origin: friends, Level: access.Superuser}, true},
		{"a list that is gone again, above", SetList{Name: "friends", Origin: friends, Level: access.Superuser}, true},
		{"a list as high", SetList{Name: "mine", Origin: friends, Level: access.Admin}, false},
		{"away with a list under a rule above him", RemoveList{"foes"}, true},
		{"another list under a rule above him", SetList{Name: "foes", Origin: friends, Level: access.None}, true},
		{"a higher list under a rule above him", SetList{Name: "foes", Origin: foes, Level: access.Standard}, true},
		{"the same list, more often", SetList{Name: "foes", Origin: foes, Level: access.None, Every: Duration(time.Hour)}, false},
		{"away with a list elsewhere", RemoveList{"strangers"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Apply(t.Context(), id.Actor, c.c, Options{DryRun: true})
			if c.refused {
				fails(t, Denied, c.name, err)
			} else if isDenied(err) {
				t.Errorf("it is refused: %v", err)
			}
			if _, err := b.Apply(t.Context(), operator, c.c, Options{DryRun: true}); isDenied(err) {
				t.Errorf("a superuser is refused: %v", err)
			}
		})
	}
	b.apply(SetList{Name: "friends", Origin: friends, Level: access.Superuser}, Options{})
	for name, c := range map[string]Change{
		"another list for those above him": SetList{Name: "friends", Origin: foes, Level: access.Admin},
		"the same list, above him":         SetList{Name: "friends", Origin: friends, Level: access.Superuser, Every: Duration(time.Hour)},
		"away with a list above him":       RemoveList{"friends"},
		"away with what may be in such":    RemoveRule{small}, // lists change by themselves
	} {
		_, err := b.Apply(t.Context(), id.Actor, c, Options{DryRun: true})
		fails(t, Denied, name, err)
	}
	if again, _ := b.Authenticate(made, outside); again.Actor.Level != access.Admin {
		t.Errorf("afterwards it is %+v", again)
	}
}

// TestWhatTheNodeBlocksHoldsNoCeiling: whoever may unblock may unblock what the node has
// shut out by itself, wherever it is.
func TestWhatTheNodeBlocksHoldsNoCeiling(t *testing.T) {
	b := newBench(t)
	b.apply(AddRule{Match: "198.51.100.0/24", Level: access.Superuser}, Options{})
	b.apply(AutoBlock{Blocks: []AutoBlocked{{Prefix: netip.MustParsePrefix("198.51.100.7/32"), For: Duration(time.Hour)}}}, Options{})
	rules, _, err := b.Rules(t.Context(), RuleFilter{Source: store.FromAutomatic})
	if err != nil || len(rules) != 1 {
		t.Fatal(rules, err)
	}
	admin := Actor{Name: "token x", Level: access.Admin}
	for _, c := range []Change{Unblock{"198.51.100.7"}, RemoveRule{rules[0].ID}} {
		if _, err := b.Apply(t.Context(), admin, c, Options{DryRun: true}); err != nil {
			t.Errorf("%T: %v", c, err)
		}
	}
}
