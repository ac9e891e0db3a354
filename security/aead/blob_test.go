package aead

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

var flips = flag.Int("flips", 10, "blobs of each suite of which TestEveryBitOfABlobCounts flips every bit")

func sealed(t testing.TB, s Suite, text, ad []byte) []byte {
	t.Helper()
	blob, err := Seal(nil, s, testKey(t), purpose, text, ad)
	return must(t, blob, err)
}

func TestBlobsRoundTrip(t *testing.T) {
	k := testKey(t)
	eachSuite(t, func(t *testing.T, s Suite) {
		for _, n := range []int{0, 1, 16, 1000, 1 << 20} {
			text, ad := counting(5, n), []byte("users|7|secret")
			blob, err := Seal([]byte("prefix"), s, k, purpose, text, ad)
			if err != nil || len(blob) != len("prefix")+n+BlobOverhead || string(blob[:6]) != "prefix" {
				t.Fatalf("%d bytes: blob of %d, %v", n, len(blob), err)
			}
			if n > 0 && bytes.Contains(blob, text) && n > 2 {
				t.Fatalf("%d bytes: the text stands in the blob", n)
			}
			got, err := Open([]byte("prefix"), ring(k), purpose, blob[6:], ad)
			if err != nil || string(got[:6]) != "prefix" || !bytes.Equal(got[6:], text) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	})
}

func TestBlobHeader(t *testing.T) {
	blob := sealed(t, XChaCha20Poly1305, []byte("text"), nil)
	id := testKey(t).ID()
	if want := append([]byte{1, 4}, id[:]...); !bytes.HasPrefix(blob, want) || len(blob) != 50+4 || BlobOverhead != 50 {
		t.Errorf("blob %x, want %x first", blob, want)
	}
}

func refusesBlob(t *testing.T, what string, lookup Lookup, p Purpose, blob, ad []byte) {
	t.Helper()
	dst := dirty(len(blob))
	if got, err := Open(dst, lookup, p, blob, ad); err != ErrOpen || got != nil {
		t.Errorf("%s: %x, %v", what, got, err)
	}
	untold(t, dst, what)
}

func TestEveryBitOfABlobCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	k := testKey(t)
	// A lookup that gives the key for any id, so that a flip in the id is not refused for an unknown key alone.
	careless := func(KeyID) (Key, bool) { return k, true }
	eachSuite(t, func(t *testing.T, s Suite) {
		for range *flips {
			text, ad := counting(byte(r.Uint32()), r.IntN(48)), counting(byte(r.Uint32()), 1+r.IntN(20))
			blob := sealed(t, s, text, ad)
			for i := range 8 * len(blob) {
				blob[i/8] ^= 1 << (i % 8)
				refusesBlob(t, fmt.Sprint("flip of bit ", i), careless, purpose, blob, ad)
				blob[i/8] ^= 1 << (i % 8)
			}
			for i := range 8 * len(ad) {
				ad[i/8] ^= 1 << (i % 8)
				refusesBlob(t, fmt.Sprint("flip of bit of the associated data ", i), careless, purpose, blob, ad)
				ad[i/8] ^= 1 << (i % 8)
			}
			if got, err := Open(nil, careless, purpose, blob, ad); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("the blob itself: %x, %v", got, err)
			}
		}
	})
}

func TestForeignBlobsAreRefusedAlike(t *testing.T) {
	k, other := testKey(t), GenerateKey()
	never := func(id KeyID) (Key, bool) {
		t.Errorf("a blob that cannot be one asks for key %v", id)
		return k, true
	}
	eachSuite(t, func(t *testing.T, s Suite) {
		ad := []byte("users|7|secret")
		blob := sealed(t, s, []byte("the text"), ad)
		for n := range len(blob) {
			refusesBlob(t, fmt.Sprint("cut to ", n), ring(k), purpose, blob[:n], ad)
		}
		for n := 1; n < len(blob); n++ {
			refusesBlob(t, fmt.Sprint("without the first ", n), ring(k), purpose, blob[n:], ad)
		}
		refusesBlob(t, "one byte more", ring(k), purpose, append(bytes.Clone(blob), 0), ad)
		refusesBlob(t, "twice", ring(k), purpose, append(bytes.Clone(blob), blob...), ad)
		for n := range 256 {
			foreign := bytes.Clone(blob)
			if foreign[0] = byte(n); n != 1 {
				refusesBlob(t, fmt.Sprint("version ", n), never, purpose, foreign, ad)
			}
			foreign = bytes.Clone(blob)
			if foreign[1] = byte(n); n != int(s) {
				refusesBlob(t, fmt.Sprint("suite ", n), ring(k), purpose, foreign, ad)
			}
		}
		refusesBlob(t, "no key", ring(), purpose, blob, ad)
		refusesBlob(t, "other keys", ring(other), purpose, blob, ad)
		refusesBlob(t, "a lookup that gives another key", func(KeyID) (Key, bool) { return other, true }, purpose, blob, ad)
		refusesBlob(t, "a lookup that gives no key and says it did", func(KeyID) (Key, bool) { return Key{}, true }, purpose, blob, ad)
		refusesBlob(t, "a lookup that gives the key and says it did not", func(KeyID) (Key, bool) { return k, false }, purpose, blob, ad)
		renamed := bytes.Clone(blob)
		id := other.ID()
		copy(renamed[2:], id[:])
		refusesBlob(t, "id of another key", ring(k, other), purpose, renamed, ad)
		for _, p := range []Purpose{"", "other", purpose + "\x00", purpose[:len(purpose)-1], Purpose(strings.Repeat("p", MaxPurpose+1))} {
			refusesBlob(t, fmt.Sprintf("purpose %q", p), ring(k), p, blob, ad)
			if len(p) == 0 || len(p) > MaxPurpose {
				refusesBlob(t, fmt.Sprintf("purpose %q", p), never, p, blob, ad)
			}
		}
		for _, foreign := range []string{"", "users|8|secret", "users|7|secret ", "users|7|secre"} {
			refusesBlob(t, fmt.Sprintf("associated data %q", foreign), ring(k), purpose, blob, []byte(foreign))
		}
		// The end of the purpose does not flow into the associated data.
		refusesBlob(t, "purpose and associated data otherwise split", ring(k), purpose[:len(purpose)-1], blob, append([]byte{purpose[len(purpose)-1]}, ad...))
		if got, err := Open(nil, ring(other, k), purpose, blob, ad); err != nil || string(got) != "the text" {
			t.Errorf("the blob itself: %q, %v", got, err)
		}
	})
}

