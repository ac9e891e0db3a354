package guard

import (
	"net/netip"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// BenchmarkAllStages judges one client three times, with every check there is.
func BenchmarkAllStages(b *testing.B) {
	overload := NewOverload(func() Pressure { return Pressure{0.5, 0.5} })
	p := NewPipeline(Stages{
		Accept: []Check{TotalConnections{}, overload, AddressRules{}, OriginRules{}, PerAddress{}, PerNetwork{}, NewAcceptRate(1 << 16), NewFailureRate(1 << 16)},
		Hello:  []Check{HelloRules{}},
		Auth:   []Check{UserLevel{}, overload, MinTransport{}, AllowedTransports{}, SecretStrength{}, PerUser{}, PerKey{}, AddressesPerUser{}},
	}, event.NewBus(), nil)
	sampled := func(i uint64) uint64 { return i }
	for _, run := range []struct {
		name string
		mode policy.Mode
		id   func(i uint64) uint64 // of the connection: it decides whether judgements are timed
	}{
		{"off", policy.Off, sampled},
		{"monitor", policy.Monitor, sampled},
		{"enforce", policy.Enforce, sampled},
		{"enforce-untimed", policy.Enforce, func(uint64) uint64 { return 0 }},
		{"enforce-all-timed", policy.Enforce, func(uint64) uint64 { return 1 }},
	} {
		b.Run(run.name, func(b *testing.B) {
			s := roomy()
			s.Limits.ConnectionsPerPrefix, s.Limits.ConnectionsPerUser, s.Limits.ConnectionsPerKey, s.Limits.AddressesPerUser = 1<<20, 1<<20, 1<<20, 1<<20
			s.Limits.HandshakeFailures = ratelimit.Limit{Events: 1 << 20, Per: time.Second}
			s.Limits.MaxSecretAge = time.Hour
			s.Access = table(b, rule(b, "a", "192.0.2.0/24", access.Standard), rule(b, "b", "sni:*.example.org", access.None))
			s.Controls = make(map[string]policy.Control)
			for _, control := range policy.Controls() {
				s.Controls[control] = policy.Control{Mode: run.mode}
			}
			b.ReportAllocs()
			for i := uint64(1); b.Loop(); i++ {
				c := Conn{ID: run.id(i), Addr: netip.MustParseAddrPort("192.0.2.7:1"), At: at, Policy: s, Open: 1, FromAddr: 1, FromPrefix: 1}
				c.Access = s.Access.Check(access.Query{Addr: c.Addr.Addr(), Now: at})
				p.Admit(&c)
				c.ServerName, c.KeyShare = "www.example.com", true
				p.Hello(&c)
				c.User, c.Key, c.Transport, c.Level, c.UserOpen, c.UserAddrs, c.KeyOpen = "alice", "0123", mtproto.FakeTLS, access.Standard, 1, 1, 1
				p.Authorize(&c)
				p.Conclude(&c, stats.ResultOK)
			}
		})
	}
}
