// Package pages shows people who were given a page the link to use now. A page has an address that never changes and cannot be guessed,
//
//	https://links.example.com/u/4YbT0m1xQpW9vN2sKfLr8A
//
// and always the newest link, so that a rotation needs no new message to anybody. It is HTML for people and, with .json behind the token, a
// document for programs; see [Document].
//
// # Strangers
//
// Whoever asks for anything else must not find out that there are pages here. A [Handler] passes every other request, whatever its path and
// method, to the cover site under the cover site's name and hands back what it answers. What a stranger can tell is that a Go reverse proxy
// stands in front of that site, as Caddy or Traefik would: the order of the header fields, the handshake, and the answers to what is no HTTP
// at all are those of net/http.
//
// Without a cover site, or while it is out of reach, every such request gets the one answer of net/http to a path that it does not know,
// "404 page not found": what Traefik says when it has no route.
//
// A token in use is never passed on, so the cover site, which may be somebody else's, learns none. It does learn what people mistype.
//
// # Guessing
//
// A token has 128 random bits; nobody finds one by trying, at any rate. So the number of wrong tokens of an address does not count against
// the right ones from there: a neighbour behind the same NAT who guesses shuts nobody out. What is worth limiting is the completion of a
// token that was seen in part, in a cut-off screenshot, say. Wrong tokens are therefore counted by prefix and by each half of the token. One
// prefix may try ten tokens a minute that share a half; beyond that no token with this half is looked up for it, not even the right one, and
// the answer is the cover site's as ever. Finding four missing letters then takes years instead of minutes, and only who guesses at this
// very page, from the holder's own address, keeps the holder away, for as long as he goes on and six seconds more.
//
// The cover site is protected apart from that: each prefix has a rate and a share of the requests under way. What goes beyond is not
// answered at all, the connection is closed, as an overloaded machine or its firewall would; another page would tell the two hosts apart.
//
// # Privacy
//
// Nothing here logs a request, an address or a token. Viewing is counted by the [Source] without saying who viewed.
// Of a wrong token [Options.Guessed] learns the address and nothing else.
package pages

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"mtguard/security/keys"
	"mtguard/security/ratelimit"
)

// Source knows the pages. It must be safe for concurrent use.
type Source interface {
	// Page returns what the page with this token shows. ok is false when there is none or it is closed.
	//
	// It is asked exactly once for every request, also for those that name no token or a wrong one, so that the time of an answer does
	// not tell these apart. It must find the page by a hash of the token, never by comparing tokens, and be cheap.
	Page(ctx context.Context, token string) (page Page, ok bool)
	// Viewed is told that a page was shown to somebody, which includes the programs that make previews of links in chats. It must not
	// block. Programs that read the document are not counted.
	Viewed(token string)
}

// Page is what one page says. Times that are zero are not spoken of, and neither are those that have passed.
type Page struct {
	// Links are the newest links, the best first: it gets the button and the code. Several are for several servers or transports. None
	// means that its owner cannot connect now, which the page says.
	Links []Link
	// Updated is when Links became these, and OldUntil until when those before still work.
	Updated, OldUntil time.Time
	// Changes is when Links will become others, and ChangesUntil until when today's will work then. Without ChangesUntil they end at once.
	Changes, ChangesUntil time.Time
	// Expires is when the owner's access ends.
	Expires time.Time
	// QuotaLeft is how many bytes the owner may still use; nil means as many as he likes. They come back every QuotaPer, "day" or
	// "month"; "" means never.
	QuotaLeft *int64
	QuotaPer  string
	// Note is the operator's own line. It is shown as text, 500 bytes of it at most.
	Note string
	// Checked is when somebody last looked whether the proxy works, and Works what he found.
	Checked time.Time
	Works   bool
}

// Link is one way to connect. It formats and logs without its secret.
type Link struct {
	Kind string // faketls, secure or classic
	keys.Link
}

// Site is the cover site: the address it is reached at, as host:port, and its name, which is asked for in TLS and in the Host field. The
// certificate must be valid for Name. The zero Site is none.
type Site struct{ Address, Name string }

// Options say how a Handler works. Source and QR are required.
type Options struct {
	Source Source
	// QR draws text as an SVG of its own.
	QR func(text string) (svg string, err error)
	// Cover returns the cover site; it may change. Nil means none.
	Cover func() Site
	// Transport carries requests to the cover site. Nil means one that dials Site.Address with TLS and trusts the system's authorities.
	Transport http.RoundTripper
	// BehindProxy says that the peer of every connection is a proxy of the operator's own, so that the client is the last address in
	// X-Forwarded-For. The fields such a proxy adds are not passed on to the cover site.
	BehindProxy bool
	// Strangers limits the requests of one IPv4 address or IPv6 /64 to the cover site; an IPv6 /48 may have 16 times that. Zero means
	// DefaultStrangers.
	Strangers ratelimit.Limit
	// CoverRequests is how many requests to the cover site may be under way, of which one prefix may have a quarter. Zero means 64.
	CoverRequests int
	// Guessed, unless nil, is told who asked for a page that is not there. It must not block.
	Guessed func(client netip.Addr)
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: none
}

