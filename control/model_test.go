package control

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/proxy/auth"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/telemetry/stats"
)

// TestPlaneModel lets operators, time, clients and crashes act in any order and
// checks after each step what must always hold (security.md, seed 2.3). A longer
// run: MTGUARD_LONG=1 go test -race -run PlaneModel -v -timeout 60m ./control
func TestPlaneModel(t *testing.T) {
	if checks := flag.Lookup("rapid.checks").Value; checks.String() == "100" {
		checks.Set("10") // every step waits for the disk
		defer checks.Set("100")
	}
	steps := 0
	begun, long := time.Now(), os.Getenv("MTGUARD_LONG") != ""
	for round := 0; round == 0 || long && steps < 1_000_000 && time.Since(begun) < 20*time.Minute && !t.Failed(); round++ {
		rapid.Check(t, func(rt *rapid.T) {
			w := &world{bench: newBench(t), left: make(map[keys.ID]bool), live: make(map[*client]bool)}
			defer w.Plane.store.Close()
			rt.Repeat(map[string]func(*rapid.T){
				"add": w.addUser, "rotate": w.rotateUser, "revoke": w.revokeKey, "set": w.setUser, "remove": w.removeUser, "schedule": w.setSchedule,
				"pass": w.passTime, "crash": w.crash, "connect": w.connect, "leave": w.leave, "": func(rt *rapid.T) { steps++; w.check(rt) },
			})
			if report, err := w.AuditVerify(context.Background(), operator); err != nil || !report.OK {
				rt.Fatalf("audit log: %+v, %v", report, err)
			}
		})
	}
	t.Logf("%d steps in %v", steps, time.Since(begun).Round(time.Second))
}

// world is a plane with clients.
type world struct {
	*bench
	serial int
	conns  uint64
	left   map[keys.ID]bool // revoked, or of a user who was removed: never accepted again
	mu     sync.Mutex
	live   map[*client]bool
}

// client is a session as the data path has it.
type client struct {
	auth.Session
	w *world
}

// End is what the relay does when a session is killed: a moment later it is gone.
func (c *client) End(string) { go c.leave() }

// Moved is nothing.
func (c *client) Moved() (up, down int64) { return 0, 0 }

func (c *client) leave() {
	c.w.mu.Lock()
	delete(c.w.live, c)
	c.w.mu.Unlock()
	c.w.sessions.Close(&c.Session, 0, 0)
	c.Grant.Release()
}

func (w *world) some(rt *rapid.T) string {
	w.Plane.mu.Lock()
	names := slices.Sorted(maps.Keys(w.names))
	w.Plane.mu.Unlock()
	if len(names) == 0 {
		rt.Skip()
	}
	return rapid.SampledFrom(names).Draw(rt, "user")
}

// try applies a change that may be refused, but only as a refusal.
func (w *world) try(rt *rapid.T, c Change, o Options) bool {
	_, err := w.Apply(context.Background(), operator, c, o)
	if _, ok := err.(*Error); err != nil && !ok {
		rt.Fatalf("%T: %v", c, err)
	}
	return err == nil
}

func (w *world) addUser(rt *rapid.T) {
	w.serial++
	w.try(rt, AddUser{Name: fmt.Sprint("u", w.serial), Level: access.Standard}, Options{})
}

func (w *world) rotateUser(rt *rapid.T) {
	overlap := Duration(time.Duration(rapid.IntRange(0, 10).Draw(rt, "overlap")) * 12 * time.Hour)
	c := RotateKeys{User: w.some(rt), Overlap: &overlap}
	if rapid.Bool().Draw(rt, "later") {
		c.At = w.clock().Add(time.Duration(rapid.IntRange(1, 72).Draw(rt, "hours")) * time.Hour)
	}
	o := Options{Force: rapid.Bool().Draw(rt, "force"), IdempotencyKey: fmt.Sprint("k", w.serial, w.clock().UnixNano(), c.User, overlap, c.At)}
	if w.try(rt, c, o) {
		before := w.user(c.User)
		if !w.try(rt, c, o) || w.user(c.User).Revision != before.Revision {
			rt.Fatal("a retry changed something")
		}
	}
}

func (w *world) revokeKey(rt *rapid.T) {
	list, _, err := w.Keys(context.Background(), KeyFilter{User: w.some(rt)})
	if err != nil || len(list) == 0 {
		rt.Skip()
	}
	id := rapid.SampledFrom(list).Draw(rt, "key").ID
	if w.try(rt, RevokeKey{ID: id, Replace: rapid.Bool().Draw(rt, "replace")}, Options{Reason: "leaked"}) {
		w.left[id] = true
		w.nobodyHolds(rt, id)
	}
}

