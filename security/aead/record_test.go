package aead

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestRecordsRoundTrip(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, in := pair(t, s)
		for i, n := range []int{0, 1, 15, 16, 17, 1400, 16 << 10, MaxRecord} {
			text, ad := counting(byte(i), n), []byte(fmt.Sprint("header ", i))
			record, err := out.Seal([]byte("prefix"), text, ad)
			if err != nil || len(record) != len("prefix")+n+TagSize || string(record[:6]) != "prefix" {
				t.Fatalf("%d bytes: record of %d, %v", n, len(record), err)
			}
			got, err := in.Open([]byte("prefix"), record[6:], ad)
			if err != nil || string(got[:6]) != "prefix" || !bytes.Equal(got[6:], text) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if i%3 == 2 {
				out.Rekey()
				in.Rekey()
			}
		}
	})
}

func TestRecordsInPlace(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, in := pair(t, s)
		b := make([]byte, 1000, 1000+TagSize)
		copy(b, counting(7, 1000))
		record, err := out.Seal(b[:0], b, nil)
		if err != nil || &record[0] != &b[0] {
			t.Fatalf("sealed elsewhere, or %v", err)
		}
		text, err := in.Open(record[:0], record, nil)
		if err != nil || &text[0] != &b[0] || !bytes.Equal(text, counting(7, 1000)) {
			t.Fatalf("opened elsewhere, or %v", err)
		}
	})
}

// refuses expects that in refuses record, shows nothing of it, and refuses good, which would have been next, after it.
func refuses(t *testing.T, what string, in *Opener, record, ad, good, goodAD []byte) {
	t.Helper()
	dst := dirty(len(record))
	got, err := in.Open(dst, record, ad)
	if err != ErrOpen || got != nil {
		t.Errorf("%s: %x, %v", what, got, err)
	}
	untold(t, dst, what)
	if got, err := in.Open(nil, good, goodAD); err != ErrOpen || got != nil {
		t.Errorf("after %s the right record: %x, %v", what, got, err)
	}
	in.Rekey()
	if got, err := in.Open(nil, good, goodAD); err != ErrOpen || got != nil {
		t.Errorf("after %s and Rekey the right record: %x, %v", what, got, err)
	}
}

func TestEveryBitOfARecordCounts(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, _ := pair(t, s)
		ad := []byte("\x17\x03\x03\x00\x2c")
		good, err := out.Seal(nil, []byte("attack at dawn, with every bit"), ad)
		must(t, good, err)
		for i := range 8 * len(good) {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			refuses(t, fmt.Sprint("flip of bit ", i), opener(t, s), bad, ad, good, ad)
		}
		for i := range 8 * len(ad) {
			bad := bytes.Clone(ad)
			bad[i/8] ^= 1 << (i % 8)
			refuses(t, fmt.Sprint("flip of bit of the header ", i), opener(t, s), good, bad, good, ad)
		}
		for n := range len(good) {
			refuses(t, fmt.Sprint("cut to ", n), opener(t, s), good[:n], ad, good, ad)
		}
		refuses(t, "one byte more", opener(t, s), append(bytes.Clone(good), 0), ad, good, ad)
		refuses(t, "far too much", opener(t, s), make([]byte, MaxRecord+TagSize+1), ad, good, ad)
		refuses(t, "no header", opener(t, s), good, nil, good, ad)
	})
}

func TestOneRecordTooLarge(t *testing.T) {
	out, in := pair(t, AES128GCM)
	if b, err := out.Seal(nil, make([]byte, MaxRecord+1), nil); err != ErrTooLarge || b != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// It took no number: the other end is not out of step. What is too large for the Sealer is so for the Opener too.
	b, err := out.Seal(nil, nil, nil)
	if _, err := in.Open(nil, must(t, b, err), nil); err != nil {
		t.Error(err)
	}
	nonce := bytes.Clone(in.d.next())
	in.d.seq--
	large := in.d.aead.Seal(nil, nonce, make([]byte, MaxRecord+1), nil)
	if _, err := in.Open(nil, large, nil); err != ErrOpen {
		t.Errorf("a true record of %d bytes: %v", len(large), err)
	}
}

