// Package vault seals what is kept at rest: the secret columns of the store.
//
//	master key (KEK)  →  one keyset per Purpose, sealed under it  →  values, sealed under the keyset's primary key
//
// Keysets are those of Tink: several keys, one of them primary, each value naming the key that it was sealed with in its first five
// bytes (0x01, key id). So a key is rotated without a moment at which something cannot be read, and a new master key seals the
// keysets anew and no value. The cipher is XChaCha20-Poly1305, whose nonces may be drawn at random for as long as a key lives.
//
//	kek := vault.GenerateKEK() // or ParseKEK
//	v, err := vault.Create(kek)
//	sealed, err := v.Sealed(kek) // to be stored; later vault.Open(kek, sealed)
//	value, err := v.Seal(vault.Columns, secret, []byte("key|7|material|1"))
//	secret, err := v.Open(vault.Columns, value, []byte("key|7|material|1"))
//
// The associated data says where a value stands, so that one that was moved to another row opens no more.
//
// # Changing keysets
//
// A value sealed with a key that is not stored yet is lost with the process. So a vault in use is not changed: a Clone is, its Sealed
// is stored, and once that is durable Adopt puts it in use:
//
//	next := v.Clone()
//	err := next.AddKey(vault.Columns)
//	// store next.Sealed(kek), durably
//	v.Adopt(next)
//	// seal everything anew for which v.Stale says true, then the same with DropOld
//
// A crash in between leaves one of two keysets, and both open every value. DropOld is for when no stale value is left, for there is no
// way back from it; copies of the store made before, backups among them, hold their own keysets and stay readable.
//
// A change of the master key is Sealed with the new one, and no change of the vault.
//
// The package does no I/O and starts no goroutine. All of it may be used by any number of goroutines at a time.
package vault

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Purpose says what a keyset is for. What was sealed for one opens for no other.
type Purpose string

// The purposes. Each has its keyset in every vault; their names are stored.
const (
	Columns Purpose = "columns" // secret columns: users' keys, tokens, settings
	Audit   Purpose = "audit"   // the state and the signing key of the record of changes
)

// Purposes returns all purposes.
func Purposes() []Purpose { return []Purpose{Columns, Audit} }

// MaxPlaintext is the most bytes of one value.
const MaxPlaintext = 1 << 20

// maxKeys bounds a keyset. More than two are there only when somebody rotates again and again without dropping.
const maxKeys = 32

var (
	// ErrWrongKEK is the answer of Open when keysets were sealed under another master key.
	ErrWrongKEK = errors.New("the master key is not the one that this store was sealed with")
	// ErrKeyset is the answer of Open when a keyset is missing, damaged or none of ours.
	ErrKeyset = errors.New("the sealed keysets are damaged")
	// ErrOpen is the answer of Vault.Open whatever is wrong with a value.
	ErrOpen = errors.New("sealed value cannot be opened")
	// ErrTooLarge is the answer of Seal to more than MaxPlaintext bytes.
	ErrTooLarge = errors.New("value is too large to be sealed")

	errNoKEK = errors.New("no master key")
)

// Vault seals and opens values. Make one with Create or Open. It must not be copied; formatted, it tells nothing.
type Vault struct {
	changing sync.Mutex // held by whoever replaces a ring
	rings    []slot     // in the order of Purposes
}

type slot struct {
	purpose Purpose
	ring    atomic.Pointer[ring]
}

// Create returns a vault with new keysets. Store its Sealed before anything that it seals; kek, which they will be sealed under, is asked
// for so that no vault comes into use that cannot be stored.
func Create(kek KEK) (*Vault, error) {
	if kek.IsZero() {
		return nil, errNoKEK
	}
	v := empty()
	for i := range v.rings {
		r, err := newRing()
		if err != nil {
			return nil, fmt.Errorf("keyset %s: %w", v.rings[i].purpose, err)
		}
		v.rings[i].ring.Store(r)
	}
	return v, nil
}

// Open returns the vault that Sealed gave. Errors are ErrWrongKEK, ErrKeyset, and that of a zero KEK.
func Open(kek KEK, sealed map[Purpose][]byte) (*Vault, error) {
	if kek.IsZero() {
		return nil, errNoKEK
	}
	for purpose := range sealed {
		if !slices.Contains(Purposes(), purpose) {
			return nil, fmt.Errorf("%w: keyset %.32q is unknown to this program", ErrKeyset, purpose)
		}
	}
	v := empty()
	for i := range v.rings {
		purpose := v.rings[i].purpose
		b, ok := sealed[purpose]
		if !ok {
			return nil, fmt.Errorf("%w: keyset %q is missing", ErrKeyset, purpose)
		}
		r, err := openRing(kek, purpose, b)
		if err != nil {
			return nil, fmt.Errorf("keyset %s: %w", purpose, err)
		}
		v.rings[i].ring.Store(r)
	}
	return v, nil
}

func empty() *Vault {
	v := &Vault{rings: make([]slot, len(Purposes()))}
	for i, purpose := range Purposes() {
		v.rings[i].purpose = purpose
	}
	return v
}

