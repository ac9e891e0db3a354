package tgsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
	"time"
)

var framingNames = map[string]framing{"abridged": abridged, "intermediate": intermediate, "padded": padded}

func TestObfuscationAgreesWithVectors(t *testing.T) {
	var v struct {
		Cases []struct {
			Tag       string
			DC        int
			Secret    hexBytes `json:"key_material"`
			Random    hexBytes `json:"random64"`
			Init      hexBytes
			C2SPlain  hexBytes `json:"c2s_plain"`
			C2SCipher hexBytes `json:"c2s_cipher"`
			S2CPlain  hexBytes `json:"s2c_plain"`
			S2CCipher hexBytes `json:"s2c_cipher"`
		}
		Reject []struct {
			Why          string
			Init, Secret hexBytes
		}
		FastMode []struct {
			DCInit hexBytes `json:"dc_init_with_dc_id_2_and_zero_tail"`
			Plain  hexBytes `json:"dc_plain"`
			Cipher hexBytes `json:"dc_cipher_equals_client_cipher"`
			Tag    string
		} `json:"fast_mode"`
	}
	readVectors(t, "obfuscated2.json", &v)
	if len(v.Cases) == 0 || len(v.Reject) == 0 || len(v.FastMode) == 0 {
		t.Fatal("vectors are missing")
	}
	for i, c := range v.Cases {
		init, s := sealInit([64]byte(c.Random), framingNames[c.Tag], c.DC, c.Secret)
		if !bytes.Equal(init[:], c.Init) {
			t.Errorf("case %d: init %x, want %x", i, init, []byte(c.Init))
		}
		checkStreams(t, i, s, c.C2SPlain, c.C2SCipher, c.S2CPlain, c.S2CCipher)
		f, dc, s, err := openInit([64]byte(c.Init), c.Secret)
		if err != nil || f != framingNames[c.Tag] || dc != c.DC {
			t.Errorf("case %d: opened as %v, dc %d, %v; want %s, dc %d", i, f, dc, err, c.Tag, c.DC)
			continue
		}
		checkStreams(t, i, s, c.C2SPlain, c.C2SCipher, c.S2CPlain, c.S2CCipher)
	}
	for _, c := range v.Reject {
		if f, _, _, err := openInit([64]byte(c.Init), c.Secret); err == nil {
			t.Errorf("%s: opened as %v", c.Why, f)
		}
	}
	for i, c := range v.FastMode {
		// A DC knows nothing of pass-through: its ciphertext must be the client's.
		f, dc, s, err := openInit([64]byte(c.DCInit), nil)
		if err != nil || f != framingNames[c.Tag] || dc != 2 {
			t.Errorf("fast mode %d: opened as %v, dc %d, %v", i, f, dc, err)
			continue
		}
		got := slices.Clone(c.Plain)
		s.s2c.XORKeyStream(got, got)
		if !bytes.Equal(got, c.Cipher) {
			t.Errorf("fast mode %d: dc sends %x, want %x", i, []byte(got), []byte(c.Cipher))
		}
	}
}

func checkStreams(t *testing.T, i int, s streams, c2sPlain, c2sCipher, s2cPlain, s2cCipher []byte) {
	t.Helper()
	up, down := slices.Clone(c2sPlain), slices.Clone(s2cPlain)
	s.c2s.XORKeyStream(up, up)
	s.s2c.XORKeyStream(down, down)
	if !bytes.Equal(up, c2sCipher) || !bytes.Equal(down, s2cCipher) {
		t.Errorf("case %d: streams give %x and %x, want %x and %x", i, up, down, c2sCipher, s2cCipher)
	}
}

