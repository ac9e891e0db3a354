package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"mtguard/control"
)

// API is the management API over one plane: of the node's socket, of its listener for
// browsers and programs, or of both. What serves requests is made at the first one: most
// of the time nobody manages a node, and it is megabytes.
type API struct{ *server }

// NewAPI returns the API over p. It logs mistakes of the program, not refusals, and
// no secret with either.
func NewAPI(p Plane, log *slog.Logger) API { return API{newServer(p, log)} }

// Handler serves the API to requests whose context comes from WithActor; others are
// refused.
func (a API) Handler() http.Handler { return a.handler() }

// server is the API over one plane.
type server struct {
	plane   Plane
	log     *slog.Logger
	served  map[string]route // by pattern of mux
	ready   func()           // makes mux and api, the first time
	mux     *http.ServeMux
	api     huma.API
	blobs   chan struct{} // holds one for each blob in memory
	slow    time.Duration // the longest that JSON may take to arrive
	slowest time.Duration // the longest that a blob may
	stalled time.Duration // the longest that a reader may take none of an answer

	heartbeat, eventPace, eventPatience time.Duration // of streams

	// again looks once more who sends a request whose body has taken its time; nil: who
	// sends it is known for as long as the connection is there.
	again func(*http.Request) (*http.Request, *Problem)
}

// maxBlobs is how many blobs may be in memory at once, each of them twice.
const maxBlobs = 2

func (s *server) handler() http.Handler {
	return s.outermost(protected(known(s)))
}

// protected refuses what a page of another origin has a browser send.
func protected(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		otherOrigin().write(w)
	}))
	return origin.Handler(next)
}

// otherOrigin is what a page of another origin is told, or rather its browser.
func otherOrigin() *Problem {
	return crossOrigin.problem("only pages of this origin may read or change anything")
}

func newServer(p Plane, log *slog.Logger) *server {
	s := &server{
		plane: p, log: log, served: make(map[string]route),
		blobs: make(chan struct{}, maxBlobs), slow: 10 * time.Second, slowest: 5 * time.Minute, stalled: 30 * time.Second,
		heartbeat: heartbeat, eventPace: eventPace, eventPatience: eventPatience,
	}
	for _, r := range routes {
		s.served[r.method+" "+apiPath+r.path] = r
	}
	s.ready = sync.OnceFunc(func() {
		s.register()
		s.forgetAnswers()
	})
	return s
}

// register makes mux, and in api the description of all that it serves.
func (s *server) register() {
	s.mux = http.NewServeMux()
	config := huma.DefaultConfig("mtguard", "1")
	config.Info.Description = "Management of a node. A Unix socket serves it, where who asks is known by the socket; and, behind sign-in, TCP: doc/admin.md."
	// No pages with scripts from elsewhere, no links to schemas that echo the Host header.
	config.DocsPath, config.OpenAPIPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.RejectUnknownQueryParameters = true // a mistyped dry_run must not change anything
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	s.api = humago.NewWithPrefix(s, apiPath, config)
	for _, r := range routes {
		r.add(s, r)
	}
	s.mux.HandleFunc("/", s.refuse)
}

// HandleFunc mounts a handler of huma's, which finds the body in memory.
func (s *server) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	s.mount(pattern, func(w http.ResponseWriter, r *http.Request) {
		b, r, p := s.receive(w, r, maxBody, s.slow)
		if p != nil {
			p.write(w)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		h(w, r)
	})
}

// mount serves a handler to those who have the level of its route. A handler
// without a route is a mistake of the program.
func (s *server) mount(pattern string, h http.HandlerFunc) {
	route, ok := s.served[pattern]
	if !ok {
		panic("admin: no route " + pattern)
	}
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), routeKey{}, &route))
		if p := s.allowed(r.Context()); p != nil {
			p.write(w)
			return
		}
		h(w, r)
	})
}

type routeKey struct{}

// routeOf is the route of a request that mount serves.
func routeOf(ctx context.Context) *route {
	r, _ := ctx.Value(routeKey{}).(*route)
	return r
}

