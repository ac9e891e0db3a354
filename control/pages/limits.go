package pages

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"mtguard/security/ratelimit"
)

// client returns the address of who asks.
func (h *Handler) client(r *http.Request) netip.Addr {
	if h.behindProxy {
		fields := r.Header.Values("X-Forwarded-For")
		if len(fields) > 0 {
			last := fields[len(fields)-1]
			last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
			if addr, err := netip.ParseAddr(last); err == nil {
				return addr.Unmap().WithZone("")
			}
			if peer, err := netip.ParseAddrPort(last); err == nil {
				return peer.Addr().Unmap().WithZone("")
			}
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return unknownClient
	}
	return peer.Addr().Unmap().WithZone("")
}

// mayGuess reports whether token may be looked up for client. It counts nothing.
func (h *Handler) mayGuess(client netip.Addr, token string, now time.Time) bool {
	for _, key := range guessKeys(client, token) {
		if !h.guesses.Take(key, nearGuesses, 0, now).Allowed {
			return false
		}
	}
	return true
}

// countGuess is called for a token that was wrong.
func (h *Handler) countGuess(client netip.Addr, token string, now time.Time) {
	for _, key := range guessKeys(client, token) {
		h.guesses.Check(key, nearGuesses, now)
	}
}

// guessKeys are what a wrong token counts for: the prefix with the token's first half, and with its second. For IPv6 the prefix is the /48:
// it is one customer often enough, and sharing costs his neighbours nothing, who have other tokens.
func guessKeys(client netip.Addr, token string) [2]netip.Prefix {
	prefix, wide, _ := ratelimit.PrefixesOf(client)
	if wide.IsValid() {
		prefix = wide
	}
	from := prefix.Addr().As16()
	key := func(which byte, half string) netip.Prefix {
		sum := sha256.Sum256(append(append(from[:], which), half...))
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(sum[:16])), 128) // the limiter only wants 128 bits to tell keys apart
	}
	return [2]netip.Prefix{key(0, token[:tokenLength/2]), key(1, token[tokenLength/2:])}
}

// stranger passes a request to the cover site if client may have one more. A path other than "" replaces the request's.
func (h *Handler) stranger(w http.ResponseWriter, r *http.Request, client netip.Addr, path string, now time.Time) {
	narrow, wide, _ := ratelimit.PrefixesOf(client)
	if !h.rates.Check(narrow, h.strangers, now).Allowed ||
		wide.IsValid() && !h.rates.Check(wide, h.strangers.Times(wideFactor), now).Allowed {
		panic(http.ErrAbortHandler)
	}
	if !h.cover.places.Take(client, h.cover.bounds) {
		panic(http.ErrAbortHandler)
	}
	defer h.cover.places.Free(client)
	h.cover.serve(w, r, path, h.behindProxy)
}
