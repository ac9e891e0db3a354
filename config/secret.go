package config

import (
	"fmt"
	"log/slog"
)

// Secret is a secret as it was written, not yet parsed. Every usual way of
// printing it prints a placeholder; only Reveal gives the text.
type Secret struct {
	// Behind a pointer, because fmt ignores methods of unexported fields but
	// does not follow nested pointers.
	text *string
}

const hidden = "[secret]"

// NewSecret wraps text. The empty text is the zero Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text; the caller must not log it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// String returns a placeholder, or nothing for the zero Secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return hidden
}

// Format prints the placeholder whatever the verb.
func (s Secret) Format(w fmt.State, _ rune) { fmt.Fprint(w, s.String()) }

// LogValue returns the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the placeholder, so JSON and TOML encoders print it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
