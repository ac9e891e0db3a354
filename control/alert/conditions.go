package alert

import (
	"fmt"
	"time"
)

// Condition says what is wrong, and from when on people are told. It is a value: times and
// states are the engine's.
type Condition struct {
	Code, Title string
	Severity    Severity
	Fix         string // what to do first
	// Measure says how bad it is now, and in words. then is a snapshot from before, Window
	// ago where the node runs so long. ok is false when there is nothing to judge by yet.
	Measure func(now, then *Snapshot) (value float64, detail string, ok bool)
	Window  time.Duration // 0: now alone is judged
	// Threshold: above it the condition holds. Clear: at or below it, it does not any more;
	// between the two nothing changes.
	Threshold, Clear float64
	For              time.Duration // it must hold so long before it fires
	Keep             time.Duration // and not hold so long before it is over
}

// leastSpan is how far apart two snapshots must be to judge a rate by them.
const leastSpan = 10 * time.Second

// Conditions returns the closed list of what is watched, in the order in which it is shown.
func Conditions() []Condition {
	return []Condition{
		{
			Code: "upstream.failing", Title: "Telegram cannot be reached", Severity: Critical, Window: 5 * time.Minute,
			Threshold: 0.5, Clear: 0.2, For: 30 * time.Second, Keep: time.Minute,
			Fix:     "look at the node's way out: routes, firewall, upstream.socks5; mtguard status",
			Measure: failing("connections to data centres", 10, func(s *Snapshot) (uint64, uint64) { return s.Dials, s.DialsFailed }),
		},
		{
			Code: "upstream.slow", Title: "Telegram answers slowly", Severity: Medium, Window: 5 * time.Minute,
			Threshold: 1, Clear: 0.6, For: 5 * time.Minute, Keep: 5 * time.Minute, Measure: dialTime,
			Fix: "compare upstream.prefer ipv4 and ipv6; look at the load of the host and its way out",
		},
		{
			Code: "cover.failing", Title: "The cover site cannot be reached", Severity: High, Window: 5 * time.Minute,
			Threshold: 0.5, Clear: 0.2, For: time.Minute, Keep: time.Minute,
			Fix:     "strangers see no web site now, which tells them that this is a proxy: check cover.fall_back_to",
			Measure: failing("connections to the cover site", 5, func(s *Snapshot) (uint64, uint64) { return s.CoverDials, s.CoverDialsFailed }),
		},
		{
			Code: "connections.full", Title: "Nearly as many connections as there may be", Severity: High,
			Threshold: 0.9, Clear: 0.8, For: time.Minute, Keep: 2 * time.Minute,
			Fix:     "raise proxy.max_connections if memory allows, or look who floods: mtguard limit check",
			Measure: fill("connections", func(s *Snapshot) (int64, int64) { return s.Connections, s.MaxConnections }),
		},
		{
			Code: "half_open.full", Title: "Nearly as many unfinished handshakes as there may be", Severity: High,
			Threshold: 0.8, Clear: 0.5, For: 30 * time.Second, Keep: 2 * time.Minute,
			Fix:     "a flood of connections that say nothing: enforce rate.accept, mtguard policy mode rate.accept enforce",
			Measure: fill("handshakes", func(s *Snapshot) (int64, int64) { return s.HalfOpen, s.MaxHalfOpen }),
		},
		{
			Code: "descriptors.low", Title: "File descriptors run out", Severity: High,
			Threshold: 0.85, Clear: 0.7, For: time.Minute, Keep: 2 * time.Minute, Fix: "raise LimitNOFILE of the service",
			Measure: share("descriptors", func(s *Snapshot) float64 { return s.Descriptors }),
		},
		{
			Code: "memory.low", Title: "Memory runs out", Severity: High,
			Threshold: 0.9, Clear: 0.8, For: 2 * time.Minute, Keep: 2 * time.Minute, Fix: "lower proxy.max_connections, or give the service more memory",
			Measure: share("memory", func(s *Snapshot) float64 { return s.Memory }),
		},
		{
			Code: "disk.full", Title: "The disk of the state directory is nearly full", Severity: High,
			Threshold: 0.95, Clear: 0.9, For: time.Minute, Keep: time.Minute, Fix: "make room: without it no change is kept and no alert survives a restart",
			Measure: share("the file system", func(s *Snapshot) float64 { return s.Disk }),
		},
		{
			Code: "cpu.high", Title: "The processors are nearly busy", Severity: Medium, Window: 5 * time.Minute,
			Threshold: 0.9, Clear: 0.75, For: 10 * time.Minute, Keep: 5 * time.Minute, Measure: cpuShare, Fix: "look who moves how much: mtguard user list; give the host more cores",
		},
		{
			Code: "handshakes.bad", Title: "Many hellos that nobody with a link sends", Severity: Medium, Window: 5 * time.Minute,
			Threshold: 10, Clear: 5, For: time.Minute, Keep: 5 * time.Minute, Fix: "somebody scans or guesses: enforce rate.failures",
			Measure: perSecond("bad hellos", func(s *Snapshot) uint64 { return s.HandshakesBad }),
		},
		{
			Code: "replays", Title: "Recorded hellos are sent again", Severity: Medium, Window: 10 * time.Minute,
			Threshold: 10, Clear: 0, Keep: 10 * time.Minute, Fix: "somebody between a user and the node tests it; they got the cover site. Watch incidents",
			Measure: counted("replays in ten minutes", func(s *Snapshot) uint64 { return s.Replays }),
		},
		{
			Code: "clock.skew", Title: "Clocks differ: users are refused for the time in their hellos", Severity: High, Window: 10 * time.Minute,
			Threshold: 0.3, Clear: 0.1, For: time.Minute, Keep: 5 * time.Minute, Measure: clockSkew, Fix: "check this host's clock: timedatectl; else raise proxy.clock_skew",
		},
		{
			Code: "clock.jumped", Title: "The host's clock jumped", Severity: High, Measure: fact(func(s *Snapshot) string { return s.ClockHeld }),
			Fix: "set the clock right; nothing is done by time meanwhile",
		},
		{
			Code: "tripwire", Title: "A revoked secret is in use", Severity: High, Window: 10 * time.Minute,
			Threshold: 0, Clear: 0, Keep: 10 * time.Minute, Fix: "see whose and from where: mtguard key list --state revoked, mtguard status",
			Measure: counted("handshakes with a revoked secret in ten minutes", func(s *Snapshot) uint64 { return s.Tripped }),
		},
		{
			Code: "known.refused", Title: "Users are refused by enforced controls", Severity: High, Window: 10 * time.Minute,
			Threshold: 0.05, Clear: 0.02, For: time.Minute, Keep: 5 * time.Minute, Measure: knownRefused, Fix: "see which: mtguard policy controls; take it back: mtguard rollout back CONTROL",
		},
		{
			Code: "sessions.gone", Title: "Most sessions ended at once", Severity: High, Window: 5 * time.Minute,
			Threshold: 0.8, Clear: 0.5, For: 30 * time.Second, Keep: time.Minute, Measure: sessionsGone, Fix: "the node may be blocked on the way to it: try a link from another network",
		},
		{
			Code: "check.panicked", Title: "A control failed inside", Severity: High, Window: 10 * time.Minute, Keep: 10 * time.Minute,
			Fix: "the connection went on without it; the log has the place: please report it", Measure: counted("panics in ten minutes", func(s *Snapshot) uint64 { return s.CheckPanics }),
		},
		{
			Code: "config.refused", Title: "The last reload was refused", Severity: Medium, Measure: fact(func(s *Snapshot) string { return s.ConfigError }),
			Fix: "mtguard config check; the old configuration is in force",
		},
		{
			Code: "store.failing", Title: "The store takes no change", Severity: Critical, Keep: 30 * time.Second, Measure: fact(func(s *Snapshot) string { return s.StoreError }),
			Fix: "make room in the state directory and make it writable; connections are served meanwhile",
		},
		{
			Code: "auditlog.broken", Title: "The audit log does not hold", Severity: Critical, Measure: fact(func(s *Snapshot) string { return s.AuditFault }),
			Fix: "somebody changed it, or the disk did: mtguard auditlog verify",
		},
		{
			Code: "keys.overdue", Title: "Secrets are older than their schedule", Severity: Medium, For: time.Hour,
			Fix: "mtguard key list; mtguard key rotate --all", Measure: many("secrets", func(s *Snapshot) int { return s.KeysOverdue }),
		},
		{
			Code: "lists.stale", Title: "Lists of addresses are not up to date", Severity: Low, Fix: "mtguard list show",
			Measure: func(now, _ *Snapshot) (float64, string, bool) {
				return float64(now.ListsBad), fmt.Sprintf("%d lists: %s", now.ListsBad, now.ListsBadNames), true
			},
		},
		{
			Code: "glass.broken", Title: "Controls are in monitor: the glass is broken", Severity: Low, Fix: "mtguard policy break-glass --end", Measure: glass,
		},
		{
			Code: "events.dropped", Title: "Events are lost", Severity: Low, Window: 10 * time.Minute, Threshold: 100, Clear: 0, Keep: 10 * time.Minute,
			Fix:     "the node has more to tell than its subscribers take; detection sees less than there is",
			Measure: counted("events in ten minutes", func(s *Snapshot) uint64 { return s.EventsDropped }),
		},
		{
			Code: "alerts.undelivered", Title: "A receiver of alerts does not take them", Severity: Medium, Threshold: 600, Clear: 0, For: time.Minute,
			Fix: "mtguard alert list; mtguard alert test",
			Measure: func(now, _ *Snapshot) (float64, string, bool) {
				return now.Undelivered.Seconds(), fmt.Sprintf("%s has not taken a message for %s", now.UndeliveredFor, now.Undelivered.Round(time.Second)), true
			},
		},
		{
			Code: "alerts.lost", Title: "Messages to receivers were lost", Severity: High, Window: 10 * time.Minute, Keep: 10 * time.Minute, Fix: "mtguard alert list says whose",
			Measure: counted("messages in ten minutes", func(s *Snapshot) uint64 { return s.MessagesLost }),
		},
	}
}

