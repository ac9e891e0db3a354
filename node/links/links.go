// Package links says which links a node's users have: `mtguard run` prints them at start
// and `mtguard link` later, and both must agree. It serves nobody and opens no listener.
//
//	list, err := links.Keys(file, stored)            // who may connect
//	at, err := links.Locate(file.Proxy.PublicAddress, listen) // where to
//	items, err := links.All(list, file.Proxy.Transports, domain, at)
//	err = links.Write(os.Stdout, items, links.Style{QR: true})
//
// Everything here is a function of its arguments, but for the question which address this
// machine uses towards the internet. All of it may be called concurrently.
package links

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"mtguard/config"
	"mtguard/mtproto"
	"mtguard/security/keys"
)

// DefaultUser is the user of a node without users.
const DefaultUser = "default"

// Item is one link: what one user gives to his app for one transport. It holds the secret,
// so it formats and logs without it; only JSON has it all.
type Item struct {
	User   string `json:"user"`
	Kind   string `json:"kind"` // faketls, secure or classic
	Secret string `json:"secret"`
	TG     string `json:"tg"`
	HTTPS  string `json:"https"`
}

// String names the link without telling it.
func (i Item) String() string { return i.Kind + " link of " + i.User }

// Format prints String whatever the verb.
func (i Item) Format(w fmt.State, _ rune) { io.WriteString(w, i.String()) }

// LogValue returns String.
func (i Item) LogValue() slog.Value { return slog.StringValue(i.String()) }

// Keys returns the keys of all users of f, in their order, after f.LoadSecrets. Without
// users it is the default user's, whose secret stored returns.
func Keys(f *config.File, stored func() (string, error)) ([]*keys.Key, error) {
	if err := f.LoadSecrets(Inspect); err != nil {
		return nil, err
	}
	if len(f.Users) == 0 {
		text, err := stored()
		if err != nil {
			return nil, err
		}
		secret, err := keys.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("default secret: %w", err)
		}
		return []*keys.Key{keys.NewKey(DefaultUser, secret)}, nil
	}
	list := make([]*keys.Key, len(f.Users))
	for i, user := range f.Users {
		secret, err := keys.ParseSecret(user.Secret.Reveal())
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", user.Name, err)
		}
		list[i] = keys.NewKey(user.Name, secret)
	}
	return list, nil
}

// Inspect is the look config takes at a secret.
func Inspect(text string) (config.SecretInfo, error) {
	secret, err := keys.ParseSecret(text)
	if err != nil {
		return config.SecretInfo{}, err
	}
	return config.SecretInfo{Domain: secret.Domain(), ID: string(secret.ID())}, nil
}

// NewSecret makes the text of a fresh secret: 32 hex digits, or an ee one when there is a
// domain.
func NewSecret(domain string) (string, error) {
	secret, err := keys.NewSecret(rand.Reader, domain)
	if err != nil {
		return "", err
	}
	if domain != "" {
		return secret.Encode(mtproto.FakeTLS, ""), nil
	}
	return secret.Encode(mtproto.Classic, ""), nil
}

// All returns one link for each key and transport, users in the given order. domain goes into
// the fake-TLS links of secrets that name none themselves.
func All(list []*keys.Key, transports []string, domain string, at Address) ([]Item, error) {
	items := make([]Item, 0, len(list)*len(transports))
	for _, key := range list {
		for _, name := range transports {
			transport, err := mtproto.ParseTransport(name)
			if err != nil {
				return nil, err
			}
			server := domain
			if key.Domain() != "" {
				server = key.Domain()
			}
			text := key.Secret().Encode(transport, server)
			if text == "" {
				return nil, fmt.Errorf("user %s: a %s link needs a server name", key.User(), name)
			}
			link := keys.Link{Server: at.Host, Port: at.Port, Secret: text}
			items = append(items, Item{User: key.User(), Kind: name, Secret: text, TG: link.TG(), HTTPS: link.HTTPS()})
		}
	}
	return items, nil
}

// Style says how Write shows links.
type Style struct {
	QR     bool // a code below each link
	Colour bool // the code in black on white, whatever the terminal's colours
}

// Write shows links to a person.
func Write(w io.Writer, items []Item, style Style) error {
	var out strings.Builder
	for i, item := range items {
		if i > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s (%s)\n  %s\n  %s\n", item.User, item.Kind, item.TG, item.HTTPS)
		if style.QR {
			code, err := QR(item.TG, style.Colour)
			if err != nil {
				return err
			}
			out.WriteString(code)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
