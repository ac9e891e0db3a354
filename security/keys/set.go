package keys

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Key is a user's secret with what matching and reporting need of it at hand. It
// formats and logs as user and ID.
type Key struct {
	user   string
	id     ID
	secret Secret
}

// NewKey binds a secret, which must not be the zero one, to a user's name.
func NewKey(user string, s Secret) *Key { return &Key{user: user, id: s.ID(), secret: s} }

// ID names the material.
func (k *Key) ID() ID { return k.id }

// User is the name the key belongs to.
func (k *Key) User() string { return k.user }

// Domain is the server name in the key's fake-TLS links, "" for whatever is the
// first. Hellos with that name try the key early; it opens others too.
func (k *Key) Domain() string { return k.secret.domain }

// Secret is the secret the key was made of, for making links.
func (k *Key) Secret() Secret { return k.secret }

// Material is the 16 secret bytes. The caller must neither keep nor change them.
func (k *Key) Material() []byte { return (*k.secret.material)[:] }

// String is the user and the ID.
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	return "key " + string(k.id) + " of " + k.user
}

// Format is String for every verb.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is String for slog.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is the ID.
func (k *Key) MarshalText() ([]byte, error) { return []byte(k.ID()), nil }

// Set is the keys a listener knows, in the order they were given. It is immutable;
// the zero value and nil are empty.
type Set struct {
	keys   []*Key
	byUser map[string]*Key
	byID   map[ID]int
	named  map[string][]int32
}

// NewSet makes a set. Two keys of one user name, or with the same material (which
// would make it a matter of luck who is served), are refused.
func NewSet(list []*Key) (*Set, error) {
	s := &Set{
		keys:   make([]*Key, 0, len(list)),
		byUser: make(map[string]*Key, len(list)),
		byID:   make(map[ID]int, len(list)),
		named:  make(map[string][]int32),
	}
	for i, k := range list {
		if k == nil || k.secret.material == nil {
			return nil, errors.New("key without a secret")
		}
		if _, ok := s.byUser[k.user]; ok {
			return nil, fmt.Errorf("user %q has two keys", k.user)
		}
		if j, ok := s.byID[k.id]; ok {
			return nil, fmt.Errorf("users %q and %q have the same secret", s.keys[j].user, k.user)
		}
		s.keys = append(s.keys, k)
		s.byUser[k.user], s.byID[k.id] = k, i
		if d := k.Domain(); d != "" {
			s.named[d] = append(s.named[d], int32(i))
		}
	}
	return s, nil
}

// Len is the number of keys.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// At is the i-th key, 0 <= i < Len.
func (s *Set) At(i int) *Key { return s.keys[i] }

// ByUser is the user's key, nil when there is none.
func (s *Set) ByUser(name string) *Key {
	if s == nil {
		return nil
	}
	return s.byUser[name]
}

// ByID is the index of the key with this ID.
func (s *Set) ByID(id ID) (int, bool) {
	if s == nil {
		return 0, false
	}
	i, ok := s.byID[id]
	return i, ok
}

// Named is the indices, ascending, of the keys whose domain is this server name in
// lower case. Keys without a domain are not among them. The caller must not change
// the slice.
func (s *Set) Named(serverName string) []int32 {
	if s == nil {
		return nil
	}
	return s.named[serverName]
}
