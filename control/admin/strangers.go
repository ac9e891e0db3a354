package admin

import (
	"net/http"
	"net/netip"
	"time"

	"mtguard/control/serving"
)

// What requests may be under way of those who have shown no good credential: each holds its fields, a goroutine and an answer that somebody
// may take his time to read. Of one address so many that a page and a sign-in are no matter, of a /48 four times as many.
const (
	maxStrangers    = 512
	strangersOfOne  = 32
	strangersOfHere = 128 // of this machine, where tunnels and proxies end
	// keptStrangers are for this machine and for where somebody has signed in from, whatever the others do.
	keptStrangers = 64
	// strangerTime is how long a stranger may take none of an answer.
	strangerTime = 5 * time.Second
)

// strangerBounds says how many requests of strangers may be under way when one more from there is.
func (s *Sources) strangerBounds(from netip.Addr) serving.Bounds {
	b := serving.Bounds{All: maxStrangers - keptStrangers, Each: strangersOfOne}
	if from.IsLoopback() {
		b = serving.Bounds{All: maxStrangers, Each: strangersOfHere}
	} else if s.Knows(from) {
		b.All = maxStrangers
	}
	return b
}

// asStranger has the rest of a request be one of a stranger's: it takes one of the places, or ends the request, and he has to
// read faster. The connection may go on: whoever shares his address with guessers could not open another for his passkey.
func (s *web) asStranger(w http.ResponseWriter, r *http.Request) {
	a, ok := w.(*answer)
	if !ok || a.stranger {
		return
	}
	from := sourceOf(r)
	if !s.strangers.Take(from, s.guesses.strangerBounds(from)) {
		panic(http.ErrAbortHandler)
	}
	a.stranger, a.stalled = true, min(a.stalled, strangerTime)
}

// placed gives the place of a stranger back when all of his answer is gone, not when it has been made.
func (s *web) placed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if a, ok := w.(*answer); ok && a.stranger {
				s.strangers.Free(sourceOf(r))
			}
		}()
		next.ServeHTTP(w, r)
		if a, ok := w.(*answer); ok && a.stranger {
			a.connection.Flush() // what is not taken in time is given up
		}
	})
}
