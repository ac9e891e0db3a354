package access

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestMatchesHaveOneText(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/24":                  "203.0.113.0/24",
		"  203.0.113.7 ":                  "203.0.113.7",
		"203.0.113.7/32":                  "203.0.113.7",
		"0.0.0.0/0":                       "0.0.0.0/0",
		"2001:DB8::/32":                   "2001:db8::/32",
		"2001:db8:0:0::1":                 "2001:db8::1",
		"2001:db8::1/128":                 "2001:db8::1",
		"::/0":                            "::/0",
		"::ffff:203.0.113.7":              "203.0.113.7",
		"::ffff:203.0.113.0/120":          "203.0.113.0/24",
		"::ffff:cb00:7107":                "203.0.113.7",
		"192.0.2.10-192.0.2.20":           "192.0.2.10-192.0.2.20",
		"192.0.2.10 - 192.0.2.20":         "192.0.2.10-192.0.2.20",
		"192.0.2.10-192.0.2.10":           "192.0.2.10",
		"2001:db8::1-2001:db8::ff":        "2001:db8::1-2001:db8::ff",
		"::ffff:192.0.2.1-192.0.2.3":      "192.0.2.1-192.0.2.3",
		"203.0.113.*":                     "203.0.113.*",
		"203.*.*.*":                       "203.*.*.*",
		"*.*.*.*":                         "*.*.*.*",
		"country:de":                      "country:DE",
		"Country:Unknown":                 "country:unknown",
		"asn:64500":                       "asn:64500",
		"ASN:AS64500":                     "asn:64500",
		"sni:*.Example.COM":               "sni:*.example.com",
		"sni:example.com.":                "sni:example.com",
		"sni:**a**":                       "sni:*a*",
		"sni:a-b_c?.example":              "sni:a-b_c?.example",
		"ja4:T13D*":                       "ja4:t13d*",
		"ja4:t13d1516h2_8daaf6152771_*":   "ja4:t13d1516h2_8daaf6152771_*",
		"list:drop":                       "list:drop",
		"ja4:" + strings.Repeat("?", 36):  "ja4:" + strings.Repeat("?", 36),
		"list:Fire-HOL_level.1":           "list:Fire-HOL_level.1",
		"asn:4294967295":                  "asn:4294967295",
		"255.255.255.255":                 "255.255.255.255",
		"64:ff9b::192.0.2.1":              "64:ff9b::c000:201",
		"sni:xn--bcher-kva.example":       "sni:xn--bcher-kva.example",
		"2001:db8::ffff-2001:db8::1:0000": "2001:db8::ffff-2001:db8::1:0",
	} {
		m, err := ParseMatch(text)
		if err != nil || m.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, m, err, want)
			continue
		}
		if again, err := ParseMatch(m.String()); err != nil || again != m {
			t.Errorf("%q: its text %v is read as %v, %v", text, m, again, err)
		}
		raw, err := json.Marshal(m)
		var back Match
		if err != nil || json.Unmarshal(raw, &back) != nil || back != m {
			t.Errorf("%q: JSON %s, %v", text, raw, err)
		}
	}
}

// Each refusal says what to write instead.
func TestWrongMatchesAreRefusedWithASuggestion(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "a match is empty",
		"   ":                             "a match is empty",
		"203.0.113.5/24":                  "203.0.113.0/24, or the address 203.0.113.5",
		"2001:db8::1/32":                  "2001:db8::/32, or the address 2001:db8::1",
		"::ffff:203.0.113.5/120":          "203.0.113.0/24",
		"::ffff:0:0/90":                   "0.0.0.0/0 for all of IPv4",
		"203.0.113.0/33":                  "a number up to 32",
		"203.0.113.0/024":                 "a number up to 32",
		"203.0.113.0/":                    "a number up to 32",
		"203.0.113.0/255.255.255.0":       "write the mask as /24",
		"203.0.113.0/255.0.255.0":         "a number up to 32",
		"2001:db8::/129":                  "a number up to 128",
		"fe80::1%eth0":                    "write fe80::1",
		"fe80::%eth0/64":                  "leave out what is between % and /",
		"fe80::%eth0-fe80::1":             "write fe80::",
		"203.0.113":                       "want one like 203.0.113.7",
		"203.0.113.256":                   "want one like 203.0.113.7",
		"203.0.113.010":                   "want one like 203.0.113.7",
		"AS64500":                         "asn:64500",
		"de":                              "country:DE",
		"front.example.com":               "sni:front.example.com",
		"my-front.example.com":            "sni:my-front.example.com",
		"*.example.com":                   "sni:*.example.com",
		"t13d1516h2_8daaf6152771_e5627":   "ja4:t13d1516h2_8daaf6152771_e5627",
		"192.0.2.20-192.0.2.10":           "192.0.2.10-192.0.2.20",
		"192.0.2.20-30":                   "192.0.2.20-192.0.2.30",
		"192.0.2.20-":                     "is no address",
		"192.0.2.20-2001:db8::1":          "one version of IP to the other",
		"203.0.*.7":                       "stars stand at the end",
		"203.*":                           "four parts",
		"203.0.113.7.*":                   "four parts",
		"300.0.113.*":                     "no address wildcard",
		"203.0.11*":                       "as in 203.0.*.*",
		"2001:db8:*":                      "2001:db8::/32",
		"country:":                        "two letters",
		"country:UK":                      "the code is GB",
		"country:Germany":                 "two letters",
		"asn:0":                           "1 to 4294967295",
		"asn:4294967296":                  "1 to 4294967295",
		"asn:":                            "asn:64500",
		"sni:":                            "empty",
		"sni:..":                          "empty part",
		"sni:.example.com":                "empty part",
		"sni:a..example.com":              "empty part",
		"sni:http://example.com":          "letters, digits",
		"sni:" + strings.Repeat("a", 254): "253",
		"ja4:t13d1516h2":                  "ja4:t13d1516h2*",
		"ja4:":                            "empty",
		"ja4:*" + strings.Repeat("a", 37): "matches nothing",
		"list:":                           "1 to 64",
		"list:a b":                        "letters, digits",
		"list:" + strings.Repeat("a", 65): "1 to 64",
		"10.0.0.0/8, 11.0.0.0/8":          "a number up to 32",
		strings.Repeat("1", 301):          "longer than 300",
		"\x00":                            "is no address",
	} {
		m, err := ParseMatch(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, m, err, want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%q: the error has %d bytes", text, len(err.Error()))
		}
	}
}

