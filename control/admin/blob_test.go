package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control"
)

func TestBlobsAreBounded(t *testing.T) {
	plane := &fakePlane{}
	h := NewAPI(plane, quiet(t)).Handler()
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
	NewAPI(plane, quiet(t)).Handler().ServeHTTP(w, r.WithContext(WithActor(r.Context(), root)))
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
	synctest.Test(t, func(t *testing.T) {
		plane := &fakePlane{}
		release := make(chan struct{})
		plane.during = func(context.Context) { <-release }
		h := NewAPI(plane, quiet(t)).Handler()
		bodies := make([]*counted, maxBlobs+2)
		codes := make(chan int, len(bodies))
		send := func(i int) {
			bodies[i] = &counted{Reader: strings.NewReader("x")}
			r := httptest.NewRequest(http.MethodPost, apiPath+"/seal", bodies[i])
			ctx, cancel := context.WithCancel(WithActor(r.Context(), root))
			if i == len(bodies)-1 {
				time.AfterFunc(time.Minute, cancel) // the last one has no patience
			}
			go func() {
				defer cancel()
				w := &discard{header: http.Header{}}
				h.ServeHTTP(w, r.WithContext(ctx))
				codes <- w.status
			}()
			synctest.Wait()
		}
		for i := range bodies {
			send(i)
		}
		for i, body := range bodies {
			if read := body.reads > 0; read != (i < maxBlobs) {
				t.Errorf("blob %d is read: %v", i, read)
			}
		}
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("the one without patience: %d", code)
		}
		close(release)
		for range len(bodies) - 1 {
			if code := <-codes; code != http.StatusOK {
				t.Errorf("in its turn: %d", code)
			}
		}
	})
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
	plane := &fakePlane{}
	var log bytes.Buffer
	h := NewAPI(plane, slog.New(slog.NewTextHandler(&log, nil))).Handler()
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
		plane.forget()
		h.ServeHTTP(w, r.WithContext(WithActor(context.Background(), root)))
		if w.status >= 500 || log.Len() > 0 {
			t.Errorf("%s %q ? %q: %d, logged %s", r.Method, path, query, w.status, &log)
		}
	})
}
