package keys

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mtguard/mtproto"
)

func TestSet(t *testing.T) {
	r := rand.NewChaCha8([32]byte{2})
	fresh := func(domain string) Secret {
		s, err := NewSecret(r, domain)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	list := []*Key{
		NewKey("alice", fresh("one.example")), NewKey("bob", fresh("")), NewKey("carol", fresh("two.example")),
		NewKey("dave", fresh("one.example")), NewKey("", fresh("")),
	}
	set, err := NewSet(list)
	if err != nil || set.Len() != len(list) {
		t.Fatalf("%d keys, %v", set.Len(), err)
	}
	for i, k := range list {
		if set.At(i) != k || set.ByUser(k.User()) != k {
			t.Errorf("key %d is not where it was put", i)
		}
		if got, ok := set.ByID(k.ID()); !ok || got != i {
			t.Errorf("ByID(%s) = %d, %v, want %d", k.ID(), got, ok, i)
		}
		if want, _ := hex.DecodeString(k.Secret().Encode(mtproto.Classic, "")); !bytes.Equal(k.Material(), want) {
			t.Errorf("key %d holds other material", i)
		}
	}
	for name, want := range map[string][]int32{"one.example": {0, 3}, "two.example": {2}, "": nil, "ONE.example": nil, "none.example": nil} {
		if got := set.Named(name); !slices.Equal(got, want) {
			t.Errorf("Named(%q) = %v, want %v", name, got, want)
		}
	}
	if set.ByUser("eve") != nil {
		t.Error("an unknown user has a key")
	}
	if _, ok := set.ByID("0000000000000000"); ok {
		t.Error("an unknown ID has a key")
	}
	two := NewKey("alice", fresh(""))
	if both, err := NewSet(append(list[:1:1], two)); err != nil || both.Accepted() != 2 || both.ByUser("alice") != list[0] || !slices.Equal(both.KeysOf("alice"), []*Key{list[0], two}) {
		t.Errorf("two keys of one user: %v", err)
	}
	list[0] = NewKey("mallory", fresh(""))
	if set.At(0).User() != "alice" {
		t.Error("the set changed with the list it was made of")
	}
	if n := testing.AllocsPerRun(100, func() { set.Named("one.example"); set.At(1).Material(); set.ByUser("bob") }); n != 0 {
		t.Errorf("looking up allocates %v times", n)
	}
}

func TestSetRefuses(t *testing.T) {
	a, b := mustParse(t, key), mustParse(t, "1"+key[1:])
	asOther := mustParse(t, "ee"+key+hex.EncodeToString([]byte("front.example.com")))
	for name, c := range map[string]struct {
		list []*Key
		want string
	}{
		"one user's twice":       {[]*Key{NewKey("alice", a), NewKey("bob", b), NewKey("alice", a)}, `users "alice" and "alice" have the same secret`},
		"same material":          {[]*Key{NewKey("alice", a), NewKey("bob", a)}, `users "alice" and "bob" have the same secret`},
		"same material, another": {[]*Key{NewKey("alice", a), NewKey("bob", asOther)}, `users "alice" and "bob" have the same secret`},
		"nil":                    {[]*Key{nil}, "key without a secret"},
		"no secret":              {[]*Key{NewKey("alice", Secret{})}, "key without a secret"},
	} {
		if set, err := NewSet(c.list); set != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if set, err := NewSet([]*Key{put(t, NewRing(), spec(t, 1, "alice", Retired))}); set != nil || err == nil || !strings.HasSuffix(err.Error(), " of alice is retired") {
		t.Errorf("a retired key: %v", err)
	}
	for name, set := range map[string]*Set{"nil": nil, "zero": new(Set)} {
		_, found := set.ByID("x")
		if set.Len() != 0 || set.Accepted() != 0 || set.ByUser("alice") != nil || set.KeysOf("alice") != nil || found || set.Named("x") != nil {
			t.Errorf("%s set is not empty", name)
		}
	}
}

// FuzzParseSecret: what parses comes back from its text, and no error quotes its input.
func FuzzParseSecret(f *testing.F) {
	for _, c := range vectors(f).Cases {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err != nil {
			if s.ID() != "" || s.Kind() != 0 {
				t.Fatalf("%v and an error", s)
			}
			if len(text) > 12 && strings.Contains(err.Error(), text[:12]) {
				t.Fatalf("error %q quotes %q", err, text)
			}
			return
		}
		if weak := CheckStrength(s); weak != nil && strings.Contains(weak.Error(), text[:8]) {
			t.Fatalf("error %q quotes %q", weak, text)
		}
		if (s.Kind() == FakeTLS) != (s.Domain() != "") || s.Domain() != strings.ToLower(s.Domain()) || len(s.Domain()) > maxDomain {
			t.Fatalf("%v with domain %q", s.Kind(), s.Domain())
		}
		out := s.Encode(transports[s.Kind()], "")
		again, err := ParseSecret(out)
		if err != nil || !same(again, s) || again.ID() != s.ID() {
			t.Fatalf("%q gives %q, which gives %v, %v", text, out, again.Kind(), err)
		}
		if len(text) == len(out) && strings.ToLower(text) != out && !strings.ContainsAny(text, "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ-_+/=") {
			t.Fatalf("%q gives %q", text, out)
		}
	})
}

func BenchmarkNewSet10000(b *testing.B) {
	r := rand.NewChaCha8([32]byte{3})
	list := make([]*Key, 10000)
	for i := range list {
		s, err := NewSecret(r, "front.example.com")
		if err != nil {
			b.Fatal(err)
		}
		list[i] = NewKey(fmt.Sprint("user", i), s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewSet(list); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSecret(b *testing.B) {
	text := "ee" + key + hex.EncodeToString([]byte("front.example.com"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSecret(text); err != nil {
			b.Fatal(err)
		}
	}
}
