package keys

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mtguard/security/usage"
)

// What a Ring refuses to do.
var (
	ErrTaken    = errors.New("the secret belongs to another user")
	ErrBackward = errors.New("a key's state only goes forward")
)

// Spec is what a Ring is told of a key. It formats and logs as user and ID.
type Spec struct {
	ID     ID
	User   string
	Number int
	State  State
	// Secret is needed for a new key, and must be the one that ID names. The zero Secret leaves a key's material and domain as they are. Its
	// material is copied: erasing the key does not reach it.
	Secret Secret
	// Tripwire keeps a revoked key's bytes, so that its use is still recognised. In other states it means nothing.
	Tripwire bool
	// Account is the user's. Who it is stays as it was when the key was new.
	Account *usage.Account
	// Since is when the secret was made, zero when nobody knows, and Imported tells that it was made elsewhere. Both are looked at when the
	// key is new.
	Since    time.Time
	Imported bool
	// PseudonymKey makes the pseudonyms of Use and Trips, which are nil when it is nil. It is looked at when the key is new, and copied.
	PseudonymKey *[32]byte // a pointer, see Secret
	// Latest is told of whom Use sees; nil: nobody is. It is looked at when the key is new.
	Latest *usage.Latest
}

// String is the user and the ID.
func (s Spec) String() string { return "key " + string(s.ID) + " of " + s.User }

// Format is String for every verb.
func (s Spec) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue is String for slog.
func (s Spec) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is the ID.
func (s Spec) MarshalText() ([]byte, error) { return []byte(s.ID), nil }

// Ring holds the process's one Key of each secret, so that states, leases and accounts outlive every Set. Its methods may be called
// concurrently; they belong to the control plane, and none of a Key's methods waits for them.
type Ring struct {
	mu   sync.Mutex
	byID map[ID]*slot
	all  []*slot // in the order they came; also those dropped whose bytes are still in use
}

// slot is a key with what the Ring has to remember of it.
type slot struct {
	key     *Key
	dropped bool // its row is gone
	told    bool // Sweep has said that it is erased
}

// NewRing makes an empty Ring.
func NewRing() *Ring { return &Ring{byID: make(map[ID]*slot)} }

// Put makes the key that the spec describes, or moves the one there is to the spec's state, domain and tripwire. An error leaves everything
// as it was: ErrTaken, ErrBackward, a secret that ID does not name. When Put has returned, nobody acquires a key in a state that is not
// accepted.
func (r *Ring) Put(s Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.State.known() {
		return fmt.Errorf("key %s: %v is none", s.ID, s.State)
	}
	if s.Secret.material != nil && s.Secret.ID() != s.ID {
		return fmt.Errorf("key %s: its secret is %s", s.ID, s.Secret.ID())
	}
	if old, ok := r.byID[s.ID]; ok {
		return old.key.follow(s)
	}
	if s.Secret.material == nil {
		return fmt.Errorf("key %s: a new key needs its secret", s.ID)
	}
	x := &slot{key: newKey(s)}
	r.byID[s.ID] = x
	r.all = append(r.all, x)
	return nil
}

func newKey(s Spec) *Key {
	k := NewKey(s.User, s.Secret)
	k.number, k.account = s.Number, s.Account
	k.since, k.imported = s.Since, s.Imported
	if p := s.PseudonymKey; p != nil {
		k.use, k.trips = usage.NewSightings(*p).Telling(s.Latest), usage.NewSightings(*p)
	}
	w := word(s.State)
	if s.Tripwire {
		w |= tripwireBit
	}
	k.word.Store(uint64(w))
	k.settle()
	return k
}

// follow makes the key what a spec says of the same ID.
func (k *Key) follow(s Spec) error {
	switch {
	case k.user != s.User:
		return fmt.Errorf("key %s: user %q has the secret of user %q: %w", k.id, s.User, k.user, ErrTaken)
	case k.number != s.Number:
		return fmt.Errorf("key %s is number %d, not %d", k.id, k.number, s.Number)
	case k.account != s.Account && s.Account != nil:
		return fmt.Errorf("key %s has another account", k.id)
	case s.Secret.material != nil && !k.holds(s.Secret.material):
		return fmt.Errorf("key %s is of another secret", k.id)
	}
	if !k.move(s.State, s.Tripwire) {
		return fmt.Errorf("key %s is %v and would be %v: %w", k.id, k.State(), s.State, ErrBackward)
	}
	if f := (form{s.Secret.kind, s.Secret.domain}); s.Secret.material != nil && f != *k.form.Load() {
		k.form.Store(&f)
	}
	return nil
}

// Key is the key with this ID, whatever its state; nil when there is none, or it was dropped.
func (r *Ring) Key(id ID) *Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x, ok := r.byID[id]; ok {
		return x.key
	}
	return nil
}

// Drop takes a key out of the Ring, whose row is gone: it is revoked at once, is no tripwire, and its bytes are erased as soon as nobody uses
// them. The same secret may then be Put again, as another key. An ID that is not there does nothing.
func (r *Ring) Drop(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.byID[id]
	if !ok {
		return
	}
	delete(r.byID, id)
	x.dropped = true
	x.key.move(Revoked, false)
}

// Set is the keys as they are now: first those accepted, then the tripwires; both in the order they came into the Ring.
func (r *Ring) Set() *Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Key, 0, len(r.byID)) // those dropped are in neither part
	for _, x := range r.all {
		if x.key.State().Accepted() {
			list = append(list, x.key)
		}
	}
	accepted := len(list)
	for _, x := range r.all {
		if w := word(x.key.word.Load()); w.tripwire() && !w.erased() {
			list = append(list, x.key)
		}
	}
	return index(list, accepted)
}

// Sweep erases what is final, unused and no tripwire, and forgets what was dropped. It returns the IDs of the keys erased since the last
// call, by whomever, except those dropped.
func (r *Ring) Sweep() []ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var erased []ID
	r.all = slices.DeleteFunc(r.all, func(x *slot) bool {
		x.key.settle()
		if !x.key.Erased() {
			return false
		}
		if !x.told && !x.dropped {
			erased = append(erased, x.key.id)
		}
		x.told = true
		return x.dropped
	})
	return erased
}
