package node

import (
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// ownFamilies are metrics that join what several parts of the node know.
func (n *Node) ownFamilies() []stats.Family {
	return []stats.Family{
		{
			Name: "auth_attempts_total", Help: "Attempts to prove who one is: handshakes of clients with a secret that was looked for, requests to the admin socket that were denied, and wrong addresses of pages.",
			Labels: []string{"surface", "result"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				var failed uint64
				for _, r := range []stats.Result{stats.ResultBadSecret, stats.ResultReplay, stats.ResultClock, stats.ResultBudget, stats.ResultRevoked, stats.ResultExpired, stats.ResultUser} {
					failed += n.stats.HandshakesOf(r)
				}
				emit(float64(n.stats.HandshakesOf(stats.ResultOK)), "proxy", "ok")
				emit(float64(failed), "proxy", "failed")
				emit(float64(n.guesses[0].Load()), "admin", "denied")
				emit(float64(n.guesses[1].Load()), "pages", "failed")
			},
		},
		{
			Name: "rate_limited_total", Help: "Connections beyond a rate, whether or not that was enforced, and sessions held to one.", Labels: []string{"scope", "mode"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				for scope, control := range map[string]string{"accept": policy.RateAccept, "failures": policy.RateFailures, "bytes": policy.BytesUser} {
					emit(float64(turnedAway(n.stats.Control(control), stats.ModeEnforce)), scope, "enforce")
					emit(float64(turnedAway(n.stats.Control(control), stats.ModeMonitor)), scope, "monitor")
				}
			},
		},
		{
			Name: "replay_hits_total", Help: "Hellos and inits that were seen before.", Counter: true,
			Collect: func(emit func(float64, ...string)) { emit(float64(n.stats.HandshakesOf(stats.ResultReplay))) },
		},
		{
			Name: "overload_pressure_ratio", Help: "Which part of a resource is in use.", Labels: []string{"resource"},
			Collect: func(emit func(float64, ...string)) {
				p := n.pressure.now()
				emit(p.Memory, "memory")
				emit(p.Descriptors, "descriptors")
			},
		},
		{
			Name: "overload_shedding", Help: "1 for each access level whose new connections the overload control would turn away now, else 0.", Labels: []string{"level"},
			Collect: func(emit func(float64, ...string)) {
				below := n.pressure.now().ShedBelow()
				for l := access.ReadOnly; l <= access.Superuser; l++ {
					emit(truth(l < below), l.String())
				}
			},
		},
	}
}
