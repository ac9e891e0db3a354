package auth

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// distinct makes a hello good for any number of times: each copy has a replay key
// of its own and is sent when it arrives. What it costs to open stays the same.
type distinct struct {
	Hello
	n *uint64
}

func (u distinct) Open(secret []byte, now time.Time) (time.Time, bool) {
	_, ok := u.Hello.Open(secret, now)
	return now, ok
}

func (u distinct) ReplayKey() (key [16]byte) {
	*u.n++
	binary.BigEndian.PutUint64(key[:], *u.n)
	return key
}

// BenchmarkAuthenticate is what one hello costs, in time and in secrets tried.
//
//   - returning: the prefix was seen with this user before.
//   - new: it was not; one such client every 50 ms.
//   - stranger: one address sends bad hellos as fast as they are judged. What it
//     costs at 10,000 users is the free trials and what the budget of its prefix
//     gives in the meantime.
//   - strangers: the same from ever new addresses, which meet the overall budget:
//     trials/s stays at 300,000 and the free ones.
func BenchmarkAuthenticate(b *testing.B) {
	for _, transport := range []string{"faketls", "obfuscated2"} {
		for _, who := range []string{"returning", "new", "stranger", "strangers"} {
			for _, n := range []int{1, 100, 10_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", transport, who, n), func(b *testing.B) { benchmark(b, transport, who, n) })
			}
		}
	}
}

func benchmark(b *testing.B, transport, who string, n int) {
	user := n / 2
	if who == "stranger" || who == "strangers" {
		user = -1
	}
	a := newBench(b, users(b, n, anyName))
	a.snap = &policy.Snapshot{Keys: a.snap.Keys, Skew: 10 * time.Minute}
	var serial uint64
	h := distinct{newInit(b, material(user)), &serial}
	if transport == "faketls" {
		h.Hello = newHello(b, material(user), epoch)
	}
	var from netip.Addr
	now, began := epoch, time.Now()
	next := func(i int) {
		from = netip.MustParseAddr("192.0.2.7")
		now = epoch.Add(time.Since(began))
		switch who {
		case "new":
			now = epoch.Add(time.Duration(i) * 50 * time.Millisecond)
			fallthrough
		case "strangers":
			from = netip.AddrFrom4([4]byte{byte(1 + i>>16&0x7f), byte(i >> 8), byte(i), 1})
		}
	}
	want := map[string]stats.Result{"returning": stats.ResultOK, "new": stats.ResultOK}[who]
	switch who {
	case "returning":
		next(0)
		a.Authenticate(a.snap, from, h, now).Grant.Release()
	case "stranger", "strangers": // the budgets are spent
		for i := range 100 {
			next(i + 1<<22)
			a.Authenticate(a.snap, from, a.hello(-1), now)
		}
	}
	before := a.Stats.Trials.Load()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		next(i)
		i++
		v := a.Authenticate(a.snap, from, h, now)
		if user >= 0 && v.Result != want || user < 0 && v.Result == stats.ResultOK {
			b.Fatalf("%v", v.Result)
		}
		v.Grant.Release()
	}
	trials := float64(a.Stats.Trials.Load() - before)
	b.ReportMetric(trials/float64(i), "trials/op")
	b.ReportMetric(trials/b.Elapsed().Seconds(), "trials/s")
}
