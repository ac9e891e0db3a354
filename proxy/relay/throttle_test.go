package relay_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"mtguard/mtproto/faketls"
	"mtguard/proxy/relay"
	"mtguard/security/ratelimit"
)

// budget is a new one with a rate and a burst, in bytes.
func budget(perSecond, burst int64) *ratelimit.Bytes {
	b := new(ratelimit.Bytes)
	b.Set(perSecond, burst, time.Now())
	return b
}

func throttle(up, down *ratelimit.Bytes) *ratelimit.Throttle {
	t := new(ratelimit.Throttle)
	t.Set(&ratelimit.Budgets{Up: ratelimit.Pair{up}, Down: ratelimit.Pair{nil, down}})
	return t
}

// TestAThrottledSessionKeepsTheRateAndLosesNothing: whatever way its bytes go, and
// whichever direction it is.
func TestAThrottledSessionKeepsTheRateAndLosesNothing(t *testing.T) {
	const size, perSecond, burst = 200_000, 1_000_000, 50_000
	same := func(b []byte) []byte { return b }
	for name, flows := range map[string]relay.Session{
		"plain":      {},
		"fake TLS":   {Up: relay.Flow{Unwrap: new(faketls.Deframer)}, Down: relay.Flow{Wrap: true}},
		"recrypting": {Up: relay.Flow{Encrypt: &relay.Cipher{Key: key(1)}}},
	} {
		for _, slow := range []string{"up", "down", "both"} {
			t.Run(name+", "+slow, func(t *testing.T) {
				each(t, func(t *testing.T, e relay.Engine) {
					s, sealUp, openDown := flows, same, same
					switch name {
					case "fake TLS":
						s.Up.Unwrap = new(faketls.Deframer)
						sealUp, openDown = records, func(b []byte) []byte { return unwrapAll(t, b) }
					case "recrypting":
						s.Up.Encrypt = &relay.Cipher{Key: key(1)}
						sealUp = func(b []byte) []byte { return xor(key(1), 0, b) }
					}
					b := budget(perSecond, burst)
					n := int64(size)
					switch slow {
					case "up":
						s.Throttle = throttle(b, nil)
					case "down":
						s.Throttle = throttle(nil, b)
					case "both":
						s.Throttle, n = throttle(b, b), 2*size
					}
					began := time.Now()
					r := start(t, e, s)
					exchange(t, r, noise(1, size), noise(2, size), sealUp, openDown)
					took := time.Since(began)
					if got := r.wait(t); got.Up != size || got.Down != size || got.Reason != relay.Closed || !got.Over {
						t.Errorf("%+v", got)
					}
					// Each direction may be one portion ahead.
					least := time.Duration(n-burst-2*perSecond/16) * time.Second / perSecond
					if took < least {
						t.Errorf("%d bytes took %v, less than %v", n, took, least)
					}
				})
			})
		}
	}
}

// TestAWatchedSessionIsNotHeldBack goes a thousand times beyond a rate that is only watched, and the throttle knows; one that keeps to its
// rate is not accused.
func TestAWatchedSessionIsNotHeldBack(t *testing.T) {
	for name, c := range map[string]struct {
		perSecond int64
		over      bool
	}{"beyond": {1000, true}, "within": {1 << 30, false}} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				b := new(ratelimit.Bytes)
				b.Watch(c.perSecond, c.perSecond, time.Now())
				s := relay.Session{Throttle: throttle(b, b)}
				same := func(b []byte) []byte { return b }
				began := time.Now()
				r := start(t, e, s)
				exchange(t, r, noise(1, 500_000), noise(2, 500_000), same, same)
				got := r.wait(t)
				if took := time.Since(began); took > 60*time.Second { // held to the rate: a quarter of an hour
					t.Errorf("a million bytes took %v", took)
				}
				if got.Over != c.over {
					t.Errorf("beyond the rate: %v", got.Over)
				}
			})
		})
	}
}