func TestFramingAgreesWithVectors(t *testing.T) {
	var v struct {
		Frames []struct {
			Transport string
			Len       int `json:"payload_len"`
			Header    hexBytes
			Payload   hexBytes
			Sum       string `json:"payload_sha256"`
		}
	}
	readVectors(t, "client_framing.json", &v)
	for _, c := range v.Frames {
		f := framingNames[c.Transport]
		payload := []byte(c.Payload)
		if payload == nil { // too long for the file: only the header is given
			payload = make([]byte, c.Len)
		} else if sum := sha256.Sum256(payload); hex.EncodeToString(sum[:]) != c.Sum {
			t.Fatalf("%s %d: the vector contradicts itself", c.Transport, c.Len)
		}
		wire := slices.Concat(c.Header, payload)
		got, err := appendPacket(nil, f, payload, 0)
		if err != nil || !bytes.Equal(got, wire) {
			t.Errorf("%s %d: header %x, %v; want %x", c.Transport, c.Len, got[:min(4, len(got))], err, []byte(c.Header))
		}
		back, quick, err := readPacket(bytes.NewReader(wire), f, nil)
		if err != nil || quick || !bytes.Equal(back, payload) {
			t.Errorf("%s %d: read back %d bytes, quick %v, %v", c.Transport, c.Len, len(back), quick, err)
		}
		asked := slices.Clone(wire)
		asked[len(c.Header)-1] |= 0x80
		if f == abridged {
			asked = slices.Clone(wire)
			asked[0] |= 0x80
		}
		if back, quick, err := readPacket(bytes.NewReader(asked), f, nil); err != nil || !quick || !bytes.Equal(back, payload) {
			t.Errorf("%s %d with quick ack: %d bytes, quick %v, %v", c.Transport, c.Len, len(back), quick, err)
		}
	}
}

type helloVector struct {
	Name       string
	Secret     hexBytes
	Domain     string
	Now        int64
	Hello      hexBytes
	DigestOK   bool  `json:"digest_ok"`
	Timestamp  int64 `json:"timestamp"`
	SNI        *string
	SessionID  *string `json:"session_id"`
	Extensions []int
	Expect     string
}

