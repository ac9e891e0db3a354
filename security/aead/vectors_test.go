package aead

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// hexBytes is a field in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func TestWycheproofCiphers(t *testing.T) {
	files := []struct {
		name       string
		applicable int // of our nonce, key and tag sizes: a test that skips all would pass
		suites     []Suite
	}{
		{"aes_gcm", 133, []Suite{AES256GCM, AES128GCM}},
		{"chacha20_poly1305", 316, []Suite{ChaCha20Poly1305}},
		{"xchacha20_poly1305", 306, []Suite{XChaCha20Poly1305}},
	}
	for _, file := range files {
		var v struct {
			TestGroups []struct {
				KeySize, IVSize, TagSize int
				Tests                    []struct {
					TCID                       int
					Comment, Result            string
					Key, IV, AAD, Msg, CT, Tag hexBytes
				}
			}
		}
		readJSON(t, "testdata/wycheproof/"+file.name+"_test.json", &v)
		applicable := 0
		for _, g := range v.TestGroups {
			var suite Suite
			for _, s := range file.suites {
				if g.KeySize == 8*s.KeySize() && g.IVSize == 8*s.NonceSize() && g.TagSize == 8*TagSize {
					suite = s
				}
			}
			if suite == 0 {
				continue
			}
			for _, c := range g.Tests {
				applicable++
				a, err := suite.New(c.Key)
				if err != nil {
					t.Errorf("%s %d: %v", file.name, c.TCID, err)
					continue
				}
				sealed := append(append([]byte(nil), c.CT...), c.Tag...)
				got, err := a.Open(nil, c.IV, sealed, c.AAD)
				if valid := c.Result == "valid"; (err == nil) != valid || valid && !bytes.Equal(got, c.Msg) {
					t.Errorf("%s %d (%s) is %s: got %x, %v", file.name, c.TCID, c.Comment, c.Result, got, err)
				} else if again := a.Seal(nil, c.IV, c.Msg, c.AAD); bytes.Equal(again, sealed) != valid {
					t.Errorf("%s %d (%s) is %s: sealed %x", file.name, c.TCID, c.Comment, c.Result, again)
				}
			}
		}
		if applicable != file.applicable {
			t.Errorf("%s: %d applicable cases, want %d", file.name, applicable, file.applicable)
		}
	}
}

func TestWycheproofHKDF(t *testing.T) {
	var v struct {
		NumberOfTests int
		TestGroups    []struct {
			Tests []struct {
				TCID, Size           int
				Result               string
				IKM, Salt, Info, OKM hexBytes
			}
		}
	}
	readJSON(t, "testdata/wycheproof/hkdf_sha256_test.json", &v)
	ran := 0
	for _, g := range v.TestGroups {
		for _, c := range g.Tests {
			ran++
			got, err := extractAndExpand(c.IKM, c.Salt, string(c.Info), c.Size)
			if valid := c.Result == "valid"; (err == nil) != valid || valid && !bytes.Equal(got, c.OKM) {
				t.Errorf("case %d is %s: got %x, %v", c.TCID, c.Result, got, err)
			}
		}
	}
	if ran < 80 || ran != v.NumberOfTests {
		t.Errorf("%d cases, of %d", ran, v.NumberOfTests)
	}
}

// RFC 5869, appendix A.1 to A.3.
func TestRFC5869(t *testing.T) {
	cases := []struct {
		ikm, salt, info []byte
		size            int
		prk, okm        string
	}{
		{
			bytes.Repeat([]byte{0x0b}, 22), counting(0, 13), counting(0xf0, 10), 42,
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		},
		{
			counting(0, 80), counting(0x60, 80), counting(0xb0, 80), 82,
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
		},
		{
			bytes.Repeat([]byte{0x0b}, 22), nil, nil, 42,
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
		},
	}
	for i, c := range cases {
		got, err := extractAndExpand(c.ikm, c.salt, string(c.info), c.size)
		if err != nil || hex.EncodeToString(got) != c.okm {
			t.Errorf("A.%d: got %x, %v, want %s", i+1, got, err, c.okm)
		}
		got, err = expand(unhex(t, c.prk), string(c.info), c.size)
		if err != nil || hex.EncodeToString(got) != c.okm {
			t.Errorf("A.%d, second half: got %x, %v, want %s", i+1, got, err, c.okm)
		}
	}
}

const (
	gcmKey   = "feffe9928665731c6d6a8f9467308308"
	gcmNonce = "cafebabefacedbaddecaf888"
	gcmAD    = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	gcmText  = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
	zeros16  = "00000000000000000000000000000000"
	sunAD    = "50515253c0c1c2c3c4c5c6c7"
	sun      = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
)

