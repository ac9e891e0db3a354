// Package token makes and reads the credentials of management: API tokens, the
// cookies of browsers, and one-time sign-in codes. All are one form of text,
//
//	mtg_k3v5x…_q7w2…
//
// a kind that scanners of secrets can search for, an id that is no secret and finds
// the record, and 256 random bits. Who keeps credentials keeps the [Digest] alone;
// with that many bits a fast hash does, and nothing can be won by guessing.
//
// There is no checksum: a text that differs in any character is another token. A
// [Token] prints without its secret under every verb, in logs and as JSON; only
// Reveal has it. All of it may be used concurrently.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Kind says what a token is for. One is never taken for another: the kind is under
// the digest too.
type Kind string

// The kinds.
const (
	API     Kind = "mtg" // of programs, in the header Authorization
	Session Kind = "mts" // of a browser, in a cookie
	Code    Kind = "mte" // signs a person in once
)

const (
	idBytes     = 10
	secretBytes = 32
	idLength    = 16 // idBytes in base32
	secretChars = 52 // secretBytes in base32
	// Length is that of every token's text.
	Length = kindLength + 1 + idLength + 1 + secretChars

	kindLength = 3
	alphabet   = "abcdefghijklmnopqrstuvwxyz234567"
)

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Token is one credential with its secret. The zero Token is none.
type Token struct {
	kind Kind
	id   string
	text string
}

// Digest is what is kept of a token: the SHA-256 of its text.
type Digest [sha256.Size]byte

// New draws a token.
func New(kind Kind) Token {
	var b [idBytes + secretBytes]byte
	rand.Read(b[:]) // never fails
	id := encoding.EncodeToString(b[:idBytes])
	return Token{kind, id, string(kind) + "_" + id + "_" + encoding.EncodeToString(b[idBytes:])}
}

// Parse reads the text of a token of that kind. It says nothing about whether anybody
// ever made it. The text may come from a stranger: it is not kept unless ok, and
// nothing of it is longer than Length.
func Parse(kind Kind, text string) (t Token, ok bool) {
	if len(text) != Length || text[:kindLength] != string(kind) || text[kindLength] != '_' || text[kindLength+1+idLength] != '_' {
		return Token{}, false
	}
	id := text[kindLength+1:][:idLength]
	if !plain(id) || !plain(text[Length-secretChars:]) {
		return Token{}, false
	}
	text = strings.Clone(text) // it may be part of a whole request
	return Token{kind, text[kindLength+1:][:idLength], text}, true
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// ID finds the token's record; it is no secret. It is "" of the zero Token.
func (t Token) ID() string { return t.id }

// Kind is the token's.
func (t Token) Kind() Kind { return t.kind }

// Reveal is the text with the secret, for whoever the token is handed to.
func (t Token) Reveal() string { return t.text }

// Digest is what to keep of t.
func (t Token) Digest() Digest { return sha256.Sum256([]byte(t.text)) }

// Is reports whether t is the token that d is of, in a time that does not depend on
// how much of it is right. The zero Token is none.
func (d Digest) Is(t Token) bool {
	of := t.Digest()
	return subtle.ConstantTimeCompare(d[:], of[:]) == 1 && t.text != ""
}

// String is the token without its secret.
func (t Token) String() string {
	if t.text == "" {
		return "no token"
	}
	return string(t.kind) + "_" + t.id + "_…"
}

// Format prints String, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String: encoded, a token is no token any more.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