func TestBlobsAreNeverAlike(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		blob := sealed(t, AES128GCM, make([]byte, 32), nil)
		for _, part := range []string{string(blob[nonceAt:headerSize]), string(blob[headerSize:])} {
			if seen[part] {
				t.Fatal("the same text was sealed to the same bytes")
			}
			seen[part] = true
		}
	}
}

func TestSealRefuses(t *testing.T) {
	k := testKey(t)
	cases := []struct {
		name    string
		suite   Suite
		key     Key
		purpose Purpose
	}{
		{"no suite", 0, k, purpose},
		{"unknown suite", 5, k, purpose},
		{"no key", AES256GCM, Key{}, purpose},
		{"no purpose", AES256GCM, k, ""},
		{"long purpose", AES256GCM, k, Purpose(strings.Repeat("p", MaxPurpose+1))},
	}
	for _, c := range cases {
		if blob, err := Seal(nil, c.suite, c.key, c.purpose, nil, nil); err == nil || blob != nil {
			t.Errorf("%s: %x, %v", c.name, blob, err)
		}
	}
}

func TestLargestBlob(t *testing.T) {
	if testing.Short() {
		t.Skip("needs 200 MB")
	}
	k := testKey(t)
	text := make([]byte, MaxPlaintext+1)
	if blob, err := Seal(nil, AES256GCM, k, purpose, text, nil); err != ErrTooLarge || blob != nil {
		t.Errorf("%d bytes: %v", len(text), err)
	}
	text = text[:MaxPlaintext]
	blob, err := Seal(nil, AES256GCM, k, purpose, text, nil)
	must(t, blob, err)
	if got, err := Open(nil, ring(k), purpose, blob, nil); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes: %v", len(text), err)
	}
	// One byte more, and honestly sealed: only the bound is left to refuse it, and before it asks for the key.
	nonce := [nonceSize]byte{1}
	over, err := seal(blob[:0], AES256GCM, k, purpose, &nonce, make([]byte, MaxPlaintext+1), nil)
	must(t, over, err)
	asked := false
	if _, err := Open(nil, func(KeyID) (Key, bool) { asked = true; return k, true }, purpose, over, nil); err != ErrOpen || asked {
		t.Errorf("%d bytes: %v, asked for the key: %v", len(over), err, asked)
	}
}

func TestNothingIsLeftOfARefusedBlob(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		blob := sealed(t, s, bytes.Repeat([]byte("secret"), 50), nil)
		blob[len(blob)-1] ^= 1
		own := registry[s].new
		defer func() { registry[s].new = own }()
		registry[s].new = newLeaky(own)
		refusesBlob(t, "refused blob", ring(testKey(t)), purpose, blob, nil)
	})
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestBlobAllocations(t *testing.T) {
	k := testKey(t)
	lookup := ring(k)
	eachSuite(t, func(t *testing.T, s Suite) {
		const size = 4 << 20
		text := make([]byte, size)
		blob := make([]byte, 0, size+BlobOverhead)
		dst := make([]byte, 0, size)
		if n := allocated(func() { blob, _ = Seal(blob, s, k, purpose, text, nil) }); n > 16<<10 {
			t.Errorf("%d bytes allocated by Seal of %d with room in dst", n, size)
		}
		if n := allocated(func() { Open(dst, lookup, purpose, blob, nil) }); n > 16<<10 {
			t.Errorf("%d bytes allocated by Open of %d with room in dst", n, size)
		}
		small := sealed(t, s, text[:100], nil)
		if n := testing.AllocsPerRun(100, func() { Seal(blob[:0], s, k, purpose, text[:100], nil) }); n > 40 {
			t.Errorf("%v allocations by Seal", n)
		}
		if n := testing.AllocsPerRun(100, func() { Open(dst, lookup, purpose, small, nil) }); n > 40 {
			t.Errorf("%v allocations by Open", n)
		}
		// A stranger without a known id costs nothing, however much they send.
		blob[2] ^= 1
		if n := testing.AllocsPerRun(100, func() { Open(nil, lookup, purpose, blob, nil) }); n != 0 {
			t.Errorf("%v allocations by Open for an unknown key", n)
		}
	})
}

