package alert

import "time"

// Snapshot is what conditions are about: the node's numbers at one moment. Whoever makes
// one reads telemetry/stats and what else the node knows; conditions see nothing else.
// Counters never fall while the process runs. Shares are from 0 to 1, and 0 where they are
// not known.
type Snapshot struct {
	At time.Time

	// How full the node is.
	Connections, MaxConnections int64
	HalfOpen, MaxHalfOpen       int64
	Sessions                    int64
	Memory, Descriptors         float64       // shares of what the process may have
	CPU                         time.Duration // of the process since its start
	CPUs                        int
	Disk                        float64 // share of the state directory's file system that is used

	// Counters of what Telegram and the cover site answer.
	Dials, DialsFailed           uint64
	DialTime                     time.Duration // of those that succeeded, together
	CoverDials, CoverDialsFailed uint64

	// Counters of how handshakes end.
	Handshakes, HandshakesBad, Replays, ClockSkews, Tripped uint64

	// Counters of judgements about somebody known, of controls that are enforced.
	KnownAllowed, KnownRefused uint64
	CheckPanics                uint64

	EventsDropped uint64

	// Standing facts; empty texts: all is well.
	ConfigError, AuditFault, ClockHeld, StoreError string
	GlassUntil                                     time.Time // the controls are in monitor until then
	KeysOverdue                                    int       // secrets older than their schedule
	ListsBad                                       int       // lists that could not be read for a day
	ListsBadNames                                  string    // of some of those

	// Filled in by the Manager itself.
	Undelivered    time.Duration // how long the oldest message of a receiver waits
	UndeliveredFor string        // which receiver
	MessagesLost   uint64        // for want of room, or because a receiver would not have them
}

// since is what was counted between two snapshots; a restart counts as nothing.
func since(now, then uint64) float64 {
	if now < then {
		return 0
	}
	return float64(now - then)
}
