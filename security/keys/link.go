package keys

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// Link is an invitation to use the proxy. Its Secret field and the two texts are
// the secret itself; the value as a whole formats and logs without it.
type Link struct {
	Server string // host name, IPv4, or IPv6 without brackets
	Port   uint16
	Secret string // from Secret.Encode
}

// TG is the form that opens the app.
func (l Link) TG() string { return "tg://proxy?" + l.query() }

// HTTPS is the form that any browser opens.
func (l Link) HTTPS() string { return "https://t.me/proxy?" + l.query() }

func (l Link) query() string {
	// Apps read the colons of an IPv6 address escaped or not; people read them better.
	server := strings.ReplaceAll(url.QueryEscape(l.Server), "%3A", ":")
	return "server=" + server + "&port=" + strconv.Itoa(int(l.Port)) + "&secret=" + url.QueryEscape(l.Secret)
}

// String says where the link leads.
func (l Link) String() string { return "link to " + l.Server + " port " + strconv.Itoa(int(l.Port)) }

// GoString is String.
func (l Link) GoString() string { return l.String() }

// Format is String for every verb.
func (l Link) Format(f fmt.State, _ rune) { io.WriteString(f, l.String()) }

// LogValue is String for slog.
func (l Link) LogValue() slog.Value { return slog.StringValue(l.String()) }
