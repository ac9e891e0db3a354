package tgsim

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

var (
	errSecret = errors.New("not a proxy secret") // says nothing of the text: it may be nearly one
	errLink   = errors.New("not a proxy link")
)

// NewClient makes a client from a secret in the text forms that apps take (1.1,
// 1.2), with the transport an app would use: a plain secret gives
// ClassicIntermediate.
func NewClient(proxy, secret string) (*Client, error) {
	b, err := decodeSecret(secret)
	if err != nil {
		return nil, err
	}
	c := &Client{Proxy: proxy, DC: 2}
	switch {
	case len(b) == 16:
		c.Transport, c.Secret = ClassicIntermediate, b
	case len(b) == 17 && b[0] == 0xdd:
		c.Transport, c.Secret = Secure, b[1:]
	case len(b) > 17 && len(b) <= 17+182 && b[0] == 0xee:
		c.Transport, c.Secret, c.Domain = FakeTLS, b[1:17], string(b[17:])
	default:
		return nil, errSecret
	}
	return c, nil
}

func decodeSecret(text string) ([]byte, error) {
	if b, err := hex.DecodeString(text); err == nil {
		return b, nil
	}
	bare := strings.TrimRight(text, "=")
	if b, err := base64.RawURLEncoding.DecodeString(bare); err == nil {
		return b, nil
	}
	if b, err := base64.RawStdEncoding.DecodeString(bare); err == nil {
		return b, nil
	}
	return nil, errSecret
}

// FromLink makes the client of somebody who opens a tg:// or https://t.me link.
func FromLink(link string) (*Client, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, errLink // the parser's error would quote the secret
	}
	q := u.Query()
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	inApp := u.Scheme == "tg" && u.Host == "proxy"
	onWeb := u.Scheme == "https" && u.Host == "t.me" && u.Path == "/proxy"
	if err != nil || port == 0 || q.Get("server") == "" || !inApp && !onWeb {
		return nil, errLink
	}
	c, err := NewClient(net.JoinHostPort(q.Get("server"), strconv.FormatUint(port, 10)), q.Get("secret"))
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return c, nil
}
