package advisory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Signatures in the format of minisign (jedisct1.github.io/minisign): Ed25519 over the file, or over its BLAKE2b-512 sum, and once
// more over that signature together with a comment, which is therefore to be trusted as the file is.

// PublicKey verifies signatures of one signer.
type PublicKey struct {
	id  [8]byte
	key [ed25519.PublicKeySize]byte
}

// ParsePublicKey reads a key: the 56 characters that minisign -G prints, or the whole file of two lines.
func ParsePublicKey(text string) (PublicKey, error) {
	text = strings.TrimSpace(text)
	if comment, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(comment, untrusted) {
		text = strings.TrimSpace(rest)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	var k PublicKey
	if err != nil || len(raw) != 2+len(k.id)+len(k.key) || string(raw[:2]) != "Ed" {
		return k, errors.New("it is no public key of minisign: want 56 characters such as RWQf6LRC…")
	}
	copy(k.id[:], raw[2:])
	copy(k.key[:], raw[2+len(k.id):])
	return k, nil
}

// ID is the key's number as minisign prints it.
func (k PublicKey) ID() string { return keyNumber(k.id) }

func keyNumber(id [8]byte) string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Signature is a parsed signature file.
type Signature struct {
	id        [8]byte
	prehashed bool
	sig       [ed25519.SignatureSize]byte
	global    [ed25519.SignatureSize]byte
	comment   string
}

const (
	untrusted = "untrusted comment:"
	trusted   = "trusted comment: "

	maxSignature = 4 << 10
	// maxLegacy bounds files that are not signed by their sum: they have to be in memory whole.
	maxLegacy = 256 << 20
)

// ParseSignature reads a signature file: four lines, and nothing more.
func ParseSignature(text []byte) (*Signature, error) {
	if len(text) > maxSignature {
		return nil, errors.New("the signature is longer than any")
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrusted) || !strings.HasPrefix(lines[2], trusted) {
		return nil, errors.New("it is no signature of minisign: want four lines, of which the first and the third are comments")
	}
	s := &Signature{comment: strings.TrimPrefix(lines[2], trusted)}
	raw, err := base64.StdEncoding.Strict().DecodeString(lines[1])
	if err != nil || len(raw) != 2+len(s.id)+len(s.sig) {
		return nil, errors.New("line 2 of the signature is broken")
	}
	switch string(raw[:2]) {
	case "Ed":
	case "ED":
		s.prehashed = true
	default:
		return nil, errors.New("line 2 of the signature is of an unknown kind")
	}
	copy(s.id[:], raw[2:])
	copy(s.sig[:], raw[2+len(s.id):])
	if raw, err = base64.StdEncoding.Strict().DecodeString(lines[3]); err != nil || len(raw) != len(s.global) {
		return nil, errors.New("line 4 of the signature is broken")
	}
	copy(s.global[:], raw)
	return s, nil
}

// ErrSignature is a signature that does not hold.
var ErrSignature = errors.New("the signature does not hold")

// Verify reads a file to its end and reports whether it is what the key has signed. comment is the signer's own, and to be
// trusted when err is nil. An error that is ErrSignature says that it is not.
func (k PublicKey) Verify(file io.Reader, s *Signature) (comment string, err error) {
	if s.id != k.id {
		return "", fmt.Errorf("%w: it was made with the key %s, not with %s", ErrSignature, keyNumber(s.id), k.ID())
	}
	var message []byte
	if s.prehashed {
		var sum hash.Hash
		if sum, err = blake2b.New512(nil); err == nil {
			_, err = io.Copy(sum, file)
		}
		if err != nil {
			return "", err
		}
		message = sum.Sum(nil)
	} else {
		if message, err = io.ReadAll(io.LimitReader(file, maxLegacy+1)); err != nil {
			return "", err
		}
		if len(message) > maxLegacy {
			return "", fmt.Errorf("a file of more than %d MiB has to be signed by its sum", maxLegacy>>20)
		}
	}
	public := ed25519.PublicKey(k.key[:])
	if !ed25519.Verify(public, message, s.sig[:]) {
		return "", fmt.Errorf("%w: the file is not what was signed", ErrSignature)
	}
	if !ed25519.Verify(public, append(bytes.Clone(s.sig[:]), s.comment...), s.global[:]) {
		return "", fmt.Errorf("%w: the comment is not what was signed", ErrSignature)
	}
	return s.comment, nil
}
