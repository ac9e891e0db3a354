package faketls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/iotest"
)

type answerFile struct {
	Cases []struct {
		Name         string   `json:"name"`
		Secret       hexBytes `json:"secret"`
		ClientRandom hexBytes `json:"client_random"`
		Answer       hexBytes `json:"answer"`
		Records      [][2]int `json:"records"`
		Expectation  string   `json:"expect"`
		Why          string   `json:"why"`
	} `json:"cases"`
}

// records lists type and payload length of each record.
func records(b []byte) (list [][2]int) {
	for len(b) >= HeaderSize {
		n := int(binary.BigEndian.Uint16(b[3:]))
		list = append(list, [2]int{int(b[0]), n})
		b = b[min(len(b), HeaderSize+n):]
	}
	return list
}

// TestAnswerVectors shows that the client's rule, by which the tests below judge our
// answers, is that of real clients.
func TestAnswerVectors(t *testing.T) {
	cases := load[answerFile](t, "faketls_answer.json").Cases
	if len(cases) != 22 {
		t.Fatalf("%d cases, want 22", len(cases))
	}
	for _, c := range cases {
		if got := records(c.Answer); !slices.Equal(got, c.Records) {
			t.Errorf("%s: records %v, want %v", c.Name, got, c.Records)
		}
		err := checkAnswer(c.Secret, [32]byte(c.ClientRandom), c.Answer)
		if (err == nil) != (c.Expectation == "accept") {
			t.Errorf("%s: %v, want %s (%s)", c.Name, err, c.Expectation, c.Why)
		}
	}
}

// TestAnswersToVectorHellos answers every hello that opens in every profile, and asks
// the client's rule.
func TestAnswersToVectorHellos(t *testing.T) {
	for name, c := range goodHellos(t) {
		h := parse(t, c.Hello)
		if _, ok := h.Open(c.Secret); !ok {
			continue
		}
		for _, group := range []uint16{0, X25519, X25519MLKEM768} {
			for _, first := range []bool{false, true} {
				p := Profile{Flight: 1 + len(name), Group: group, VersionsFirst: first}
				b, err := h.Answer(c.Secret, p, rand.Reader)
				if name == "only-grease-ciphers" {
					if err != errSuite || b != nil {
						t.Errorf("%s: %d bytes, %v, want %v", name, len(b), err, errSuite)
					}
					continue
				}
				if err == nil {
					err = checkAnswer(c.Secret, h.Random(), b)
				}
				if err != nil {
					t.Errorf("%s, %+v: %v", name, p, err)
				}
			}
		}
	}
}

// serverHello is record 1 of an answer taken apart.
type serverHello struct {
	session  []byte
	suite    uint16
	versions bool // supported_versions 3.4 is there
	first    uint16
	group    uint16
	key      []byte
}

func readServerHello(t *testing.T, b []byte) (s serverHello) {
	t.Helper()
	size := int(binary.BigEndian.Uint16(b[3:]))
	m := b[HeaderSize : HeaderSize+size]
	if m[0] != 2 || m[1] != 0 || int(binary.BigEndian.Uint16(m[2:])) != size-4 || m[4] != 3 || m[5] != 3 {
		t.Fatalf("server hello begins %x", m[:6])
	}
	m = m[6+randomSize:]
	s.session, m = m[1:1+m[0]], m[1+m[0]:]
	s.suite = binary.BigEndian.Uint16(m)
	if m[2] != 0 {
		t.Fatalf("compression %d", m[2])
	}
	list, rest, ok := vector(m[3:])
	if !ok || len(rest) > 0 {
		t.Fatalf("extensions %x and %x", list, rest)
	}
	s.first = binary.BigEndian.Uint16(list)
	for len(list) > 0 {
		kind, body, more, ok := entry(list)
		switch {
		case !ok:
			t.Fatalf("extensions end in %x", list)
		case kind == extSupportedVersions:
			s.versions = bytes.Equal(body, []byte{3, 4})
		case kind == extKeyShare:
			if s.group, s.key, more, ok = entry(body); !ok || len(more) > 0 {
				t.Fatalf("key share %x", body)
			}
			_, _, more, _ = entry(list)
		default:
			t.Fatalf("extension %d", kind)
		}
		list = more
	}
	return s
}

