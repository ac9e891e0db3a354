package pages

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// coverSite is a web site with its ways, written on the same HTTP library as ours: so answers can be compared byte for byte, framing
// included, but for the order of the fields, which the library chooses.
type coverSite struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // requests as they came
}

func newCoverSite(t *testing.T) *coverSite {
	t.Helper()
	site := &coverSite{}
	site.Server = httptest.NewUnstartedServer(http.HandlerFunc(site.serve))
	site.Config.DisableGeneralOptionsHandler = true
	site.StartTLS()
	t.Cleanup(site.Close)
	return site
}

func (s *coverSite) serve(w http.ResponseWriter, r *http.Request) {
	sent, _ := io.ReadAll(r.Body)
	var fields strings.Builder
	r.Header.WriteSubset(&fields, map[string]bool{"Connection": true})
	s.mu.Lock()
	s.seen = append(s.seen, fmt.Sprintf("%s %s Host: %s\n%s%v %d %q", r.Method, r.RequestURI, r.Host, fields.String(), r.TransferEncoding, r.ContentLength, sent))
	s.mu.Unlock()
	h := w.Header()
	h.Set("Date", "Mon, 16 Nov 2026 08:00:00 GMT")
	h.Set("Server", "a-web-server/1.2.3")
	switch {
	case r.URL.Path == "/" && r.Method == "GET":
		h["Set-Cookie"] = []string{"a=1; Path=/", "b=2; Secure"}
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		h.Set("Content-Type", "text/html")
		h.Set("Connection", "keep-alive")
		io.WriteString(w, "<h1>Welcome</h1>")
	case r.URL.Path == "/bare":
		h["Date"], h["Content-Type"] = nil, nil
		io.WriteString(w, "<html>no date and no type</html>")
	case r.URL.Path == "/stream":
		h.Set("Content-Type", "text/event-stream")
		io.WriteString(w, "one part")
		w.(http.Flusher).Flush()
	case r.URL.Path == "/empty-stream":
		w.(http.Flusher).Flush()
	case r.URL.Path == "/packed":
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Type", "text/plain")
		z := gzip.NewWriter(w)
		io.WriteString(z, "accepted: "+r.Header.Get("Accept-Encoding"))
		z.Close()
	case r.URL.Path == "/moved":
		h.Set("Location", "https://www.example.com/new place?a=b")
		w.WriteHeader(http.StatusFound)
	case r.URL.Path == "/same":
		h.Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("range content"))
	case r.URL.Path == "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/last":
		h.Set("Connection", "close")
		io.WriteString(w, "bye")
	case r.Method == "OPTIONS":
		h.Set("Allow", "GET, HEAD")
	case r.Method == "TRACE":
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "There is no %s here; you sent %q.", r.URL.Path, sent)
	}
}

// take returns the requests since the last call.
func (s *coverSite) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

const coverName = "example.com" // what httptest's certificate is for

func (s *coverSite) site() Site { return Site{Address: s.Listener.Addr().String(), Name: coverName} }

func (s *coverSite) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// inFront returns the address of pages whose cover is s, served by Serve.
func (s *coverSite) inFront(t *testing.T, o Options) string {
	t.Helper()
	o.Cover = s.site
	transport := newTransport(s.site, 8)
	transport.TLSClientConfig = &tls.Config{RootCAs: s.roots()}
	o.Transport = transport
	return serve(t, newTest(t, o), ServeOptions{})
}

// serve runs Serve until the test ends and returns its address.
func serve(t *testing.T, h http.Handler, o ServeOptions) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, h, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// exchange sends bytes and returns all that comes back until the end of the answer or the connection.
func exchange(t *testing.T, conn net.Conn, method, said string) string {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &raw))
	answer, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	head, rest, _ := strings.Cut(raw.String(), "\r\n\r\n")
	fields := strings.Split(head, "\r\n")
	slices.Sort(fields[1:])
	return strings.Join(fields, "\r\n") + "\r\n\r\n" + rest
}

