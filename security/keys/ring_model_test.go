package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a proxy with its store, as far as keys go. One goroutine, rapid's, is the control plane; workers are its connections, which go on
// at their own pace. What the store holds survives a crash; the ring, the sets and the connections do not.
type world struct {
	store struct {
		users   [3]Generations
		secrets map[ID]Secret // until erased
		wires   map[ID]bool
		now     time.Time
	}
	random  *rand.ChaCha8
	ring    *Ring
	keys    map[*Key]ID   // all there have been in this process and are not erased
	kept    map[*Key]bool // tripwires that had their bytes when they became ones
	live    atomic.Pointer[Set]
	workers []*worker
	// over holds the keys that a Put or a Drop has put into a final state, from when it returned.
	over   sync.Map
	failed atomic.Pointer[string]
}

func newWorld() *world {
	w := &world{random: rand.NewChaCha8([32]byte{6})}
	w.store.secrets, w.store.wires, w.store.now = make(map[ID]Secret), make(map[ID]bool), start
	w.boot()
	for range 4 {
		x := &worker{world: w, orders: make(chan order, 8)}
		w.workers = append(w.workers, x)
		go x.run()
	}
	return w
}

// boot starts the process from what the store holds.
func (w *world) boot() {
	w.ring, w.keys, w.kept = NewRing(), make(map[*Key]ID), make(map[*Key]bool)
	w.over.Clear()
	for u := range w.store.users {
		if err := w.apply(u); err != nil {
			w.fail("start: %v", err)
		}
	}
	w.live.Store(w.ring.Set())
}

func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.failed.CompareAndSwap(nil, &text)
}

func (w *world) spec(u int, x Generation) Spec {
	return Spec{
		ID: x.ID, User: fmt.Sprint("user", u), Number: x.Number, State: x.State, Secret: w.store.secrets[x.ID], Tripwire: w.store.wires[x.ID],
	}
}

// apply tells the ring what the store says of a user.
func (w *world) apply(u int) error {
	for _, x := range w.store.users[u] {
		if _, ok := w.store.secrets[x.ID]; !ok {
			continue // erased
		}
		if err := w.ring.Put(w.spec(u, x)); err != nil {
			return err
		}
		k := w.ring.Key(x.ID)
		w.keys[k] = x.ID
		w.kept[k] = x.State == Revoked && w.store.wires[x.ID] && (w.kept[k] || !k.Erased())
		if x.State.Final() {
			w.over.Store(k, nil)
		}
	}
	return nil
}

// commit takes what an operation made of a user, and applies it unless the process dies in between.
func (w *world) commit(t *rapid.T, u int, g Generations, err error) {
	if err != nil {
		return
	}
	w.store.users[u] = g
	if rapid.IntRange(0, 19).Draw(t, "dies") == 0 {
		w.crash(t)
		return
	}
	if err := w.apply(u); err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "published") {
		w.live.Store(w.ring.Set())
	}
}

func (w *world) user(t *rapid.T) int { return rapid.IntRange(0, len(w.store.users)-1).Draw(t, "user") }

func (w *world) some(t *rapid.T, u int) ID {
	g := w.store.users[u]
	if len(g) == 0 {
		return "none"
	}
	return g[max(0, len(g)-rapid.IntRange(1, 5).Draw(t, "from the end"))].ID
}

func (w *world) hours(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.IntRange(0, 50).Draw(t, label)) * time.Hour
}

func (w *world) rotate(t *rapid.T) {
	secret, err := NewSecret(w.random, "")
	if err != nil {
		t.Fatal(err)
	}
	u, fresh := w.user(t), Generation{ID: secret.ID(), NotBefore: w.store.now.Add(w.hours(t, "not before") - 25*time.Hour)}
	if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
		fresh.NotAfter = w.store.now.Add(w.hours(t, "not after") + 51*time.Hour)
	}
	overlap := w.hours(t, "overlap")
	g, err := w.store.users[u].Rotate(fresh, w.store.now, overlap)
	if errors.Is(err, ErrRetiring) {
		retired, _ := w.store.users[u].Retire(w.store.users[u][w.store.users[u].index(Retiring)].ID, w.store.now)
		g, err = retired.Rotate(fresh, w.store.now, overlap)
	}
	if err == nil {
		w.store.secrets[fresh.ID] = secret
		if again, err := g.Rotate(fresh, w.store.now, overlap); err != nil || len(again) != len(g) {
			t.Fatalf("a retry rotates again: %v", err)
		}
	}
	w.commit(t, u, g, err)
}

