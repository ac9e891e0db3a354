package e2e

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"mtguard/e2e/dc"
)

// settings is a configuration file in the making. Keys are dotted ("proxy.listen"), values strings, numbers,
// booleans or lists of strings.
type settings struct {
	values map[string]any
	users  map[string][]byte // name to the 16 bytes
	dcs    map[int][]string
	env    []string // of the process, beside that of the tests
}

// coverName is the server name in the hellos of all tests.
const coverName = "cover.example"

// alice is the user that every configuration has.
var alice = []byte("\x7c\x1f\x0d\x93\xa5\x5b\xe2\x44\x86\xf2\xb1\x09\x3c\xd8\x6e\x5a")

// forms of alice's secret, as gotd takes them.
var (
	secureSecret  = append([]byte{byte(dc.Padded)}, alice...)
	fakeTLSSecret = append(append([]byte{0xee}, alice...), coverName...)
)

// standard is a configuration with every transport, the site as its cover, the listeners on free ports of loopback
// and the given data centres.
func standard(t *testing.T, cover string, c *cluster) *settings {
	s := &settings{
		values: map[string]any{
			"proxy.listen":          []string{freeAddr(t, "127.0.0.1")},
			"proxy.public_address":  "127.0.0.1",
			"proxy.transports":      []string{"faketls", "secure", "classic"},
			"proxy.drain_timeout":   "1s",
			"cover.domains":         []string{coverName},
			"cover.fall_back_to":    cover,
			"upstream.prefer":       "ipv4",
			"limits.new_per_prefix": "20/s",
			"metrics.listen":        freeAddr(t, "127.0.0.1"),
			"state.dir":             stateDir(t),
			"log.level":             "info",
			"log.format":            "json",
		},
		users: map[string][]byte{"alice": alice},
		dcs:   map[int][]string{},
	}
	if c != nil {
		for id, srv := range c.servers {
			s.dcs[id] = []string{srv.Addr()}
		}
	}
	return s
}

// clone returns a copy that may be changed.
func (s *settings) clone() *settings {
	return &settings{values: maps.Clone(s.values), users: maps.Clone(s.users), dcs: maps.Clone(s.dcs), env: slices.Clone(s.env)}
}

// stateDir is a directory with a short name: that of the socket in it may have 107 bytes.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *settings) strings(key string) []string { return s.values[key].([]string) }

// text writes the file.
func (s *settings) text() string {
	var b strings.Builder
	section := ""
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		head, name, _ := strings.Cut(key, ".")
		if head != section {
			fmt.Fprintf(&b, "[%s]\n", head)
			section = head
		}
		fmt.Fprintf(&b, "%s = %s\n", name, value(s.values[key]))
	}
	if len(s.dcs) > 0 {
		b.WriteString("[upstream.dc]\n")
	}
	for _, id := range slices.Sorted(maps.Keys(s.dcs)) {
		fmt.Fprintf(&b, "%d = %s\n", id, value(s.dcs[id]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.users)) {
		fmt.Fprintf(&b, "[[user]]\nname = %q\nsecret = %q\n", name, hex.EncodeToString(s.users[name]))
	}
	return b.String()
}

func value(v any) string {
	switch v := v.(type) {
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case string:
		return fmt.Sprintf("%q", v)
	case map[string]string:
		pairs := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, fmt.Sprintf("%q = %q", k, v[k]))
		}
		return "{ " + strings.Join(pairs, ", ") + " }"
	}
	return fmt.Sprint(v)
}
