package admin

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"mtguard/control"
	"mtguard/security/access"
)

// ChangeOptions go with every change: see control.Options.
type ChangeOptions struct {
	Reason         string
	IfRevision     int64 // 0: whatever revision the object has
	IdempotencyKey string
	DryRun         bool
	Force          bool
	RevertAfter    control.Duration // of the changes of the policy that can: see control.Options
	From           netip.Addr       // where whoever asks comes from, as far as is known: see control.Actor
}

// UserBody makes a user. It may hold a secret, and prints without it.
type UserBody struct {
	Name           string         `json:"name" minLength:"1" maxLength:"64"`
	Level          *access.Level  `json:"level,omitempty" enum:"none,read_only,standard,admin,superuser" doc:"left out: standard"`
	Expires        *time.Time     `json:"expires,omitempty" doc:"left out: never"`
	Quota          *control.Quota `json:"quota,omitempty" doc:"left out: no bound"`
	MaxConnections int            `json:"max_connections,omitempty" minimum:"0" doc:"0: no bound"`
	MaxAddresses   int            `json:"max_addresses,omitempty" minimum:"0" doc:"0: no bound"`
	Domain         string         `json:"domain,omitempty" maxLength:"253" doc:"server name in this user's fake-TLS links; left out: the node's"`
	Note           string         `json:"note,omitempty" maxLength:"1024"`
	Secret         string         `json:"secret,omitempty" maxLength:"1024" writeOnly:"true" doc:"an existing secret to go on with; left out: a fresh one is drawn"`
}

// Format prints b without its secret, whatever the verb.
func (b UserBody) Format(f fmt.State, _ rune) { io.WriteString(f, "user "+b.Name) }

// LogValue is what Format prints.
func (b UserBody) LogValue() slog.Value { return slog.StringValue("user " + b.Name) }

// UserPatch changes what is not nil. To take something away again say so: the
// level's name, expires "never", a quota of 0 bytes, 0 connections, a domain or a
// note of "".
type UserPatch struct {
	Level          *access.Level  `json:"level,omitempty" enum:"none,read_only,standard,admin,superuser"`
	Disabled       *bool          `json:"disabled,omitempty"`
	Expires        *Expiry        `json:"expires,omitempty" doc:"a time (RFC 3339), or never"`
	Quota          *control.Quota `json:"quota,omitempty" doc:"0 bytes: no bound"`
	MaxConnections *int           `json:"max_connections,omitempty" minimum:"0" doc:"0: no bound"`
	MaxAddresses   *int           `json:"max_addresses,omitempty" minimum:"0" doc:"0: no bound"`
	Domain         *string        `json:"domain,omitempty" maxLength:"253" doc:"empty: the node's"`
	Note           *string        `json:"note,omitempty" maxLength:"1024"`
}

// Expiry is a time at which something ends; the zero Expiry is never.
type Expiry time.Time

const never = "never"

// String is the time as in RFC 3339, or never.
func (e Expiry) String() string {
	if time.Time(e).IsZero() {
		return never
	}
	return time.Time(e).UTC().Format(time.RFC3339)
}

// MarshalText is String.
func (e Expiry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what String writes.
func (e *Expiry) UnmarshalText(text []byte) error {
	if string(text) == never {
		*e = Expiry{}
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil || t.IsZero() {
		return fmt.Errorf("want a time like 2026-01-31T12:00:00Z, or never")
	}
	*e = Expiry(t)
	return nil
}

// RotateBody rotates the secret of User, or with All everybody's; with another
// Purpose than "user" what seals: then only Suite (seal) and File (master) apply.
type RotateBody struct {
	Purpose string            `json:"purpose,omitempty" enum:"user,seal,store,master" doc:"user: users' secrets (the default); seal: the key that seals blobs; store: the keys that seal the store; master: the key-encryption key"`
	User    string            `json:"user,omitempty" maxLength:"64" doc:"whose secret"`
	All     bool              `json:"all,omitempty" doc:"everybody's"`
	Overlap *control.Duration `json:"overlap,omitempty" doc:"how long the old secret works beside the new one; left out: the schedule's"`
	At      *time.Time        `json:"at,omitempty" doc:"when the new one takes over; left out: now"`
	Window  *control.Duration `json:"window,omitempty" doc:"of all: spread over so long"`
	Suite   string            `json:"suite,omitempty" maxLength:"32" doc:"of the new key that seals blobs"`
	File    string            `json:"file,omitempty" maxLength:"4096" doc:"on the node: the new master key, when the node may not write the place it reads it from"`
}

// RevokeBody revokes a key. Replace gives its user a new secret in the same step.
type RevokeBody struct {
	Replace bool `json:"replace,omitempty"`
}

// list is a page of a list. NextCursor, given as cursor, goes on behind it; it is
// empty on the last page.
type list[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// AuditKeyBody is the public key that checkpoints of the audit log are verified with.
type AuditKeyBody struct {
	Key string `json:"key" doc:"in the form of golang.org/x/mod/sumdb/note"`
}
