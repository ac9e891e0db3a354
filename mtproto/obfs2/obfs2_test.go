package obfs2

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"mtguard/mtproto"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectorFile struct {
	Cases []struct {
		Tag         string     `json:"tag"`
		DC          mtproto.DC `json:"dc"`
		SecretKind  string     `json:"secret_kind"`
		KeyMaterial hexBytes   `json:"key_material"`
		Random64    hexBytes   `json:"random64"`
		Init        hexBytes   `json:"init"`
		C2SKey      hexBytes   `json:"c2s_key"`
		C2SIV       hexBytes   `json:"c2s_iv"`
		S2CKey      hexBytes   `json:"s2c_key"`
		S2CIV       hexBytes   `json:"s2c_iv"`
		C2SPlain    hexBytes   `json:"c2s_plain"`
		C2SCipher   hexBytes   `json:"c2s_cipher"`
		S2CPlain    hexBytes   `json:"s2c_plain"`
		S2CCipher   hexBytes   `json:"s2c_cipher"`
	} `json:"cases"`
	Reject []struct {
		Why    string   `json:"why"`
		Init   hexBytes `json:"init"`
		Secret hexBytes `json:"secret"`
	} `json:"reject"`
	FastMode []struct {
		ClientInit hexBytes `json:"client_init"`
		Secret     hexBytes `json:"secret"`
		Tag        string   `json:"tag"`
		DCInit     hexBytes `json:"dc_init"`
		DC2Init    hexBytes `json:"dc_init_with_dc_id_2_and_zero_tail"`
		ToDCKey    hexBytes `json:"proxy_to_dc_key"`
		ToDCIV     hexBytes `json:"proxy_to_dc_iv"`
		FromDCKey  hexBytes `json:"dc_to_proxy_key"`
		FromDCIV   hexBytes `json:"dc_to_proxy_iv"`
		DCPlain    hexBytes `json:"dc_plain"`
		DCCipher   hexBytes `json:"dc_cipher_equals_client_cipher"`
	} `json:"fast_mode"`
}

func vectors(t testing.TB) (file vectorFile) {
	t.Helper()
	raw, err := os.ReadFile("testdata/obfuscated2.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 63 || len(file.Reject) == 0 || len(file.FastMode) != 4 {
		t.Fatalf("vector file holds %d, %d and %d cases", len(file.Cases), len(file.Reject), len(file.FastMode))
	}
	return file
}

// secretOf is what the package calls no secret for an empty one.
func secretOf(material []byte) []byte {
	if len(material) == 0 {
		return nil
	}
	return material
}

func framingOf(t testing.TB, name string) mtproto.Framing {
	for f := mtproto.Abridged; f <= mtproto.Padded; f++ {
		if f.String() == name {
			return f
		}
	}
	t.Fatalf("unknown framing %q", name)
	return 0
}

func checkKey(t *testing.T, what string, k StreamKey, key, iv []byte) {
	t.Helper()
	if !bytes.Equal(k.Key[:], key) || !bytes.Equal(k.IV[:], iv) {
		t.Errorf("%s is %x %x, want %x %x", what, k.Key[:], k.IV[:], key, iv)
	}
}

func checkStream(t *testing.T, what string, k StreamKey, offset uint64, plain, cipher []byte) {
	t.Helper()
	got := make([]byte, len(plain))
	k.Stream(offset).XORKeyStream(got, plain)
	if !bytes.Equal(got, cipher) {
		t.Errorf("%s gives %x, want %x", what, got, cipher)
	}
}

func TestVectors(t *testing.T) {
	for n, c := range vectors(t).Cases {
		t.Run(fmt.Sprintf("%d %s %d %s", n, c.Tag, int(c.DC), c.SecretKind), func(t *testing.T) {
			want := Header{framingOf(t, c.Tag), c.DC}
			secret := secretOf(c.KeyMaterial)
			i, err := NewInit(bytes.NewReader(c.Random64), want, secret)
			if err != nil || !bytes.Equal(i[:], c.Init) {
				t.Fatalf("init %x, %v, want %x", i[:], err, c.Init)
			}
			if got, ok := i.Open(secret); !ok || got != want {
				t.Errorf("opens as %+v, %v, want %+v", got, ok, want)
			}
			if got, ok := i.Open(make([]byte, 16)); ok {
				t.Errorf("opens with another secret as %+v", got)
			}
			c2s, s2c := i.Keys(secret)
			checkKey(t, "c2s", c2s, c.C2SKey, c.C2SIV)
			checkKey(t, "s2c", s2c, c.S2CKey, c.S2CIV)
			checkStream(t, "c2s", c2s, InitSize, c.C2SPlain, c.C2SCipher)
			checkStream(t, "s2c", s2c, 0, c.S2CPlain, c.S2CCipher)
		})
	}
}

