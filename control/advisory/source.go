package advisory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Source is where answers come from: a directory of recorded ones, or a server. The zero Source is none.
type Source struct {
	dir  string
	base string // without a slash at the end
	file string // of a Source that is one file or address: its last part
	// client asks the server; nil: one that keeps to the rules below.
	client *http.Client
}

const (
	askTimeout   = 20 * time.Second // for one answer
	maxRedirects = 3
)

// ParseSource takes the absolute path of a directory, or an https address without a password, query or fragment, below which
// the answers are.
func ParseSource(text string) (Source, error) {
	if filepath.IsAbs(text) {
		return Source{dir: filepath.Clean(text)}, nil
	}
	at, err := url.Parse(text)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return Source{}, errors.New("it is neither an absolute path nor an https address without a password")
	}
	return Source{base: strings.TrimRight(text, "/")}, nil
}

// ParseFile takes the absolute path of a file, or an https address as ParseSource does. Signatures are beside it.
func ParseFile(text string) (Source, error) {
	s, err := ParseSource(text)
	if err != nil {
		return s, err
	}
	if s.dir != "" {
		s.dir, s.file = filepath.Split(s.dir)
	} else {
		at := strings.LastIndexByte(s.base, '/')
		s.base, s.file = s.base[:at], s.base[at+1:]
		if !strings.Contains(s.base, "://") || strings.HasSuffix(s.base, "/") {
			return Source{}, errors.New("the address names no file")
		}
	}
	if s.file == "" {
		return Source{}, errors.New("it names no file")
	}
	return s, nil
}

// IsZero reports whether s is none.
func (s Source) IsZero() bool { return s.dir == "" && s.base == "" }

// String returns where s is.
func (s Source) String() string {
	switch {
	case s.dir != "":
		return filepath.Join(s.dir, s.file)
	case s.file != "":
		return s.base + "/" + s.file
	}
	return s.base
}

// errTooLong is an answer beyond its bound. None of it is used.
var errTooLong = errors.New("it is longer than anything that is expected there")

// read returns the answer at a path, which is relative and has slashes. The error is fs.ErrNotExist when the source says
// that there is none.
func (s Source) read(ctx context.Context, path string, most int64) ([]byte, error) {
	if s.IsZero() {
		return nil, errors.New("nothing is named that could be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var body io.ReadCloser
	var err error
	if s.dir != "" {
		body, err = s.open(path)
	} else {
		body, err = s.ask(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && int64(len(data)) > most {
		err = errTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// open opens a file below the directory, and nothing that leads out of it or could keep us waiting.
func (s Source) open(path string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		// Not fs.ErrNotExist: the source itself is missing, which answers nothing.
		return nil, fmt.Errorf("%s cannot be opened: %v", s.dir, errors.Unwrap(err))
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is no file", path)
	}
	return f, nil
}

// ask asks the server. It is followed to another place of its own choice a few times, and never to one without TLS.
func (s Source) ask(ctx context.Context, path string) (io.ReadCloser, error) {
	client := http.Client{}
	if s.client != nil {
		client = *s.client
	}
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > maxRedirects {
			return errors.New("it leads to an address without TLS, or too far")
		}
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.Body, nil
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	default:
		err = fmt.Errorf("the server answered %s", answer.Status)
	}
	answer.Body.Close()
	return nil, err
}
