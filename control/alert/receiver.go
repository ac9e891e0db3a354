package alert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kinds of receivers.
const (
	KindWebhook      = "webhook"
	KindAlertmanager = "alertmanager"
	KindTelegram     = "telegram"
	KindSyslog       = "syslog"
	KindJSONL        = "jsonl"
	KindPing         = "ping" // told nothing, but that all is well
)

// Formats of what a receiver is sent.
const (
	FormatJSON = "json" // Message as it is
	FormatOCSF = "ocsf" // Detection Finding and Incident Finding
)

// Receiver is where messages go. It prints without its secret and its URL, which may be
// one too.
type Receiver struct {
	// Name is how commands and metrics call it: unique.
	Name, Kind string
	// URL is https or http for webhook, alertmanager (its root), telegram (the API; "" is
	// Telegram's own) and ping; tls://host:port for syslog; file:///path for jsonl.
	URL         string
	MinSeverity Severity // less severe messages are not for it
	Format      string   // of webhook, syslog and jsonl: FormatJSON or FormatOCSF; "": json
	// Secret is the key of the signature (webhook), the bot's token (telegram), or a
	// bearer token (alertmanager); "": none.
	Secret string
	Chat   string         // of telegram: the chat's number or @name
	Roots  *x509.CertPool // whose certificates are good; nil: the system's
}

// String is the kind and the name.
func (r Receiver) String() string { return r.Kind + " " + r.Name }

// GoString is String.
func (r Receiver) GoString() string { return r.String() }

// LogValue is String.
func (r Receiver) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is String.
func (r Receiver) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// check says what is wrong with a receiver.
func (r Receiver) check() error {
	if r.Name == "" || len(r.Name) > maxCode {
		return errors.New("a receiver has a name of 1 to 64 bytes")
	}
	if r.MinSeverity < Info || r.MinSeverity > Critical {
		return fmt.Errorf("receiver %s: no least severity", r.Name)
	}
	schemes := map[string][]string{
		KindWebhook: {"https", "http"}, KindAlertmanager: {"https", "http"}, KindTelegram: {"https", "http"}, KindPing: {"https", "http"},
		KindSyslog: {"tls"}, KindJSONL: {"file"},
	}[r.Kind]
	at, err := url.Parse(r.URL)
	switch {
	case schemes == nil:
		return fmt.Errorf("receiver %s: no kind %q", r.Name, r.Kind)
	case r.Kind == KindTelegram && r.URL == "":
	case err != nil || !slices.Contains(schemes, at.Scheme): // the error quotes the URL
		return fmt.Errorf("receiver %s: a %s has a url that begins with %s://", r.Name, r.Kind, strings.Join(schemes, ":// or "))
	case r.Kind == KindJSONL:
		if at.Host != "" || !filepath.IsAbs(at.Path) {
			return fmt.Errorf("receiver %s: a file is file:///with/its/path", r.Name)
		}
	case at.Hostname() == "":
		return fmt.Errorf("receiver %s: its url has no host", r.Name)
	case r.Kind == KindSyslog && at.Port() == "":
		return fmt.Errorf("receiver %s: syslog has a port, 6514 in most cases", r.Name)
	}
	if r.Kind == KindTelegram && (r.Secret == "" || r.Chat == "") {
		return fmt.Errorf("receiver %s: telegram takes the bot's token and a chat", r.Name)
	}
	if !slices.Contains([]string{"", FormatJSON, FormatOCSF}, r.Format) {
		return fmt.Errorf("receiver %s: no format %q", r.Name, clip(r.Format, 32))
	}
	return nil
}

// target is where it goes, as far as it may be shown: paths and queries of webhooks are
// secrets of their own.
func (r Receiver) target() string {
	at, err := url.Parse(r.URL)
	switch {
	case r.Kind == KindTelegram:
		return "chat " + r.Chat
	case err != nil:
		return ""
	case r.Kind == KindJSONL:
		return at.Path
	}
	return at.Scheme + "://" + at.Host
}

// sender delivers to one receiver. It is of one goroutine at a time, but for test, which
// is another sender.
type sender interface {
	// send returns when all messages were taken, or none can be said to be. answer is what
	// the receiver said, for people.
	send(ctx context.Context, batch []Message) (answer string, err error)
	// most is how many messages go at once.
	most() int
	// pause is what the receiver wants between two sendings.
	pause() time.Duration
	close()
}

// failure is why something was not delivered.
type failure struct {
	text  string
	after time.Duration // the receiver said so; 0: it did not
	// final: the receiver will not take this message however often it comes.
	final bool
}

func (f *failure) Error() string { return f.text }

// timeout bounds one sending.
const timeout = 15 * time.Second

// newSender makes the sender of a receiver that was checked.
func (r Receiver) newSender(id identity) sender {
	h := newHTTP(r)
	switch r.Kind {
	case KindWebhook:
		return &webhook{h, r, time.Now}
	case KindAlertmanager:
		return &alertmanager{h, r, id}
	case KindTelegram:
		return &telegram{h, r}
	case KindSyslog:
		return &syslog{r: r, id: id, dial: tlsDialer(r)}
	case KindJSONL:
		return &jsonl{r}
	default:
		return &ping{h, r}
	}
}

// identity is who speaks.
type identity struct{ node, version string }

func tlsDialer(r Receiver) func(ctx context.Context, address string) (*tls.Conn, *net.TCPConn, error) {
	return func(ctx context.Context, address string) (*tls.Conn, *net.TCPConn, error) {
		var d net.Dialer
		plain, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		host, _, _ := net.SplitHostPort(address)
		c := tls.Client(plain, &tls.Config{ServerName: host, RootCAs: r.Roots, MinVersion: tls.VersionTLS12})
		if err := c.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, nil, err
		}
		return c, plain.(*net.TCPConn), nil
	}
}

// explain is err as a failure that holds no secret: the receiver's own words may repeat
// what they were sent, and errors of package net/http quote URLs.
func (r Receiver) explain(err error) *failure {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		text := err.Error()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			text = fmt.Sprintf("no answer within %v", timeout)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			text = "the receiver closed the connection without an answer"
		}
		f = &failure{text: text}
	}
	out := *f
	out.text = r.scrub(f.text)
	return &out
}

// scrub takes secrets out of a text and bounds it.
func (r Receiver) scrub(text string) string {
	hide := []string{r.Secret}
	if at, err := url.Parse(r.URL); err == nil && r.Kind != KindJSONL {
		hide = append(hide, r.URL)
		if len(at.Path) > 1 {
			hide = append(hide, at.Path, at.EscapedPath())
		}
		if at.RawQuery != "" {
			hide = append(hide, at.RawQuery)
		}
		if at.User != nil {
			hide = append(hide, at.User.String())
			if p, _ := at.User.Password(); p != "" {
				hide = append(hide, p)
			}
		}
	}
	slices.SortFunc(hide, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range hide {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	return clip(text, 300)
}
