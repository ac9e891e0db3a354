package faketls

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// offer is a hello by its values, as the published examples write them.
type offer struct {
	version    uint16
	suites     []uint16
	extensions []uint16
	versions   []uint16
	signatures []uint16
	alpn       []string
	name       string
}

// published is the example of JA4.md in github.com/FoxIO-LLC/ja4: a hello whose raw
// form, in the order sent, is
//
//	t13d1516h2_1301,1302,1303,c02b,..._001b,0000,0033,...,0015_0403,0804,...
//
// What it does not say (ALPN beyond h2, the name, the versions) is filled in.
func published() offer {
	return offer{
		version:    0x0303,
		suites:     hexes("1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"),
		extensions: hexes("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"),
		versions:   hexes("0304,0303"),
		signatures: hexes("0403,0804,0401,0503,0805,0501,0806,0601"),
		alpn:       []string{"h2", "http/1.1"},
		name:       "front.example.com",
	}
}

func hexes(text string) (list []uint16) {
	for _, word := range strings.Split(text, ",") {
		b, err := hex.DecodeString(word)
		if err != nil {
			panic(err)
		}
		list = append(list, binary.BigEndian.Uint16(b))
	}
	return list
}

func (o offer) list(values []uint16) (b []byte) {
	for _, v := range values {
		b = be16(b, v)
	}
	return b
}

func (o offer) hello(t testing.TB) *ClientHello {
	t.Helper()
	extensions := [][]byte{}
	for _, kind := range o.extensions {
		switch kind {
		case extServerName:
			extensions = append(extensions, nameExtension(o.name))
		case extKeyShare:
			extensions = append(extensions, shareExtension(share{X25519, make([]byte, 32)}))
		case extALPN:
			var list []byte
			for _, name := range o.alpn {
				list = append(append(list, byte(len(name))), name...)
			}
			extensions = append(extensions, extension(kind, block(list)))
		case extSupportedVersions:
			list := o.list(o.versions)
			extensions = append(extensions, extension(kind, append([]byte{byte(len(list))}, list...)))
		case extSignatureAlgorithms:
			extensions = append(extensions, extension(kind, block(o.list(o.signatures))))
		default:
			extensions = append(extensions, extension(kind, []byte{0}))
		}
	}
	b := helloSpec{suites: o.suites, extensions: extensions}.record()
	if len(extensions) == 0 {
		b = b[:len(b)-2]
		binary.BigEndian.PutUint16(b[3:], uint16(len(b)-HeaderSize))
		binary.BigEndian.PutUint16(b[7:], uint16(len(b)-HeaderSize-4))
	}
	h, _, need, err := ParseHello(b)
	if err != nil || need > 0 {
		t.Fatalf("hello is wrong: %v, %d more", err, need)
	}
	return h
}

func TestJA4OfThePublishedExamples(t *testing.T) {
	example := published()
	if got := example.hello(t).JA4(); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Errorf("%s", got)
	}
	// "If there are no signature algorithms": the same extensions, no list.
	example.signatures = nil
	if got := example.hello(t).JA4(); got != "t13d1516h2_8daaf6152771_6d807ffa2a79" {
		t.Errorf("%s", got)
	}
}