// stuck is a session whose upload pauses for minutes.
func stuck(t *testing.T, e relay.Engine, idle time.Duration) (*running, *ratelimit.Throttle, *ratelimit.Bytes) {
	t.Helper()
	b := budget(1000, 1000)
	slow := throttle(b, nil)
	r := start(t, e, relay.Session{Throttle: slow, Idle: idle})
	b.Spent(50_000, time.Now())
	if _, err := r.client.Write(noise(1, 100_000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first portion has gone", func() bool { up, _ := r.handle.Moved(); return up > 0 })
	return r, slow, b
}

// TestAPausedDirectionHoldsNobodyUp: the other direction goes on at once, and the
// pause can be ended from outside.
func TestAPausedDirectionHoldsNobodyUp(t *testing.T) {
	for name, free := range map[string]func(*ratelimit.Throttle, *ratelimit.Bytes){
		"the throttle is taken off": func(s *ratelimit.Throttle, _ *ratelimit.Bytes) { s.Set(nil) },
		"it gets another budget": func(s *ratelimit.Throttle, _ *ratelimit.Bytes) {
			s.Set(&ratelimit.Budgets{Up: ratelimit.Pair{budget(1<<30, 0)}})
		},
		"the budget has no limit more": func(_ *ratelimit.Throttle, b *ratelimit.Bytes) { b.Set(0, 0, time.Now()) },
		"the rate is raised": func(_ *ratelimit.Throttle, b *ratelimit.Bytes) {
			b.Set(1<<30, 0, time.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				r, slow, b := stuck(t, e, 0)
				down := noise(2, 3_000_000)
				go r.server.Write(down)
				if got := make([]byte, len(down)); !readAll(r.client, got) || !bytes.Equal(got, down) {
					t.Error("the other direction stands still")
				}
				if up, _ := r.handle.Moved(); up > 20_000 {
					t.Fatalf("%d bytes went up", up)
				}
				free(slow, b)
				began := time.Now()
				got := make([]byte, 100_000)
				if !readAll(r.server, got) || !bytes.Equal(got, noise(1, 100_000)) {
					t.Error("what had waited is not what was sent")
				}
				if took := time.Since(began); took > 10*time.Second { // without it: a minute and a half
					t.Errorf("it went on after %v", took)
				}
				r.handle.Kill(relay.Killed)
				r.wait(t)
			})
		})
	}
}

func readAll(c io.Reader, b []byte) bool {
	_, err := io.ReadFull(c, b)
	return err == nil
}

// A throttle may be put on while the session runs.
func TestAThrottleTakesEffectOnALiveSession(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		slow := new(ratelimit.Throttle)
		r := start(t, e, relay.Session{Throttle: slow, Down: relay.Flow{Wrap: true}})
		roundTripWrapped(t, r)
		slow.Set(&ratelimit.Budgets{Up: ratelimit.Pair{budget(1000, 1000)}})
		r.client.Write(noise(1, 50_000))
		roundTripDown(t, r)
		if up, _ := r.handle.Moved(); up > 4+16_384 {
			t.Errorf("%d bytes went up", up)
		}
		r.handle.Kill(relay.Killed)
		r.wait(t)
	})
}

func roundTripWrapped(t *testing.T, r *running) {
	t.Helper()
	r.client.Write([]byte("ping"))
	if !readAll(r.server, make([]byte, 4)) {
		t.Fatal("nothing comes up")
	}
	roundTripDown(t, r)
}

func roundTripDown(t *testing.T, r *running) {
	t.Helper()
	r.server.Write([]byte("pong"))
	if !readAll(r.client, make([]byte, 9)) {
		t.Fatal("nothing comes down")
	}
}

// TestAPauseIsNotSilence: a session that we hold back is not ended as idle, and one
// whose peers are silent is.
func TestAPauseIsNotSilence(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		r, slow, _ := stuck(t, e, time.Second)
		quiet := start(t, e, relay.Session{Throttle: new(ratelimit.Throttle), Idle: time.Second})
		if got := quiet.wait(t); got.Reason != relay.Idled {
			t.Errorf("a silent session ended with %v", got.Reason)
		}
		select {
		case got := <-r.result:
			t.Fatalf("it ended: %+v", got)
		case <-time.After(1500 * time.Millisecond):
		}
		slow.Set(nil)
		if !readAll(r.server, make([]byte, 100_000)) {
			t.Error("what had waited is lost")
		}
		if got := r.wait(t); got.Reason != relay.Idled {
			t.Errorf("later it ended with %v", got.Reason)
		}
	})
}

