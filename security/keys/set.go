package keys

import (
	"errors"
	"fmt"
)

// Set is the keys a listener knows: those that were accepted when it was made, and behind them the tripwires, which are recognised and not
// let in. The Set itself never changes; the keys in it do, so Key.Acquire has the last word. The zero value and nil are empty.
type Set struct {
	keys     []*Key
	accepted int
	byUser   map[string]userKeys
	byID     map[ID]int32
	named    map[string][]int32
}

type userKeys struct {
	active *Key
	all    []*Key
}

// NewSet makes a set of accepted keys, in the order they are given. Two keys with the same material, which would make it a matter of luck who
// is served, are refused. A node's sets come from a Ring.
func NewSet(list []*Key) (*Set, error) {
	seen := make(map[ID]*Key, len(list))
	for _, k := range list {
		if k == nil || k.material == nil {
			return nil, errors.New("key without a secret")
		}
		if state := k.State(); !state.Accepted() {
			return nil, fmt.Errorf("%v is %v", k, state)
		}
		if other, ok := seen[k.id]; ok {
			return nil, fmt.Errorf("users %q and %q have the same secret", other.user, k.user)
		}
		seen[k.id] = k
	}
	return index(append([]*Key(nil), list...), len(list)), nil
}

// index makes a set of keys that are known to differ.
func index(list []*Key, accepted int) *Set {
	s := &Set{
		keys:     list,
		accepted: accepted,
		byUser:   make(map[string]userKeys, len(list)),
		byID:     make(map[ID]int32, len(list)),
		named:    make(map[string][]int32),
	}
	for i, k := range list {
		s.byID[k.id] = int32(i)
		u := s.byUser[k.user]
		u.all = append(u.all, k)
		if u.active == nil && k.State() == Active {
			u.active = k
		}
		s.byUser[k.user] = u
		if d := k.Domain(); d != "" && i < accepted {
			s.named[d] = append(s.named[d], int32(i))
		}
	}
	return s
}

// Len is the number of keys.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// Accepted is the number of keys that were accepted when the set was made: those with an index below it. The others are tripwires.
func (s *Set) Accepted() int {
	if s == nil {
		return 0
	}
	return s.accepted
}

// At is the i-th key, 0 <= i < Len.
func (s *Set) At(i int) *Key { return s.keys[i] }

// ByUser is the user's active key, nil when there is none.
func (s *Set) ByUser(name string) *Key {
	if s == nil {
		return nil
	}
	return s.byUser[name].active
}

// KeysOf is the user's keys in the set. The caller must not change the slice.
func (s *Set) KeysOf(name string) []*Key {
	if s == nil {
		return nil
	}
	return s.byUser[name].all
}

// ByID is the index of the key with this ID.
func (s *Set) ByID(id ID) (int, bool) {
	if s == nil {
		return 0, false
	}
	i, ok := s.byID[id]
	return int(i), ok
}

// Named is the indices, ascending, of the accepted keys whose domain is this server name in lower case. Keys without a domain are not among
// them. The caller must not change the slice.
func (s *Set) Named(serverName string) []int32 {
	if s == nil {
		return nil
	}
	return s.named[serverName]
}
