// Package web has the pages that browsers get from a node: the one to sign in with,
// which anybody may see, and the dashboard, which only those who have signed in get.
// All of it stands in the program as it is written here; there is no build step.
// Nothing in it loads from elsewhere, and nothing needs more than the listener's
// content policy gives: scripts and styles of this origin, no inline ones.
package web

import (
	"bytes"
	_ "embed"
	"net/http"
	"time"
)

var (
	//go:embed enter.html
	enterPage []byte
	//go:embed enter.js
	enterScript []byte
	//go:embed enter.css
	enterStyle []byte
)

// Enter serves the page to sign in with, /enter, with its script and its style. They
// name neither the program nor the node. What else is asked for is not found.
func Enter() http.Handler {
	mux := http.NewServeMux()
	for path, file := range map[string]struct {
		media string
		body  []byte
	}{
		"/enter":     {"text/html; charset=utf-8", enterPage},
		"/enter.js":  {"text/javascript; charset=utf-8", enterScript},
		"/enter.css": {"text/css; charset=utf-8", enterStyle},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", file.media)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.body))
		})
	}
	return mux
}
