package keys

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"mtguard/mtproto"
)

// spec is of a key in some state, made from the n-th secret of a fixed row.
func spec(t testing.TB, n uint64, user string, s State) Spec {
	t.Helper()
	secret, err := NewSecret(rand.NewChaCha8([32]byte{5, byte(n), byte(n >> 8)}), "")
	if err != nil {
		t.Fatal(err)
	}
	return Spec{ID: secret.ID(), User: user, Number: 1, State: s, Secret: secret}
}

func put(t testing.TB, r *Ring, s Spec) *Key {
	t.Helper()
	if err := r.Put(s); err != nil {
		t.Fatal(err)
	}
	return r.Key(s.ID)
}

func TestOnlyAcceptedKeysAreLeased(t *testing.T) {
	for state := Pending; state <= Revoked; state++ {
		k := put(t, NewRing(), spec(t, 1, "alice", state))
		lease, ok := k.Acquire()
		if want := state == Active || state == Retiring; ok != want || (lease.Key() == k) != want || k.State() != state {
			t.Errorf("%v: leased %v", state, ok)
		}
		if ok && k.Leases() != 1 {
			t.Errorf("%v: %d leases", state, k.Leases())
		}
		lease.Release()
		lease.Release()
		if k.Leases() != 0 || lease.Key() != nil {
			t.Errorf("%v: %d leases after release", state, k.Leases())
		}
	}
}

func TestBytesGoWithTheLastUserOfAFinalKey(t *testing.T) {
	for _, final := range []State{Retired, Expired, Revoked} {
		r, s := NewRing(), spec(t, 1, "alice", Active)
		k := put(t, r, s)
		first, _ := k.Acquire()
		second, _ := k.Acquire()
		bytesBefore, ok := k.Borrow()
		if want, _ := hex.DecodeString(s.Secret.Encode(mtproto.Classic, "")); !ok || !bytes.Equal(bytesBefore, want) {
			t.Fatal("a borrow gives other bytes")
		}
		s.State = final
		put(t, r, s)
		if _, ok := k.Acquire(); ok {
			t.Errorf("%v and leased", final)
		}
		for _, end := range []func(){first.Release, k.Return, second.Release} {
			if k.Erased() || !bytes.Equal(k.Material(), bytesBefore) || k.Secret().ID() != s.ID || r.Sweep() != nil {
				t.Fatalf("%v: erased while in use", final)
			}
			end()
		}
		if !k.Erased() || !bytes.Equal(k.Material(), make([]byte, Size)) {
			t.Errorf("%v: not erased when free", final)
		}
		if _, ok := k.Borrow(); ok || k.Secret().ID() != "" || k.Secret().Encode(mtproto.Classic, "") != "" {
			t.Errorf("%v: erased bytes are given away", final)
		}
		if s.Secret.ID() != s.ID {
			t.Errorf("%v: erasing the key has erased the caller's secret", final)
		}
	}
}

func TestFreeKeysAreErasedByTheTransition(t *testing.T) {
	r, s := NewRing(), spec(t, 1, "alice", Retiring)
	k := put(t, r, s)
	copied := k.Secret()
	s.State = Retired
	put(t, r, s)
	if !k.Erased() || copied.ID() != s.ID {
		t.Errorf("erased %v, copy is %v", k.Erased(), copied)
	}
	if born := put(t, NewRing(), s); !born.Erased() {
		t.Error("a key that was final from the start keeps its bytes")
	}
}

// TestBytesAreOverwrittenOnce writes over the erased bytes: a second erasure would show.
func TestBytesAreOverwrittenOnce(t *testing.T) {
	r, s := NewRing(), spec(t, 1, "alice", Retired)
	k := put(t, r, s)
	k.Material()[3] = 7
	k.Borrow()
	k.settle()
	put(t, r, s)
	r.Sweep()
	s.State, s.Tripwire = Revoked, true
	put(t, r, s)
	s.Tripwire = false
	put(t, r, s)
	r.Drop(s.ID)
	r.Sweep()
	if k.Material()[3] != 7 || k.Leases() != 0 || word(k.word.Load()).borrows() != 0 {
		t.Error("erased twice")
	}
}

