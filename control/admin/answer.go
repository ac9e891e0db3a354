package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// stalled is how long a reader may take none of an answer.
	stalled = 30 * time.Second
	// piece is how much of it that holds for.
	piece = 256 << 10
)

// answer is a response whose reader has to keep up.
type answer struct {
	http.ResponseWriter
	connection *http.ResponseController
	begun      bool // a byte of it may be on its way
	broken     bool // the reader is gone
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

func (a *answer) Write(b []byte) (n int, err error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	for n < len(b) || len(b) == 0 {
		a.patience()
		m, err := a.ResponseWriter.Write(b[n:min(len(b), n+piece)])
		n += m
		if err != nil {
			a.broken = true
			return n, err
		}
		if len(b) == 0 {
			break
		}
	}
	return n, nil
}

func (a *answer) patience() { a.connection.SetWriteDeadline(time.Now().Add(stalled)) }

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
		a := &answer{ResponseWriter: w, connection: http.NewResponseController(w)}
		defer func() {
			s.settle(a, r, recover())
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
	case panicked == http.ErrAbortHandler || a.broken || errors.Is(r.Context().Err(), context.Canceled):
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