func TestRejectVectors(t *testing.T) {
	for _, c := range vectors(t).Reject {
		if h, ok := (*Init)(c.Init).Open(c.Secret); ok {
			t.Errorf("%s: opens as %+v", c.Why, h)
		}
	}
}

func TestPassThroughVectors(t *testing.T) {
	for _, c := range vectors(t).FastMode {
		_, want := (*Init)(c.ClientInit).Keys(c.Secret)
		h := Header{framingOf(t, c.Tag), 2}
		// The maker of dc_init left the DC id random, so only the other vector can be
		// remade whole; they have the same key part and tag.
		random := append(bytes.Clone(c.DCInit[:8]), 0, 0)
		got, err := NewPassThroughInit(bytes.NewReader(random), h, want)
		if err != nil || !bytes.Equal(got[:], c.DC2Init) {
			t.Fatalf("%s: init %x, %v, want %x", c.Tag, got[:], err, c.DC2Init)
		}
		if !bytes.Equal(got[:60], c.DCInit[:60]) {
			t.Errorf("%s: begins %x, want %x", c.Tag, got[:60], c.DCInit[:60])
		}
		if opened, ok := got.Open(nil); !ok || opened != h {
			t.Errorf("%s: opens as %+v, %v", c.Tag, opened, ok)
		}
		if opened, ok := (*Init)(c.DCInit).Open(nil); !ok || opened.Framing != h.Framing {
			t.Errorf("%s: peer's init opens as %+v, %v", c.Tag, opened, ok)
		}
		to, from := got.Keys(nil)
		checkKey(t, "towards the DC", to, c.ToDCKey, c.ToDCIV)
		checkKey(t, "from the DC", from, c.FromDCKey, c.FromDCIV)
		checkKey(t, "from the DC and to the client", from, want.Key[:], want.IV[:])
		checkStream(t, "from the DC", from, 0, c.DCPlain, c.DCCipher)
		checkStream(t, "to the client", want, 0, c.DCPlain, c.DCCipher)
	}
}

// TestPassThroughServesAnyClient is the property of which the vectors are four
// points.
func TestPassThroughServesAnyClient(t *testing.T) {
	secret := []byte("0123456789abcdef")
	for range 200 {
		client, err := NewInit(rand.Reader, Header{mtproto.Padded, -3}, secret)
		if err != nil {
			t.Fatal(err)
		}
		_, want := client.Keys(secret)
		dc, err := NewPassThroughInit(rand.Reader, Header{mtproto.Padded, -3}, want)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := dc.Keys(nil); got != want {
			t.Fatalf("DC of init %x would not answer in the client's stream", dc[:])
		}
		if h, ok := dc.Open(nil); !ok || h != (Header{mtproto.Padded, -3}) {
			t.Fatalf("DC reads %+v, %v", h, ok)
		}
		if !allowedStart([8]byte(dc[:])) {
			t.Fatalf("forbidden start %x", dc[:8])
		}
	}
}

func TestForbiddenStartsAreDrawnAgain(t *testing.T) {
	good := bytes.Repeat([]byte{0x5a}, 64)
	for _, start := range []string{
		"\xefabcdefg", "HEADabcd", "POSTabcd", "GET abcd", "OPTIabcd", "\xee\xee\xee\xeeabcd",
		"\xdd\xdd\xdd\xddabcd", "\x16\x03\x01\x02abcd", "abcd\x00\x00\x00\x00",
	} {
		bad := append([]byte(start), good[8:]...)
		i, err := NewInit(bytes.NewReader(append(bad, good...)), Header{mtproto.Abridged, 1}, nil)
		if err != nil || !bytes.Equal(i[:56], good[:56]) {
			t.Errorf("start %q: init %x, %v", start, i[:], err)
		}
		i, err = NewPassThroughInit(bytes.NewReader(append([]byte(start), good...)), Header{mtproto.Abridged, 1}, StreamKey{})
		if err != nil || !bytes.Equal(i[:8], good[:8]) {
			t.Errorf("start %q: pass-through init %x, %v", start, i[:], err)
		}
	}
	for _, start := range []string{"GETxabcd", "HEAdabcd", "\xee\xee\xee\xefabcd", "\x16\x03\x01\x03abcd", "abcd\x00\x00\x00\x01", "\x00\xefabcdef"} {
		if !allowedStart([8]byte([]byte(start))) {
			t.Errorf("start %q is refused", start)
		}
	}
}

type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

