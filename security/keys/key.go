package keys

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"mtguard/security/usage"
)

// Key is one generation of a user's secret with what matching and reporting need of it at hand. There is one Key for one secret, whatever
// number of Sets it stands in: a change of its state is seen by everybody at once, also by connections that hold an old Set. It must not be
// copied. It formats and logs as user and ID.
//
// Its bytes are overwritten once it is final, nobody holds a lease or a borrow, and it is no tripwire; never before, and only once. State,
// leases and borrows are one atomic word, so all methods may be called concurrently, and none but Secret allocates.
type Key struct {
	id     ID
	user   string
	number int
	// since is when the secret was made, zero when nobody knows.
	since    time.Time
	imported bool

	word     atomic.Uint64 // see word
	material **[Size]byte  // two pointers away, see Secret; the Key's own copy
	form     atomic.Pointer[form]
	account  *usage.Account   // nil: nothing is counted
	use      *usage.Sightings // nil: nobody is remembered
	trips    *usage.Sightings
}

// form is what the secret's text form says beside the material.
type form struct {
	kind   Kind
	domain string
}

// NewKey binds a secret, which must not be the zero one, to a user's name, as an active key without an account. It stays active: only a Ring
// changes states.
func NewKey(user string, s Secret) *Key {
	k := &Key{id: s.ID(), user: user, material: copyOf(s.material)}
	k.form.Store(&form{s.kind, s.domain})
	k.word.Store(uint64(Active))
	return k
}

func copyOf(material **[Size]byte) **[Size]byte {
	if material == nil {
		return nil
	}
	own := **material
	p := &own
	return &p
}

// ID names the material.
func (k *Key) ID() ID { return k.id }

// User is the name the key belongs to.
func (k *Key) User() string { return k.user }

// Number counts a user's generations.
func (k *Key) Number() int { return k.number }

// Since is when the secret was made, zero when nobody knows.
func (k *Key) Since() time.Time { return k.since }

// Imported tells that the secret was made elsewhere.
func (k *Key) Imported() bool { return k.imported }

// Account is the user's, nil when nothing is counted.
func (k *Key) Account() *usage.Account { return k.account }

// Use is who has used the key, nil when that is not kept.
func (k *Key) Use() *usage.Sightings { return k.use }

// Trips is who used the key after it was revoked, nil when that is not kept.
func (k *Key) Trips() *usage.Sightings { return k.trips }

// Domain is the server name in the key's fake-TLS links, "" for whatever is the first. Hellos with that name try the key early; it opens
// others too.
func (k *Key) Domain() string { return k.form.Load().domain }

// State is the state at this instant.
func (k *Key) State() State { return word(k.word.Load()).state() }

// Leases is how many leases are out at this instant.
func (k *Key) Leases() int { return word(k.word.Load()).leases() }

// Erased tells whether the key's bytes are gone.
func (k *Key) Erased() bool { return word(k.word.Load()).erased() }

// Secret is a copy of the secret the key was made of, for making links; the zero Secret when the key is erased. Erasing the key does not
// reach copies made before.
func (k *Key) Secret() Secret {
	if _, ok := k.Borrow(); !ok {
		return Secret{}
	}
	defer k.Return()
	f := k.form.Load()
	return Secret{material: copyOf(k.material), kind: f.kind, domain: f.domain}
}

// Material is the 16 secret bytes. Only who holds a lease or a borrow of the key may call it, and use the bytes only as long; nobody may keep
// or change them.
func (k *Key) Material() []byte { return (**k.material)[:] }

// holds tells whether the key is made of these bytes; an erased key no longer knows.
func (k *Key) holds(material **[Size]byte) bool {
	own, ok := k.Borrow()
	if !ok {
		return true
	}
	defer k.Return()
	return subtle.ConstantTimeCompare(own, (**material)[:]) == 1
}

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