// Whoever asks for what is no page gets what the cover site gives for the very same bytes but for the Host: compared byte for byte, the fields in
// whatever order. And the cover site sees the very same request.
func TestStrangersSeeTheCoverSite(t *testing.T) {
	site := newCoverSite(t)
	closed := tokens("closed")()
	address := site.inFront(t, Options{})
	for name, said := range map[string]string{
		"an unknown token":                 "GET /u/" + wrong + " HTTP/1.1\r\nHost: %s\r\nUser-Agent: curl/8\r\n\r\n",
		"a closed page":                    "GET /u/" + closed + " HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nUser-Agent: x\r\n\r\n",
		"an unknown document":              "GET /u/" + wrong + ".json HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nIf-None-Match: \"x\"\r\n\r\n",
		"a malformed token":                "GET /u/" + right[:21] + " HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a token of another form":          "GET /u/" + right + "x HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a token at another path":          "GET /v/" + wrong + " HTTP/1.1\r\nHost: %s\r\n\r\n",
		"the start page":                   "GET / HTTP/1.1\r\nHost: %s\r\nAccept-Language: fa\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nReferer: https://x.example/\r\n\r\n",
		"the language switch of none":      "GET /?lang=fa HTTP/1.1\r\nHost: %s\r\n\r\n",
		"HEAD":                             "HEAD /u/" + wrong + " HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a form":                           "POST /u/" + wrong + " HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=b&c=d",
		"a body of unknown length":         "PUT /x HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"an empty form":                    "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"DELETE":                           "DELETE /u/" + wrong + " HTTP/1.1\r\nHost: %s\r\n\r\n",
		"OPTIONS":                          "OPTIONS /u/" + wrong + " HTTP/1.1\r\nHost: %s\r\nOrigin: https://x.example\r\n\r\n",
		"OPTIONS *":                        "OPTIONS * HTTP/1.1\r\nHost: %s\r\n\r\n",
		"TRACE":                            "TRACE / HTTP/1.1\r\nHost: %s\r\n\r\n",
		"CONNECT":                          "CONNECT %[1]s:443 HTTP/1.1\r\nHost: %[1]s\r\n\r\n",
		"a method of one's own":            "BREW /pot HTTP/1.1\r\nHost: %s\r\n\r\n",
		"letters that need no escape":      "GET /%%7Eme/a%%2Fb/%%20?x=%%20&y=a+b&&z HTTP/1.1\r\nHost: %s\r\n\r\n",
		"letters that would need one":      "GET /a|b\"<c>^`{}\\d?q=<\"> HTTP/1.1\r\nHost: %s\r\n\r\n",
		"letters beyond ASCII":             "GET /\xd8\xb3?\xd8\xb3 HTTP/1.1\r\nHost: %s\r\n\r\n",
		"dots and slashes":                 "GET //u//../%%2e%%2e/./x//?? HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a question mark alone":            "GET /x? HTTP/1.1\r\nHost: %s\r\n\r\n",
		"forged addresses":                 "GET / HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nVia: 1.1 x\r\n\r\n",
		"a path like those of other sites": "GET /wp-login.php HTTP/1.1\r\nHost: %s\r\n\r\n",
		"no date and no type":              "GET /bare HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a stream":                         "GET /stream HTTP/1.1\r\nHost: %s\r\n\r\n",
		"an empty stream":                  "GET /empty-stream HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a packed answer":                  "GET /packed HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: br, gzip\r\n\r\n",
		"a packed answer nobody asked for": "GET /packed HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a redirect":                       "GET /moved HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a part":                           "GET /same HTTP/1.1\r\nHost: %s\r\nRange: bytes=3-6\r\n\r\n",
		"an answer that did not change":    "GET /same HTTP/1.1\r\nHost: %s\r\nIf-None-Match: \"v1\"\r\n\r\n",
		"no content":                       "GET /nothing HTTP/1.1\r\nHost: %s\r\n\r\n",
		"an answer that ends it":           "GET /last HTTP/1.1\r\nHost: %s\r\n\r\n",
		"a request that ends it":           "GET /x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
		"an old browser":                   "GET /x HTTP/1.0\r\nHost: %s\r\n\r\n",
	} {
		method, _, _ := strings.Cut(said, " ")
		direct, err := tls.Dial("tcp", site.Listener.Addr().String(), &tls.Config{RootCAs: site.roots(), ServerName: coverName, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		want := exchange(t, direct, method, fmt.Sprintf(said, coverName))
		wantSeen := site.take()
		ours, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		got := exchange(t, ours, method, fmt.Sprintf(said, "links.example.net"))
		gotSeen := site.take()
		if got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
		}
		if !slices.Equal(gotSeen, wantSeen) {
			t.Errorf("%s: the site saw\n     %q\nwant %q", name, gotSeen, wantSeen)
		}
	}
}

// Asked as a proxy is, a web server takes the path and looks for the name among its own. Ours must not name itself to the site.
func TestARequestInTheFormForProxiesIsPassedOnUnderTheCoversName(t *testing.T) {
	site := newCoverSite(t)
	conn, err := net.Dial("tcp", site.inFront(t, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	got := exchange(t, conn, "GET", "GET http://links.example.net/a%20b?c HTTP/1.1\r\nHost: links.example.net\r\n\r\n")
	if seen := site.take(); len(seen) != 1 || !strings.HasPrefix(seen[0], "GET /a%20b?c Host: example.com\n") || !strings.Contains(got, "There is no /a b here") {
		t.Errorf("the site saw %q and we answered %q", seen, got)
	}
}

// The same over HTTP/2, where the parts of an answer are compared.
func TestStrangersSeeTheCoverSiteOverHTTP2(t *testing.T) {
	site := newCoverSite(t)
	transport := newTransport(site.site, 8)
	transport.TLSClientConfig = &tls.Config{RootCAs: site.roots()}
	h := newTest(t, Options{Cover: site.site, Transport: transport})
	front := httptest.NewUnstartedServer(h)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	for _, path := range []string{"/", "/u/" + wrong, "/bare", "/stream", "/packed", "/same", "/last"} {
		want, err := site.Client().Get(site.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := front.Client().Get(front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if got.ProtoMajor != 2 {
			t.Fatalf("%s came over %s", path, got.Proto)
		}
		removeHopByHop(want.Header)
		removeHopByHop(got.Header)
		if got.StatusCode != want.StatusCode || body(t, got) != body(t, want) || fmt.Sprint(got.Header) != fmt.Sprint(want.Header) {
			t.Errorf("%s:\ngot  %d %v\nwant %d %v", path, got.StatusCode, got.Header, want.StatusCode, want.Header)
		}
	}
}

// A site that was not written in Go may order and spell its fields as it likes: nothing is added, taken away or changed.
func TestNoFieldIsAddedToTheAnswerOfAnotherKindOfServer(t *testing.T) {
	h := newTest(t, Options{Cover: testSite, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		raw := "HTTP/1.1 404 Not Found\r\nserver: nginx\r\nETAG: \"x\"\r\nX-Odd:  1\r\nX-Odd: 2\r\nconnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 4\r\n\r\ngone"
		return http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
	})})
	address := serve(t, h, ServeOptions{})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	got := exchange(t, conn, "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	want := "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nEtag: \"x\"\r\nServer: nginx\r\nX-Odd: 1\r\nX-Odd: 2\r\n\r\ngone"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWithoutACoverSiteEveryStrangerGetsOnePlain404(t *testing.T) {
	unreachable := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") })
	plain := httptest.NewRecorder()
	http.NotFound(plain, nil)
	for name, o := range map[string]Options{
		"none":        {},
		"no name":     {Cover: func() Site { return Site{Address: "192.0.2.80:443"} }, Transport: unreachable},
		"unreachable": {Cover: testSite, Transport: unreachable},
		"a switch": {Cover: testSite, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return answerOf(http.StatusSwitchingProtocols, ""), nil
		})},
	} {
		h := newTest(t, o)
		for _, r := range []*http.Request{
			request("GET", "/u/"+wrong), request("GET", "/"), request("HEAD", "/"), request("POST", "/u/"+right), request("OPTIONS", "*"),
			request("GET", "/u/"+wrong+".json", "Accept", "application/json"), request("GET", "/u/"+right[:20], "Accept-Language", "fa"),
		} {
			answer := do(t, h, r)
			if answer == nil || answer.StatusCode != 404 || body(t, answer) != plain.Body.String() || fmt.Sprint(answer.Header) != fmt.Sprint(plain.Header()) {
				t.Errorf("%s, %s %s: %+v", name, r.Method, r.URL, answer)
			}
		}
		// Holders are served all the same.
		get(t, h, Path(right))
	}
}

// What the cover site may not learn: the tokens in use, and what a proxy of ours has added.
func TestATokenInUseNeverReachesTheCoverSite(t *testing.T) {
	var urls []string
	h := newTest(t, Options{Cover: testSite, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		urls = append(urls, r.URL.RequestURI())
		return answerOf(404, "no such page"), nil
	})})
	for _, method := range []string{"POST", "PUT", "OPTIONS", "PROPFIND", "DELETE"} {
		for _, after := range []string{"", ".json", ")", "?a=b"} {
			if answer := do(t, h, request(method, Path(right)+after)); answer.StatusCode != 404 || body(t, answer) != "no such page" {
				t.Errorf("%s: %+v", method, answer)
			}
		}
	}
	// And when no token with this half is looked up any more.
	for _, half := range nearTokens(30) {
		do(t, h, request("GET", Path(half)))
	}
	urls = urls[:20]
	if answer := do(t, h, request("GET", Path(right))); body(t, answer) != "no such page" {
		t.Error("the limit of near guesses was not reached")
	}
	if len(urls) != 21 {
		t.Fatalf("%d requests", len(urls))
	}
	for _, u := range urls {
		if strings.Contains(u, right) || len(strings.TrimRight(u, ".json)?a=b")) != len(Path(right)) && !strings.HasPrefix(u, "/u/") {
			t.Errorf("the cover site was asked for %s", u)
		}
	}
	if urls[0] != urls[4] {
		t.Error("the same token is masked differently each time")
	}
}

func TestTheFieldsOfOurOwnProxyStayHere(t *testing.T) {
	fields := []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https", "X-Real-Ip", "203.0.113.9", "Via", "1.1 front", "Accept", "text/html"}
	for _, behind := range []bool{true, false} {
		var got http.Header
		h := newTest(t, Options{Cover: testSite, BehindProxy: behind, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			got = r.Header
			return answerOf(404, ""), nil
		})})
		do(t, h, request("GET", "/", fields...))
		if kept := got.Get("X-Real-Ip") != "" || got.Get("Via") != "" || got.Get("X-Forwarded-For") != ""; kept == behind || got.Get("Accept") != "text/html" {
			t.Errorf("behind a proxy %v: the site sees %v", behind, got)
		}
	}
}