// TestHelloAgreesWithVectors signs the vectors' hellos anew and reads them with
// the test relay's checker.
func TestHelloAgreesWithVectors(t *testing.T) {
	var v struct {
		Cases  []helloVector
		Replay struct {
			Hello, Secret hexBytes
			Now           int64
			Retimed       hexBytes `json:"retimed_hello"`
			RetimedNow    int64    `json:"retimed_now"`
		}
	}
	readVectors(t, "faketls_hello.json", &v)
	for _, c := range v.Cases {
		h, err := readHello(bytes.NewReader(c.Hello))
		if c.Expect == "incomplete" {
			if err == nil {
				t.Errorf("%s: read a whole hello", c.Name)
			}
			continue
		}
		if c.Name == "oversized" { // policy: we choose the limit of 16384
			if err == nil {
				t.Errorf("%s: accepted", c.Name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		at, ok := h.open(c.Secret)
		if ok != c.DigestOK || ok && at != c.Timestamp {
			t.Errorf("%s: digest %v at %d, want %v at %d", c.Name, ok, at, c.DigestOK, c.Timestamp)
		}
		if c.SNI != nil && h.name != *c.SNI {
			t.Errorf("%s: server name %q, want %q", c.Name, h.name, *c.SNI)
		}
		if c.DigestOK {
			again := slices.Clone(h.joined)
			sign(again, c.Secret, time.Unix(c.Timestamp, 0))
			if !bytes.Equal(again, h.joined) {
				t.Errorf("%s: signed anew, the random is %x, want %x", c.Name, again[11:43], h.joined[11:43])
			}
		}
	}
	// The retimed hello is the first with its time moved, and both are signed.
	moved := slices.Clone(v.Replay.Hello)
	first, second := must(readHello(bytes.NewReader(moved)))(t), must(readHello(bytes.NewReader(v.Replay.Retimed)))(t)
	was, _ := first.open(v.Replay.Secret)
	want, ok := second.open(v.Replay.Secret)
	if !ok || want != v.Replay.RetimedNow {
		t.Errorf("retimed hello: digest %v, time %d, want %d", ok, want, v.Replay.RetimedNow)
	}
	moveTime(moved, uint32(was)^uint32(want))
	if !bytes.Equal(moved, v.Replay.Retimed) {
		t.Errorf("retimed random %x, want %x", moved[11:43], v.Replay.Retimed[11:43])
	}
}

func TestAnswerRuleAgreesWithVectors(t *testing.T) {
	var v struct {
		Cases []struct {
			Name           string
			Secret, Answer hexBytes
			ClientRandom   hexBytes `json:"client_random"`
			SessionID      hexBytes `json:"session_id"`
			Expect         string
		}
	}
	readVectors(t, "faketls_answer.json", &v)
	for _, c := range v.Cases {
		err := checkFlight(c.Answer, c.Secret, c.ClientRandom)
		if (err == nil) != (c.Expect == "accept") {
			t.Errorf("%s: %v, want %s", c.Name, err, c.Expect)
		}
		if c.Expect != "accept" {
			continue
		}
		if checkFlight(append(slices.Clone(c.Answer), 0), c.Secret, c.ClientRandom) == nil {
			t.Errorf("%s: accepted with a byte more", c.Name)
		}
		for n := range c.Answer {
			if size, err := flightSize(c.Answer[:n]); err != nil || size != 0 && size != len(c.Answer) {
				t.Fatalf("%s: after %d bytes: size %d, %v", c.Name, n, size, err)
			}
		}
		h, err := ParseServerHello(c.Answer)
		if err != nil || h.Versions != 0x0304 || !bytes.Equal(h.SessionID, c.SessionID) {
			t.Errorf("%s: server hello %+v, %v", c.Name, h, err)
		}
		wantGroup := uint16(0x001d)
		if c.Name == "mlkem-keyshare" {
			wantGroup = 0x11ec
		}
		if h.Group != wantGroup {
			t.Errorf("%s: group %#x, want %#x", c.Name, h.Group, wantGroup)
		}
	}
}

func TestSecretsAndLinksAgreeWithVectors(t *testing.T) {
	var v struct {
		Cases []struct {
			Name, Text, Expect string
			Key, Domain        *string
		}
		Links []struct {
			Server, Secret, TG, TMe string
			Port                    int
		}
	}
	readVectors(t, "secrets.json", &v)
	kinds := map[string]Transport{"plain": ClassicIntermediate, "dd": Secure, "ee": FakeTLS}
	for _, c := range v.Cases {
		got, err := NewClient("proxy:1", c.Text)
		kind, good := kinds[c.Expect]
		if (err == nil) != good {
			t.Errorf("%s: %v, want %s", c.Name, err, c.Expect)
			continue
		}
		if !good {
			continue
		}
		domain := ""
		if c.Domain != nil {
			domain = *c.Domain
		}
		if got.Transport != kind || hex.EncodeToString(got.Secret) != *c.Key || got.Domain != domain {
			t.Errorf("%s: %v, key %x, domain %q; want %s, %s, %q", c.Name, got.Transport, got.Secret, got.Domain, c.Expect, *c.Key, domain)
		}
	}
	for _, l := range v.Links {
		want := must(NewClient("x", l.Secret))(t)
		for _, link := range []string{l.TG, l.TMe} {
			got, err := FromLink(link)
			if err != nil || got.Transport != want.Transport || !bytes.Equal(got.Secret, want.Secret) {
				t.Errorf("%s: %+v, %v", link, got, err)
			}
		}
	}
	for _, bad := range []string{"", "https://t.me/socks?server=a&port=1&secret=x", "tg://proxy?server=a&port=0&secret=" + v.Links[0].Secret,
		"tg://proxy?port=1&secret=" + v.Links[0].Secret, "tg://proxy?server=a&port=1&secret=zz"} {
		if _, err := FromLink(bad); err == nil {
			t.Errorf("%q is taken for a link", bad)
		}
	}
}

func TestForbiddenStarts(t *testing.T) {
	cases := map[string]bool{
		"\xefabcdefg": true, "HEADdefg": true, "POSTdefg": true, "GET defg": true, "OPTIdefg": true,
		"\xee\xee\xee\xeedefg": true, "\xdd\xdd\xdd\xdddefg": true, "\x16\x03\x01\x02defg": true, "abcd\x00\x00\x00\x00": true,
		"GETxdefg": false, "\xee\xee\xee\xefdefg": false, "\x16\x03\x01\x05defg": false, "abc\x00\x00\x00\x00h": false,
	}
	for start, want := range cases {
		if got := forbiddenStart([]byte(start)); got != want {
			t.Errorf("%q: forbidden %v, want %v", start, got, want)
		}
	}
	for range 2000 { // one start in 256 is forbidden
		if init := must2(newInit(padded, -203, nil))(t); forbiddenStart(init[:8]) {
			t.Fatalf("an init starts with %x", init[:8])
		}
	}
	for _, dc := range []int{-1 << 15, 1<<15 - 1, 0} {
		init := must2(newInit(abridged, dc, nil))(t)
		if _, got, _, err := openInit(init, nil); err != nil || got != dc {
			t.Errorf("dc %d arrives as %d, %v", dc, got, err)
		}
	}
	if _, _, err := newInit(abridged, 1<<15, nil); err == nil {
		t.Error("a dc of 17 bits was taken")
	}
}

func must2[T, U any](v T, _ U, err error) func(testing.TB) T { return must(v, err) }
