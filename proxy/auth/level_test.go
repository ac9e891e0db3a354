package auth

import (
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// TestReadOnlyIsBoundedInEveryMode: its upload is what the level means; everything else waits for bytes.user.
func TestReadOnlyIsBoundedInEveryMode(t *testing.T) {
	now := time.Now()
	slow, fast := policy.ByteRate{PerSecond: 8 << 10, Burst: 256 << 10}, policy.ByteRate{PerSecond: 1 << 20, Burst: 2 << 20}
	s := &policy.Snapshot{Limits: policy.Limits{BytesPerUser: fast}, Controls: map[string]policy.Control{}}
	s.Limits.BytesPerLevel[access.ReadOnly], s.Limits.BytesPerLevel[access.Standard] = slow, fast
	bounded := usage.Rate{PerSecond: slow.PerSecond, Burst: slow.Burst}
	free := usage.Rate{PerSecond: fast.PerSecond, Burst: fast.Burst}
	for _, mode := range []policy.Mode{policy.Off, policy.Monitor, policy.Enforce} {
		s.Controls[policy.BytesUser] = policy.Control{Mode: mode}
		r := RatesOf(s, "alice", now)
		if r.Level[access.ReadOnly] != bounded {
			t.Errorf("%v: read_only is bounded by %+v", mode, r.Level[access.ReadOnly])
		}
		want := usage.Rate{}
		if mode != policy.Off {
			want = free
			want.Watch = mode == policy.Monitor
		}
		if r.User != want || r.Level[access.Standard] != want {
			t.Errorf("%v: the user %+v, standard %+v, want %+v", mode, r.User, r.Level[access.Standard], want)
		}
	}
}
