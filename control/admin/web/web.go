// Package web is the dashboard: a client of the management API that runs in a
// browser. It has no state and no rights of its own; what it shows and changes
// goes through /api/v1, as whoever is signed in.
//
//	mux.Handle("/", web.Handler())
//
// The files are embedded as they are written: there is no build step; modules are put
// together when the program starts (link.go). Nothing in them asks anything of another
// origin, and the policy that the listener sends with every answer forbids it.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed index.html icon.svg style.css app i18n vendor/*.mjs vendor/*.woff2
var files embed.FS

// assetsPath begins the path of every file but the shell; the hash of them all
// follows, so that a file may be kept for ever.
const assetsPath = "/a/"

// asset is a file as it is sent.
type asset struct {
	media string
	plain []byte
	gzip  []byte // nil: it does not get smaller
}

// assets is everything that is served.
type assets struct {
	shell asset
	files map[string]asset // by path
}

// media are the types of the files there are; a file of another kind is a mistake.
var media = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".mjs":   "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

// all is read and compressed once, at the first request.
var all = sync.OnceValue(load)

// Handler serves the dashboard: the shell at / and its files below /a/. It answers
// everything else with 404, needs nobody to be signed in, and is safe for
// concurrent use. Who may have it, and what a browser may do with it, is the listener's
// to say.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { all().serve(w, r) })
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "it takes GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" {
		h.Set("Cache-Control", "no-store") // whoever goes back to it asks whether he is still signed in
		a.shell.send(w, r)
		return
	}
	file, ok := a.files[r.URL.Path]
	if !ok {
		h.Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	file.send(w, r)
}

// send answers with the file, compressed for who takes that.
func (f asset) send(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), f.plain
	h.Set("Content-Type", f.media)
	h.Set("Vary", "Accept-Encoding")
	if f.gzip != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}

// takesGzip reports whether an Accept-Encoding names gzip without refusing it.
func takesGzip(accept string) bool {
	for item := range strings.SplitSeq(accept, ",") {
		name, parameter, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, _ := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
			return strings.Trim(q, "0.") != "" || q == ""
		}
	}
	return false
}

// load reads the embedded files and puts them under the hash of them all.
func load() *assets {
	content := make(map[string][]byte)
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		content[name] = b
		fmt.Fprintf(sum, "%s %d\n%s", name, len(b), b)
		return err
	})
	if err != nil {
		panic("web: embedded files: " + err.Error()) // what is embedded can be read
	}
	if content[linked], err = link(files.ReadFile, entry); err != nil {
		panic("web: " + err.Error()) // a test links the same files
	}
	base := assetsPath + hex.EncodeToString(sum.Sum(nil)[:8])
	a := &assets{files: make(map[string]asset)}
	for name, b := range content {
		if name == "index.html" {
			a.shell = newAsset(name, bytes.ReplaceAll(b, []byte("{{base}}"), []byte(base)))
			continue
		}
		if strings.HasPrefix(name, "app/") && name != linked {
			continue // it is in linked
		}
		a.files[base+"/"+name] = newAsset(name, b)
	}
	return a
}

func newAsset(name string, b []byte) asset {
	kind, ok := media[path.Ext(name)]
	if !ok {
		panic("web: no media type for " + name)
	}
	f := asset{media: kind, plain: b}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic("web: gzip: " + err.Error()) // the level is one of the package's
	}
	z.Write(b) // to memory
	z.Close()
	if packed.Len() < len(b) {
		f.gzip = packed.Bytes()
	}
	return f
}