func (v *Vault) slot(p Purpose) (*slot, error) {
	for i := range v.rings {
		if v.rings[i].purpose == p {
			return &v.rings[i], nil
		}
	}
	return nil, fmt.Errorf("no keyset for purpose %.32q", p)
}

// Sealed returns the keysets as they are to be stored, sealed under kek, which need not be the one that the vault was opened with.
func (v *Vault) Sealed(kek KEK) (map[Purpose][]byte, error) {
	if kek.IsZero() {
		return nil, errNoKEK
	}
	v.changing.Lock() // one state of all keysets
	defer v.changing.Unlock()
	sealed := make(map[Purpose][]byte, len(v.rings))
	for i := range v.rings {
		s := &v.rings[i]
		b, err := s.ring.Load().seal(kek, s.purpose)
		if err != nil {
			return nil, fmt.Errorf("keyset %s: %w", s.purpose, err)
		}
		sealed[s.purpose] = b
	}
	return sealed, nil
}

// Seal returns plaintext sealed under the primary key of p, for who names the same purpose and the same associated data ad, which is not
// in it. It takes 45 bytes more than the plaintext. It returns ErrTooLarge for more than MaxPlaintext bytes.
func (v *Vault) Seal(p Purpose, plaintext, ad []byte) ([]byte, error) {
	s, err := v.slot(p)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > MaxPlaintext {
		return nil, ErrTooLarge
	}
	return s.ring.Load().primary.seal(plaintext, ad)
}

// Open returns what Seal was given. The error is ErrOpen whatever is wrong: a byte of it, the key, the purpose, the associated data.
func (v *Vault) Open(p Purpose, sealed, ad []byte) ([]byte, error) {
	s, err := v.slot(p)
	if err != nil || len(sealed) > MaxPlaintext+overhead {
		return nil, ErrOpen
	}
	return s.ring.Load().open(sealed, ad)
}

// Stale reports whether sealed is not under the primary key of p, and so has to be sealed anew before DropOld. It looks at the key's name
// alone: that something is not stale does not mean that it opens.
func (v *Vault) Stale(p Purpose, sealed []byte) bool {
	s, err := v.slot(p)
	return err != nil || !s.ring.Load().primary.named(sealed)
}

// AddKey draws a new primary key for p; the old ones open what they sealed. See the package comment: not on a vault in use.
func (v *Vault) AddKey(p Purpose) error { return v.change(p, (*ring).withNewKey) }

// DropOld destroys all keys of p but the primary one. What they sealed opens no more.
func (v *Vault) DropOld(p Purpose) error { return v.change(p, (*ring).primaryAlone) }

func (v *Vault) change(p Purpose, next func(*ring) (*ring, error)) error {
	s, err := v.slot(p)
	if err != nil {
		return err
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	r, err := next(s.ring.Load())
	if err != nil {
		return fmt.Errorf("keyset %s: %w", p, err)
	}
	s.ring.Store(r)
	return nil
}

// Keys returns how many keys the keyset of p has: one, when there is nothing to drop.
func (v *Vault) Keys(p Purpose) int {
	s, err := v.slot(p)
	if err != nil {
		return 0
	}
	return len(s.ring.Load().keys)
}

// Clone returns a vault of the same keysets, to be changed and stored while v stays in use.
func (v *Vault) Clone() *Vault {
	v.changing.Lock()
	defer v.changing.Unlock()
	c := empty()
	for i := range c.rings {
		c.rings[i].ring.Store(v.rings[i].ring.Load())
	}
	return c
}

// Adopt makes v use the keysets of next, a Clone of it that has been changed and stored. Changes made to v since then are lost: one at a
// time changes a vault.
func (v *Vault) Adopt(next *Vault) {
	from := next.Clone() // not both locks at a time
	v.changing.Lock()
	defer v.changing.Unlock()
	for i := range v.rings {
		v.rings[i].ring.Store(from.rings[i].ring.Load())
	}
}

// String returns "vault", for the fmt verbs that would look inside.
func (v *Vault) String() string { return "vault" }

// GoString returns what String does.
func (v *Vault) GoString() string { return v.String() }

// Sealer is a Vault for one purpose.
type Sealer struct {
	vault   *Vault
	purpose Purpose
}

// Sealer returns the vault as it looks to who seals for p alone. It sees every later change of the vault.
func (v *Vault) Sealer(p Purpose) Sealer { return Sealer{v, p} }

// Seal is Vault.Seal.
func (s Sealer) Seal(plaintext, ad []byte) ([]byte, error) {
	return s.vault.Seal(s.purpose, plaintext, ad)
}

// Open is Vault.Open.
func (s Sealer) Open(sealed, ad []byte) ([]byte, error) { return s.vault.Open(s.purpose, sealed, ad) }

// Stale is Vault.Stale.
func (s Sealer) Stale(sealed []byte) bool { return s.vault.Stale(s.purpose, sealed) }
