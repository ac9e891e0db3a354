package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Geo says in which country an address is, and which AS announces it, as far as
// the file it was made of knows. It is read as a whole when it is made: nothing of
// the file is needed afterwards, and a file that is broken anywhere makes none.
type Geo struct {
	built   time.Time
	kind    string
	country *origin
	asn     *origin
}

// maxNetworks bounds what a file may make us walk through. City files have some
// eight million networks.
const maxNetworks = 32 << 20

// LoadGeo reads a MaxMind-format file (MaxMind DB 2.0): countries from
// country.iso_code, else registered_country.iso_code, else country_code or country
// as two letters; AS numbers from autonomous_system_number, else asn. A file that
// holds neither, or is broken anywhere, is an error. It does not keep data.
func LoadGeo(data []byte) (*Geo, error) { return loadGeo(data, maxNetworks) }

func loadGeo(data []byte, most int) (*Geo, error) {
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("no country file: %w", err)
	}
	defer db.Close()
	g := &Geo{kind: clip(db.Metadata.DatabaseType), built: db.Metadata.BuildTime().UTC()}
	var countries, asns originMaker
	records := make(map[uintptr]geoRecord)
	n := 0
	// Networks without data count too, so that a file whose branches meet again and
	// again cannot keep us walking.
	for result := range db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if n++; n > most {
			return nil, fmt.Errorf("country file has more than %d networks", most)
		}
		record, err := readRecord(result, records)
		if err != nil {
			return nil, fmt.Errorf("country file: %v: %w", result.Prefix(), err)
		}
		for _, p := range spansOf(result.Prefix()) {
			if !countries.add(p, uint32(record.country)) || !asns.add(p, record.asn) {
				return nil, fmt.Errorf("country file: networks are not in order at %v", p)
			}
		}
	}
	g.country, g.asn = countries.origin(), asns.origin()
	if g.country == nil && g.asn == nil {
		return nil, fmt.Errorf("file of type %s holds neither countries nor AS numbers", quote(g.kind))
	}
	return g, nil
}

type geoRecord struct {
	country uint16
	asn     uint32
}

// spansOf are the prefixes of a network. IPv4 lies in the lowest 32 bits of IPv6
// there, so a network that holds these and more holds all of IPv4.
func spansOf(network netip.Prefix) []netip.Prefix {
	if a := network.Addr(); a.Is6() && a.IsUnspecified() && network.Bits() <= 96 {
		return []netip.Prefix{netip.PrefixFrom(addr4(0), 0), network}
	}
	return []netip.Prefix{network}
}

// readRecord reads a network's record; most networks share one with others.
func readRecord(result maxminddb.Result, known map[uintptr]geoRecord) (r geoRecord, err error) {
	if err := result.Err(); err != nil || !result.Found() {
		return r, err
	}
	if r, ok := known[result.Offset()]; ok {
		return r, nil
	}
	r, err = readUsual(result)
	if err != nil {
		if r, err = readAny(result); err != nil {
			return r, err
		}
	}
	known[result.Offset()] = r
	return r, nil
}

// readUsual reads the fields of MaxMind's own files, and leaves the rest alone.
func readUsual(result maxminddb.Result) (r geoRecord, err error) {
	type country struct {
		Code string `maxminddb:"iso_code"`
	}
	var v struct {
		Country    country `maxminddb:"country"`
		Registered country `maxminddb:"registered_country"`
		Other      string  `maxminddb:"country_code"`
		Number     uint32  `maxminddb:"autonomous_system_number"`
		ASN        string  `maxminddb:"asn"`
	}
	if err := result.Decode(&v); err != nil {
		return r, err
	}
	for _, code := range []string{v.Country.Code, v.Registered.Code, v.Other} {
		if r.country = packCountry(code); r.country != 0 {
			break
		}
	}
	if r.asn = v.Number; r.asn == 0 {
		r.asn = asNumber(v.ASN)
	}
	return r, nil
}

// readAny reads a record whose fields are of other types.
func readAny(result maxminddb.Result) (r geoRecord, err error) {
	var value any
	if err := result.Decode(&value); err != nil {
		return r, err
	}
	m, ok := value.(map[string]any)
	if !ok {
		return r, errors.New("a record is no map")
	}
	for _, code := range []any{field(m["country"], "iso_code"), field(m["registered_country"], "iso_code"), m["country_code"], m["country"]} {
		text, _ := code.(string)
		if r.country = packCountry(text); r.country != 0 {
			break
		}
	}
	for _, number := range []any{m["autonomous_system_number"], m["asn"]} {
		if r.asn = asNumber(number); r.asn != 0 {
			break
		}
	}
	return r, nil
}

func field(value any, name string) any {
	m, _ := value.(map[string]any)
	return m[name]
}

func asNumber(value any) uint32 {
	switch v := value.(type) {
	case uint64:
		if v <= 1<<32-1 {
			return uint32(v)
		}
	case string:
		n, err := strconv.ParseUint(strings.TrimPrefix(v, "AS"), 10, 32)
		if err == nil {
			return uint32(n)
		}
	}
	return 0
}

