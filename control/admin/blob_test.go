package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mtguard/control"
)

func TestBlobsAreBounded(t *testing.T) {
	plane := &fakePlane{}
	h := Handler(plane, quiet(t))
	for name, c := range map[string]struct {
		target, header string
		length         int
	}{
		"sealed": {"/seal", "", MaxBlob + 1}, "opened": {"/open", "", maxSealed + 1},
		"a long context": {"/seal", contextHeader + ": " + base64.RawURLEncoding.EncodeToString(make([]byte, maxContext+1)), 1},
		"no base64":      {"/open", contextHeader + ": ???", 1},
	} {
		headers := []string{"Content-Type: " + blobMedia}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		if w := request(h, root, http.MethodPost, c.target, strings.Repeat("x", c.length), headers...); w.Code/100 != 4 || plane.asked != nil {
			t.Errorf("%s: %d, asked %d", name, w.Code, len(plane.asked))
		}
	}
}

func TestTheLargestBlobPasses(t *testing.T) {
	w := &discard{header: http.Header{}}
	r := httptest.NewRequest(http.MethodPost, apiPath+"/open", io.LimitReader(zeros{}, maxSealed))
	plane := &fakePlane{}
	Handler(plane, quiet(t)).ServeHTTP(w, r.WithContext(WithActor(r.Context(), root)))
	if asked, ok := plane.last().(control.OpenRequest); w.status != http.StatusOK || !ok || len(asked.Sealed) != maxSealed {
		t.Errorf("%d, %d bytes", w.status, len(asked.Sealed))
	}
}

// TestASourceWithoutEndIsNotSentOn: the client stops where the node would.
func TestASourceWithoutEndIsNotSentOn(t *testing.T) {
	source := &sourceReader{from: zeros{}, left: 1000}
	_, err := io.ReadAll(source)
	var refused *control.Error
	if !errors.As(err, &refused) || refused.Kind != control.Invalid || !errors.Is(source.failed(), err) {
		t.Errorf("%v, kept %v", err, source.failed())
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestOnlySoManyBlobsAreInMemory: the next one waits before it is read.
func TestOnlySoManyBlobsAreInMemory(t *testing.T) {
	plane := &blockedPlane{begun: make(chan struct{}), release: make(chan struct{})}
	h := Handler(plane, quiet(t))
	done := make(chan int)
	for range maxBlobs {
		go func() { done <- request(h, root, http.MethodPost, "/seal", "x").Code }()
		<-plane.begun
	}
	ctx, cancel := context.WithCancel(WithActor(context.Background(), root))
	cancel()
	body := &counted{Reader: strings.NewReader("x")}
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, apiPath+"/seal", body)
	w := &discard{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != http.StatusServiceUnavailable || body.reads != 0 {
		t.Errorf("one more: %d after %d reads", w.status, body.reads)
	}
	close(plane.release)
	for range maxBlobs {
		if code := <-done; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
	if w := request(h, root, http.MethodPost, "/open", "x"); w.Code != http.StatusOK {
		t.Errorf("afterwards: %d", w.Code)
	}
}

type blockedPlane struct {
	fakePlane
	begun, release chan struct{}
}

func (p *blockedPlane) Seal(context.Context, control.Actor, control.SealRequest) ([]byte, error) {
	p.begun <- struct{}{}
	<-p.release
	return nil, nil
}

type counted struct {
	io.Reader
	reads int
}

func (c *counted) Read(b []byte) (int, error) { c.reads++; return c.Reader.Read(b) }

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// FuzzRequests: whatever a manager sends, the node answers with less than 500 and
// has nothing to log.
func FuzzRequests(f *testing.F) {
	for i, sample := range samples {
		path, query, _ := strings.Cut(sample.target, "?")
		f.Add(uint8(i), path, query, "*", "k", []byte(sample.body))
	}
	f.Add(uint8(2), "/users", "dry_run=1&reason=%ff", `"1"`, "", []byte(`{"name":"a","expires":"9999-12-31T23:59:59Z","quota":{"bytes":1e300,"per":"day"},"secret":"ee"}`))
	f.Add(uint8(14), "/keys/rotate", "force=x", `"-1"`, "\x00", []byte(`{"purpose":"seal","suite":"","all":null}`))
	f.Fuzz(func(t *testing.T, i uint8, path, query, match, once string, body []byte) {
		r, err := http.NewRequest(routes[int(i)%len(routes)].method, "http://x", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = apiPath+path, query
		r.Header.Set("If-Match", match)
		r.Header.Set("Idempotency-Key", once)
		r.Header.Set(contextHeader, once)
		w := &discard{header: http.Header{}}
		Handler(&fakePlane{}, quiet(t)).ServeHTTP(w, r.WithContext(WithActor(context.Background(), root)))
		if w.status >= 500 {
			t.Errorf("%s %q ? %q: %d", r.Method, path, query, w.status)
		}
	})
}
