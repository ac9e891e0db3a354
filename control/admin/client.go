package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mtguard/control"
	"mtguard/security/token"
)

// apiPath begins every path of the API.
const apiPath = "/api/v1"

// maxAnswer is more than the links of 10,000 users take.
const maxAnswer = 64 << 20

// Client talks to a node over its Unix socket, or over HTTP with a token. A refusal is a *control.Error, the
// same as if the control plane had been called; an *UnreachableError means that
// nobody answered. It may be used concurrently.
type Client struct {
	socket  string // or the address of the dashboard
	base    string // of every address that is asked
	bearer  token.Token
	timeout time.Duration
	http    http.Client
}

// NewClient returns a client of the node at socket. It connects when something is
// asked. Unless timeout is 0, a call takes no longer; rotations and a verification
// of the audit log, which take long with many users and rows, have some minutes at
// least, and calls that move a blob, a backup or a log are bounded by their context
// alone.
func NewClient(socket string, timeout time.Duration) *Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
		MaxIdleConns:       4,
		IdleConnTimeout:    30 * time.Second,
	}
	return &Client{socket: socket, base: "http://mtguard", timeout: timeout, http: http.Client{Transport: transport, CheckRedirect: stay}}
}

// stay follows no redirect: a token is for one address.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// NewWebClient returns a client of the node whose dashboard is at address, such as
// https://admin.example.com:8380, for a program that has a token. Plain http is only
// taken to the machine itself, where a tunnel may begin: a token never goes over a
// network in the clear.
func NewWebClient(address string, t token.Token, timeout time.Duration) (*Client, error) {
	at, err := url.Parse(address)
	switch {
	case err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" || strings.Trim(at.Path, "/") != "":
		return nil, errors.New("the address of a node is like https://admin.example.com:8380")
	case at.Scheme == "http" && at.Hostname() != localhost && !isLoopback(at.Hostname()):
		return nil, errors.New("without TLS a token is sent to this machine only: use https, or a tunnel: ssh -L 8380:localhost:8380 …")
	case at.Scheme != "http" && at.Scheme != "https":
		return nil, errors.New("the address of a node begins with https://, or with http:// on this machine")
	}
	transport := &http.Transport{
		DisableCompression: true, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	base := at.Scheme + "://" + at.Host
	return &Client{socket: base, base: base, bearer: t, timeout: timeout, http: http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one request.
type call struct {
	method string
	path   string // below apiPath, escaped
	query  url.Values
	header http.Header
	body   io.Reader
	media  string // of body
	long   bool   // has more time
}

// longCall is the least that a long call may take: more than rotating 10,000 users
// and sealing everything again does.
const longCall = 5 * time.Minute

// get returns a call that reads. Pairs are names and values of the query; those
// without a value are left out.
func get(path string, pairs ...string) call {
	k := call{method: http.MethodGet, path: path, query: url.Values{}, header: http.Header{}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			k.query.Set(pairs[i], pairs[i+1])
		}
	}
	return k
}

// change returns a call that changes something. A nil body is none.
func change(method, path string, body any, o ChangeOptions) (call, error) {
	k := get(path, "reason", o.Reason)
	k.method = method
	if o.DryRun {
		k.query.Set("dry_run", "true")
	}
	if o.Force {
		k.query.Set("force", "true")
	}
	if o.RevertAfter != 0 {
		k.query.Set("revert_after", o.RevertAfter.String())
	}
	if o.IdempotencyKey != "" {
		k.header.Set("Idempotency-Key", o.IdempotencyKey)
	}
	if o.IfRevision != 0 {
		k.header.Set("If-Match", etag(o.IfRevision))
	} else if method != http.MethodPost {
		k.header.Set("If-Match", "*")
	}
	if o.From.IsValid() {
		k.header.Set(fromHeader, o.From.String())
	}
	return k, k.encode(body)
}

func (k *call) encode(body any) error {
	if body == nil {
		return nil
	}
	b, err := json.Marshal(body)
	if err != nil {
		return &control.Error{Kind: control.Invalid, Text: err.Error()}
	}
	k.body, k.media = bytes.NewReader(b), "application/json"
	return nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// segment is text as one segment of a path. What a path cannot hold as one
// segment names nothing.
func segment(field, text string) (string, error) {
	if text == "" || text == "." || text == ".." {
		return "", &control.Error{Kind: control.Invalid, Field: field, Text: fmt.Sprintf("%q is no %s", text, field)}
	}
	return url.PathEscape(text), nil
}

// do sends k and reads the answer into answer, within the client's timeout.
func (c *Client) do(ctx context.Context, k call, answer any) error {
	within := c.timeout
	if k.long {
		within = max(within, longCall)
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	response, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return c.cutOff(ctx, err)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: is it the socket of mtguard, in this version?", c.socket)
	}
	return nil
}

// send sends k. The caller closes the body of the response, which is one of
// success.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	address := c.base + apiPath + k.path
	if len(k.query) > 0 {
		address += "?" + k.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, k.method, address, k.body)
	if err != nil {
		return nil, err
	}
	request.Header = k.header
	if c.bearer != (token.Token{}) {
		request.Header.Set("Authorization", "Bearer "+c.bearer.Reveal())
	}
	if k.body != nil {
		request.Header.Set("Content-Type", k.media)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusUnauthorized {
		return nil, &control.Error{Kind: control.Denied, Text: "the node at " + c.socket + " does not take this token",
			Fix: "it may be revoked, expired, or bound to other addresses; or this is no node: mtguard token list, at the node"}
	}
	return nil, c.refused(response)
}

// refused is the error of a response that is no success.
func (c *Client) refused(response *http.Response) error {
	var p Problem
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&p)
	if media != problemMedia || err != nil {
		return fmt.Errorf("%s answered %s: is it the socket of mtguard?", c.socket, response.Status)
	}
	return p.refusal()
}

// cutOff is the error of an answer that ended early. What the caller has got of
// it is not the whole.
func (c *Client) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.unreachable(ctx, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer was cut off: see the node's log")
	}
	return fmt.Errorf("the answer was cut off: %w", err)
}
