package vault

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/aead/xchacha20poly1305"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"mtguard/security/aead"
)

// Tink's own aead.New would do what ring and sealKey do, and would link the key managers of all its ciphers: a quarter of a megabyte for
// picking a key by five bytes. TestTinkOpensWhatIsSealed holds the two against each other.

// ring is a keyset and its ciphers. It never changes.
type ring struct {
	handle  *keyset.Handle
	primary *sealKey
	keys    []*sealKey
}

// sealKey is one key: Tink's cipher and what Tink puts before a ciphertext, so that its key is found again.
type sealKey struct {
	prefix []byte
	cipher tink.AEAD
}

const (
	prefixSize = 5 // 0x01 and the key's id
	overhead   = prefixSize + 24 + aead.TagSize
)

func (k *sealKey) named(sealed []byte) bool { return bytes.HasPrefix(sealed, k.prefix) }

func (k *sealKey) seal(plaintext, ad []byte) ([]byte, error) {
	b, err := k.cipher.Encrypt(plaintext, ad)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, prefixSize+len(b))
	return append(append(out, k.prefix...), b...), nil
}

func (r *ring) open(sealed, ad []byte) ([]byte, error) {
	for _, k := range r.keys {
		if k.named(sealed) {
			plaintext, err := k.cipher.Decrypt(sealed[prefixSize:], ad)
			if err != nil {
				return nil, ErrOpen
			}
			return plaintext, nil
		}
	}
	return nil, ErrOpen
}

func newRing() (*ring, error) { return manage(keyset.NewManager()) }

// manage adds a key that becomes the primary one.
func manage(m *keyset.Manager) (*ring, error) {
	parameters, err := xchacha20poly1305.NewParameters(xchacha20poly1305.VariantTink)
	if err != nil {
		return nil, err
	}
	id, err := m.AddNewKeyFromParameters(parameters)
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return ringOf(m)
}

func ringOf(m *keyset.Manager) (*ring, error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return ringOfHandle(handle)
}

func (r *ring) withNewKey() (*ring, error) {
	if len(r.keys) >= maxKeys {
		return nil, fmt.Errorf("%d keys already: seal what is stale anew and drop the old ones", len(r.keys))
	}
	return manage(keyset.NewManagerFromHandle(r.handle))
}

func (r *ring) primaryAlone() (*ring, error) {
	m := keyset.NewManagerFromHandle(r.handle)
	for i := range r.handle.Len() {
		entry, err := r.handle.Entry(i)
		if err != nil {
			return nil, err
		}
		if entry.IsPrimary() {
			continue
		}
		if err := m.Delete(entry.KeyID()); err != nil {
			return nil, err
		}
	}
	return ringOf(m)
}

func ringOfHandle(handle *keyset.Handle) (*ring, error) {
	if handle.Len() > maxKeys {
		return nil, fmt.Errorf("keyset of %d keys", handle.Len())
	}
	r := &ring{handle: handle}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, err
		}
		if entry.KeyStatus() != keyset.Enabled {
			continue
		}
		k, err := sealKeyOf(entry)
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, k)
		if entry.IsPrimary() {
			r.primary = k
		}
	}
	if r.primary == nil {
		return nil, errors.New("keyset without a primary key")
	}
	return r, nil
}

func sealKeyOf(entry *keyset.Entry) (*sealKey, error) {
	key, ok := entry.Key().(*xchacha20poly1305.Key)
	if !ok || len(key.OutputPrefix()) != prefixSize {
		return nil, errors.New("keyset with a key that is not XChaCha20-Poly1305 with its id in front")
	}
	cipher, err := subtle.NewXChaCha20Poly1305(key.KeyBytes().Data(insecuresecretdataaccess.Token{}))
	if err != nil {
		return nil, err
	}
	return &sealKey{key.OutputPrefix(), cipher}, nil
}

// keysetPurpose separates keysets from everything else that a master key may seal.
const keysetPurpose aead.Purpose = "vault keyset"

// binding is the associated data of a sealed keyset: its format and what it is for.
func binding(p Purpose) []byte { return append([]byte("mtguard/keyset/v1|"), p...) }

func (r *ring) seal(kek KEK, p Purpose) ([]byte, error) {
	var out bytes.Buffer
	err := r.handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&out), &wrap{kek: kek}, binding(p))
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// maxKeyset is the most bytes of a sealed keyset; one of maxKeys keys has about 4,000.
const maxKeyset = 16 << 10

func openRing(kek KEK, p Purpose, sealed []byte) (*ring, error) {
	if len(sealed) > maxKeyset {
		return nil, fmt.Errorf("%w: %d bytes", ErrKeyset, len(sealed))
	}
	w := &wrap{kek: kek}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(sealed)), w, binding(p))
	switch {
	case err == nil:
	case w.foreign:
		return nil, ErrWrongKEK
	default:
		return nil, fmt.Errorf("%w: not what was written", ErrKeyset)
	}
	r, err := ringOfHandle(handle)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyset, err)
	}
	return r, nil
}

// wrap is a master key as Tink wants it to seal keysets with: XChaCha20-Poly1305 in the blobs of package aead, which name the key.
type wrap struct {
	kek     KEK
	foreign bool // Decrypt met a blob of another key
}

func (w *wrap) Encrypt(plaintext, ad []byte) ([]byte, error) {
	return aead.Seal(nil, aead.XChaCha20Poly1305, w.kek.key, keysetPurpose, plaintext, ad)
}

func (w *wrap) Decrypt(sealed, ad []byte) ([]byte, error) {
	lookup := func(id aead.KeyID) (aead.Key, bool) {
		w.foreign = id != w.kek.key.ID()
		return w.kek.key, !w.foreign
	}
	return aead.Open(nil, lookup, keysetPurpose, sealed, ad)
}