// nobodyHolds: when a revocation returns, its sessions have ended.
func (w *world) nobodyHolds(rt *rapid.T, id keys.ID) {
	for _, s := range w.sessions.List(func(s *auth.Session) bool { return s.Key().ID() == id }, 1) {
		rt.Fatalf("a session of revoked key %s goes on: %+v", id, s)
	}
}

func (w *world) setUser(rt *rapid.T) {
	c := SetUser{Name: w.some(rt)}
	switch rapid.IntRange(0, 2).Draw(rt, "what") {
	case 0:
		disabled := rapid.Bool().Draw(rt, "disabled")
		c.Disabled = &disabled
	case 1:
		var expires time.Time
		if n := rapid.IntRange(0, 5).Draw(rt, "days"); n > 0 {
			expires = w.clock().Add(time.Duration(n) * day)
		}
		c.Expires = &expires
	case 2:
		level := rapid.SampledFrom(access.Levels()).Draw(rt, "level")
		c.Level = &level
	}
	w.try(rt, c, Options{})
}

func (w *world) removeUser(rt *rapid.T) {
	name := w.some(rt)
	list, _, _ := w.Keys(context.Background(), KeyFilter{User: name})
	if w.try(rt, RemoveUser{Name: name}, Options{Reason: "gone"}) {
		for _, k := range list {
			w.left[k.ID] = true
			w.nobodyHolds(rt, k.ID)
		}
	}
}

func (w *world) setSchedule(rt *rapid.T) {
	days := func(name string, most int) Duration {
		return Duration(time.Duration(rapid.IntRange(0, most).Draw(rt, name)) * day)
	}
	w.try(rt, SetSchedule{Schedule{Every: days("every", 5), Overlap: days("overlap", 3), Window: days("window", 2), Announce: days("announce", 2), Idle: days("idle", 2), Tripwire: days("tripwire", 3)}}, Options{})
}

func (w *world) passTime(rt *rapid.T) {
	w.pass(time.Duration(rapid.IntRange(1, 100).Draw(rt, "hours")) * time.Hour)
}

// crash ends the process and begins a new one. The clients are gone with it.
func (w *world) crash(rt *rapid.T) {
	for c := range w.all() {
		c.leave()
	}
	before := w.accepted()
	w.restart()
	if after := w.accepted(); !maps.Equal(before, after) {
		rt.Fatalf("accepted before the crash %v, after it %v", before, after)
	}
}

func (w *world) all() map[*client]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.live)
}

func (w *world) accepted() map[keys.ID]keys.State {
	all := make(map[keys.ID]keys.State)
	set := w.bench.live.Load().Keys
	for i := range set.Accepted() {
		all[set.At(i).ID()] = set.At(i).State()
	}
	return all
}

// connect lets a client in as the data path does: acquire, open, look once more.
func (w *world) connect(rt *rapid.T) {
	set := w.bench.live.Load().Keys
	if set.Len() == 0 {
		rt.Skip()
	}
	i := rapid.IntRange(0, set.Len()-1).Draw(rt, "key")
	v := auth.Admit(set.At(i), home, w.clock())
	if v.Result != stats.ResultOK {
		if i < set.Accepted() && set.At(i).Account().Standing().String() == "allowed" {
			rt.Fatalf("%v is accepted, its user is served, and the client is refused: %v", set.At(i), v.Result)
		}
		return
	}
	w.conns++
	c := &client{w: w}
	c.Session = auth.Session{Conn: w.conns, Grant: v.Grant, Relay: c}
	w.mu.Lock()
	w.live[c] = true
	w.mu.Unlock()
	w.sessions.Open(&c.Session)
	if v.Grant.Lost() != "" {
		rt.Fatal("let in and lost at once")
	}
}

func (w *world) leave(rt *rapid.T) {
	for c := range w.all() {
		c.leave()
		return
	}
	rt.Skip()
}

// check holds after every step.
func (w *world) check(rt *rapid.T) {
	set := w.bench.live.Load().Keys
	active, retiring := make(map[string]int), make(map[string]int)
	for i := range set.Len() {
		k := set.At(i)
		switch {
		case i >= set.Accepted():
			if k.State() != keys.Revoked || k.Erased() {
				rt.Fatalf("%v is no tripwire: %v", k, k.State())
			}
			continue
		case w.left[k.ID()]:
			rt.Fatalf("%v was revoked, and is accepted", k)
		case k.State() == keys.Active:
			active[k.User()]++
		case k.State() == keys.Retiring:
			retiring[k.User()]++
		default:
			rt.Fatalf("%v is %v among the accepted", k, k.State())
		}
		if active[k.User()] > 1 || retiring[k.User()] > keys.MaxRetiring {
			rt.Fatalf("user %s has %d active and %d retiring keys", k.User(), active[k.User()], retiring[k.User()])
		}
	}
	for _, s := range w.sessions.List(mustEnd, 1) {
		rt.Fatalf("a session goes on that must have ended: %+v", s)
	}
}
