package advisory

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSourcesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"https://vuln.go.dev": "https://vuln.go.dev", "https://proxy.example/sumdb/sum.golang.org/": "https://proxy.example/sumdb/sum.golang.org", "/srv/vuln/": "/srv/vuln",
		"": "", "vuln": "", "http://vuln.go.dev": "", "https://": "", "https://me:secret@vuln.go.dev": "", "https://vuln.go.dev/?a=b": "", "https://vuln.go.dev/#a": "", "file:///srv": "",
	} {
		s, err := ParseSource(text)
		if (err == nil) != (want != "") || err == nil && (s.String() != want || s.IsZero()) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"https://r.example/mtguard/releases.json": "https://r.example/mtguard/releases.json", "/srv/releases.json": "/srv/releases.json", "https://r.example": "", "https://r.example/": "", "/": "", "releases.json": "",
	} {
		if s, err := ParseFile(text); (err == nil) != (want != "") || err == nil && s.String() != want {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

func TestADirectoryIsNotLeft(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "in")
	for name, text := range map[string]string{"secret": "secret", "in/good": "good", "in/deep/good": "good"} {
		if err := os.MkdirAll(filepath.Join(outside, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := atHome(t, dir)
	for _, path := range []string{"good", "deep/good"} {
		if data, err := s.read(t.Context(), path, 4); err != nil || string(data) != "good" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	for _, path := range []string{"../secret", "link", "deep", "pipe", "none", "/etc/passwd"} {
		if data, err := s.read(t.Context(), path, 100); err == nil {
			t.Errorf("%s: %q", path, data)
		}
	}
	if _, err := s.read(t.Context(), "good", 3); !errors.Is(err, errTooLong) {
		t.Errorf("too long: %v", err)
	}
	if _, err := s.read(t.Context(), "none", 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
	if _, err := atHome(t, filepath.Join(dir, "none")).read(t.Context(), "good", 3); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory must not look like no answer: %v", err)
	}
}

func TestAServerIsFollowedWithinBounds(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("without TLS")) }))
	defer plain.Close()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/good":
			w.Write([]byte("good"))
		case "/base/moved":
			http.Redirect(w, r, "/base/good", http.StatusFound)
		case "/base/down":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/base/round":
			http.Redirect(w, r, "/base/round", http.StatusFound)
		case "/base/gone":
			w.WriteHeader(http.StatusGone)
		case "/base/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/base/endless":
			for range 1000 {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	s := Source{base: web.URL + "/base", client: web.Client()}
	for _, path := range []string{"good", "moved"} {
		if data, err := s.read(t.Context(), path, 4); err != nil || string(data) != "good" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	for path, missing := range map[string]bool{"down": false, "round": false, "broken": false, "endless": false, "gone": true, "none": true} {
		if data, err := s.read(t.Context(), path, 1000); err == nil || errors.Is(err, fs.ErrNotExist) != missing {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
	}
	s.client = nil // whose certificates are the system's
	if data, err := s.read(t.Context(), "good", 4); err == nil {
		t.Errorf("a server that nobody vouches for: %q", data)
	}
}