func (w *world) revoke(t *rapid.T) {
	u := w.user(t)
	id := w.some(t, u)
	g, err := w.store.users[u].Revoke(id, "leaked", w.store.now)
	if err == nil {
		w.store.wires[id] = rapid.Bool().Draw(t, "tripwire")
	}
	w.commit(t, u, g, err)
}

func (w *world) retire(t *rapid.T) {
	u := w.user(t)
	g, err := w.store.users[u].Retire(w.some(t, u), w.store.now)
	w.commit(t, u, g, err)
}

// unwire ends what a revoked key is kept for.
func (w *world) unwire(t *rapid.T) {
	u := w.user(t)
	w.store.wires[w.some(t, u)] = false
	w.commit(t, u, w.store.users[u], nil)
}

func (w *world) pass(t *rapid.T) {
	w.store.now = w.store.now.Add(w.hours(t, "passed"))
	s := Sweep{Overlap: w.hours(t, "overlap"), Idle: w.hours(t, "idle")}
	for u := range w.store.users {
		g, _ := w.store.users[u].Sweep(w.store.now, s)
		w.commit(t, u, g, nil)
	}
}

// forget erases in the store what the ring has erased, and drops long histories.
func (w *world) forget(*rapid.T) {
	for _, id := range w.ring.Sweep() {
		delete(w.store.secrets, id)
	}
	for u, g := range w.store.users {
		w.store.users[u] = slices.DeleteFunc(slices.Clone(g), func(x Generation) bool {
			_, kept := w.store.secrets[x.ID]
			return !kept && x.State.Final()
		})
	}
}

// remove takes a user out, with all keys.
func (w *world) remove(t *rapid.T) {
	u := w.user(t)
	for _, x := range w.store.users[u] {
		if k := w.ring.Key(x.ID); k != nil {
			w.ring.Drop(x.ID)
			w.kept[k] = false
			w.over.Store(k, nil)
		}
		delete(w.store.secrets, x.ID)
		delete(w.store.wires, x.ID)
	}
	w.store.users[u] = nil
	w.live.Store(w.ring.Set())
}

// steal tries to give a user's secret to another.
func (w *world) steal(t *rapid.T) {
	u := w.user(t)
	for _, x := range w.store.users[u] {
		if w.ring.Key(x.ID) == nil {
			continue
		}
		x.State = Active
		if err := w.ring.Put(w.spec((u+1)%len(w.store.users), x)); !errors.Is(err, ErrTaken) {
			t.Fatalf("a secret of two users: %v", err)
		}
	}
}

func (w *world) publish(*rapid.T) { w.live.Store(w.ring.Set()) }

// crash ends the process: connections are gone, and the next one starts from the store.
func (w *world) crash(*rapid.T) {
	for _, x := range w.workers {
		x.ask(order{do: x.die})
	}
	w.boot()
}

// traffic sends the connections something to do, and does not wait for it.
func (w *world) traffic(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "orders") {
		x := w.workers[rapid.IntRange(0, len(w.workers)-1).Draw(t, "worker")]
		do := rapid.SampledFrom([]func(int){x.look, x.connect, x.connect, x.connect, x.hangUp, x.hangUp, x.try, x.try}).Draw(t, "order")
		x.orders <- order{do: do, n: rapid.IntRange(0, 99).Draw(t, "which")}
	}
}

// count waits until all is quiet, and compares what the keys say with what there is.
func (w *world) count(t *rapid.T) {
	out := make(map[*Key]int)
	for _, x := range w.workers {
		x.ask(order{do: func(int) {}})
		for _, l := range x.leases {
			out[l.Key()]++
		}
	}
	for k, id := range w.keys {
		x := word(k.word.Load())
		if k.Leases() != out[k] || x.borrows() != 0 {
			t.Fatalf("%v: %d leases and %d borrows, want %d and none", k, k.Leases(), x.borrows(), out[k])
		}
		if free := x.state().Final() && out[k] == 0; k.Erased() && (!free || w.kept[k]) || !k.Erased() && free && !w.kept[k] {
			t.Fatalf("%v is %v with %d leases, a tripwire: %v; erased: %v", k, k.State(), out[k], w.kept[k], k.Erased())
		}
		if k.Erased() && !bytes.Equal(k.Material(), make([]byte, Size)) || !k.Erased() && idOf(k.Material()) != id {
			t.Fatalf("%v: not its bytes; erased: %v", k, k.Erased())
		}
		if k.Erased() {
			delete(w.keys, k)
			delete(w.kept, k)
		}
	}
}