func TestOrderOfRecords(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, _ := pair(t, s)
		var r [3][]byte
		for i := range r {
			b, err := out.Seal(nil, []byte{byte(i)}, nil)
			r[i] = must(t, b, err)
		}
		out.Rekey()
		b, err := out.Seal(nil, []byte{3}, nil)
		next := must(t, b, err)

		first := func() *Opener {
			in := opener(t, s)
			if got, err := in.Open(nil, r[0], nil); err != nil || got[0] != 0 {
				t.Fatal(got, err)
			}
			return in
		}
		refuses(t, "repeated record", first(), r[0], nil, r[1], nil)
		refuses(t, "record left out", first(), r[2], nil, r[1], nil)
		refuses(t, "record of the next key", first(), next, nil, r[1], nil)
		late := first()
		late.Rekey()
		refuses(t, "record of the key before", late, r[1], nil, next, nil)
		again := first()
		again.Rekey()
		refuses(t, "first record after Rekey", again, r[0], nil, next, nil)
	})
}

func TestForeignStreamsAreRefused(t *testing.T) {
	secret := counting(0, 32)
	for _, s := range Suites() {
		out, err := NewSealer(s, secret, purpose)
		must(t, out, err)
		good, err := out.Seal(nil, []byte("text"), nil)
		must(t, good, err)
		other := func(s Suite, secret, salt []byte, p Purpose) *Opener {
			in, err := NewOpener(s, secret, salt, p)
			return must(t, in, err)
		}
		if got, err := other(s, secret, out.Salt(), purpose).Open(nil, good, nil); err != nil || string(got) != "text" {
			t.Errorf("%v: %q, %v", s, got, err)
		}
		refuses(t, "other secret", other(s, counting(1, 32), out.Salt(), purpose), good, nil, good, nil)
		refuses(t, "other direction", other(s, secret, out.Salt(), "test server to client"), good, nil, good, nil)
		for _, wrong := range Suites() {
			if wrong != s {
				refuses(t, "other suite", other(wrong, secret, out.Salt(), purpose), good, nil, good, nil)
			}
		}
		for i := range 8 * SaltSize {
			salt := out.Salt()
			salt[i/8] ^= 1 << (i % 8)
			refuses(t, "other salt", other(s, secret, salt, purpose), good, nil, good, nil)
		}
	}
}

func TestBadEnds(t *testing.T) {
	secret, salt := counting(0, 32), counting(64, SaltSize)
	cases := []struct {
		name         string
		suite        Suite
		secret, salt []byte
		purpose      Purpose
	}{
		{"no suite", 0, secret, salt, purpose},
		{"unknown suite", 5, secret, salt, purpose},
		{"no secret", AES256GCM, nil, salt, purpose},
		{"short secret", AES256GCM, secret[:15], salt, purpose},
		{"no purpose", AES256GCM, secret, salt, ""},
		{"long purpose", AES256GCM, secret, salt, Purpose(strings.Repeat("p", MaxPurpose+1))},
		{"no salt", AES256GCM, secret, nil, purpose},
		{"short salt", AES256GCM, secret, salt[:31], purpose},
		{"long salt", AES256GCM, secret, append(bytes.Clone(salt), 1), purpose},
	}
	for _, c := range cases {
		if in, err := NewOpener(c.suite, c.secret, c.salt, c.purpose); err == nil || in != nil {
			t.Errorf("%s: an Opener, %v", c.name, err)
		}
		if out, err := NewSealer(c.suite, c.secret, c.purpose); (err == nil) != strings.Contains(c.name, "salt") || (out == nil) != (err != nil) {
			t.Errorf("%s: a Sealer %v, %v", c.name, out != nil, err)
		}
	}
}

// However often a secret is used, no two Sealers share a key.
func TestSealersShareNothing(t *testing.T) {
	seen := make(map[string]bool)
	for range 200 {
		out, err := NewSealer(AES128GCM, counting(0, 32), purpose)
		must(t, out, err)
		b, err := out.Seal(nil, make([]byte, 32), nil)
		for _, part := range []string{string(out.Salt()), string(out.d.keying.secret[:]), string(out.d.keying.iv[:]), string(must(t, b, err))} {
			if seen[part] {
				t.Fatal("two Sealers of one secret have the same")
			}
			seen[part] = true
		}
	}
	out, _ := pair(t, AES128GCM)
	out.Salt()[0] ^= 1
	if !bytes.Equal(out.Salt(), counting(64, SaltSize)) {
		t.Error("the salt can be altered by whoever asked for it")
	}
}