// Each part says one thing of the hello.
func TestJA4PartByPart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(o *offer)
		want   string // of the first part
	}{
		"as published":         {func(o *offer) {}, "t13d1516h2"},
		"no server name":       {func(o *offer) { o.drop(extServerName) }, "t13i1515h2"},
		"no ALPN":              {func(o *offer) { o.drop(extALPN) }, "t13d151500"},
		"no versions":          {func(o *offer) { o.drop(extSupportedVersions) }, "t12d1515h2"},
		"TLS 1.2 at most":      {func(o *offer) { o.versions = hexes("0303,0302") }, "t12d1516h2"},
		"TLS 1.1 at most":      {func(o *offer) { o.versions = hexes("0301,0302") }, "t11d1516h2"},
		"TLS 1.0 at most":      {func(o *offer) { o.versions = hexes("0301") }, "t10d1516h2"},
		"SSL 3":                {func(o *offer) { o.versions = hexes("0300") }, "ts3d1516h2"},
		"a version to come":    {func(o *offer) { o.versions = hexes("0304,0305") }, "t00d1516h2"},
		"GREASE in versions":   {func(o *offer) { o.versions = hexes("fafa,0304") }, "t13d1516h2"},
		"only GREASE versions": {func(o *offer) { o.versions = hexes("fafa") }, "t12d1516h2"},
		"one suite":            {func(o *offer) { o.suites = hexes("1301") }, "t13d0116h2"},
		"99 suites and more":   {func(o *offer) { o.suites = slices.Repeat(o.suites, 7) }, "t13d9916h2"},
		"99 extensions and more": {func(o *offer) {
			for kind := range uint16(100) {
				o.extensions = append(o.extensions, 0x7000+kind)
			}
		}, "t13d1599h2"},
		"http/1.1 first":  {func(o *offer) { o.alpn = []string{"http/1.1", "h2"} }, "t13d1516h1"},
		"one letter":      {func(o *offer) { o.alpn = []string{"h"} }, "t13d1516hh"},
		"capital letters": {func(o *offer) { o.alpn = []string{"HZ"} }, "t13d1516HZ"},
		"an empty ALPN":   {func(o *offer) { o.alpn = []string{""} }, "t13d151600"},
		"no ALPN values":  {func(o *offer) { o.alpn = nil }, "t13d151600"},
		"ALPN ab":         {func(o *offer) { o.alpn = []string{"\xab"} }, "t13d1516ab"},
		"ALPN ad":         {func(o *offer) { o.alpn = []string{"\xab\xcd"} }, "t13d1516ad"},
		"ALPN 3b":         {func(o *offer) { o.alpn = []string{"\x30\xab"} }, "t13d15163b"},
		"ALPN 3d":         {func(o *offer) { o.alpn = []string{"\x30\x31\xab\xcd"} }, "t13d15163d"},
		"ALPN 01":         {func(o *offer) { o.alpn = []string{"\x30\xab\xcd\x31"} }, "t13d151601"},
		"ALPN -a":         {func(o *offer) { o.alpn = []string{"-a"} }, "t13d151621"},
	} {
		o := published()
		c.change(&o)
		if got := o.hello(t).JA4(); !strings.HasPrefix(got, c.want+"_") || !wellFormed.MatchString(got) {
			t.Errorf("%s: %s, want %s_", name, got, c.want)
		}
	}
}

