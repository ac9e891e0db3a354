package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"mtguard/control/serving"
)

// grace is how long requests that are under way may take when the node stops.
const grace = 5 * time.Second

// Serve answers the requests that come over s with h until ctx ends, and closes s.
// It returns when no request is under way any more; the error is that of a socket
// that broke.
func Serve(ctx context.Context, s *Socket, h http.Handler, log *slog.Logger) error {
	requests, abandon := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.RWMutex // read by every request that is under way
	stopped := false
	defer func() {
		abandon()
		running.Lock()
		stopped = true
		running.Unlock()
	}()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.RLock()
			defer running.RUnlock()
			if !stopped {
				h.ServeHTTP(w, r)
			}
		}),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if counted, ok := c.(*connection); ok {
				c = counted.UnixConn
			}
			return recognise(ctx, c, s.gid)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return serving.Until(ctx, server, func() error { return server.Serve(s) }, grace, abandon)
}
