package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	tinkaead "github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xchacha20poly1305"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

func create(t testing.TB) (*Vault, KEK) {
	t.Helper()
	kek := GenerateKEK()
	v, err := Create(kek)
	if err != nil {
		t.Fatal(err)
	}
	return v, kek
}

func sealValue(t testing.TB, v *Vault, p Purpose, text, ad string) []byte {
	t.Helper()
	b, err := v.Seal(p, []byte(text), []byte(ad))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opens(t testing.TB, v *Vault, p Purpose, sealed []byte, ad, want string) {
	t.Helper()
	if got, err := v.Open(p, sealed, []byte(ad)); err != nil || string(got) != want {
		t.Errorf("opened to %q, %v; want %q", got, err, want)
	}
}

func refuses(t testing.TB, what string, v *Vault, p Purpose, sealed []byte, ad string) {
	t.Helper()
	if got, err := v.Open(p, sealed, []byte(ad)); err != ErrOpen || got != nil {
		t.Errorf("%s: %q, %v; want ErrOpen", what, got, err)
	}
}

func keysets(t testing.TB, v *Vault, kek KEK) map[Purpose][]byte {
	t.Helper()
	sealed, err := v.Sealed(kek)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func reopen(t testing.TB, v *Vault, kek KEK) *Vault {
	t.Helper()
	again, err := Open(kek, keysets(t, v, kek))
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestValuesOpenAfterARestart(t *testing.T) {
	v, kek := create(t)
	for _, p := range Purposes() {
		for _, text := range []string{"", "x", strings.Repeat("long ", 5000), strings.Repeat("x", MaxPlaintext)} {
			sealed := sealValue(t, v, p, text, "row 1")
			if len(sealed) != len(text)+overhead || len(text) > 8 && bytes.Contains(sealed, []byte(text[:8])) {
				t.Errorf("%d bytes sealed to %d", len(text), len(sealed))
			}
			opens(t, v, p, sealed, "row 1", text)
			opens(t, reopen(t, v, kek), p, sealed, "row 1", text)
		}
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	v, _ := create(t)
	if b, err := v.Seal(Columns, make([]byte, MaxPlaintext+1), nil); err != ErrTooLarge || b != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	refuses(t, "something huge", v, Columns, make([]byte, MaxPlaintext+overhead+1), "")
}

func TestEveryBitOfAValueCounts(t *testing.T) {
	v, _ := create(t)
	must(t, v.AddKey(Columns)) // so that a flip in the name of the key can meet another one
	for _, text := range []string{"", "0123456789abcdef"} {
		ad := "key|7|material|1"
		sealed := sealValue(t, v, Columns, text, ad)
		for i := range 8 * len(sealed) {
			sealed[i/8] ^= 1 << (i % 8)
			refuses(t, fmt.Sprint("flip of bit ", i), v, Columns, sealed, ad)
			sealed[i/8] ^= 1 << (i % 8)
		}
		for i := range 8 * len(ad) {
			flipped := []byte(ad)
			flipped[i/8] ^= 1 << (i % 8)
			refuses(t, fmt.Sprint("flip of bit of the associated data ", i), v, Columns, sealed, string(flipped))
		}
		for n := range sealed {
			refuses(t, fmt.Sprint("cut to ", n), v, Columns, sealed[:n], ad)
		}
		refuses(t, "a byte more", v, Columns, append(bytes.Clone(sealed), 0), ad)
		opens(t, v, Columns, sealed, ad, text)
	}
}

func TestAValueOpensOnlyWhereItBelongs(t *testing.T) {
	v, _ := create(t)
	other, _ := create(t)
	sealed := sealValue(t, v, Columns, "secret", "key|7")
	refuses(t, "another row", v, Columns, sealed, "key|8")
	refuses(t, "no row", v, Columns, sealed, "")
	refuses(t, "another purpose", v, Audit, sealed, "key|7")
	refuses(t, "no purpose", v, "other", sealed, "key|7")
	refuses(t, "another vault", other, Columns, sealed, "key|7")
	if b, err := v.Seal("other", nil, nil); err == nil {
		t.Errorf("sealed for an unknown purpose: %x", b)
	}
	if !v.Stale("other", sealed) || v.Keys("other") != 0 || v.AddKey("other") == nil || v.DropOld("other") == nil {
		t.Error("an unknown purpose has keys")
	}
}

func TestWrongMasterKeyIsToldFromDamage(t *testing.T) {
	v, kek := create(t)
	sealed := keysets(t, v, kek)
	if _, err := Open(GenerateKEK(), sealed); !errors.Is(err, ErrWrongKEK) || errors.Is(err, ErrKeyset) {
		t.Errorf("another master key: %v", err)
	}
	alter := func(p Purpose, b []byte) map[Purpose][]byte {
		m := maps.Clone(sealed)
		m[p] = b
		return m
	}
	damaged := map[string]map[Purpose][]byte{
		"nothing":        nil,
		"empty":          alter(Columns, nil),
		"swapped":        {Columns: sealed[Audit], Audit: sealed[Columns]},
		"foreign":        alter(Audit, []byte("SQLite format 3\x00")),
		"huge":           alter(Audit, make([]byte, maxKeyset+1)),
		"unknown":        alter("other", sealed[Audit]),
		"missing":        {Columns: sealed[Columns]},
		"twice in a row": alter(Columns, slices.Concat(sealed[Columns], sealed[Columns])[1:]),
	}
	for n := range sealed[Columns] {
		damaged[fmt.Sprint("cut to ", n)] = alter(Columns, sealed[Columns][:n])
	}
	for name, m := range damaged {
		got, err := Open(kek, m)
		if !errors.Is(err, ErrKeyset) || errors.Is(err, ErrWrongKEK) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 8 * len(sealed[Columns]) {
		b := bytes.Clone(sealed[Columns])
		b[i/8] ^= 1 << (i % 8)
		if _, err := Open(kek, alter(Columns, b)); !errors.Is(err, ErrKeyset) && !errors.Is(err, ErrWrongKEK) {
			t.Errorf("flip of bit %d: %v", i, err)
		}
	}
	if _, err := Open(kek, sealed); err != nil {
		t.Errorf("the keysets themselves: %v", err)
	}
}

func TestANewMasterKeyOpensTheSameVault(t *testing.T) {
	v, old := create(t)
	value := sealValue(t, v, Columns, "secret", "ad")
	kek := GenerateKEK()
	sealed := keysets(t, reopen(t, v, old), kek)
	if _, err := Open(old, sealed); !errors.Is(err, ErrWrongKEK) {
		t.Errorf("the old master key: %v", err)
	}
	again, err := Open(kek, sealed)
	must(t, err)
	opens(t, again, Columns, value, "ad", "secret")
	if again.Stale(Columns, value) {
		t.Error("a value is stale though only the master key changed")
	}
}

func TestRotation(t *testing.T) {
	v, kek := create(t)
	first := sealValue(t, v, Columns, "first", "ad")
	audit := sealValue(t, v, Audit, "audit", "ad")
	if v.Stale(Columns, first) || v.Keys(Columns) != 1 {
		t.Error("stale before any rotation")
	}
	must(t, v.AddKey(Columns))
	for _, v := range []*Vault{v, reopen(t, v, kek)} {
		opens(t, v, Columns, first, "ad", "first")
		second := sealValue(t, v, Columns, "second", "ad")
		opens(t, v, Columns, second, "ad", "second")
		if !v.Stale(Columns, first) || v.Stale(Columns, second) || v.Stale(Audit, audit) || v.Keys(Columns) != 2 {
			t.Errorf("stale: first %v, second %v, other purpose %v", v.Stale(Columns, first), v.Stale(Columns, second), v.Stale(Audit, audit))
		}
	}
	second := sealValue(t, v, Columns, "second", "ad")
	must(t, v.DropOld(Columns))
	for _, v := range []*Vault{v, reopen(t, v, kek)} {
		refuses(t, "sealed under a dropped key", v, Columns, first, "ad")
		opens(t, v, Columns, second, "ad", "second")
		opens(t, v, Audit, audit, "ad", "audit")
		if v.Keys(Columns) != 1 || !v.Stale(Columns, first) {
			t.Error("the old key is still there")
		}
	}
	must(t, v.DropOld(Columns)) // again, as after a crash
	opens(t, v, Columns, second, "ad", "second")
	for _, foreign := range [][]byte{nil, {1}, []byte("plain text")} {
		if !v.Stale(Columns, foreign) {
			t.Errorf("%q is not stale", foreign)
		}
	}
}

func TestKeysetsAreBounded(t *testing.T) {
	v, kek := create(t)
	first := sealValue(t, v, Columns, "first", "")
	for range maxKeys - 1 {
		must(t, v.AddKey(Columns))
	}
	if err := v.AddKey(Columns); err == nil || v.Keys(Columns) != maxKeys {
		t.Errorf("%d keys, %v", v.Keys(Columns), err)
	}
	if n := len(keysets(t, v, kek)[Columns]); n > maxKeyset/2 {
		t.Errorf("the largest keyset has %d bytes", n)
	}
	opens(t, reopen(t, v, kek), Columns, first, "", "first")
}

func TestAChangeIsAdoptedOnceItIsStored(t *testing.T) {
	v, kek := create(t)
	sealer := v.Sealer(Columns)
	old := sealValue(t, v, Columns, "old", "ad")
	next := v.Clone()
	must(t, next.AddKey(Columns))
	between := sealValue(t, v, Columns, "between", "ad")
	if sealer.Stale(between) {
		t.Error("the vault in use changed with its clone")
	}
	stored := reopen(t, next, kek) // a crash here
	opens(t, stored, Columns, between, "ad", "between")
	v.Adopt(next)
	if !sealer.Stale(old) || !sealer.Stale(between) {
		t.Error("not adopted")
	}
	fresh, err := sealer.Seal([]byte("fresh"), []byte("ad"))
	must(t, err)
	opens(t, stored, Columns, fresh, "ad", "fresh")
	for _, value := range [][]byte{old, between} {
		if _, err := sealer.Open(value, []byte("ad")); err != nil {
			t.Error(err)
		}
	}
}

// everyKey returns the bytes of all keys of the vault.
func everyKey(t testing.TB, v *Vault) (all [][]byte) {
	t.Helper()
	for i := range v.rings {
		handle := v.rings[i].ring.Load().handle
		for n := range handle.Len() {
			entry, err := handle.Entry(n)
			must(t, err)
			all = append(all, entry.Key().(*xchacha20poly1305.Key).KeyBytes().Data(insecuresecretdataaccess.Token{}))
		}
	}
	return all
}

func TestKeysCannotBeReadFromWhatIsStoredOrPrinted(t *testing.T) {
	v, kek := create(t)
	must(t, v.AddKey(Columns))
	var out bytes.Buffer
	for _, b := range keysets(t, v, kek) {
		out.Write(b)
	}
	out.Write(sealValue(t, v, Columns, "secret", "ad"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, value := range []any{v, v.Sealer(Audit), []*Vault{v}, struct{ v *Vault }{v}} {
			fmt.Fprintf(&out, verb, value)
		}
	}
	keys := everyKey(t, v)
	if len(keys) != 3 {
		t.Fatalf("%d keys, want 3", len(keys))
	}
	for _, key := range append(keys, kek.key.Material()) {
		unreadable(t, out.Bytes(), key)
	}
}

// Tink's own dispatch is the oracle for ours.
func TestTinkOpensWhatIsSealed(t *testing.T) {
	v, kek := create(t)
	first := sealValue(t, v, Columns, "first", "ad")
	must(t, v.AddKey(Columns))
	second := sealValue(t, v, Columns, "second", "ad")
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(keysets(t, v, kek)[Columns])), &wrap{kek: kek}, binding(Columns))
	must(t, err)
	oracle, err := tinkaead.New(handle)
	must(t, err)
	for text, sealed := range map[string][]byte{"first": first, "second": second} {
		if got, err := oracle.Decrypt(sealed, []byte("ad")); err != nil || string(got) != text {
			t.Errorf("tink opens %q to %q, %v", text, got, err)
		}
	}
	sealed, err := oracle.Encrypt([]byte("third"), []byte("ad"))
	must(t, err)
	opens(t, v, Columns, sealed, "ad", "third")
	if v.Stale(Columns, sealed) {
		t.Error("tink's primary key is another one")
	}
}

func TestKeysetsOfOtherKindsAreRefused(t *testing.T) {
	v, kek := create(t)
	sealed := keysets(t, v, kek)
	raw, err := xchacha20poly1305.NewParameters(xchacha20poly1305.VariantNoPrefix)
	must(t, err)
	m := keyset.NewManager()
	id, err := m.AddNewKeyFromParameters(raw)
	must(t, err)
	must(t, m.SetPrimary(id))
	withoutPrefix, err := m.Handle()
	must(t, err)
	gcm, err := keyset.NewHandle(tinkaead.AES256GCMKeyTemplate())
	must(t, err)
	for name, handle := range map[string]*keyset.Handle{"no prefix": withoutPrefix, "another cipher": gcm} {
		sealed[Columns], err = (&ring{handle: handle}).seal(kek, Columns)
		must(t, err)
		if _, err := Open(kek, sealed); !errors.Is(err, ErrKeyset) || !strings.Contains(err.Error(), "XChaCha20") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValuesOpenWhileKeysAreRotated(t *testing.T) {
	v, kek := create(t)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sealed, err := v.Seal(Columns, []byte("text"), []byte("ad"))
				if err != nil {
					t.Error(err)
					return
				}
				// A value may be two drops old only if this goroutine slept over both: then its key is gone by right.
				if got, err := v.Open(Columns, sealed, []byte("ad")); err == nil && string(got) != "text" || err != nil && !v.Stale(Columns, sealed) {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	for range 50 {
		must(t, v.AddKey(Columns))
		if _, err := v.Sealed(kek); err != nil {
			t.Error(err)
		}
		must(t, v.DropOld(Columns))
		v.Adopt(v.Clone())
	}
	close(stop)
	wait.Wait()
}

func FuzzOpenValue(f *testing.F) {
	v, err := Create(GenerateKEK())
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.Seal(Columns, []byte("text"), []byte("ad"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:prefixSize], true)
	f.Add([]byte("\x01"), false)
	f.Fuzz(func(t *testing.T, b []byte, ours bool) {
		if ours { // with the name of our key in front, or hardly any input gets beyond it
			b = slices.Concat(sealed[:prefixSize], b)
		}
		if got, err := v.Open(Columns, b, []byte("ad")); err != ErrOpen || got != nil {
			t.Fatalf("%q opened to %q, %v", b, got, err)
		}
		v.Stale(Columns, b)
	})
}

func FuzzOpenKeysets(f *testing.F) {
	kek := GenerateKEK()
	v, err := Create(kek)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.Sealed(kek)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[Columns][:20], false)
	f.Add([]byte{8, 1, 16, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, ours bool) {
		w := &wrap{kek: kek}
		m := maps.Clone(sealed)
		if m[Audit] = b; ours { // what a keyset would be that somebody with the master key made
			inner, err := w.Encrypt(b, binding(Audit))
			must(t, err)
			field := binary.AppendUvarint([]byte{0x12}, uint64(len(inner))) // EncryptedKeyset.encrypted_keyset
			m[Audit] = append(field, inner...)
		}
		if _, err := Open(kek, m); err != nil && !errors.Is(err, ErrKeyset) && !errors.Is(err, ErrWrongKEK) {
			t.Fatal(err)
		}
	})
}

func BenchmarkVault(b *testing.B) {
	v, _ := create(b)
	text, ad := make([]byte, 32), []byte("key|7|material|1")
	sealed := sealValue(b, v, Columns, string(text), string(ad))
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Seal(Columns, text, ad)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Open(Columns, sealed, ad)
		}
	})
}
