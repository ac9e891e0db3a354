package auth

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/security/keys"
	"mtguard/security/replay"
	"mtguard/telemetry/stats"
)

func TestTheClockWindow(t *testing.T) {
	const skew = 10 * time.Minute
	for _, c := range []struct {
		name   string
		offset time.Duration // of the client's clock
		want   stats.Result
	}{
		{"right", 0, stats.ResultOK},
		{"behind, at the edge", -skew, stats.ResultOK},
		{"behind, over the edge", -skew - time.Nanosecond, stats.ResultClock},
		{"a day behind", -24 * time.Hour, stats.ResultClock},
		{"ahead, at the edge", skew, stats.ResultOK},
		{"ahead, over the edge", skew + time.Nanosecond, stats.ResultClock},
		{"a day ahead", 24 * time.Hour, stats.ResultClock},
	} {
		b := newBench(t, users(t, 3, anyName))
		b.snap.Skew = skew
		h := b.hello(2)
		h.sentAt = b.now.Add(c.offset)
		user, result, _ := b.ask("192.0.2.7", h)
		if result != c.want || user != "user-2" {
			t.Errorf("%s: %q, %v; want %v, and whose it was", c.name, user, result, c.want)
		}
		if want := min(1, int(1-min(result, 1))); b.Replay.Len() != want {
			t.Errorf("%s: %d hellos remembered, want %d", c.name, b.Replay.Len(), want)
		}
	}
}

// The same by hellos off the wire, whose time is in whole seconds.
func TestTheClockOfAGenuineHello(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	b.snap.Skew = 10 * time.Minute
	for offset, want := range map[time.Duration]stats.Result{
		-601 * time.Second: stats.ResultClock, -600 * time.Second: stats.ResultOK,
		600 * time.Second: stats.ResultOK, 601 * time.Second: stats.ResultClock,
	} {
		h := newHello(t, material(1), b.now.Add(offset))
		if user, result, _ := b.ask("192.0.2.7", h); result != want || user != "user-1" {
			t.Errorf("%v: %q, %v; want %v", offset, user, result, want)
		}
	}
}

// A hello that came too early is not held against the client later.
func TestARefusedHelloIsNotRemembered(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	h := b.hello(2)
	h.sentAt = b.now.Add(b.snap.Skew + time.Second)
	if _, result, _ := b.ask("192.0.2.7", h); result != stats.ResultClock {
		t.Fatalf("too early: %v", result)
	}
	b.now = b.now.Add(time.Second)
	if _, result, _ := b.ask("192.0.2.7", h); result != stats.ResultOK {
		t.Errorf("in time: %v", result)
	}
	for range 100 {
		b.ask("192.0.2.7", b.hello(-1))
	}
	if n := b.Replay.Len() + b.Inits.Len(); n != 1 {
		t.Errorf("%d hellos remembered, want none of strangers", n)
	}
}

func TestAHelloIsGoodOnce(t *testing.T) {
	set := users(t, 3, anyName)
	for name, make := range map[string]func(*bench) Hello{
		"faketls":     func(b *bench) Hello { return newHello(t, material(1), b.now) },
		"obfuscated2": func(*bench) Hello { return newInit(t, material(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, set)
			h := make(b)
			if user, result, _ := b.ask("192.0.2.7", h); user != "user-1" || result != stats.ResultOK {
				t.Fatalf("first: %q, %v", user, result)
			}
			for _, from := range []string{"192.0.2.7", "203.0.113.9", "2001:db8::1"} {
				b.now = b.now.Add(time.Minute)
				if user, result, _ := b.ask(from, h); user != "user-1" || result != stats.ResultReplay {
					t.Errorf("again, from %s: %q, %v; want a replay, and of whom", from, user, result)
				}
			}
			if _, result, _ := b.ask("192.0.2.7", make(b)); result != stats.ResultOK {
				t.Errorf("a fresh one: %v", result)
			}
		})
	}
}

func TestOfManyCopiesAtOnceOneIsGood(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	for range 20 {
		h := b.hello(2)
		var good atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				copied := *h
				if _, result, _ := b.ask("192.0.2.7", &copied); result == stats.ResultOK {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Fatalf("%d copies were good", good.Load())
		}
	}
}

// vectors holds the replay part of the hello vectors, which package faketls keeps.
type vectors struct {
	Replay struct {
		Hello        string
		Secret       string
		Now          int64
		First        string
		Second       string
		RetimedHello string `json:"retimed_hello"`
		RetimedNow   int64  `json:"retimed_now"`
		RetimedEmpty string `json:"retimed_with_empty_cache"`
		RetimedAfter string `json:"retimed_after_first"`
	}
}