func TestAnAnswerThatBreaksOffBreaksOff(t *testing.T) {
	broken := answerOf(200, "")
	broken.ContentLength, broken.Header["Content-Length"] = 100, []string{"100"}
	broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), &failing{}))
	h := newTest(t, Options{Cover: testSite, Transport: roundTripper(func(*http.Request) (*http.Response, error) { return broken, nil })})
	address := serve(t, h, ServeOptions{})
	answer, err := http.Get("http://" + address + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if data, err := io.ReadAll(answer.Body); err == nil || string(data) != "half" {
		t.Errorf("got %q, %v", data, err)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("reset") }

func TestABodyBeyondTheBoundIsNotPassedOn(t *testing.T) {
	var passed int64
	h := newTest(t, Options{Cover: testSite, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		n, err := io.Copy(io.Discard, r.Body)
		passed += n
		if err != nil {
			return nil, err
		}
		return answerOf(200, "thank you"), nil
	})})
	for size, want := range map[int64]int{maxBody: 200, maxBody + 1: 404} {
		passed = 0
		r := httptest.NewRequest("POST", "/upload", io.LimitReader(zeroes{}, size))
		r.ContentLength = -1
		if answer := do(t, h, r); answer.StatusCode != want || passed > maxBody {
			t.Errorf("%d bytes: status %d, %d passed on", size, answer.StatusCode, passed)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAChangeOfTheCoverSiteIsToldOnceAndNamesNobody(t *testing.T) {
	log, text := logged()
	down := true
	h := newTest(t, Options{Cover: testSite, Log: log, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		if down {
			return nil, errors.New("connection refused")
		}
		return answerOf(200, ""), nil
	})})
	for range 50 {
		do(t, h, request("GET", Path(wrong)))
		down = !down
		do(t, h, request("GET", Path(wrong)))
	}
	if got := text(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "192.0.2.80:443") || strings.Contains(got, wrong) || strings.Contains(got, "198.51.100.7") {
		t.Errorf("the log says %s", got)
	}
	h.cover.told.Store(0) // a minute later
	down = false
	do(t, h, request("GET", "/"))
	if got := text(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "again") {
		t.Errorf("the log says %s", got)
	}
}