// What others wrote reaches a terminal or a log only in quotes.
func TestErrorsRepeatNoControlCharacters(t *testing.T) {
	for _, text := range []string{"\x1b[2J*", "a\n*.b", "t1\x07_", "fe80::1%\x1b/64", "AS\x1b", "country:\x1b\x1b", "sni:\x1b", "list:\x1b", "1.2.3.4-\x1b", "1.2.3.4/\x1b", "fe80::1%\x1b"} {
		if _, err := ParseMatch(text); err == nil || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q: %q", text, err)
		}
	}
}

func TestPrefixesMakeUpTheRange(t *testing.T) {
	for text, want := range map[string][]string{
		"192.0.2.10-192.0.2.20":                        {"192.0.2.10/31", "192.0.2.12/30", "192.0.2.16/30", "192.0.2.20/32"},
		"0.0.0.0-255.255.255.255":                      {"0.0.0.0/0"},
		"0.0.0.1-0.0.0.2":                              {"0.0.0.1/32", "0.0.0.2/32"},
		"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff":   {"::/0"},
		"2001:db8::ffff:ffff:ffff:ffff-2001:db8:0:1::": {"2001:db8::ffff:ffff:ffff:ffff/128", "2001:db8:0:1::/128"},
		"203.0.*.*": {"203.0.0.0/16"},
	} {
		var got []string
		for _, p := range match(t, text).Prefixes() {
			got = append(got, p.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if n := len(match(t, "0.0.0.1-255.255.255.254").Prefixes()); n != 62 {
		t.Errorf("the worst range has %d prefixes", n)
	}
	if n := len(match(t, "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").Prefixes()); n != 254 {
		t.Errorf("the worst range of IPv6 has %d prefixes", n)
	}
}

func TestMatchesAreMadeOfValues(t *testing.T) {
	for text, m := range map[string]Match{
		"203.0.113.0/24": PrefixMatch(netip.MustParsePrefix("203.0.113.9/24")),
		"203.0.113.0/25": PrefixMatch(netip.MustParsePrefix("::ffff:203.0.113.0/121")),
		"203.0.113.9":    AddrMatch(addr("::ffff:203.0.113.9")),
		"fe80::1":        AddrMatch(addr("fe80::1%eth0")),
		"list:drop":      ListMatch("drop"),
	} {
		if m != match(t, text) {
			t.Errorf("%v, want %s", m, text)
		}
	}
	for _, m := range []Match{PrefixMatch(netip.Prefix{}), AddrMatch(netip.Addr{}), PrefixMatch(netip.MustParsePrefix("::ffff:0:0/80"))} {
		if !m.IsZero() || m.String() != "" || m.Prefixes() != nil {
			t.Errorf("%v is made of nothing", m)
		}
	}
}

func FuzzParseMatch(f *testing.F) {
	for _, text := range []string{"203.0.113.0/24", "192.0.2.10-192.0.2.20", "203.0.*.*", "country:unknown", "asn:1", "sni:*.a?b", "ja4:t13d*", "list:a",
		"::ffff:1.2.3.4/112", "fe80::1%a", "::-::2", "1.2.3.4/255.255.0.0", "a-b", "*:*", "-", "/", "sni:**"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatch(text)
		if err != nil {
			if !m.IsZero() || len(err.Error()) > 800 {
				t.Fatalf("%v with an error of %d bytes", m, len(err.Error()))
			}
			return
		}
		again, err := ParseMatch(m.String())
		if err != nil || again != m {
			t.Fatalf("%q is %v, which is read as %v, %v", text, m, again, err)
		}
		prefixes := m.Prefixes()
		if (len(prefixes) > 0) != (m.Kind().Address() && m.Kind() != InList) || len(prefixes) > 254 {
			t.Fatalf("%v has %d prefixes", m, len(prefixes))
		}
		for i, p := range prefixes {
			if p != p.Masked() || p.Addr() != plain(p.Addr()) {
				t.Fatalf("%v has %v", m, p)
			}
			if i > 0 && lastOf(prefixes[i-1]).Next() != p.Addr() {
				t.Fatalf("%v has a gap before %v", m, p)
			}
		}
		if _, err := Compile([]Rule{{ID: "a", Match: m}}, Options{NoGeo: true, Lists: []*List{{name: m.Text()}}}); err != nil {
			t.Fatal(err)
		}
	})
}
