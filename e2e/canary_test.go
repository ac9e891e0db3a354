package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// canaries are secrets that nobody may find where they do not belong, in any of the forms that people and programs
// write them in. It may be used from several goroutines.
type canaries struct {
	mu    sync.Mutex
	known map[string]bool // by the bytes
	names map[uint64][]pattern
	first []bool // by the hash of three bytes: whether a pattern may begin so
}

type pattern struct {
	text []byte
	name string // of the secret, and the form
}

func newCanaries() *canaries {
	return &canaries{known: map[string]bool{}, names: map[uint64][]pattern{}, first: make([]bool, 1<<20)}
}

// add puts the bytes of a secret in, with a name that is no secret.
func (c *canaries) add(name string, secret []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(secret) < 16 {
		panic("a canary that is too short would be found everywhere")
	}
	if c.known[string(secret)] {
		return
	}
	c.known[string(secret)] = true
	for form, text := range forms(secret) {
		key := word(text)
		c.names[key] = append(c.names[key], pattern{[]byte(text), name + ", " + form})
		c.first[hash3(text[0], text[1], text[2])] = true
	}
}

// forms are the ways to write bytes down, also as a part of something longer that is written in base64.
func forms(b []byte) map[string]string {
	all := map[string]string{
		"as it is":             string(b),
		"in hexadecimal":       hex.EncodeToString(b),
		"in large hexadecimal": strings.ToUpper(hex.EncodeToString(b)),
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before), b...))
			// Letters that hold bits of a neighbour's are left out.
			begin := []int{0, 2, 3}[before]
			end := (before + len(b)) * 8 / 6
			all[fmt.Sprintf("in %s behind %d bytes", name, before)] = text[begin:end]
		}
	}
	return all
}

func word[T ~string | ~[]byte](b T) (w uint64) {
	for i := range 8 {
		w = w<<8 | uint64(b[i])
	}
	return w
}

func hash3(a, b, c byte) uint32 { return (uint32(a)<<12 ^ uint32(b)<<6 ^ uint32(c)) & (1<<20 - 1) }

// find names the secrets in b.
func (c *canaries) find(b []byte) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i+8 <= len(b); i++ {
		if !c.first[hash3(b[i], b[i+1], b[i+2])] {
			continue
		}
		for _, p := range c.names[word(b[i:])] {
			if len(b)-i >= len(p.text) && string(b[i:i+len(p.text)]) == string(p.text) {
				found = append(found, p.name)
			}
		}
	}
	return found
}

// inFiles looks through all files below a directory, except those named, and returns how many bytes that were. A file
// that goes away meanwhile is none.
func (c *canaries) inFiles(t *testing.T, dir string, except ...string) (size int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		for _, name := range except {
			if d.Name() == name {
				return nil
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		size += len(b)
		for _, name := range c.find(b) {
			t.Errorf("%s holds the secret of %s", d.Name(), name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return size
}

// inWords looks through what the process wrote and what its metrics say.
func (c *canaries) inWords(t *testing.T, n *node) {
	t.Helper()
	for _, name := range c.find([]byte(n.out.String())) {
		t.Errorf("the log holds the secret of %s", name)
	}
	r, err := http.Get("http://" + n.admin + "/metrics")
	if err != nil {
		return // the process has gone
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	for _, name := range c.find(b) {
		t.Errorf("the metrics hold the secret of %s", name)
	}
}

// TestCanariesAreFound puts secrets where they are to be found: a scan that finds nothing must not be blind.
func TestCanariesAreFound(t *testing.T) {
	secret := randomBytes(16)
	link := append(append([]byte{0xee}, secret...), coverName...)
	c := newCanaries()
	c.add("somebody", secret)
	for name, text := range map[string]string{
		"raw":               string(secret),
		"hex":               "x" + hex.EncodeToString(secret),
		"large hex":         strings.ToUpper(hex.EncodeToString(secret)),
		"link in hex":       hex.EncodeToString(link),
		"link in base64":    base64.StdEncoding.EncodeToString(link),
		"link in base64url": base64.RawURLEncoding.EncodeToString(link),
		"behind two bytes":  base64.StdEncoding.EncodeToString(append([]byte("ab"), secret...)),
		"in the middle":     "0123" + base64.StdEncoding.EncodeToString(append([]byte("abc"), link...)),
	} {
		if len(c.find([]byte("before "+text+" after"))) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	if got := c.find(randomBytes(1 << 20)); got != nil {
		t.Errorf("found %v in noise", got)
	}
}