func TestKeysShowTheirIDAlone(t *testing.T) {
	k := testKey(t)
	hexed := fmt.Sprintf("%x", k.Material())
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k)
	encoded, err := json.Marshal(map[string]any{"key": k})
	must(t, encoded, err)
	out, in := pair(t, AES256GCM)
	all := log.String() + string(encoded)
	shown := strings.Count(all, k.ID().String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		all += fmt.Sprintf(verb, k) + fmt.Sprintf(verb, &k) + fmt.Sprintf(verb, []Key{k}) + fmt.Sprintf(verb, struct{ K Key }{k})
		all += fmt.Sprintf(verb, struct {
			k Key
			s Sealer
			o *Opener
			d *direction
		}{k, *out, in, in.d})
		all += fmt.Sprintf(verb, out) + fmt.Sprintf(verb, *out) + fmt.Sprintf(verb, in) + fmt.Sprintf(verb, *in)
	}
	if shown != 3 {
		t.Errorf("the id is not to be seen: %s", all)
	}
	for _, secret := range [][]byte{k.Material(), out.d.keying.secret[:], out.d.keying.iv[:out.d.suite.NonceSize()]} {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret)[:16], fmt.Sprintf("%X", secret)[:16], fmt.Sprint(secret)[1:20], fmt.Sprintf("%#v", secret)[7:30]} {
			if strings.Contains(all, form) {
				t.Errorf("%q is shown", form)
			}
		}
	}
	if strings.Contains(all, hexed) {
		t.Error("the material is shown")
	}
}

func TestKeys(t *testing.T) {
	k := GenerateKey()
	if again, err := ParseKey(k.Material()); err != nil || again.ID() != k.ID() || !bytes.Equal(again.Material(), k.Material()) {
		t.Errorf("%v became %v, %v", k, again, err)
	}
	if GenerateKey().ID() == k.ID() {
		t.Error("two generated keys are one")
	}
	// SHA-256 of 80 81 … 9f, as sha256sum has it.
	if got := testKey(t).ID().String(); got != "82d86408530b765e" {
		t.Errorf("the id is %s", got)
	}
	if (Key{}).ID() != (KeyID{}) || (Key{}).Material() != nil || (Key{}).String() != "key 0000000000000000" {
		t.Error("the zero Key is something")
	}
	b := counting(128, KeySize)
	k, err := ParseKey(b)
	must(t, k, err)
	clear(b)
	clear(k.Material())
	if !bytes.Equal(k.Material(), counting(128, KeySize)) {
		t.Error("the key shares its bytes")
	}
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := ParseKey(bytes.Repeat([]byte{0xc7}, n)); err == nil || strings.Contains(err.Error(), "c7") {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
	if _, err := ParseKey(make([]byte, KeySize)); err == nil {
		t.Error("all zeros are a key")
	}
}

// What opens was sealed: sealing it again with the nonce that stands in it gives the same blob.
func FuzzOpenBlob(f *testing.F) {
	for _, s := range Suites() {
		f.Add(sealed(f, s, []byte("text"), []byte("ad")), []byte("ad"))
		f.Add(sealed(f, s, nil, nil), []byte(nil))
		f.Add(sealed(f, s, make([]byte, 100), nil)[:120], []byte(nil))
	}
	f.Add([]byte{}, []byte{})
	k := testKey(f)
	f.Fuzz(func(t *testing.T, blob, ad []byte) {
		dst := dirty(len(blob))
		got, err := Open(dst, func(KeyID) (Key, bool) { return k, true }, purpose, blob, ad)
		if err != nil {
			if err != ErrOpen || got != nil {
				t.Fatalf("%x, %v", got, err)
			}
			untold(t, dst, "refused blob")
			return
		}
		if string(got[:6]) != "prefix" || len(got) != 6+len(blob)-BlobOverhead {
			t.Fatalf("%x opens to %x", blob, got)
		}
		nonce := [nonceSize]byte(blob[nonceAt:])
		again, err := seal(nil, Suite(blob[1]), k, purpose, &nonce, got[6:], ad)
		if err != nil || !bytes.Equal(again, blob) {
			t.Fatalf("%x is %x again, %v", blob, again, err)
		}
	})
}
