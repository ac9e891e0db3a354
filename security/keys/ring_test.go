package keys

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mtguard/mtproto"
	"mtguard/security/usage"
)

func TestStatesOnlyGoForward(t *testing.T) {
	forward := map[[2]State]bool{}
	for from, to := range map[State][]State{
		Pending: {Active, Retiring, Retired, Expired, Revoked}, Active: {Retiring, Retired, Expired, Revoked},
		Retiring: {Active, Retired, Expired, Revoked}, // taken back in time
		Retired:  {Revoked}, Expired: {Revoked}, Revoked: nil,
	} {
		forward[[2]State{from, from}] = true
		for _, to := range to {
			forward[[2]State{from, to}] = true
		}
	}
	for from := Pending; from <= Revoked; from++ {
		for to := Pending; to <= Revoked; to++ {
			r, s := NewRing(), spec(t, 1, "alice", from)
			k := put(t, r, s)
			s.State = to
			err := r.Put(s)
			if forward[[2]State{from, to}] != (err == nil) || err != nil && (!errors.Is(err, ErrBackward) || k.State() != from) {
				t.Errorf("%v to %v: %v, is %v", from, to, err, k.State())
			}
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{
		Pending: "pending", Active: "active", Retiring: "retiring", Retired: "retired", Expired: "expired", Revoked: "revoked",
	} {
		text, err := s.MarshalText()
		var back State
		if err != nil || string(text) != want || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("%v: %s, %v, %v", s, text, err, back)
		}
	}
	for _, text := range []string{"", "Active", "none", "state(0)"} {
		if s, err := ParseState(text); err == nil || s != 0 {
			t.Errorf("%q is %v", text, s)
		}
	}
	for _, s := range []State{0, 7, 255} {
		if _, err := s.MarshalText(); err == nil || s.Accepted() || s.Final() {
			t.Errorf("%v is a state", s)
		}
	}
	if got := State(0).String(); got != "state(0)" {
		t.Error(got)
	}
}

func TestPutRefuses(t *testing.T) {
	account := new(usage.Account)
	known, other := spec(t, 1, "alice", Active), spec(t, 2, "alice", Active)
	known.Account = account
	for name, change := range map[string]func(*Spec){
		"no state":                 func(s *Spec) { s.State = 0 },
		"an unknown state":         func(s *Spec) { s.State = 9 },
		"another user":             func(s *Spec) { s.User = "bob" },
		"another number":           func(s *Spec) { s.Number = 2 },
		"another account":          func(s *Spec) { s.Account = new(usage.Account) },
		"another's material":       func(s *Spec) { s.Secret = other.Secret },
		"a new key's, other bytes": func(s *Spec) { s.ID = other.ID },
		"a new key, no bytes":      func(s *Spec) { s.ID, s.Secret = other.ID, Secret{} },
		"a state before":           func(s *Spec) { s.State = Pending },
	} {
		r := NewRing()
		k := put(t, r, known)
		s := known
		s.State = Retiring
		change(&s)
		err := r.Put(s)
		if err == nil || k.State() != Active || k.User() != "alice" || k.Account() != account || r.Key(other.ID) != nil {
			t.Errorf("%s: %v; now %v", name, err, k.State())
		}
		if name == "another user" && (!errors.Is(err, ErrTaken) || err.Error() !=
			fmt.Sprintf(`key %s: user "bob" has the secret of user "alice": the secret belongs to another user`, k.ID())) {
			t.Error(err)
		}
	}
}

// TestPutComparesTheMaterial does so behind an ID that is the same, as only a forger's could be.
func TestPutComparesTheMaterial(t *testing.T) {
	r, s := NewRing(), spec(t, 1, "alice", Active)
	k := put(t, r, s)
	k.Material()[0]++
	if err := r.Put(s); err == nil {
		t.Error("other bytes under a known ID")
	}
}

func TestPutKeepsTheKey(t *testing.T) {
	r, s := NewRing(), spec(t, 1, "alice", Active)
	account := new(usage.Account)
	s.Account, s.Number, s.PseudonymKey = account, 3, new([32]byte)
	k := put(t, r, s)
	old := r.Set()
	lease, _ := k.Acquire()
	use := k.Use()
	s.State, s.Secret, s.Account, s.PseudonymKey = Retiring, Secret{}, nil, nil
	if put(t, r, s) != k || k.State() != Retiring || k.Leases() != 1 || k.Account() != account || k.Use() != use || use == nil || k.Trips() == nil || k.Number() != 3 {
		t.Error("the key is another one")
	}
	if old.At(0) != r.Set().At(0) || old.At(0).State() != Retiring {
		t.Error("the old set has another key")
	}
	lease.Release()
}

func TestDomainFollowsTheSecret(t *testing.T) {
	r := NewRing()
	s := Spec{User: "alice", Number: 1, State: Active, Secret: mustParse(t, "ee"+key+hex.EncodeToString([]byte("one.example")))}
	s.ID = s.Secret.ID()
	k := put(t, r, s)
	before := r.Set()
	s.Secret = mustParse(t, "ee"+key+hex.EncodeToString([]byte("two.example")))
	put(t, r, s)
	if after := r.Set(); k.Domain() != "two.example" || k.Secret().Domain() != "two.example" || len(before.Named("one.example")) != 1 ||
		len(after.Named("one.example")) != 0 || !slices.Equal(after.Named("two.example"), []int32{0}) {
		t.Errorf("domain is %s", k.Domain())
	}
	s.Secret = mustParse(t, "dd"+key)
	put(t, r, s)
	if k.Domain() != "" || k.Secret().Kind() != Padded || len(r.Set().Named("")) != 0 {
		t.Errorf("domain is %q", k.Domain())
	}
}

func TestSetHasAcceptedKeysFirst(t *testing.T) {
	r := NewRing()
	var want []ID
	for i, state := range []State{Pending, Revoked, Retiring, Active, Retired, Expired, Revoked, Active} {
		s := spec(t, uint64(i), fmt.Sprint("user", i/4), state)
		s.Number = i
		s.Tripwire = i == 1
		if i == 1 || state.Accepted() {
			domain := mustParse(t, s.Secret.Encode(mtproto.FakeTLS, "front.example.com"))
			s.Secret = domain
			want = append(want, s.ID)
		}
		put(t, r, s)
	}
	want = append(want[1:], want[0]) // the tripwire last
	set := r.Set()
	var got []ID
	for i := range set.Len() {
		got = append(got, set.At(i).ID())
		if n, ok := set.ByID(set.At(i).ID()); !ok || n != i {
			t.Errorf("key %d is found at %d", i, n)
		}
	}
	if !slices.Equal(got, want) || set.Accepted() != 3 {
		t.Errorf("%v with %d accepted, want %v with 3", got, set.Accepted(), want)
	}
	if named := set.Named("front.example.com"); !slices.Equal(named, []int32{0, 1, 2}) {
		t.Errorf("named are %v", named)
	}
	numbers := func(user string) (n []int) {
		for _, k := range set.KeysOf(user) {
			n = append(n, k.Number())
		}
		return n
	}
	if set.ByUser("user0").Number() != 3 || set.ByUser("user1").Number() != 7 || set.ByUser("eve") != nil {
		t.Errorf("active are %v and %v", set.ByUser("user0"), set.ByUser("user1"))
	}
	if a, b := numbers("user0"), numbers("user1"); !slices.Equal(a, []int{2, 3, 1}) || !slices.Equal(b, []int{7}) || set.KeysOf("eve") != nil {
		t.Errorf("keys are %v and %v", a, b)
	}
}

func TestSweepTellsWhatWasErasedOnce(t *testing.T) {
	r := NewRing()
	free, leased, wire := spec(t, 1, "alice", Active), spec(t, 2, "alice", Retiring), spec(t, 3, "alice", Active)
	put(t, r, free)
	lease, _ := put(t, r, leased).Acquire()
	put(t, r, wire)
	free.State, leased.State, wire.State, wire.Tripwire = Retired, Expired, Revoked, true
	for _, s := range []Spec{free, leased, wire} {
		put(t, r, s)
	}
	for i, want := range [][]ID{{free.ID}, nil} {
		if got := r.Sweep(); !slices.Equal(got, want) {
			t.Errorf("sweep %d: %v, want %v", i, got, want)
		}
	}
	lease.Release()
	wire.Tripwire = false
	put(t, r, wire)
	for i, want := range [][]ID{{leased.ID, wire.ID}, nil} {
		if got := r.Sweep(); !slices.Equal(got, want) {
			t.Errorf("later sweep %d: %v, want %v", i, got, want)
		}
	}
}

func TestDroppedKeysAreForgotten(t *testing.T) {
	r, s := NewRing(), spec(t, 1, "alice", Active)
	k := put(t, r, s)
	set := r.Set()
	lease, _ := k.Acquire()
	r.Drop(s.ID)
	r.Drop(s.ID)
	if _, ok := set.At(0).Acquire(); ok || k.State() != Revoked || k.Erased() || r.Key(s.ID) != nil || r.Set().Len() != 0 {
		t.Error("a dropped key is still there")
	}
	s.User = "bob"
	if again := put(t, r, s); again == k || again.User() != "bob" || r.Set().Len() != 1 {
		t.Error("a dropped secret cannot come back")
	}
	lease.Release()
	if !k.Erased() || r.Sweep() != nil || len(r.all) != 1 {
		t.Errorf("erased %v, %d slots", k.Erased(), len(r.all))
	}
}

func TestSpecPrintsItsID(t *testing.T) {
	s := spec(t, 1, "alice", Active)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got, want := fmt.Sprintf(verb, s), "key "+string(s.ID)+" of alice"; got != want {
			t.Errorf("%s: %q, want %q", verb, got, want)
		}
	}
	if text, err := s.MarshalText(); err != nil || strings.TrimSpace(string(text)) != string(s.ID) {
		t.Error(string(text))
	}
}

func BenchmarkRing10000(b *testing.B) {
	specs := make([]Spec, 10000)
	for i := range specs {
		specs[i] = spec(b, uint64(i), fmt.Sprint("user", i), Active)
		specs[i].PseudonymKey, specs[i].Account = new([32]byte), new(usage.Account)
	}
	r := NewRing()
	fill := func() {
		for _, s := range specs {
			if err := r.Put(s); err != nil {
				b.Fatal(err)
			}
		}
	}
	fill()
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r = NewRing()
			fill()
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fill()
		}
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r.Set().Len() != len(specs) {
				b.Fatal("keys are missing")
			}
		}
	})
	b.Run("sweep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Sweep()
		}
	})
}