func TestTripwireKeepsItsBytesUntilItIsNone(t *testing.T) {
	for name, end := range map[string]func(*Ring, Spec){
		"put":  func(r *Ring, s Spec) { s.Tripwire, s.Secret = false, Secret{}; put(t, r, s) },
		"drop": func(r *Ring, s Spec) { r.Drop(s.ID) },
	} {
		r, s := NewRing(), spec(t, 1, "alice", Active)
		k := put(t, r, s)
		lease, _ := k.Acquire()
		s.State, s.Tripwire = Revoked, true
		put(t, r, s)
		lease.Release()
		if r.Sweep() != nil || k.Erased() {
			t.Fatalf("%s: a tripwire was erased", name)
		}
		if _, ok := k.Borrow(); !ok {
			t.Fatalf("%s: a tripwire cannot be tried", name)
		}
		end(r, s)
		if k.Erased() {
			t.Errorf("%s: erased during a trial", name)
		}
		k.Return()
		if !k.Erased() {
			t.Errorf("%s: not erased", name)
		}
	}
}

// A tripwire in another state than revoked is an ordinary key.
func TestOnlyARevokedKeyIsATripwire(t *testing.T) {
	s := spec(t, 1, "alice", Retired)
	s.Tripwire = true
	r := NewRing()
	if k := put(t, r, s); !k.Erased() || r.Set().Len() != 0 {
		t.Error("a retired key is a tripwire")
	}
}

func TestUnbalancedReturnsPanic(t *testing.T) {
	k := NewKey("alice", spec(t, 1, "alice", Active).Secret)
	lease, _ := k.Acquire()
	other := lease
	lease.Release()
	for name, f := range map[string]func(){"release": other.Release, "return": k.Return} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if k.Leases() != 0 || k.State() != Active {
		t.Errorf("%d leases, %v", k.Leases(), k.State())
	}
	new(Lease).Release()
}

func TestLeasesAllocateNothing(t *testing.T) {
	k := NewKey("alice", spec(t, 1, "alice", Active).Secret)
	if n := testing.AllocsPerRun(100, func() {
		lease, _ := k.Acquire()
		k.Borrow()
		k.Return()
		lease.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestErasureWaitsForEveryReader lets readers and a revocation run against each other; under the race detector a read beside the erasure shows.
func TestErasureWaitsForEveryReader(t *testing.T) {
	for round := range 200 {
		r, s := NewRing(), spec(t, uint64(round), "alice", Active)
		k := put(t, r, s)
		want := slices.Clone(k.Material())
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				for range 20 {
					if b, ok := k.Borrow(); ok {
						if !bytes.Equal(b, want) {
							t.Error("erased during a borrow")
						}
						k.Return()
					}
					if lease, ok := k.Acquire(); ok {
						if n%2 == 0 {
							k.Secret()
						}
						if !bytes.Equal(lease.Key().Material(), want) {
							t.Error("erased under a lease")
						}
						lease.Release()
					}
				}
			})
		}
		s.State = Revoked
		put(t, r, s)
		if _, ok := k.Acquire(); ok {
			t.Error("leased after the revocation")
		}
		wg.Wait()
		if !k.Erased() || !bytes.Equal(k.Material(), make([]byte, Size)) {
			t.Fatal("not erased")
		}
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	k := NewKey("alice", spec(b, 1, "alice", Active).Secret)
	b.ReportAllocs()
	for b.Loop() {
		lease, _ := k.Acquire()
		lease.Release()
	}
}

func BenchmarkBorrowReturn(b *testing.B) {
	k := NewKey("alice", spec(b, 1, "alice", Active).Secret)
	b.ReportAllocs()
	for b.Loop() {
		k.Borrow()
		k.Return()
	}
}

// BenchmarkBorrowReturnShared is the worst case: every core tries the same key.
func BenchmarkBorrowReturnShared(b *testing.B) {
	k := NewKey("alice", spec(b, 1, "alice", Active).Secret)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k.Borrow()
			k.Return()
		}
	})
}