// DefaultStrangers is far above what a browser needs for a page of the cover site.
var DefaultStrangers = ratelimit.Limit{Events: 20, Per: time.Second, Burst: 200}

const (
	defaultCoverRequests = 64
	// prefixes is how many prefixes, or halves of tokens, are told apart at a time.
	prefixes = 65_536
	// wideFactor is how many times the limit of one /64 its /48 has, as for connections to the proxy.
	wideFactor = 16
)

// nearGuesses limits wrong tokens that share a half, see the package's comment.
var nearGuesses = ratelimit.Limit{Events: 10, Per: time.Minute, Burst: 10}

// readings limits how often one prefix may look at one page: a code is drawn each time.
var readings = ratelimit.Limit{Events: 5, Per: time.Second, Burst: 60}

// Handler answers all requests of the pages' listener. Use NewHandler.
type Handler struct {
	source      Source
	qr          func(string) (string, error)
	cover       *cover
	behindProxy bool
	guessed     func(netip.Addr)
	strangers   ratelimit.Limit
	rates       *ratelimit.Limiter // strangers by prefix
	readers     *ratelimit.Limiter // of one page, by prefix
	guesses     *ratelimit.Limiter // wrong tokens by prefix and half
	maskKey     [32]byte
	now         func() time.Time
	log         *slog.Logger
}

// NewHandler returns the handler. Close it when it is no longer used.
func NewHandler(o Options) *Handler {
	h := &Handler{
		source: o.Source, qr: o.QR, behindProxy: o.BehindProxy, guessed: o.Guessed, strangers: o.Strangers, now: o.Now, log: o.Log,
		rates: ratelimit.New(prefixes), guesses: ratelimit.New(prefixes), readers: ratelimit.New(prefixes),
	}
	if h.strangers == (ratelimit.Limit{}) {
		h.strangers = DefaultStrangers
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	rand.Read(h.maskKey[:])
	h.cover = newCover(o, h.log)
	return h
}

// Close ends the idle connections to the cover site.
func (h *Handler) Close() { h.cover.close() }

// nobody is looked up where no token is named. It has the form of one, and 128 random bits are never all zero.
const nobody = "AAAAAAAAAAAAAAAAAAAAAA"

// ServeHTTP shows a page or passes the request to the cover site.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.survive()
	now, client := h.now(), h.client(r)
	path := parsePath(r.URL.Path)
	search := path.token != "" && h.mayGuess(client, path.token, now)
	token := nobody
	if search {
		token = path.token
	}
	page, found := h.source.Page(r.Context(), token)
	found = found && search
	switch {
	case found && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		h.show(w, r, client, path, page, now)
	case found, path.token != "" && !search:
		// It is, or may be, a token in use: the cover site is asked for another one.
		h.stranger(w, r, client, path.replaced(h.mask(path.token)), now)
	default:
		if path.token != "" {
			h.countGuess(client, path.token, now)
			if h.guessed != nil {
				h.guessed(client)
			}
		}
		h.stranger(w, r, client, "", now)
	}
}

// survive keeps a fault in one page from ending the process, and says no more of the request than that there was one.
func (h *Handler) survive() {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		panic(v)
	default:
		h.log.Error("showing a page went wrong", "panic", v)
		panic(http.ErrAbortHandler)
	}
}

// mask returns another token for token, the same each time: the cover site's answer to it may be asked for twice.
func (h *Handler) mask(token string) string {
	mac := hmac.New(sha256.New, h.maskKey[:])
	mac.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:tokenBytes])
}

// show answers with the page, for people or for programs.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, client netip.Addr, path pagePath, page Page, now time.Time) {
	setHeaders(w.Header())
	if !h.readers.Check(guessKeys(client, path.token)[0], readings, now).Allowed {
		w.Header().Set("Retry-After", "1") // whoever asks has the address: there is nothing to hide from him
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if path.document || prefersJSON(r.Header.Values("Accept")) {
		h.showDocument(w, r, page)
		return
	}
	h.showHTML(w, r, page, now)
	if r.Method == http.MethodGet {
		h.source.Viewed(path.token)
	}
}

// setHeaders sets what both forms of a page have. Nothing of a page may be kept by others, found by search engines, or be told to whom its
// links lead; and it loads and runs nothing but its own style and the code inside it.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
}

// unknownClient stands for a client whose address is not known, such as one on a Unix socket: all of them count as one.
var unknownClient = netip.IPv6Unspecified()
