package aead

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// SaltSize is the bytes of a Sealer's salt.
	SaltSize = 32
	// MaxRecord is the most bytes of a record's plaintext: 16 KiB and what a header or padding inside it may take.
	MaxRecord = 16<<10 + 256
)

var (
	// ErrExhausted says that a key has protected as many records as it may: both ends have to Rekey.
	ErrExhausted = errors.New("key is exhausted")
	// ErrTooLarge says that a plaintext is longer than MaxRecord or MaxPlaintext.
	ErrTooLarge = errors.New("plaintext is too large to seal")
	// ErrOpen is the one answer to everything that cannot be opened, whatever is wrong with it.
	ErrOpen = errors.New("sealed data refused")
)

// Sealer protects the records of one direction. It is not safe for concurrent use. A copy of a Sealer is the same Sealer.
type Sealer struct {
	d    *direction // a pointer, so that a copy shares the counter
	salt [SaltSize]byte
}

// Opener is the other end of a Sealer. It is not safe for concurrent use. A copy of an Opener is the same Opener.
type Opener struct {
	d *direction
}

// direction is what both ends of one direction keep.
type direction struct {
	suite   Suite
	purpose Purpose
	aead    cipher.AEAD
	seq     uint64
	refused bool // an Opener saw something foreign
	keying  *keying
}

// keying is behind a second pointer because fmt follows one, for a verb that it cannot apply to a pointer.
type keying struct {
	secret [sha256.Size]byte // of this epoch: everything of it and of later ones follows from it
	iv     [chacha20poly1305.NonceSizeX]byte
	nonce  [chacha20poly1305.NonceSizeX]byte // kept here, as it goes to the heap anyway
}

// NewSealer returns the Sealer of one direction: of a secret that both ends share, at least 16 random bytes which are not kept,
// and a purpose that has to name the direction too, as otherwise what one end sends could be shown to it as the other's. The
// Sealer draws a salt, so that no two have a key in common, however often the secret is used.
//
// An Opener cannot tell a whole repeated stream, salt and all, from a new one. So the secret should come from a handshake to
// which the opener's end contributed, and be used for that connection alone.
func NewSealer(s Suite, secret []byte, purpose Purpose) (*Sealer, error) {
	x := new(Sealer)
	rand.Read(x.salt[:]) // never fails: crypto/rand ends the process instead
	d, err := newDirection(s, secret, x.salt[:], purpose)
	if err != nil {
		return nil, err
	}
	x.d = d
	return x, nil
}

// NewOpener returns the other end of the Sealer with the same suite, secret and purpose, whose Salt salt is.
func NewOpener(s Suite, secret, salt []byte, purpose Purpose) (*Opener, error) {
	d, err := newDirection(s, secret, salt, purpose)
	if err != nil {
		return nil, err
	}
	return &Opener{d}, nil
}

func newDirection(s Suite, secret, salt []byte, purpose Purpose) (*direction, error) {
	if !s.Valid() {
		return nil, fmt.Errorf("cipher %v is unknown", s)
	}
	if err := checkInput(secret, purpose); err != nil {
		return nil, err
	}
	if len(salt) != SaltSize {
		return nil, fmt.Errorf("salt has %d bytes: want %d", len(salt), SaltSize)
	}
	first, err := extractAndExpand(secret, salt, label(useRecordSecret, s, sha256.Size, purpose, nil), sha256.Size)
	if err != nil {
		return nil, err
	}
	d := &direction{suite: s, purpose: purpose, keying: new(keying)}
	d.take(first)
	return d, d.schedule()
}

// Salt returns what the other end's NewOpener needs. It is not secret, and whoever alters it on the way gets nothing opened.
func (x *Sealer) Salt() []byte {
	return append([]byte(nil), x.salt[:]...)
}

