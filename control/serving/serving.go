// Package serving is what the node's HTTP listeners for strangers have in common: a bound on open connections, in all and by source, that
// costs next to nothing to hold; a certificate that is read again when its files change; and the order in which a server ends.
//
//	pair, err := serving.LoadCertificate(certFile, keyFile, "pages", log)
//	server.TLSConfig = &tls.Config{GetCertificate: pair.Get}
//	l := serving.Listen(listener, func(from netip.Addr) serving.Bounds { return serving.Bounds{All: 1024, Each: 64} })
//	err = serving.Until(ctx, server, func() error { return server.ServeTLS(l, "", "") }, 5*time.Second, nil)
package serving

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Until has server serve, as serve does, until ctx ends. Requests that are under way then may go on for as long as grace; abandon, unless
// nil, is called before those that are left are cut off. The error is that of a listener that broke.
func Until(ctx context.Context, server *http.Server, serve func() error, grace time.Duration, abandon func()) error {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		server.Close()
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if server.Shutdown(patience) != nil {
		if abandon != nil {
			abandon()
		}
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
