package node

import (
	"time"

	"mtguard/config"
	"mtguard/proxy"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/upstream"
	"mtguard/security/replay"
)

const (
	// helloMemory is how many accepted hellos are remembered at least: 4 MiB,
	// an hour of 36 handshakes a second. What it forgets, the time floor
	// refuses.
	helloMemory = 1 << 17
	// acceptPrefixes is how many prefixes have a rate of their own.
	acceptPrefixes = 1 << 16
)

// wire builds the parts and joins them. Every check stands here by name.
func (n *Node) wire(file *config.File) {
	now := time.Now()
	n.auth = auth.New(replay.New(helloMemory, now), replay.New(helloMemory, now), &n.stats)
	checks := []guard.Check{ // the cheapest first
		guard.TotalConnections{},
		guard.PerAddress{},
		guard.NewAcceptRate(acceptPrefixes),
	}
	n.cover = proxy.NewCover(&n.live, n.log, n.Listening)
	n.server = &proxy.Server{
		Live:      &n.live,
		Guard:     guard.NewPipeline(checks, nil, n.bus, &n.stats),
		Auth:      n.auth,
		Sessions:  &n.sessions,
		Upstream:  &upstream.Direct{Stats: &n.stats},
		Engine:    n.engine,
		Cover:     n.cover,
		Occupancy: guard.NewOccupancy(),
		Events:    n.bus,
		Stats:     &n.stats,
		Log:       n.log,
	}
}
