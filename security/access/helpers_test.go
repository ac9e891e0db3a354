package access

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

func match(t testing.TB, text string) Match {
	t.Helper()
	m, err := ParseMatch(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func hours(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rule reads "ID MATCH LEVEL", then "automatic", "feed" or "pinned".
func rule(t testing.TB, text string) Rule {
	t.Helper()
	words := strings.Fields(text)
	level, err := ParseLevel(words[2])
	if err != nil {
		t.Fatal(err)
	}
	r := Rule{ID: words[0], Match: match(t, words[1]), Level: level}
	for _, word := range words[3:] {
		if word == "pinned" {
			r.Pinned = true
		} else if r.Source, err = ParseSource(word); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func rules(t testing.TB, texts ...string) (list []Rule) {
	t.Helper()
	for _, text := range texts {
		list = append(list, rule(t, text))
	}
	return list
}

func table(t testing.TB, o Options, list ...Rule) *Table {
	t.Helper()
	table, err := Compile(list, o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func list(t testing.TB, name string, lines ...string) *List {
	t.Helper()
	l, err := ParseList(strings.NewReader(strings.Join(lines, "\n")), ListOptions{Name: name, MaxShare: 1, AllowEmpty: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func instant(text string) time.Time {
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return at
}

// where is one network of a country file.
type where struct {
	network string
	country string // "" for none
	asn     uint32 // 0 for none
}

func (w where) record() mmdbtype.Map {
	m := mmdbtype.Map{}
	if w.country != "" {
		m["country"] = mmdbtype.Map{"iso_code": mmdbtype.String(w.country), "names": mmdbtype.Map{"en": mmdbtype.String("name of " + w.country)}}
	}
	if w.asn != 0 {
		m["autonomous_system_number"] = mmdbtype.Uint32(w.asn)
		m["autonomous_system_organization"] = mmdbtype.String(fmt.Sprintf("organisation %d", w.asn))
	}
	return m
}

// builtAt is when the country files of the tests were made.
var builtAt = time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)

func countryFile(t testing.TB, o mmdbwriter.Options, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	o.BuildEpoch, o.IncludeReservedNetworks = builtAt.Unix(), true
	if o.DatabaseType == "" {
		o.DatabaseType = "Test-Country"
	}
	tree, err := mmdbwriter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		insert(t, tree, network, record)
	}
	return written(t, tree)
}

func insert(t testing.TB, tree *mmdbwriter.Tree, network string, record mmdbtype.DataType) {
	t.Helper()
	_, ipnet, err := net.ParseCIDR(network)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Insert(ipnet, record); err != nil {
		t.Fatal(err)
	}
}

func written(t testing.TB, tree *mmdbwriter.Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// geo makes one of networks that do not overlap.
func geo(t testing.TB, list ...where) *Geo {
	t.Helper()
	records := make(map[string]mmdbtype.DataType)
	for _, w := range list {
		records[w.network] = w.record()
	}
	g, err := LoadGeo(countryFile(t, mmdbwriter.Options{}, records))
	if err != nil {
		t.Fatal(err)
	}
	return g
}
