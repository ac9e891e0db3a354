package node

import (
	"fmt"
	"runtime/debug"
	"time"

	"mtguard/config"
	"mtguard/proxy"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/upstream"
)

const (
	// handshakeMemory is how many accepted hellos are remembered at least, and
	// how many obfuscated2 inits: an hour of 36 handshakes a second. Either
	// memory takes 4.3 MiB at first and 8.5 MiB when full, and up to 6.4 MiB in
	// its file. What it forgets, the time floor refuses.
	handshakeMemory = 1 << 17
	// acceptPrefixes is how many prefixes have a rate of their own.
	acceptPrefixes = 1 << 16
	// suspectAddresses is how many addresses may be suspects, and from how many it is remembered that somebody authenticated from them.
	suspectAddresses = 1 << 15
)

// wire builds the parts and joins them. Every check stands here by name.
func (n *Node) wire(file *config.File) {
	n.memory = &replayMemory{dir: n.dir, log: n.log, start: time.Now(), skew: file.Proxy.ClockSkew}
	n.auth = auth.New(n.memory.open("hellos.replay"), n.memory.open("inits.replay"), &n.stats)
	n.sessions.Moved = n.stats.RelayBytes
	overload := guard.NewOverload(n.pressure.now)
	n.accepts, n.failures = guard.NewAcceptRate(acceptPrefixes), guard.NewFailureRate(acceptPrefixes)
	n.stages = guard.Stages{ // in each the cheapest first
		Accept: []guard.Check{
			guard.TotalConnections{},
			overload, // by the network: nobody knows yet who it is
			guard.AddressRules{},
			guard.OriginRules{},
			guard.PerAddress{},
			guard.PerNetwork{},
			n.accepts,
			n.failures,
			n.suspects,
		},
		Hello: []guard.Check{
			guard.HelloRules{},
		},
		Auth: []guard.Check{
			overload, // again, by the level
			guard.UserLevel{},
			guard.AllowedTransports{},
			guard.MinTransport{},
			guard.SecretStrength{},
			guard.PerUser{},
			guard.PerKey{},
			guard.AddressesPerUser{},
		},
	}
	pipeline := guard.NewPipeline(n.stages, n.bus, &n.stats)
	pipeline.OnPanic = func(control string, value any) {
		n.log.Error("a check panicked; the connection went on", "control", control, "panic", fmt.Sprintf("%T", value), "stack", string(debug.Stack()))
	}
	n.cover = proxy.NewCover(&n.live, n.log, n.Listening)
	n.server = &proxy.Server{
		Live:      &n.live,
		Guard:     pipeline,
		Auth:      n.auth,
		Sessions:  &n.sessions,
		Upstream:  &upstream.Direct{Stats: &n.stats},
		Engine:    n.engine,
		Cover:     n.cover,
		Occupancy: guard.NewOccupancy(),
		Covered:   guard.NewOccupancy(),
		Suspects:  n.suspects,
		Events:    n.bus,
		Stats:     &n.stats,
		Log:       n.log,
	}
}
