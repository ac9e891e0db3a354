package admin

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
)

// piece is how much of an answer a reader has to take at a time.
const piece = 256 << 10

// answer is a response whose reader has to keep up.
type answer struct {
	http.ResponseWriter
	connection *http.ResponseController
	stalled    time.Duration // the longest that a piece may take
	begun      bool          // a byte of it may be on its way
	broken     bool          // the reader is gone
	stranger   bool          // it has a place among those of strangers
	status     int
}

func (a *answer) WriteHeader(status int) {
	if a.begun {
		return // huma says so twice when a reader is gone
	}
	a.begun, a.status = true, status
	a.patience()
	a.ResponseWriter.WriteHeader(status)
}

// Write begins the answer with the first byte: until then an error can be told.
func (a *answer) Write(b []byte) (n int, err error) {
	if len(b) > 0 && !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	for n < len(b) && err == nil {
		a.patience()
		var m int
		m, err = a.ResponseWriter.Write(b[n:min(len(b), n+piece)])
		n += m
	}
	a.broken = a.broken || err != nil
	return n, err
}

func (a *answer) patience() { a.connection.SetWriteDeadline(time.Now().Add(a.stalled)) }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// outermost sees every request first: nothing of an answer is to be kept by
// anybody on the way, and a panic ends one request, not the node.
func (s *server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		a := &answer{ResponseWriter: w, connection: http.NewResponseController(w), stalled: s.stalled}
		defer func() {
			s.settle(a, r, recover())
			if !a.begun {
				a.status = http.StatusOK // of an answer without a body
			}
			s.log.Debug("admin: request", "actor", actor(r.Context()).Name, "method", r.Method, "path", r.URL.Path, "status", a.status, "took", time.Since(begun))
		}()
		next.ServeHTTP(a, r)
	})
}

// settle makes the best of a panic.
func (s *server) settle(a *answer, r *http.Request, panicked any) {
	switch {
	case panicked == nil:
		return
	case panicked == http.ErrAbortHandler || a.broken:
		panic(http.ErrAbortHandler) // nobody is there to answer to
	}
	// Of the value only what the runtime makes: another may hold anything.
	what := fmt.Sprintf("%T", panicked)
	if err, ok := panicked.(runtime.Error); ok {
		what = err.Error()
	}
	s.log.Error("admin: panic", "what", what, "method", r.Method, "path", r.URL.Path, "stack", string(debug.Stack()))
	if a.begun {
		panic(http.ErrAbortHandler)
	}
	internal.problem("see the node's log").write(a)
}