func TestExhaustedKeys(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, in := pair(t, s)
		if out.Remaining() != s.MaxRecords() || in.Remaining() != s.MaxRecords() {
			t.Fatalf("at first %d and %d of %d", out.Remaining(), in.Remaining(), s.MaxRecords())
		}
		out.d.seq, in.d.seq = s.MaxRecords()-2, s.MaxRecords()-2
		var last []byte
		for left := uint64(2); left > 0; left-- {
			if out.Remaining() != left || in.Remaining() != left {
				t.Fatalf("%d and %d remain, want %d", out.Remaining(), in.Remaining(), left)
			}
			b, err := out.Seal(nil, []byte("last"), nil)
			last = must(t, b, err)
			if _, err := in.Open(nil, last, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // it stays so
			if b, err := out.Seal(nil, nil, nil); !errors.Is(err, ErrExhausted) || b != nil || out.Remaining() != 0 {
				t.Errorf("sealed %x, %v, %d remain", b, err, out.Remaining())
			}
			if b, err := in.Open(nil, last, nil); !errors.Is(err, ErrExhausted) || b != nil || in.Remaining() != 0 {
				t.Errorf("opened %x, %v, %d remain", b, err, in.Remaining())
			}
		}
		out.Rekey()
		in.Rekey()
		if out.Remaining() != s.MaxRecords() || in.Remaining() != s.MaxRecords() {
			t.Errorf("after Rekey %d and %d remain", out.Remaining(), in.Remaining())
		}
		b, err := out.Seal(nil, []byte("fresh"), nil)
		if got, err := in.Open(nil, must(t, b, err), nil); err != nil || string(got) != "fresh" {
			t.Errorf("after Rekey: %q, %v", got, err)
		}
	})
}

// Over many epochs no secret, iv, or key returns; a key shows in what it makes of zeros.
func TestRatchetNeverRepeats(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		d := opener(t, s).d
		seen := make(map[string]int)
		for epoch := range 2000 {
			nonce := make([]byte, s.NonceSize())
			for _, part := range []string{string(d.keying.secret[:]), string(d.keying.iv[:]), string(d.aead.Seal(nil, nonce, make([]byte, 32), nil))} {
				if before, ok := seen[part]; ok {
					t.Fatalf("epoch %d has a part of epoch %d", epoch, before)
				}
				seen[part] = epoch
			}
			d.ratchet()
		}
	})
}

// Nonces are iv XOR number over the whole 64 bits, and none returns within a key.
func TestNonces(t *testing.T) {
	for _, s := range []Suite{ChaCha20Poly1305, XChaCha20Poly1305} {
		size := s.NonceSize()
		d := opener(t, s).d
		for _, n := range []uint64{0, 1, 255, 256, 1<<32 - 1, 1 << 32, 1<<63 + 5, 1<<64 - 1} {
			d.seq = n
			want := bytes.Clone(d.keying.iv[:size])
			for i := range 8 {
				want[size-1-i] ^= byte(n >> (8 * i))
			}
			if got := d.next(); !bytes.Equal(got, want) || d.seq != n+1 {
				t.Errorf("nonce %d of %d bytes is %x, want %x", n, size, got, want)
			}
		}
		d.seq = 0
		seen := make(map[string]bool)
		for range 100_000 {
			seen[string(d.next())] = true
		}
		if len(seen) != 100_000 {
			t.Errorf("%d different nonces of 100000", len(seen))
		}
	}
}

// A panic inside the cipher, here for an overlap, must not leave the number to be used again.
func TestPanicDoesNotReuseANonce(t *testing.T) {
	out, _ := pair(t, ChaCha20Poly1305)
	b := make([]byte, 100)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("an overlap passes")
			}
		}()
		out.Seal(b[:1], b[:64], nil)
	}()
	if left := out.Remaining(); left != ChaCha20Poly1305.MaxRecords()-1 {
		t.Errorf("%d remain", left)
	}
}

// A copy shares the counter: it is no second Sealer with the same nonces.
func TestCopyIsTheSameSealer(t *testing.T) {
	out, in := pair(t, AES256GCM)
	twin := *out
	for i, x := range []*Sealer{out, &twin, out} {
		b, err := x.Seal(nil, []byte{byte(i)}, nil)
		if got, err := in.Open(nil, must(t, b, err), nil); err != nil || got[0] != byte(i) {
			t.Fatalf("record %d: %x, %v", i, got, err)
		}
	}
}

func TestNothingIsLeftOfARefusedRecord(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, in := pair(t, s)
		in.d.aead = leaky{in.d.aead}
		b, err := out.Seal(nil, bytes.Repeat([]byte("secret"), 50), nil)
		bad := must(t, b, err)
		bad[len(bad)-1] ^= 1
		dst := dirty(len(bad) - TagSize)
		if _, err := in.Open(dst, bad, nil); err != ErrOpen {
			t.Error(err)
		}
		untold(t, dst, "refused record")
	})
}