// packCountry is a country's code as a number; 0 for what is no code.
func packCountry(code string) uint16 {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return 0
	}
	return uint16(code[0]-'A')*26 + uint16(code[1]-'A') + 1
}

// codes are all two letters, so that a code can be cut out of them.
var codes = func() string {
	var b strings.Builder
	for i := range 26 * 26 {
		b.WriteByte('A' + byte(i/26))
		b.WriteByte('A' + byte(i%26))
	}
	return b.String()
}()

func unpackCountry(packed uint16) string {
	if packed == 0 {
		return ""
	}
	return codes[2*(packed-1) : 2*packed]
}

// Join takes the countries of the first that has any, and the AS numbers likewise:
// many publishers have them in two files. Its time is the older one. Either may be
// nil.
func (g *Geo) Join(other *Geo) *Geo {
	if g == nil || other == nil {
		if g == nil {
			return other
		}
		return g
	}
	joined := *g
	used := false
	if joined.country == nil && other.country != nil {
		joined.country, used = other.country, true
	}
	if joined.asn == nil && other.asn != nil {
		joined.asn, used = other.asn, true
	}
	if used {
		joined.kind += " + " + other.kind
		if other.built.Before(joined.built) {
			joined.built = other.built
		}
	}
	return &joined
}

// Kind is the type the file calls itself, as "GeoLite2-Country".
func (g *Geo) Kind() string { return g.kind }

// Built is when the file was made.
func (g *Geo) Built() time.Time { return g.built }

// Age is how old the file is.
func (g *Geo) Age(now time.Time) time.Duration { return now.Sub(g.built) }

// Countries tells whether it knows countries. A nil Geo does not.
func (g *Geo) Countries() bool { return g != nil && g.country != nil }

// ASNs tells whether it knows AS numbers. A nil Geo does not.
func (g *Geo) ASNs() bool { return g != nil && g.asn != nil }

// Memory is about how many bytes it takes.
func (g *Geo) Memory() int {
	if g == nil {
		return 0
	}
	return g.country.memory() + g.asn.memory()
}

// Lookup is the country of an address as two letters, UnknownCountry when there is
// none, and its AS number, 0 when not known.
func (g *Geo) Lookup(a netip.Addr) (country string, asn uint32) {
	if g == nil {
		return UnknownCountry, 0
	}
	packed, asn := g.find(plain(a))
	if packed == 0 {
		return UnknownCountry, asn
	}
	return unpackCountry(packed), asn
}

func (g *Geo) find(a netip.Addr) (country uint16, asn uint32) {
	return uint16(g.country.find(a)), g.asn.find(a)
}

// origin maps every address to a number: each starts a span that goes to the next.
type origin struct {
	v4 sorted
	v6 sorted6
}

func (o *origin) find(a netip.Addr) uint32 {
	if o == nil {
		return 0
	}
	if a.Is4() {
		if f := o.v4.last(uint64(words4(a))); f.i >= 0 {
			return o.v4.number(f.i)
		}
	} else if a.Is6() {
		if i, _ := o.v6.last(words6(a)); i >= 0 {
			return o.v6.hi.number(i)
		}
	}
	return 0
}

func (o *origin) memory() int {
	if o == nil {
		return 0
	}
	return o.v4.memory() + o.v6.memory()
}

// originMaker joins networks, which come in order, to spans.
type originMaker struct {
	starts4, hi, lo []uint64
	value4, value6  []uint32
	last            netip.Addr // of the last network
	any             bool       // a value was not 0
}

// add is false when the network is not after the one before.
func (m *originMaker) add(p netip.Prefix, value uint32) bool {
	from := p.Addr()
	if m.last.Is4() && from.Is6() {
		m.close()
	}
	if m.last.IsValid() {
		if !m.last.Less(from) {
			return false
		}
		if next := m.last.Next(); next != from && next.IsValid() {
			m.start(next, 0) // a gap
		}
	}
	m.start(from, value)
	m.last = lastOf(p)
	m.any = m.any || value != 0
	return true
}

// close ends the last span of a version of IP.
func (m *originMaker) close() {
	if m.last.IsValid() && m.last.Next().IsValid() {
		m.start(m.last.Next(), 0)
	}
	m.last = netip.Addr{}
}

func (m *originMaker) start(a netip.Addr, value uint32) {
	if a.Is4() {
		if n := len(m.value4); n > 0 && m.value4[n-1] == value || n == 0 && value == 0 {
			return
		}
		m.starts4, m.value4 = append(m.starts4, uint64(words4(a))), append(m.value4, value)
		return
	}
	if n := len(m.value6); n > 0 && m.value6[n-1] == value || n == 0 && value == 0 {
		return
	}
	x := words6(a)
	m.hi, m.lo, m.value6 = append(m.hi, x.hi), append(m.lo, x.lo), append(m.value6, value)
}

// origin is nil when no network had a value.
func (m *originMaker) origin() *origin {
	if !m.any {
		return nil
	}
	m.close()
	return &origin{newSorted(m.starts4, m.value4), newSorted6(m.hi, m.lo, m.value6)}
}
