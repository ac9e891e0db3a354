package pages

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mtguard/node/links"
	"mtguard/security/keys"
)

const (
	right  = "4YbT0m1xQpW9vN2sKfLr8A"
	wrong  = "5YbT0m1xQpW9vN2sKfLr8w" // shares no half with right
	secret = "ee7c1f0d93a55be24486f2b1093cd86e5a7777772e6578616d706c652e636f6d"
	client = "198.51.100.7:40000"
)

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// fakeSource holds pages by the hash of their token, as a real one must, and writes down what it was asked.
type fakeSource struct {
	mu     sync.Mutex
	pages  map[[32]byte]Page
	asked  []string
	viewed []string
	fault  bool
}

func newSource(pages map[string]Page) *fakeSource {
	s := &fakeSource{pages: make(map[[32]byte]Page)}
	for token, page := range pages {
		s.pages[sha256.Sum256([]byte(token))] = page
	}
	return s
}

func (s *fakeSource) Page(_ context.Context, token string) (Page, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, token)
	if s.fault {
		panic("no page for " + "anybody")
	}
	page, ok := s.pages[sha256.Sum256([]byte(token))]
	return page, ok
}

func (s *fakeSource) Viewed(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewed = append(s.viewed, token)
}

func link(server string) Link {
	return Link{Kind: "faketls", Link: keys.Link{Server: server, Port: 443, Secret: secret}}
}

// fullPage has everything that a page can say.
func fullPage() Page {
	left := int64(3_249_999_999)
	return Page{
		Links:   []Link{link("203.0.113.7"), link("proxy2.example.com")},
		Updated: start.AddDate(0, -1, 0),
		Changes: time.Date(2026, 12, 5, 9, 0, 0, 0, time.UTC), ChangesUntil: time.Date(2026, 12, 12, 9, 0, 0, 0, time.UTC),
		Expires: start.AddDate(0, 4, 0), QuotaLeft: &left, QuotaPer: "month", Note: "Questions? Ask Nadia.",
		Checked: start.Add(-40 * time.Second), Works: true,
	}
}

func plainPage() Page { return Page{Links: []Link{link("203.0.113.7")}} }

// newTest returns a handler with what a test leaves out.
func newTest(t testing.TB, o Options) *Handler {
	t.Helper()
	if o.Source == nil {
		o.Source = newSource(map[string]Page{right: fullPage()})
	}
	if o.QR == nil {
		o.QR = links.SVG
	}
	if o.Now == nil {
		o.Now = func() time.Time { return start }
	}
	h := NewHandler(o)
	t.Cleanup(h.Close)
	return h
}

// do sends a request and returns the answer; nil when the connection was closed without one.
func do(t testing.TB, h http.Handler, r *http.Request) (answer *http.Response) {
	t.Helper()
	w := httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			answer = nil
		}
	}()
	h.ServeHTTP(w, r)
	return w.Result()
}

// request makes one from client; fields are pairs of name and value.
func request(method, target string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = client
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func from(r *http.Request, address string) *http.Request {
	r.RemoteAddr = address + ":40000"
	return r
}

func body(t testing.TB, answer *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// get fetches a page that must be there.
func get(t testing.TB, h http.Handler, target string, fields ...string) (text string, header http.Header) {
	t.Helper()
	answer := do(t, h, request("GET", target, fields...))
	if answer == nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %+v", target, answer)
	}
	return body(t, answer), answer.Header
}

// elements returns the elements of a document by name, as a browser parses it.
func elements(t testing.TB, text string) map[string][]*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	by := make(map[string][]*html.Node)
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			by[n.Data] = append(by[n.Data], n)
		}
	}
	return by
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// words of a node and all below it, with single spaces.
func textOf(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// roundTripper answers for the cover site within the test.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerOf(status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Server": {"cover"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}
}

func testSite() Site { return Site{Address: "192.0.2.80:443", Name: "www.example.com"} }

// logged collects a log.
func logged() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var out strings.Builder
	write := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	})
	return slog.New(slog.NewTextHandler(write, nil)), func() string {
		mu.Lock()
		defer mu.Unlock()
		return out.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// tokens returns different tokens without end; those of one name share no half with those of another.
func tokens(name string) func() string {
	n := 0
	return func() string {
		n++
		sum := sha256.Sum256(fmt.Append(nil, name, n))
		return token(sum[:tokenBytes])
	}
}