// The model of a stream: what is delivered opens exactly as long as it is the sealed records, each once and in order.
func TestStreamsAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 6))
	eachSuite(t, func(t *testing.T, s Suite) {
		for range 300 {
			script := make([]byte, 30)
			for i := range script {
				script[i] = byte(r.Uint32())
				if r.IntN(12) > 0 {
					script[i] &= 0x07 // mostly honest
				}
			}
			playStream(t, s, script)
		}
	})
}

// playStream lets an honest Sealer and a meddler take turns as script says, and compares the Opener with the model.
func playStream(t *testing.T, s Suite, script []byte) {
	out, in := pair(t, s)
	var old [][]byte
	intact := true
	for i, op := range script {
		text, ad := []byte{byte(i), op}, []byte{op}
		record, err := out.Seal(nil, text, ad)
		must(t, record, err)
		deliver, honest := record, true
		switch op >> 3 {
		case 0: // as it is; sometimes with a new key
		case 1:
			deliver, honest = nil, false // nothing: the next one shows the hole
			intact = false
		case 2:
			deliver = bytes.Clone(record)
			deliver[int(op)%len(deliver)] ^= 1 << (i % 8)
			honest = false
		case 3:
			deliver, honest = record[:len(record)-1-int(op)%8], false
		case 4:
			if len(old) > 0 {
				deliver, honest = old[i%len(old)], false
			}
		case 5:
			ad, honest = []byte{op, 0}, false
		case 6:
			in.Rekey() // out of step
			honest = false
		}
		old = append(old, record)
		if deliver == nil {
			continue
		}
		intact = intact && honest
		dst := dirty(len(text))
		got, err := in.Open(dst, deliver, ad)
		switch {
		case intact && (err != nil || !bytes.Equal(got, append([]byte("prefix"), text...))):
			t.Fatalf("%v, step %d of %x: honest record: %x, %v", s, i, script, got, err)
		case !intact && (err != ErrOpen || got != nil):
			t.Fatalf("%v, step %d of %x: opened %x, %v", s, i, script, got, err)
		case !intact:
			untold(t, dst, "refused record")
		}
		if op == 7 {
			out.Rekey()
			in.Rekey()
		}
	}
}

func FuzzOpener(f *testing.F) {
	for _, s := range Suites() {
		f.Add(byte(s), []byte{0, 1, 2, 7, 0, 7, 3})
		f.Add(byte(s), []byte{0, 8, 0})
		f.Add(byte(s), []byte{0, 0x11, 0, 0x18, 0, 0x27, 0x2d, 0x30})
		f.Add(byte(s), []byte{7, 7, 0x30, 0})
		f.Add(byte(s), []byte{7, 0, 0x20, 0})
	}
	f.Fuzz(func(t *testing.T, n byte, script []byte) {
		s := Suites()[int(n)%len(Suites())]
		playStream(t, s, script[:min(len(script), 64)])
		// And bytes of a stranger, which no Sealer made.
		dst := dirty(len(script))
		if got, err := opener(t, s).Open(dst, script, nil); err != ErrOpen || got != nil {
			t.Fatalf("%x opens to %x, %v", script, got, err)
		}
		untold(t, dst, "bytes of a stranger")
	})
}

func TestRecordsDoNotAllocate(t *testing.T) {
	eachSuite(t, func(t *testing.T, s Suite) {
		out, in := pair(t, s)
		text, ad := make([]byte, 1400), make([]byte, 5)
		record, opened := make([]byte, 0, 1400+TagSize), make([]byte, 0, 1400)
		if n := testing.AllocsPerRun(200, func() {
			record, _ = out.Seal(record[:0], text, ad)
			if _, err := in.Open(opened, record, ad); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for a record sealed and opened", n)
		}
		record[0] ^= 1
		if n := testing.AllocsPerRun(200, func() { in.Open(opened, record, ad) }); n != 0 {
			t.Errorf("%v allocations for a refused record", n)
		}
	})
}

// What came out of HKDF does not stay in a second place.
func TestSecretsAreMovedNotCopied(t *testing.T) {
	d := opener(t, AES256GCM).d
	secret := counting(9, 32)
	if d.take(secret); !bytes.Equal(d.keying.secret[:], counting(9, 32)) || !bytes.Equal(secret, make([]byte, 32)) {
		t.Errorf("moved %x, left %x", d.keying.secret, secret)
	}
}