// Seal appends the next record to dst and returns it: plaintext encrypted, and it and ad authenticated. It returns ErrTooLarge
// for more than MaxRecord bytes and ErrExhausted when Rekey has to come first; the Sealer is as before then. To encrypt in
// place pass plaintext[:0] as dst; otherwise the two may not overlap. It does not allocate when dst has room.
func (x *Sealer) Seal(dst, plaintext, ad []byte) ([]byte, error) {
	if len(plaintext) > MaxRecord {
		return nil, ErrTooLarge
	}
	if x.d.remaining() == 0 {
		return nil, ErrExhausted
	}
	return x.d.aead.Seal(dst, x.d.next(), plaintext, ad), nil
}

// Remaining returns how many more records may be sealed before Rekey.
func (x *Sealer) Remaining() uint64 { return x.d.remaining() }

// Rekey goes on to the next key and forgets this one. The other end has to do the same between the same two records.
func (x *Sealer) Rekey() { x.d.ratchet() }

// Open appends the plaintext of record to dst and returns it, if record is the next one of the Sealer and ad what it was sealed
// with. Otherwise it returns ErrOpen, now and for ever: the stream cannot be trusted beyond that point and guessing is to have
// one try. It returns ErrExhausted when Rekey has to come first. Upon an error no plaintext stands behind dst; what stood there
// may be gone. To decrypt in place pass record[:0] as dst; otherwise the two may not overlap. It does not allocate when dst has
// room.
func (x *Opener) Open(dst, record, ad []byte) ([]byte, error) {
	d := x.d
	if d.refused {
		return nil, ErrOpen
	}
	if d.remaining() == 0 {
		return nil, ErrExhausted
	}
	if len(record) < TagSize || len(record) > MaxRecord+TagSize {
		d.refused = true
		return nil, ErrOpen
	}
	out, err := d.aead.Open(dst, d.next(), record, ad)
	if err != nil {
		d.refused = true
		wipe(dst, len(record)-TagSize)
		return nil, ErrOpen
	}
	return out, nil
}

// Remaining returns how many more records may be opened before Rekey.
func (x *Opener) Remaining() uint64 { return x.d.remaining() }

// Rekey goes on to the next key and forgets this one. It does not forgive: an Opener that refused a record refuses all others.
func (x *Opener) Rekey() { x.d.ratchet() }

func (d *direction) remaining() uint64 {
	return d.suite.MaxRecords() - d.seq
}

// next returns the nonce of the next record and counts it, before it is used: a panic in the cipher cannot lead to its reuse.
func (d *direction) next() []byte {
	nonce := d.keying.nonce[:d.suite.NonceSize()]
	copy(nonce, d.keying.iv[:])
	last := nonce[len(nonce)-8:]
	binary.BigEndian.PutUint64(last, binary.BigEndian.Uint64(last)^d.seq)
	d.seq++
	return nonce
}

// ratchet replaces the secret by the one that follows from it.
func (d *direction) ratchet() {
	next, err := expand(d.keying.secret[:], label(useRecordNext, d.suite, sha256.Size, d.purpose, nil), sha256.Size)
	if err == nil {
		d.take(next)
		err = d.schedule()
	}
	if err != nil {
		panic("aead: a key that could be made cannot be followed: " + err.Error())
	}
}

// take moves secret in, over the one before.
func (d *direction) take(secret []byte) {
	copy(d.keying.secret[:], secret)
	clear(secret)
}

// schedule derives from the secret what the epoch works with, and starts counting.
func (d *direction) schedule() error {
	secret, keySize, ivSize := d.keying.secret[:], d.suite.KeySize(), d.suite.NonceSize()
	key, err := expand(secret, label(useRecordKey, d.suite, keySize, d.purpose, nil), keySize)
	if err != nil {
		return err
	}
	defer clear(key)
	iv, err := expand(secret, label(useRecordIV, d.suite, ivSize, d.purpose, nil), ivSize)
	if err != nil {
		return err
	}
	copy(d.keying.iv[:], iv)
	d.aead, err = d.suite.New(key)
	d.seq = 0
	return err
}

// wipe clears the n bytes behind dst, where a cipher may have put plaintext before it saw that the tag is wrong: the contract
// of cipher.AEAD leaves that open.
func wipe(dst []byte, n int) {
	if cap(dst)-len(dst) >= n {
		clear(dst[len(dst) : len(dst)+n])
	}
}