func TestAnswerLooksLikeTheSite(t *testing.T) {
	session := bytes.Repeat([]byte{7}, 32)
	x := share{X25519, bytes.Repeat([]byte{9}, 32)}
	client, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	hybrid := share{X25519MLKEM768, append(client.EncapsulationKey().Bytes(), x.key...)}
	invalid := share{X25519MLKEM768, bytes.Repeat([]byte{0xff}, hybridSize)}
	short := share{X25519MLKEM768, x.key}
	grease := share{0x1a1a, []byte{0}}

	suites := []uint16{0xeaea, 0xc02b, 0x1303, 0x1301, 0x1302}
	for _, c := range []struct {
		name         string
		spec         helloSpec
		profile      Profile
		group, suite uint16
		first        uint16
		size, flight int // payload of records 1 and 3
	}{
		{"zero profile", helloSpec{session: session, suites: suites, shares: []share{grease, hybrid, x}},
			Profile{}, X25519, 0x1303, extKeyShare, 122, DefaultFlight},
		{"modern site", helloSpec{session: session, suites: suites, shares: []share{grease, hybrid, x}},
			Profile{Flight: 4096, Group: X25519MLKEM768, Suite: 0x1302, VersionsFirst: true}, X25519MLKEM768, 0x1302, extSupportedVersions, 1210, 4096},
		{"no session", helloSpec{suites: suites, shares: []share{x}, pad: 64},
			Profile{Flight: 1}, X25519, 0x1303, extKeyShare, 90, 1},
		{"hybrid not offered", helloSpec{session: session, shares: []share{x}},
			Profile{Group: X25519MLKEM768, Flight: MaxPayload}, X25519, 0x1301, extKeyShare, 122, MaxPayload},
		{"hybrid key invalid", helloSpec{session: session, shares: []share{invalid, x}},
			Profile{Group: X25519MLKEM768}, X25519, 0x1301, extKeyShare, 122, DefaultFlight},
		{"hybrid key of another size", helloSpec{session: session, shares: []share{short, x}},
			Profile{Group: X25519MLKEM768}, X25519, 0x1301, extKeyShare, 122, DefaultFlight},
		{"only hybrid offered", helloSpec{session: session, shares: []share{hybrid}},
			Profile{Group: X25519}, X25519MLKEM768, 0x1301, extKeyShare, 1210, DefaultFlight},
		{"suite not offered", helloSpec{session: session, suites: []uint16{0x1a1a, 0x1301}},
			Profile{Suite: 0x1303}, X25519, 0x1301, extKeyShare, 122, DefaultFlight},
		{"suite of TLS 1.2 wanted", helloSpec{session: session, suites: suites},
			Profile{Suite: 0xc02b}, X25519, 0x1303, extKeyShare, 122, DefaultFlight},
		{"unknown group wanted", helloSpec{session: session, shares: []share{{0x17, make([]byte, 65)}, x}},
			Profile{Group: 0x17}, X25519, 0x1301, extKeyShare, 122, DefaultFlight},
	} {
		h := parse(t, c.spec.signed(testSecret, testTime))
		b, err := h.Answer(testSecret, c.profile, rand.Reader)
		if err == nil {
			err = checkAnswer(testSecret, h.Random(), b)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, want := records(b), [][2]int{{22, c.size}, {20, 1}, {23, c.flight}}; !slices.Equal(got, want) {
			t.Errorf("%s: records %v, want %v", c.name, got, want)
		}
		s := readServerHello(t, b)
		if !bytes.Equal(s.session, c.spec.session) || s.suite != c.suite || s.group != c.group || s.first != c.first || !s.versions {
			t.Errorf("%s: %+v, want group %x, suite %x, first extension %d", c.name, s, c.group, c.suite, c.first)
		}
		if c.group == X25519MLKEM768 {
			if _, err := client.Decapsulate(s.key[:mlkem.CiphertextSize768]); err != nil || len(s.key) != mlkem.CiphertextSize768+x25519Size {
				t.Errorf("%s: hybrid key of %d bytes: %v", c.name, len(s.key), err)
			}
		}
	}
}

// counting gives 0, 1, 2 …, so that an answer can be made again.
type counting byte

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(*c)
		*c++
	}
	return len(b), nil
}