// allowed says why whoever sends the request of ctx may not have its route, and notes that he tried; nil when he may.
func (s *server) allowed(ctx context.Context) *Problem {
	p := routeOf(ctx).denied(ctx)
	if p != nil {
		s.noteDenied(ctx, p)
	}
	return p
}

// noteDenied notes an attempt at what the level or the scopes do not allow. A passkey that has to be shown again is none.
func (s *server) noteDenied(ctx context.Context, p *Problem) {
	if r := routeOf(ctx); r != nil && p.Type == problemPath+control.Denied.String() {
		s.plane.NoteDenied(ctx, actor(ctx), r.id, p.Detail)
	}
}

// receive reads the body of a request, and returns the request as whoever sends it may
// still ask for it when the body is there.
func (s *server) receive(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, *http.Request, *Problem) {
	b, p := s.readAll(w, r, limit, within)
	if p == nil && callerOf(r.Context()) != nil {
		r, p = s.again(r)
	}
	if p == nil {
		p = s.allowed(r.Context())
	}
	return b, r, p
}

// ServeHTTP serves the routes to whom another handler has let through.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.ready()
	s.mux.ServeHTTP(w, r)
}

// refuse answers what stands in no route with a problem document, where the mux
// would answer in plain text.
func (s *server) refuse(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		_, pattern := s.mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL})
		if _, ok := s.served[pattern]; ok {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		noPath.problem("the API is described in api/openapi.yaml").write(w)
		return
	}
	p := noMethod.problem("it takes %s", strings.Join(allowed, ", "))
	p.allow = strings.Join(allowed, ", ")
	p.write(w)
}

type actorKey struct{}

// WithActor says who sends the requests of ctx.
func WithActor(ctx context.Context, by control.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, by)
}

// actor is who sends the request of ctx; known has made sure that there is one.
func actor(ctx context.Context) control.Actor {
	by, _ := ctx.Value(actorKey{}).(control.Actor)
	return by
}

// known refuses whoever is nobody.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if actor(r.Context()).Name == "" {
			stranger(r.Context()).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readAll reads a body of at most limit bytes that arrives within the time given.
// huma's own bound on slow senders outlasts the reading, and would end a change
// that takes longer.
func (s *server) readAll(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, *Problem) {
	if r.ContentLength > limit {
		return nil, tooLarge.problem("the body has %d bytes; the most is %d", r.ContentLength, limit)
	}
	connection := http.NewResponseController(w)
	connection.SetReadDeadline(time.Now().Add(within)) // what is no connection has no deadline and is not slow
	var into bytes.Buffer
	if r.ContentLength > 0 && actor(r.Context()).Name != "" { // what a stranger claims is worth nothing
		into.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := into.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		connection.SetReadDeadline(time.Time{})
		return into.Bytes(), nil
	case errors.As(err, &large):
		return nil, tooLarge.problem("the most is %d bytes", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, tooSlow.problem("the body did not arrive within %v", within)
	}
	return nil, malformed.problem("the body ends too early")
}

// problem is what err is to the client. What no refusal is, is a mistake here, or
// of the system below: the log has it, the client does not.
func (s *server) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		s.noteDenied(ctx, p) // what the control plane refuses it has noted itself
		return p
	}
	if p := refusal(err); p != nil {
		if c := callerOf(ctx); c != nil && c.stepUp && p.Type == problemPath+control.Denied.String() {
			return stepUp()
		}
		return p
	}
	if ctx.Err() != nil {
		return kinds[control.Unavailable].problem("given up: the client is gone, or the node stops")
	}
	s.log.Error("admin: request failed", "actor", actor(ctx).Name, "error", err)
	return internal.problem("see the node's log")
}

// fail answers with the problem of err, or breaks off the answer that is under way.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problem(r.Context(), err)
	if a, ok := w.(*answer); ok && a.begun {
		panic(http.ErrAbortHandler)
	}
	p.write(w)
}
