package pages

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/control/serving"
)

const (
	// coverTime bounds a request to the cover site from start to end, and with it how long a place is taken.
	coverTime = time.Minute
	// coverAnswerTime is how long the site may think. Browsers wait longer, people do not.
	coverAnswerTime = 15 * time.Second
	coverDialTime   = 5 * time.Second
	// maxBody is how much of a request's body is passed on. It is not kept, so this bounds traffic, not memory; most sites take 1 MiB.
	maxBody = 8 << 20
)

// cover asks the cover site.
type cover struct {
	site      func() Site
	transport http.RoundTripper
	places    serving.Places
	bounds    serving.Bounds
	log       *slog.Logger
	down      atomic.Bool  // what was told last
	told      atomic.Int64 // when, Unix nanoseconds
}

func newCover(o Options, log *slog.Logger) *cover {
	c := &cover{site: o.Cover, transport: o.Transport, log: log}
	n := o.CoverRequests
	if n <= 0 {
		n = defaultCoverRequests
	}
	c.bounds = serving.Bounds{All: n, Each: max(n/4, 1)}
	if c.site == nil {
		c.site = func() Site { return Site{} }
	}
	if c.transport == nil {
		c.transport = newTransport(c.site, n)
	}
	return c
}

// newTransport returns what reaches the site: HTTP/1.1 over TLS, whatever the environment says of proxies. Answers are not decompressed: they
// are not for us.
func newTransport(site func() Site, connections int) *http.Transport {
	dialer := &net.Dialer{Timeout: coverDialTime}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, site().Address)
		},
		TLSHandshakeTimeout:    coverDialTime,
		ResponseHeaderTimeout:  coverAnswerTime,
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true,
		MaxConnsPerHost:        connections,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (c *cover) close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// serve asks the site for what r asks for, or for another path, and answers with what it says. The caller has a place.
func (c *cover) serve(w http.ResponseWriter, r *http.Request, path string, behindProxy bool) {
	site := c.site()
	if site.Address == "" || site.Name == "" {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), coverTime)
	defer cancel()
	out := coverRequest(ctx, r, site, path, behindProxy)
	if r.ContentLength != 0 {
		out.Body = http.MaxBytesReader(w, r.Body, maxBody)
		defer out.Body.Close() // the transport may still read it, RFC 9112 section 9.3: an answer can come early
	}
	answer, err := c.transport.RoundTrip(out)
	if r.Context().Err() == nil {
		c.asked(err)
	}
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols { // nobody asked for that
		http.NotFound(w, r)
		return
	}
	pass(w, answer)
}

// asked notes how a request went and tells of changes: not of every stranger, and at most once a minute, since a stranger can send what no
// site answers.
func (c *cover) asked(err error) {
	if c.down.Load() == (err != nil) {
		return
	}
	now, last := time.Now().UnixNano(), c.told.Load()
	if now-last < int64(time.Minute) || !c.told.CompareAndSwap(last, now) {
		return
	}
	c.down.Store(err != nil)
	if err != nil {
		c.log.Warn("cover site does not answer for the pages: strangers get a plain 404", "address", c.site().Address, "error", err)
		return
	}
	c.log.Info("cover site answers for the pages again", "address", c.site().Address)
}

// coverRequest is r as the site would get it from the same client: same method, path, fields and body, but under its own name.
func coverRequest(ctx context.Context, r *http.Request, site Site, path string, behindProxy bool) *http.Request {
	out := &http.Request{
		Method: r.Method, Host: site.Name, Header: r.Header.Clone(), ContentLength: r.ContentLength,
		URL: &url.URL{Scheme: "https", Host: site.Name, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery},
	}
	switch {
	case path != "":
		out.URL.Path = path
	case r.Method == http.MethodConnect:
		out.URL.Opaque = site.Name + ":443" // the name that was asked for is ours
	case strings.HasPrefix(r.RequestURI, "/") && !strings.HasPrefix(r.RequestURI, "//"):
		out.URL.Opaque, _, _ = strings.Cut(r.RequestURI, "?") // as it was written: decoding and encoding again need not give the same
	default:
		out.URL.Path, out.URL.RawPath = r.URL.Path, r.URL.RawPath
	}
	removeHopByHop(out.Header)
	if behindProxy {
		for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Real-Ip"} {
			out.Header.Del(name)
		}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // or the transport adds its own
	}
	return out.WithContext(ctx)
}

// hopByHop are the fields that concern one connection only, RFC 9110 section 7.6.1.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func removeHopByHop(h http.Header) {
	for _, field := range h.Values("Connection") {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pass hands the site's answer on: its status, its fields and its body, and none of ours. Trailers are left out.
func pass(w http.ResponseWriter, answer *http.Response) {
	connection := answer.Header.Get("Connection")
	removeHopByHop(answer.Header)
	header := w.Header()
	// A field that is there without a value keeps the server from adding one.
	header["Date"], header["Content-Type"] = nil, nil
	for name, values := range answer.Header {
		header[name] = values
	}
	if answer.Close {
		header.Set("Connection", "close")
	} else if strings.EqualFold(connection, "keep-alive") {
		header.Set("Connection", connection) // some servers say so though they need not
	}
	w.WriteHeader(answer.StatusCode)
	streams := answer.ContentLength < 0
	control := http.NewResponseController(w)
	if streams {
		control.Flush() // so that a short body stays of unknown length, as the site sent it
	}
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := answer.Body.Read(buffer[:])
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return // the stranger has gone
			}
			if streams {
				control.Flush()
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			control.Flush()
			panic(http.ErrAbortHandler) // the stranger sees it break off where it did
		}
	}
}
