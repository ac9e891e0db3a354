package audit

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// world is a view of facts that a test wrote down.
type world struct {
	keys   *KeyFacts
	use    *UseFacts
	load   *LoadFacts
	policy *PolicyFacts
	host   *HostFacts
	site   *SiteFacts
	care   *CareFacts

	asked int
	err   error // of all facts
}

func (w *world) Now() time.Time { return now }

func give[T any](w *world, facts *T) (*T, error) {
	w.asked++
	if w.err != nil {
		return nil, w.err
	}
	return facts, nil
}

func (w *world) Keys(context.Context) (*KeyFacts, error)      { return give(w, w.keys) }
func (w *world) Use(context.Context) (*UseFacts, error)       { return give(w, w.use) }
func (w *world) Load(context.Context) (*LoadFacts, error)     { return give(w, w.load) }
func (w *world) Policy(context.Context) (*PolicyFacts, error) { return give(w, w.policy) }
func (w *world) Host(context.Context) (*HostFacts, error)     { return give(w, w.host) }
func (w *world) Site(context.Context) (*SiteFacts, error)     { return give(w, w.site) }
func (w *world) Care(context.Context) (*CareFacts, error)     { return give(w, w.care) }

var errTest = errors.New("not permitted")

var here, there = netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.9")

// healthy is a node on which everything is used and nothing is wrong: in each fact that
// has a bound, on the good side of it and near to it.
func healthy() *world {
	return &world{
		keys: &KeyFacts{
			Secrets: []Secret{
				{ID: "k1", User: "alice", State: "active", Source: "generated", Created: now.Add(-40 * day), Activated: now.Add(-29 * day), NotAfter: now.Add(day), LastUsed: now, Served: true},
				{ID: "k0", User: "alice", State: "retiring", Source: "generated", Created: now.Add(-400 * day), Activated: now.Add(-300 * day), RetireBy: now.Add(-time.Minute), LastUsed: now, Served: true},
				{ID: "k2", User: "alice", State: "pending", Source: "generated", Created: now, Served: true},
				{ID: "k3", User: "bob", State: "active", Source: "file", Created: now.Add(-29 * day), Activated: now.Add(-29 * day), Served: true},
				{ID: "k4", User: "carol", State: "revoked", Source: "generated", Created: now.Add(-900 * day), NotAfter: now.Add(-day), Inline: true},
				{ID: "k5", User: "dave", State: "active", Source: "generated", Created: now.Add(-30 * day), Activated: now.Add(-30 * day)},
			},
			Sealing:      []SealKey{{ID: "s1", State: "active", Sealed: 1 << 30}, {ID: "s0", State: "retired", Sealed: 1 << 40}},
			Certificates: []Certificate{{Name: "pages", Path: "/etc/pages.pem", NotAfter: now.Add(21 * day)}},
			RotateEvery:  30 * day,
			MasterSince:  now.Add(-365 * day), StoreSince: now.Add(-365 * day),
		},
		use: &UseFacts{Keys: []KeyUse{
			{ID: "k1", User: "alice", Addresses: 64, Networks: 25, ASNs: 10, Countries: 5, Burst: 2, Woke: true, Slept: 29 * day},
			{ID: "k3", User: "bob", Slept: 100 * day},
		}},
		load: &LoadFacts{
			Window: time.Hour, Refused: Share{200, 1000}, Denied: Share{0, 1000}, Failed: Share{800, 1000}, HalfOpen: Share{80, 100},
			Overloaded: 4 * time.Minute, Tables: []Fill{{"rate.accept", Share{90, 100}}}, Busiest: "192.0.2.0/24", BusiestShare: Share{200, 1000},
		},
		policy: &PolicyFacts{
			Controls: []Control{
				{Name: "conns.total", Declared: "enforce", Effective: "enforce", Memory: true, Since: now.Add(-900 * day)},
				{Name: "rate.accept", Declared: "enforce 10%", Effective: "enforce 10%", Since: now.Add(-900 * day)},
				{Name: "geo.country", Declared: "monitor", Effective: "monitor", Since: now.Add(-30 * day)},
			},
			Exceptions: []Exception{
				{ID: "e1", Owner: "uid 0", Created: now.Add(-90 * day), Until: now.Add(day), Hits: 5, LastHit: now.Add(-29 * day)},
				{ID: "e2", Owner: "uid 0", Created: now.Add(-29 * day), Until: now.Add(day)},
				{ID: "e3", Owner: "uid 0", Created: now.Add(-90 * day), Until: now.Add(day), Hits: 5},
			},
			Transports: []string{"faketls"}, Started: now.Add(-29 * day), GlassUntil: now,
		},
		host: &HostFacts{
			Files: []File{
				{What: "state directory", Path: "/var/lib/mtguard", Mode: 0o700, Owner: 990, Most: 0o700, Secret: true},
				{What: "configuration", Path: "/etc/mtguard/mtguard.toml", Mode: 0o640, Owner: 0, Most: 0o640},
			},
			UID: 990, OpenFiles: 2*1000 + 64, MaxConnections: 1000, DiskPath: "/var/lib/mtguard", DiskFree: Share{15, 100}, ClockSynced: true, ClockError: 5 * time.Second,
			PublicHost: "proxy.example.com", PublicAddresses: []netip.Addr{here}, OwnAddresses: []netip.Addr{here},
		},
		site: &SiteFacts{
			FakeTLS: true, Address: "www.example.com:443", Name: "www.example.com", Measured: now.Add(-6 * time.Hour), Tried: now, Group: "X25519MLKEM768", Hybrid: true,
			Flight: 1000, Names: []netip.Addr{there, here}, Own: []netip.Addr{here}, DCs: []DC{{"1", 5, 5}, {"2", 0, 4}},
		},
		care: &CareFacts{LastBackup: now.Add(-7 * day), Rows: 5000, Signed: 3000, FirstRow: now.Add(-900 * day), Scanned: now.Add(-31 * day)},
	}
}
