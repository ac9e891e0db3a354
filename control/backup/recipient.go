package backup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"

	"mtguard/security/aead"
	"mtguard/security/vault"
)

// kind says what a backup opens with.
type kind uint8

const (
	noKind kind = iota
	masterKind
	passphraseKind
	recipientsKind
)

var kindText = [...]string{
	noKind:         "with nothing",
	masterKind:     "with the master key of the node that it is from",
	passphraseKind: "with a passphrase",
	recipientsKind: "for age recipients, and opens with the identity of one",
}

const (
	// masterWork is log2 of scrypt's work for a passphrase that is derived from the master key, the least that age can do: stretching
	// makes guessing slower, and of 256 random bits nothing can be guessed. It also tells such a backup from one with a passphrase that
	// somebody chose.
	masterWork = 1
	// passphraseWork is age's own: a second of a core and 256 MiB. More is refused when opening, or a foreign file could ask for
	// all memory.
	passphraseWork = 18

	// minPassphrase is where guessing against passphraseWork becomes hopeless for words that somebody chose with some care.
	minPassphrase = 12
	maxPassphrase = 1 << 10

	maxRecipients = 16
)

// Recipient says for whom a backup is sealed. The zero Recipient is nobody, which Create refuses.
type Recipient struct {
	kind kind
	list []age.Recipient
}

func (r Recipient) portable() bool { return r.kind == passphraseKind || r.kind == recipientsKind }

// ForMasterKey is whoever has the master key of the database.
func ForMasterKey() Recipient { return Recipient{kind: masterKind} }

// ForPassphrase is whoever knows the passphrase, of at least 12 characters. A line's end behind it does not belong to it.
func ForPassphrase(text string) (Recipient, error) {
	text = trimLine(text)
	if n := len([]rune(text)); n < minPassphrase || len(text) > maxPassphrase {
		return Recipient{}, fmt.Errorf("passphrase has %d characters: want %d to %d", n, minPassphrase, maxPassphrase)
	}
	return stretched(passphraseKind, text, passphraseWork)
}

func stretched(k kind, passphrase string, work int) (Recipient, error) {
	one, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return Recipient{}, err
	}
	one.SetWorkFactor(work)
	return Recipient{k, []age.Recipient{one}}, nil
}

// ForRecipients is whoever has the identity to one of the recipients, 1 to 16 of them: "age1…" of X25519, or "age1pq1…" of ML-KEM-768
// with X25519. The two do not mix: one that a quantum computer may open makes the other pointless.
func ForRecipients(list ...string) (Recipient, error) {
	if len(list) == 0 || len(list) > maxRecipients {
		return Recipient{}, fmt.Errorf("%d age recipients: want 1 to %d", len(list), maxRecipients)
	}
	r := Recipient{kind: recipientsKind}
	hybrid := 0
	for i, text := range list {
		var one age.Recipient
		var err error
		switch text = strings.TrimSpace(text); {
		case strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-"):
			return Recipient{}, fmt.Errorf("age recipient %d is an identity, which has to stay secret: give its public key, which `age-keygen -y` prints", i+1)
		case strings.HasPrefix(text, "age1pq1"):
			hybrid++
			one, err = age.ParseHybridRecipient(text)
		default:
			one, err = age.ParseX25519Recipient(text)
		}
		if err != nil {
			return Recipient{}, fmt.Errorf("age recipient %d, %.24q, is none: want the public key that `age-keygen -y` prints, age1…", i+1, text)
		}
		r.list = append(r.list, one)
	}
	if hybrid != 0 && hybrid != len(list) {
		return Recipient{}, errors.New("age recipients of both kinds, age1… and age1pq1…: want one kind")
	}
	return r, nil
}

func (r Recipient) recipients(kek vault.KEK) ([]age.Recipient, error) {
	switch r.kind {
	case noKind:
		return nil, errors.New("no recipient")
	case masterKind:
		text, err := masterPassphrase(kek)
		if err != nil {
			return nil, err
		}
		r, err = stretched(masterKind, text, masterWork)
		return r.list, err
	}
	return r.list, nil
}

// masterPurpose separates backups from everything else that is derived from a master key.
const masterPurpose aead.Purpose = "backup"

func masterPassphrase(kek vault.KEK) (string, error) {
	b, err := kek.Derive(masterPurpose, 32)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// Identity opens backups. The zero Identity opens none.
type Identity struct {
	kind kind
	list []age.Identity
}

// WithMasterKey opens what was made for one of the master keys. There are several when old ones were kept.
func WithMasterKey(keks ...vault.KEK) (Identity, error) {
	id := Identity{kind: masterKind}
	for _, kek := range keks {
		text, err := masterPassphrase(kek)
		if err != nil {
			return Identity{}, err
		}
		if err := id.add(text, masterWork); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// WithPassphrase opens what was made for the passphrase.
func WithPassphrase(text string) (Identity, error) {
	id := Identity{kind: passphraseKind}
	text = trimLine(text)
	if text == "" || len(text) > maxPassphrase {
		return Identity{}, errors.New("passphrase is empty, or too long to be one")
	}
	return id, id.add(text, passphraseWork)
}

func (id *Identity) add(passphrase string, work int) error {
	one, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return err
	}
	one.SetMaxWorkFactor(work)
	id.list = append(id.list, one)
	return nil
}

// maxIdentities bounds an identity file.
const maxIdentities = 64 << 10

// WithIdentities opens what was made for one of the identities in a file as `age-keygen` writes it.
func WithIdentities(file io.Reader) (Identity, error) {
	list, err := age.ParseIdentities(io.LimitReader(file, maxIdentities))
	if err != nil { // its text may show a part of a key
		return Identity{}, errors.New("this is no age identity file: want a line AGE-SECRET-KEY-1…, as `age-keygen` writes it")
	}
	return Identity{recipientsKind, list}, nil
}

func trimLine(text string) string { return strings.TrimRight(text, "\r\n") }

// guarded looks whether the backup is of the identity's kind at all, to say what it needs instead.
type guarded struct {
	kind kind
	age.Identity
}

// wrongKind is what a backup needs instead.
type wrongKind kind

func (w wrongKind) Error() string { return "sealed " + kindText[w] }

func (g guarded) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if found := kindOf(stanzas); found != g.kind {
		return nil, wrongKind(found)
	}
	return g.Identity.Unwrap(stanzas)
}

func (id Identity) guarded() []age.Identity {
	list := make([]age.Identity, 0, len(id.list))
	for _, one := range id.list {
		list = append(list, guarded{id.kind, one})
	}
	return list
}

func kindOf(stanzas []*age.Stanza) kind {
	if len(stanzas) != 1 || stanzas[0].Type != "scrypt" {
		return recipientsKind
	}
	if args := stanzas[0].Args; len(args) == 2 && args[1] == strconv.Itoa(masterWork) {
		return masterKind
	}
	return passphraseKind
}