// Codes are the codes of all conditions.
func Codes() []string {
	var codes []string
	for _, c := range Conditions() {
		codes = append(codes, c.Code)
	}
	return codes
}

type measure = func(now, then *Snapshot) (float64, string, bool)

// failing is the share of attempts that failed, once there were enough.
func failing(what string, least float64, of func(*Snapshot) (all, failed uint64)) measure {
	return func(now, then *Snapshot) (float64, string, bool) {
		all, failed := of(now)
		allThen, failedThen := of(then)
		n, bad := since(all, allThen), since(failed, failedThen)
		if n < least {
			return 0, "", false
		}
		return bad / n, fmt.Sprintf("%.0f of %.0f %s failed in %s", bad, n, what, span(now, then)), true
	}
}

func fill(what string, of func(*Snapshot) (used, most int64)) measure {
	return func(now, _ *Snapshot) (float64, string, bool) {
		used, most := of(now)
		if most <= 0 {
			return 0, "", false
		}
		return float64(used) / float64(most), fmt.Sprintf("%d of %d %s", used, most, what), true
	}
}

func share(what string, of func(*Snapshot) float64) measure {
	return func(now, _ *Snapshot) (float64, string, bool) {
		return of(now), fmt.Sprintf("%.0f %% of %s in use", 100*of(now), what), true
	}
}