func TestAnswerUsesTheGivenRandomness(t *testing.T) {
	h := parse(t, helloSpec{name: "front.example.com"}.signed(testSecret, testTime))
	p := Profile{Flight: 64}
	one, err := h.Answer(testSecret, p, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Answer(testSecret, p, new(counting))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("the same randomness gives another answer, %v", err)
	}
	seed := make([]byte, 32)
	new(counting).Read(seed)
	if s := readServerHello(t, one); !bytes.Equal(s.key, publicKey(t, seed)) {
		t.Errorf("key %x is not that of the seed drawn", s.key)
	}
	flight := one[len(one)-64:]
	for i, b := range flight {
		if b != byte(32+i) {
			t.Fatalf("flight %x is not what was drawn behind the seed", flight)
		}
	}
}

// publicKey is the key for a seed as crypto/ecdh computes it: the base point times
// the hash's first half, which ecdh clamps as Ed25519 does.
func publicKey(t *testing.T, seed []byte) []byte {
	t.Helper()
	hash := sha512.Sum512(seed)
	private, err := ecdh.X25519().NewPrivateKey(hash[:32])
	if err != nil {
		t.Fatal(err)
	}
	return private.PublicKey().Bytes()
}

func TestX25519KeysAreRealOnes(t *testing.T) {
	for range 100 {
		seed := make([]byte, 32)
		rand.Read(seed)
		got, err := x25519Key(bytes.NewReader(seed))
		if want := publicKey(t, seed); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("seed %x: key %x, %v, want %x", seed, got, err, want)
		}
	}
}

func TestImpossibleAnswers(t *testing.T) {
	good := parse(t, helloSpec{name: "front.example.com"}.signed(testSecret, testTime))
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		spec helloSpec
		want error
	}{
		"only TLS 1.2":      {helloSpec{name: "front.example.com", suites: []uint16{0xc02b, 0x1300, 0x1304}}, errSuite},
		"no key share":      {helloSpec{extensions: [][]byte{nameExtension("a.b")}, pad: 64}, errGroup},
		"no group we know":  {helloSpec{shares: []share{{0x17, make([]byte, 65)}}}, errGroup},
		"only a bad hybrid": {helloSpec{shares: []share{{X25519MLKEM768, bytes.Repeat([]byte{0xff}, hybridSize)}}}, errGroup},
	} {
		h := parse(t, c.spec.signed(testSecret, testTime))
		if b, err := h.Answer(testSecret, Profile{}, rand.Reader); b != nil || err != c.want {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(b), err, c.want)
		}
	}
	for _, flight := range []int{-1, MaxPayload + 1} {
		if b, err := good.Answer(testSecret, Profile{Flight: flight}, rand.Reader); b != nil || err == nil {
			t.Errorf("flight %d: %d bytes, %v", flight, len(b), err)
		}
	}
	for n := range 2 {
		r := iotest.ErrReader(gone)
		if n == 1 {
			r = iotest.TimeoutReader(bytes.NewReader(make([]byte, 64)))
		}
		if b, err := good.Answer(testSecret, Profile{}, r); b != nil || err == nil {
			t.Errorf("broken randomness %d: %d bytes, %v", n, len(b), err)
		}
	}
	if b, err := good.Answer(testSecret[:15], Profile{}, rand.Reader); b != nil || err == nil {
		t.Errorf("short secret: %d bytes, %v", len(b), err)
	}
	if _, err := good.Answer(testSecret, Profile{}, iotest.ErrReader(gone)); !errors.Is(err, gone) {
		t.Errorf("error %v hides its cause", err)
	}
}

func BenchmarkAnswer(b *testing.B) {
	c := goodHellos(b)["good-gotd-age1"]
	h := parse(b, c.Hello)
	for _, group := range []uint16{X25519, X25519MLKEM768} {
		b.Run(fmt.Sprintf("%04x", group), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Answer(c.Secret, Profile{Group: group}, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