// The examples of the papers themselves: those submitted to NIST with GCM (appendix B, those of 96-bit nonces), RFC 8439 2.8.2,
// and A.3.1 of the draft of XChaCha20.
func TestPublishedExamples(t *testing.T) {
	sunKey := hex.EncodeToString(counting(0x80, 32))
	sunText := hex.EncodeToString([]byte(sun))
	cases := []struct {
		name                             string
		suite                            Suite
		key, nonce, ad, text, ciphertext string
	}{
		{"GCM 1", AES128GCM, zeros16, "000000000000000000000000", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
		{"GCM 2", AES128GCM, zeros16, "000000000000000000000000", "", zeros16, "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
		{"GCM 3", AES128GCM, gcmKey, gcmNonce, "", gcmText + "1aafd255", "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f59854d5c2af327cd64a62cf35abd2ba6fab4"},
		{"GCM 4", AES128GCM, gcmKey, gcmNonce, gcmAD, gcmText, "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
		{"GCM 13", AES256GCM, zeros16 + zeros16, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{"GCM 14", AES256GCM, zeros16 + zeros16, "000000000000000000000000", "", zeros16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
		{"GCM 15", AES256GCM, gcmKey + gcmKey, gcmNonce, "", gcmText + "1aafd255", "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c"},
		{"GCM 16", AES256GCM, gcmKey + gcmKey, gcmNonce, gcmAD, gcmText, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
		{"RFC 8439", ChaCha20Poly1305, sunKey, "070000004041424344454647", sunAD, sunText, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
		{"XChaCha20", XChaCha20Poly1305, sunKey, hex.EncodeToString(counting(0x40, 24)), sunAD, sunText, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"},
	}
	for _, c := range cases {
		a, err := c.suite.New(unhex(t, c.key))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sealed := a.Seal(nil, unhex(t, c.nonce), unhex(t, c.text), unhex(t, c.ad))
		if hex.EncodeToString(sealed) != c.ciphertext {
			t.Errorf("%s: sealed %x, want %s", c.name, sealed, c.ciphertext)
		}
		text, err := a.Open(nil, unhex(t, c.nonce), unhex(t, c.ciphertext), unhex(t, c.ad))
		if err != nil || hex.EncodeToString(text) != c.text {
			t.Errorf("%s: opened %x, %v", c.name, text, err)
		}
	}
}

// What another language computes from the package comment is what the package does, for ever: see testdata/golden.py.
func TestGolden(t *testing.T) {
	var v struct {
		Secret, Salt, Key, Nonce hexBytes
		Purpose                  Purpose
		Suites                   map[string]struct {
			ID      Suite
			Records []struct {
				Epoch, Number         uint64
				Plaintext, AD, Record hexBytes
			}
			Blobs []struct{ Plaintext, AD, Blob hexBytes }
		}
		Derived []struct {
			Size         int
			Salt, SHA256 hexBytes
			Purpose      Purpose
		}
	}
	readJSON(t, "testdata/golden.json", &v)
	if len(v.Suites) != len(Suites()) || len(v.Derived) == 0 {
		t.Fatalf("%d suites, %d derived keys", len(v.Suites), len(v.Derived))
	}
	key, err := ParseKey(v.Key)
	must(t, key, err)
	for name, want := range v.Suites {
		s, err := ParseSuite(name)
		if err != nil || s != want.ID {
			t.Fatalf("%s is suite %d, %v, want %d", name, s, err, want.ID)
		}
		d, err := newDirection(s, v.Secret, v.Salt, v.Purpose)
		out := &Sealer{d: must(t, d, err)}
		in, err := NewOpener(s, v.Secret, v.Salt, v.Purpose)
		must(t, in, err)
		epoch := uint64(0)
		for _, r := range want.Records {
			if r.Epoch != epoch {
				out.Rekey()
				in.Rekey()
				epoch++
			}
			out.d.seq, in.d.seq = r.Number, r.Number
			if got, err := out.Seal(nil, r.Plaintext, r.AD); err != nil || !bytes.Equal(got, r.Record) {
				t.Errorf("%s: record %d of epoch %d is %x, %v, want %x", name, r.Number, r.Epoch, got, err, []byte(r.Record))
			}
			if got, err := in.Open(nil, r.Record, r.AD); err != nil || !bytes.Equal(got, r.Plaintext) {
				t.Errorf("%s: record %d of epoch %d opens to %x, %v", name, r.Number, r.Epoch, got, err)
			}
		}
		for i, b := range want.Blobs {
			nonce := [nonceSize]byte(v.Nonce)
			if got, err := seal(nil, s, key, v.Purpose, &nonce, b.Plaintext, b.AD); err != nil || !bytes.Equal(got, b.Blob) {
				t.Errorf("%s: blob %d is %x, %v, want %x", name, i, got, err, []byte(b.Blob))
			}
			if got, err := Open(nil, ring(key), v.Purpose, b.Blob, b.AD); err != nil || !bytes.Equal(got, b.Plaintext) {
				t.Errorf("%s: blob %d opens to %x, %v", name, i, got, err)
			}
		}
	}
	for _, d := range v.Derived {
		got, err := Derive(v.Secret, d.Salt, d.Purpose, d.Size)
		if sum := sha256.Sum256(got); err != nil || len(got) != d.Size || !bytes.Equal(sum[:], d.SHA256) {
			t.Errorf("key of %d bytes for %q: %x, %v", d.Size, d.Purpose, got, err)
		}
	}
}

// leaky is a cipher within the contract of cipher.AEAD: upon a wrong tag the plaintext stands in dst.
type leaky struct{ cipher.AEAD }

func (l leaky) Open(dst, nonce, ciphertext, ad []byte) ([]byte, error) {
	out, err := l.AEAD.Open(dst, nonce, ciphertext, ad)
	if err != nil {
		_ = append(dst, bytes.Repeat([]byte("secret"), len(ciphertext))[:len(ciphertext)-TagSize]...)
	}
	return out, err
}

func newLeaky(own func([]byte) (cipher.AEAD, error)) func([]byte) (cipher.AEAD, error) {
	return func(key []byte) (cipher.AEAD, error) {
		a, err := own(key)
		return leaky{a}, err
	}
}