func counted(what string, of func(*Snapshot) uint64) measure {
	return func(now, then *Snapshot) (float64, string, bool) {
		n := since(of(now), of(then))
		return n, fmt.Sprintf("%.0f %s", n, what), true
	}
}

func perSecond(what string, of func(*Snapshot) uint64) measure {
	return func(now, then *Snapshot) (float64, string, bool) {
		took := now.At.Sub(then.At)
		if took < leastSpan {
			return 0, "", false
		}
		rate := since(of(now), of(then)) / took.Seconds()
		return rate, fmt.Sprintf("%.1f %s a second over %s", rate, what, span(now, then)), true
	}
}

// fact is 1 while there is something to say.
func fact(of func(*Snapshot) string) measure {
	return func(now, _ *Snapshot) (float64, string, bool) {
		if text := of(now); text != "" {
			return 1, text, true
		}
		return 0, "", true
	}
}

func many(what string, of func(*Snapshot) int) measure {
	return func(now, _ *Snapshot) (float64, string, bool) {
		return float64(of(now)), fmt.Sprintf("%d %s", of(now), what), true
	}
}

func span(now, then *Snapshot) time.Duration { return now.At.Sub(then.At).Round(time.Second) }

func dialTime(now, then *Snapshot) (float64, string, bool) {
	good := since(now.Dials-now.DialsFailed, then.Dials-then.DialsFailed)
	if good < 10 {
		return 0, "", false
	}
	mean := (now.DialTime - then.DialTime).Seconds() / good
	return mean, fmt.Sprintf("a connection to a data centre took %.2f s on average", mean), true
}

func cpuShare(now, then *Snapshot) (float64, string, bool) {
	took := now.At.Sub(then.At)
	if took < leastSpan || now.CPUs < 1 {
		return 0, "", false
	}
	busy := (now.CPU - then.CPU).Seconds() / took.Seconds() / float64(now.CPUs)
	return busy, fmt.Sprintf("%.0f %% of %d processors over %s", 100*busy, now.CPUs, span(now, then)), true
}

// clockSkew is the share of good secrets whose hello had a wrong time.
func clockSkew(now, then *Snapshot) (float64, string, bool) {
	wrong := since(now.ClockSkews, then.ClockSkews)
	all := wrong + since(now.Handshakes, then.Handshakes)
	if all < 20 {
		return 0, "", false
	}
	return wrong / all, fmt.Sprintf("%.0f of %.0f good hellos had a wrong time", wrong, all), true
}

func knownRefused(now, then *Snapshot) (float64, string, bool) {
	bad := since(now.KnownRefused, then.KnownRefused)
	all := bad + since(now.KnownAllowed, then.KnownAllowed)
	if all < 50 {
		return 0, "", false
	}
	return bad / all, fmt.Sprintf("%.0f of %.0f judgements about users refused them", bad, all), true
}

// sessionsGone is the share of the sessions of before that are no more.
func sessionsGone(now, then *Snapshot) (float64, string, bool) {
	if then.Sessions < 20 {
		return 0, "", false
	}
	gone := max(0, 1-float64(now.Sessions)/float64(then.Sessions))
	return gone, fmt.Sprintf("%d sessions, %d were there %s ago", now.Sessions, then.Sessions, span(now, then)), true
}

func glass(now, _ *Snapshot) (float64, string, bool) {
	if now.At.Before(now.GlassUntil) {
		return 1, "until " + now.GlassUntil.UTC().Format(time.RFC3339), true
	}
	return 0, "", true
}
