package storetest

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"sync"

	"mtguard/security/aead"
)

// Sealer is a store.Sealer for tests: XChaCha20-Poly1305 under keys that only it has.
type Sealer struct {
	mu   sync.RWMutex
	keys []cipher.AEAD // the last one seals; nil: dropped
}

// NewSealer makes a sealer with one key.
func NewSealer() *Sealer {
	s := &Sealer{}
	s.AddKey()
	return s
}

// AddKey makes a key that seals from now on; what the others sealed still opens, and is
// stale.
func (s *Sealer) AddKey() {
	key := make([]byte, aead.XChaCha20Poly1305.KeySize())
	rand.Read(key) // never fails
	c, err := aead.XChaCha20Poly1305.New(key)
	if err != nil {
		panic(err) // the key has the right size
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, c)
}

// DropOld takes all keys but the last.
func (s *Sealer) DropOld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys[:len(s.keys)-1])
}

// Seal implements store.Sealer.
func (s *Sealer) Seal(plaintext, ad []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	number := len(s.keys) - 1
	nonce := make([]byte, aead.XChaCha20Poly1305.NonceSize())
	rand.Read(nonce) // never fails
	sealed := append([]byte{byte(number)}, nonce...)
	return s.keys[number].Seal(sealed, nonce, plaintext, ad), nil
}

// Open implements store.Sealer.
func (s *Sealer) Open(sealed, ad []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	head := 1 + aead.XChaCha20Poly1305.NonceSize()
	if len(sealed) < head || int(sealed[0]) >= len(s.keys) || s.keys[sealed[0]] == nil {
		return nil, errors.New("sealed by another")
	}
	return s.keys[sealed[0]].Open(nil, sealed[1:head], sealed[head:], ad)
}

// Stale implements store.Sealer.
func (s *Sealer) Stale(sealed []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(sealed) > 0 && int(sealed[0]) != len(s.keys)-1
}