// TestAPausedSessionEnds: by Kill, with the engine, and by a reset, which is no way
// round the budget.
func TestAPausedSessionEnds(t *testing.T) {
	for name, end := range map[string]func(*running, relay.Engine){
		"killed":  func(r *running, _ relay.Engine) { r.handle.Kill(relay.Killed) },
		"drained": func(_ *running, e relay.Engine) { e.Close() },
		"reset":   func(r *running, _ relay.Engine) { r.server.SetLinger(0); r.server.Close() },
		"reset by the client": func(r *running, _ relay.Engine) {
			r.client.SetLinger(0)
			r.client.Close()
			go io.Copy(io.Discard, r.server)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				r, slow, _ := stuck(t, e, 0)
				end(r, e)
				if name == "reset" || name == "reset by the client" {
					// An engine that only reads cannot see it before it reads again.
					time.AfterFunc(500*time.Millisecond, func() { r.handle.Kill(relay.Reset) })
				}
				if got := r.wait(t); got.Up > 20_000 {
					t.Errorf("%d bytes went up: %+v", got.Up, got)
				}
				slow.Set(nil)
			})
		})
	}
}

// TestSessionsShareABudget: together they keep the rate, and each gets its share.
func TestSessionsShareABudget(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		const sessions, perSecond = 4, 2_000_000
		b := budget(perSecond, perSecond/16)
		began := time.Now()
		var all []*running
		var wg sync.WaitGroup
		for range sessions {
			r := start(t, e, relay.Session{Throttle: throttle(nil, b)})
			all = append(all, r)
			go r.server.Write(noise(3, 8_000_000))
			wg.Go(func() { io.CopyN(io.Discard, r.client, 250_000) })
		}
		wg.Wait()
		took := time.Since(began)
		var sum int64
		var each []int64
		for _, r := range all {
			_, down := r.handle.Moved()
			sum += down
			each = append(each, down)
		}
		most := int64(took.Seconds()*perSecond) + perSecond/16*(sessions+1)
		if sum > most {
			t.Errorf("%d bytes in %v, %d are allowed", sum, took, most)
		}
		for _, n := range each {
			if n > 3*sum/sessions {
				t.Errorf("the shares are %v", each)
			}
		}
		for _, r := range all {
			r.handle.Kill(relay.Killed)
			r.wait(t)
		}
	})
}

// BenchmarkThrottle moves 8 MiB a time through one session. Without a throttle, and
// with one that is empty, it must cost the same.
func BenchmarkThrottle(b *testing.B) {
	empty := new(ratelimit.Throttle)
	for _, c := range []struct {
		name string
		t    *ratelimit.Throttle
	}{{"none", nil}, {"empty", empty}, {"no limit", throttle(budget(0, 0), budget(0, 0))}, {"far away", throttle(budget(1<<32-1, 0), budget(1<<32-1, 0))}} {
		for _, wrap := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s, wrap %v", c.name, wrap), func(b *testing.B) { benchThrottle(b, c.t, wrap) })
		}
	}
}

func benchThrottle(b *testing.B, throttle *ratelimit.Throttle, wrap bool) {
	e, err := relay.New(relay.Auto)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	near, client := tcp(b)
	far, server := tcp(b)
	e.Start(relay.Session{Client: near, Server: far, Throttle: throttle, Down: relay.Flow{Wrap: wrap}})
	chunk := make([]byte, 8<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		go server.Write(chunk)
		if wrap {
			readRecords(client, len(chunk))
		} else {
			io.CopyN(io.Discard, client, int64(len(chunk)))
		}
	}
}