var wellFormed = regexp.MustCompile(`^t(1[0-3]|s[23]|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)

func (o *offer) drop(kind uint16) {
	o.extensions = slices.DeleteFunc(slices.Clone(o.extensions), func(k uint16) bool { return k == kind })
}

// Zeros stand for lists without a value, so that they are seen to be empty.
func TestJA4OfEmptyLists(t *testing.T) {
	o := published()
	o.suites = hexes("0a0a,fafa")
	if got := o.hello(t).JA4(); got != "t13d0016h2_000000000000_e5627efa2ab1" {
		t.Errorf("no suites: %s", got)
	}
	o = published()
	o.extensions = []uint16{extServerName, extALPN}
	o.suites = slices.Repeat(o.suites, 4) // a hello has at least 100 bytes
	if got := o.hello(t).JA4(); !strings.HasPrefix(got, "t12d6002h2_") || !strings.HasSuffix(got, "_000000000000") {
		t.Errorf("nothing but name and ALPN: %s", got)
	}
	o.extensions = nil
	if got := o.hello(t).JA4(); !strings.HasPrefix(got, "t12i600000_") || !strings.HasSuffix(got, "_000000000000") {
		t.Errorf("no extensions: %s", got)
	}
}

// What clients shuffle or draw anew for each connection does not change it.
func TestJA4IsTheSameForEveryHelloOfAClient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	want := published().hello(t).JA4()
	for range 200 {
		o := published()
		r.Shuffle(len(o.suites), func(i, j int) { o.suites[i], o.suites[j] = o.suites[j], o.suites[i] })
		r.Shuffle(len(o.extensions), func(i, j int) { o.extensions[i], o.extensions[j] = o.extensions[j], o.extensions[i] })
		o.name = fmt.Sprintf("front%d.example.com", r.IntN(1000))
		greased := func(list []uint16) []uint16 {
			b := byte(r.IntN(16))<<4 | 0xa
			return slices.Insert(slices.Clone(list), r.IntN(len(list)+1), uint16(b)<<8|uint16(b))
		}
		o.suites, o.extensions, o.versions, o.signatures = greased(o.suites), greased(greased(o.extensions)), greased(o.versions), greased(o.signatures)
		if got := o.hello(t).JA4(); got != want {
			t.Fatalf("%s, want %s of %+v", got, want, o)
		}
	}
	o := published()
	slices.Reverse(o.signatures)
	if o.hello(t).JA4() == want {
		t.Error("the order of signature algorithms does not show")
	}
}

// TestJA4OfRecordedHellos computes the fingerprints of the vectors a second time, by
// another road: texts are split and joined, nothing of ja4.go is used.
func TestJA4OfRecordedHellos(t *testing.T) {
	seen := make(map[string]int)
	for _, c := range load[helloFile](t, "faketls_hello.json").Cases {
		h, _, need, err := ParseHello(c.Hello)
		if err != nil || need > 0 {
			continue
		}
		got := h.JA4()
		if c.Name != "fragmented-records" { // the road below reads one record
			if want := slowJA4(c.Hello); got != want {
				t.Errorf("%s: %s, want %s", c.Name, got, want)
			}
		}
		seen[got]++
	}
	// Hellos of one client differ in random, name, keys and order of extensions.
	most := 0
	for _, n := range seen {
		most = max(most, n)
	}
	if most < 5 {
		t.Errorf("no client is seen again: %v", seen)
	}
}

// slowJA4 is JA4.md read once more.
func slowJA4(record []byte) string {
	text := hex.EncodeToString(record[5:])
	take := func(n int) (part string) { part, text = text[:2*n], text[2*n:]; return part }
	number := func(h string) (n int) { fmt.Sscanf(h, "%x", &n); return n }
	words := func(h string) (list []string) {
		for ; len(h) >= 4; h = h[4:] {
			if w := h[:4]; !(w[:2] == w[2:] && w[1] == 'a') {
				list = append(list, w)
			}
		}
		return list
	}
	take(4)
	version := take(2)
	take(32)
	take(number(take(1)))
	suites := words(take(number(take(2))))
	take(number(take(1)))
	kinds, signatures, sni, alpn := []string(nil), []string(nil), "i", "00"
	count := 0
	for text = text[4:]; text != ""; {
		kind := take(2)
		body := take(number(take(2)))
		if len(words(kind)) == 0 {
			continue
		}
		count++
		switch kind {
		case "0000":
			sni = "d"
			continue
		case "0010":
			first, _ := hex.DecodeString(body[6 : 6+2*number(body[4:6])])
			alpn = string(first[0]) + string(first[len(first)-1])
			continue
		case "002b":
			version = slices.Max(words(body[2:]))
		case "000d":
			signatures = words(body[4:])
		}
		kinds = append(kinds, kind)
	}
	sum := func(text string) string {
		if text == "" {
			return "000000000000"
		}
		return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12]
	}
	slices.Sort(kinds)
	sorted := slices.Sorted(slices.Values(suites))
	last := strings.Join(kinds, ",")
	if len(signatures) > 0 && last != "" {
		last += "_" + strings.Join(signatures, ",")
	}
	names := map[string]string{"0304": "13", "0303": "12"}
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", names[version], sni, min(99, len(suites)), min(99, count), alpn, sum(strings.Join(sorted, ",")), sum(last))
}

// It reads the copy the hello holds, and leaves it as it was.
func TestJA4ChangesNothing(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 16)
	b := helloSpec{name: "front.example.com", suites: hexes("1303,1301,1302")}.signed(secret, time.Unix(1790000000, 0))
	h, _, _, err := ParseHello(b)
	if err != nil {
		t.Fatal(err)
	}
	first := h.JA4()
	if _, ok := h.Open(secret); !ok || h.JA4() != first {
		t.Error("the hello is another one after JA4, or JA4 after Open")
	}
	if got := slices.Clone(h.suites); !bytes.Equal(got, []byte{0x13, 3, 0x13, 1, 0x13, 2}) {
		t.Errorf("the suites are sorted: %x", got)
	}
}

func FuzzJA4(f *testing.F) {
	for _, c := range load[helloFile](f, "faketls_hello.json").Cases {
		f.Add([]byte(c.Hello))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, _, _, err := ParseHello(b)
		if err != nil || h == nil {
			return
		}
		if got := h.JA4(); !wellFormed.MatchString(got) {
			t.Fatalf("%q", got)
		}
	})
}

func BenchmarkJA4(b *testing.B) {
	h, _, _, err := ParseHello(load[helloFile](b, "faketls_hello.json").Cases[0].Hello)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h.JA4()
	}
}