func TestBrokenRandomSource(t *testing.T) {
	gone := errors.New("gone")
	h := Header{mtproto.Padded, 2}
	for name, r := range map[string]io.Reader{
		"error":           iotest.ErrReader(gone),
		"short":           bytes.NewReader(make([]byte, 9)),
		"always the same": endless(0xef),
	} {
		if i, err := NewInit(r, h, nil); err == nil || i != (Init{}) {
			t.Errorf("%s: init %x, %v, want an error and nothing else", name, i[:], err)
		}
		if i, err := NewPassThroughInit(r, h, StreamKey{}); err == nil || i != (Init{}) {
			t.Errorf("%s: pass-through init %x, %v, want an error and nothing else", name, i[:], err)
		}
	}
	if _, err := NewInit(iotest.ErrReader(gone), h, nil); !errors.Is(err, gone) {
		t.Errorf("error %v hides its cause", err)
	}
	if i, err := NewInit(rand.Reader, Header{DC: 2}, nil); err == nil || i != (Init{}) {
		t.Errorf("init without framing: %x, %v", i[:], err)
	}
}

func TestWrongSecretLengthPanics(t *testing.T) {
	var i Init
	for _, secret := range [][]byte{{}, make([]byte, 15), make([]byte, 17)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("secret of %d bytes is taken", len(secret))
				}
			}()
			i.Open(secret)
		}()
	}
}

// TestReplayKeyCannotBeShaken: whatever a replayer changes, the init has the same key
// or no longer opens. Bytes 40 to 55 matter most: adding one to the counter in them
// keeps a stream key whose next block may be known.
func TestReplayKeyCannotBeShaken(t *testing.T) {
	secret := []byte("0123456789abcdef")
	i, err := NewInit(rand.Reader, Header{mtproto.Padded, 4}, secret)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for bit := range len(i) * 8 {
		copied := i
		copied[bit/8] ^= 1 << (bit % 8)
		if _, ok := copied.Open(secret); !ok {
			continue
		}
		opened++
		if copied.ReplayKey() != i.ReplayKey() {
			t.Errorf("bit %d changes the replay key of an init that opens", bit)
		}
	}
	// The clear start, the DC id and the tail are not bound to anything.
	if want := (8 + 4) * 8; opened != want {
		t.Errorf("%d one-bit changes open, want %d", opened, want)
	}
	moved := i
	iv := counter([16]byte(i[40:56]), 1)
	copy(moved[40:], iv[:])
	if moved.ReplayKey() != i.ReplayKey() {
		t.Error("moving the counter changes the replay key")
	}
}

func TestStreamOffsets(t *testing.T) {
	var k StreamKey
	rand.Read(k.Key[:])
	for _, iv := range []string{
		"00000000000000000000000000000000",
		"000000000000000000000000fffffffe",
		"0000000000000000fffffffffffffffd",
		"ffffffffffffffffffffffffffffffff",
	} {
		hex.Decode(k.IV[:], []byte(iv))
		whole := make([]byte, 4096)
		k.Stream(0).XORKeyStream(whole, whole)
		for _, offset := range []int{0, 1, 15, 16, 17, 31, 32, 56, 64, 1000, 4095, 4096} {
			got := make([]byte, len(whole)-offset)
			k.Stream(uint64(offset)).XORKeyStream(got, got)
			if !bytes.Equal(got, whole[offset:]) {
				t.Errorf("iv %s: stream at %d differs from the whole one", iv, offset)
			}
		}
	}
	// Far offsets cannot be walked to; one block further must agree.
	for range 100 {
		at := mathrand.Uint64N(1<<63) &^ 15
		var a, b [32]byte
		k.Stream(at).XORKeyStream(a[:], a[:])
		k.Stream(at+16).XORKeyStream(b[:16], b[:16])
		if [16]byte(a[16:]) != [16]byte(b[:16]) {
			t.Errorf("streams at %d and %d disagree", at, at+16)
		}
	}
}

func TestStreamKeyIsNotPrinted(t *testing.T) {
	k := StreamKey{Key: [32]byte([]byte("canarycanarycanarycanarycanary!!")), IV: [16]byte([]byte("canary2canary2ca"))}
	var out strings.Builder
	for _, v := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		fmt.Fprintf(&out, v+"\n", k)
		fmt.Fprintf(&out, v+"\n", &k)
		fmt.Fprintf(&out, v+"\n", struct{ K StreamKey }{k})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", k, "p", &k)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", k)
	if err := json.NewEncoder(&out).Encode(k); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"canary", "63616e617279", "636172", "99 97 110", "0x63, 0x61", "Y2FuYXJ5"} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
			t.Errorf("key bytes are printed as %q:\n%s", leak, out.String())
		}
	}
}

func TestOpenAllocations(t *testing.T) {
	i, err := NewInit(rand.Reader, Header{mtproto.Padded, 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, 16)
	// The standard library gives no AES without allocating its round keys.
	if n := testing.AllocsPerRun(1000, func() { i.Open(secret) }); n > 2 {
		t.Errorf("Open allocates %v times, want at most 2", n)
	}
	if n := testing.AllocsPerRun(1000, func() { i.Keys(secret) }); n != 0 {
		t.Errorf("Keys allocates %v times", n)
	}
}