// check holds after every step of the control plane, whatever the connections do.
func (w *world) check(t *rapid.T) {
	if why := w.failed.Load(); why != nil {
		t.Fatal(*why)
	}
	set := w.ring.Set()
	for u, g := range w.store.users {
		name, states := fmt.Sprint("user", u), make(map[State]int)
		for _, k := range set.KeysOf(name) {
			states[k.State()]++
			i := g.find(k.ID())
			if n, ok := set.ByID(k.ID()); i < 0 || g[i].State != k.State() || !ok || (n < set.Accepted()) != k.State().Accepted() {
				t.Fatalf("%v is %v, and not so in the store", k, k.State())
			}
		}
		if states[Active] > 1 || states[Retiring] > 2 || states[Active]+states[Retiring] != g.count(Active)+g.count(Retiring) {
			t.Fatalf("user %d has %v", u, states)
		}
		if active, ok := g.Active(); ok != (set.ByUser(name) != nil) || ok && set.ByUser(name).ID() != active.ID {
			t.Fatalf("user %d: active is %v, want %v", u, set.ByUser(name), active.ID)
		}
	}
}

// order is something for a connection to do.
type order struct {
	do   func(n int)
	n    int
	done chan struct{}
}

// worker is some connections, one after the other. Its set may be an old one.
type worker struct {
	*world
	orders chan order
	set    *Set
	leases []Lease
}

func (x *worker) run() {
	for o := range x.orders {
		o.do(o.n)
		if o.done != nil {
			close(o.done)
		}
	}
}

// ask gives an order and waits until it is done.
func (x *worker) ask(o order) {
	o.done = make(chan struct{})
	x.orders <- o
	<-o.done
}

func (x *worker) die(int) { x.leases, x.set = nil, nil }

func (x *worker) look(int) { x.set = x.live.Load() }

func (x *worker) key(n int) *Key {
	if x.set == nil {
		x.set = x.live.Load()
	}
	if x.set.Len() == 0 {
		return nil
	}
	return x.set.At(n % x.set.Len())
}

// try is one trial, of a key in whatever state.
func (x *worker) try(n int) {
	k := x.key(n)
	if k == nil {
		return
	}
	material, ok := k.Borrow()
	if !ok {
		if !k.Erased() || !k.State().Final() {
			x.fail("%v, which is %v, cannot be tried", k, k.State())
		}
		if k.Secret().ID() != "" {
			x.fail("%v: a secret after erasure", k)
		}
		return
	}
	runtime.Gosched()
	if idOf(material) != k.ID() {
		x.fail("%v: erased during a trial", k)
	}
	k.Return()
}

func (x *worker) connect(n int) {
	k := x.key(n)
	if k == nil {
		return
	}
	x.try(n)
	_, over := x.world.over.Load(k)
	lease, ok := k.Acquire()
	if !ok {
		return
	}
	if over {
		x.fail("%v: accepted after its end", k)
	}
	x.leases = append(x.leases, lease)
}

func (x *worker) hangUp(n int) {
	if len(x.leases) == 0 {
		return
	}
	i := n % len(x.leases)
	lease := &x.leases[i]
	if k := lease.Key(); idOf(k.Material()) != k.ID() || k.Leases() < 1 {
		x.fail("%v: erased under a lease", k)
	}
	lease.Release()
	x.leases = slices.Delete(x.leases, i, i+1)
}

func idOf(material []byte) ID {
	sum := sha256.Sum256(material)
	return ID(hex.EncodeToString(sum[:8]))
}

func TestRingModel(t *testing.T) {
	runModel(t, func(t *rapid.T, steps *atomic.Int64) {
		w := newWorld()
		defer func() {
			for _, x := range w.workers {
				close(x.orders)
			}
		}()
		step := func(f func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) { steps.Add(1); f(t) }
		}
		t.Repeat(map[string]func(*rapid.T){
			"": w.check, "rotate": step(w.rotate), "rotate again": step(w.rotate), "revoke": step(w.revoke), "retire": step(w.retire),
			"unwire": step(w.unwire), "pass": step(w.pass), "forget": step(w.forget), "remove": step(w.remove), "steal": step(w.steal),
			"publish": step(w.publish), "crash": step(w.crash), "count": step(w.count),
			"traffic": step(w.traffic), "more traffic": step(w.traffic), "most traffic": step(w.traffic), "all traffic": step(w.traffic),
		})
		w.count(t)
	})
}
