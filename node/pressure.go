package node

import (
	"context"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// pressure is how much of memory and descriptors is in use, measured once a
// second and read by every connection.
type pressure struct{ memory, descriptors atomic.Uint64 } // bits of float64

func (p *pressure) now() guard.Pressure {
	return guard.Pressure{Memory: math.Float64frombits(p.memory.Load()), Descriptors: math.Float64frombits(p.descriptors.Load())}
}

const (
	// ownDescriptors are those that no connection has: store, logs, listeners, loops.
	ownDescriptors = 64
	// shedShare is the part of all sessions that may be ended in one second, when
	// nothing else is left to give.
	shedShare = 100
)

// watchPressure measures until ctx ends. Connections are shed by the check
// overload.level; sessions here, last of all and a hundredth at a time, when
// memory or descriptors are about to run out and that control is enforced.
func (n *Node) watchPressure(ctx context.Context) {
	limit := memoryLimit()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.pressure.descriptors.Store(math.Float64bits(n.descriptors()))
		n.pressure.memory.Store(math.Float64bits(float64(resident()) / limit))
		p := n.pressure.now()
		mode, _ := n.live.Load().Judge(policy.OverloadLevel, policy.Subject{}, time.Now())
		if below := p.ShedBelow(); mode != policy.Enforce || below <= access.Superuser {
			continue
		}
		if ended := n.sessions.Shed(access.Superuser+1, 1+n.sessions.Count()/shedShare, "overload"); ended > 0 {
			n.log.Warn("sessions ended: memory or descriptors are about to run out", "sessions", ended, "memory", p.Memory, "descriptors", p.Descriptors)
		}
	}
}

// descriptors is the share of those that the process may have.
func (n *Node) descriptors() float64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur == 0 {
		return 0
	}
	used := n.stats.Open.Load() + n.stats.Sessions.Load() + n.stats.CoverOpen.Load() + ownDescriptors
	return float64(used) / float64(r.Cur)
}