// TestReplayVector: the hello moved in time by somebody without the secret is
// good in itself, so it is the memory that has to know it.
func TestReplayVector(t *testing.T) {
	raw, err := os.ReadFile("../../mtproto/faketls/testdata/faketls_hello.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	secret, err := keys.ParseSecret(v.Replay.Secret)
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet([]*keys.Key{keys.NewKey("vector", secret)})
	if err != nil {
		t.Fatal(err)
	}
	verdict := map[stats.Result]string{stats.ResultOK: "accept", stats.ResultReplay: "reject"}
	b := newBench(t, set)
	b.Replay = replay.New(100, time.Unix(v.Replay.Now, 0).Add(-time.Hour))
	try := func(what, hello string, now int64, want string) {
		t.Helper()
		raw, err := hex.DecodeString(hello)
		if err != nil {
			t.Fatal(err)
		}
		b.now = time.Unix(now, 0)
		if _, result, _ := b.ask("192.0.2.7", parse(t, raw)); verdict[result] != want {
			t.Errorf("%s: %v, want %s", what, result, want)
		}
	}
	try("first", v.Replay.Hello, v.Replay.Now, v.Replay.First)
	try("second", v.Replay.Hello, v.Replay.Now, v.Replay.Second)
	try("moved in time", v.Replay.RetimedHello, v.Replay.RetimedNow, v.Replay.RetimedAfter)
	b.Replay = replay.New(100, time.Unix(v.Replay.Now, 0))
	try("moved in time, nothing remembered", v.Replay.RetimedHello, v.Replay.RetimedNow, v.Replay.RetimedEmpty)
}

// TestTheTimeFloor: a process that was just started cannot know what its
// predecessor has accepted, and takes nothing from its time.
func TestTheTimeFloor(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	b.now = epoch.Add(2 * time.Second)
	for age, want := range map[time.Duration]stats.Result{ // before the start
		5 * time.Minute: stats.ResultReplay, 2 * time.Second: stats.ResultReplay,
		time.Second: stats.ResultOK, 0: stats.ResultOK, -time.Second: stats.ResultOK,
	} {
		h := b.hello(1)
		h.sentAt = epoch.Add(-age)
		if user, result, _ := b.ask("192.0.2.7", h); result != want || user != "user-1" {
			t.Errorf("sent %v before the start: %q, %v; want %v", age, user, result, want)
		}
	}
	// An init has no time and is always as old as its arrival.
	if _, result, _ := b.ask("192.0.2.7", newInit(t, material(1))); result != stats.ResultOK {
		t.Errorf("an init: %v", result)
	}
}

// What is forgotten is refused all the same: the memory holds a few thousand
// hellos, and after many more the first is below the floor.
func TestAForgottenHelloIsNotGoodAgain(t *testing.T) {
	b := newBench(t, users(t, 1, anyName))
	first := b.hello(0)
	b.ask("192.0.2.7", first)
	for range 40_000 {
		b.now = b.now.Add(time.Millisecond)
		if _, result, _ := b.ask("192.0.2.7", b.hello(0)); result != stats.ResultOK {
			t.Fatalf("a fresh hello: %v", result)
		}
	}
	if n := b.Replay.Len(); n > 20_000 {
		t.Errorf("%d hellos remembered of 40,000: this test wants a smaller memory", n)
	}
	if _, result, _ := b.ask("192.0.2.7", first); result != stats.ResultReplay {
		t.Errorf("the first one again: %v", result)
	}
}

func TestAnInnerInitIsGoodOnce(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	init := newInit(t, material(1))
	if !b.FirstInit(init.ReplayKey(), b.now) {
		t.Error("the first time it is refused")
	}
	if b.FirstInit(init.ReplayKey(), b.now.Add(time.Hour)) {
		t.Error("it is good again an hour later")
	}
}

// TestInitsAreOneMemory: an init taken out of a captured fake-TLS session is no
// ticket for the transports without TLS, nor the other way round.
func TestInitsAreOneMemory(t *testing.T) {
	b := newBench(t, users(t, 3, anyName))
	inner, outer := newInit(t, material(1)), newInit(t, material(1))
	b.FirstInit(inner.ReplayKey(), b.now)
	if _, result, _ := b.ask("192.0.2.7", inner); result != stats.ResultReplay {
		t.Errorf("an init from inside TLS, sent bare: %v", result)
	}
	b.ask("192.0.2.7", outer)
	if b.FirstInit(outer.ReplayKey(), b.now) {
		t.Error("a bare init is good inside TLS")
	}
}
