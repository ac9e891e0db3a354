package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/store"
	"mtguard/security/auditlog"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/tgsim"
)

// BenchmarkAuditBesideSessions is what an audit of 10,000 users and 30 days takes from clients. Each round lets eight of them come,
// download 256 KB and go, one after the other, for as long as an audit takes, with it and without, in turns:
//
//	go test ./node -run '^$' -bench AuditBesideSessions -benchtime 20x
//
// throughput-ratio is the median of sessions with the audit to sessions without; day-ratio what is left of a day's throughput by it, with
// one audit a day. The clients, their data centre and the node share the machine's cores with the audit, so the first ratio is worst on a
// machine that has none to spare: GOMAXPROCS less one of all cores is what the audit can leave.
func BenchmarkAuditBesideSessions(b *testing.B) {
	s := start(b, "", users(10_000))
	s.thirtyDays(20, 20_000, 80_000)
	var done atomic.Int64
	ctx, cancel := context.WithCancel(b.Context())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if conn, err := s.client(tgsim.FakeTLS).Dial(ctx); err == nil {
					if conn.Download(256<<10) == nil {
						done.Add(1)
					}
					conn.Close()
				}
			}
		})
	}
	defer func() { cancel(); clients.Wait() }()
	rate := func(f func()) (sessions float64, took time.Duration) {
		before, began := done.Load(), time.Now()
		f()
		took = time.Since(began)
		return float64(done.Load()-before) / took.Seconds(), took
	}
	check := func() {
		if _, err := s.node.plane.Audit(ctx, starter, control.AuditRequest{}); err != nil {
			b.Fatal(err)
		}
	}
	_, took := rate(check) // the first writes all findings down
	var ratios, seconds, quiet []float64
	for i := 0; b.Loop(); i++ {
		var with, without float64
		rest := func() { without, _ = rate(func() { time.Sleep(took) }) }
		if i%2 == 0 {
			rest()
		}
		with, took = rate(check)
		if i%2 == 1 {
			rest()
		}
		ratios, seconds, quiet = append(ratios, with/without), append(seconds, took.Seconds()), append(quiet, without)
	}
	median := func(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }
	b.ReportMetric(median(quiet), "sessions/s")
	b.ReportMetric(median(seconds), "s/audit")
	b.ReportMetric(median(ratios), "throughput-ratio")
	b.ReportMetric(1-(1-median(ratios))*median(seconds)/(24*time.Hour).Seconds(), "day-ratio")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
}

// users are entries of a configuration.
func users(n int) string {
	random := rand.NewChaCha8([32]byte{1})
	var text strings.Builder
	for i := range n {
		var secret [16]byte
		random.Read(secret[:])
		fmt.Fprintf(&text, "[[user]]\nname = \"user-%05d\"\nsecret = %q\n", i, hex.EncodeToString(secret[:]))
	}
	return text.String()
}

// thirtyDays fills the store and the records: usage of nine in ten users each day, sightings of each of them, rows of the audit log,
// and connections of a day.
func (s *site) thirtyDays(sightings, rows, connections int) {
	s.t.Helper()
	now, random := time.Now(), rand.New(rand.NewPCG(1, 2))
	update := func(f func(tx *store.Tx) error) {
		if _, err := s.node.state.store.Update(context.Background(), f); err != nil {
			s.t.Fatal(err)
		}
	}
	var all []store.User
	update(func(tx *store.Tx) error {
		for u, err := range tx.EveryUser() {
			if err != nil {
				return err
			}
			all = append(all, u)
		}
		return nil
	})
	for d := range 30 {
		y, m, day := now.AddDate(0, 0, -d).UTC().Date()
		update(func(tx *store.Tx) error {
			for i, u := range all {
				if i%10 == 0 {
					continue
				}
				if err := tx.Count(u.ID, y*10_000+int(m)*100+day, "history", usage.Totals{Up: 1000, Down: 9000, Sessions: 3}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	update(func(tx *store.Tx) error {
		for k, err := range tx.Keys(0) {
			if err != nil {
				return err
			}
			list := make([]usage.Sighting, sightings)
			for i := range list {
				list[i] = usage.Sighting{Pseudonym: usage.Pseudonym(random.Uint64()), Last: now.Add(-time.Duration(random.IntN(48)) * time.Hour)}
			}
			if err := tx.PutSightings(k.ID, store.SeenUsing, list); err != nil {
				return err
			}
		}
		return nil
	})
	update(func(tx *store.Tx) error {
		for i := range rows {
			if _, err := tx.Audit(auditlog.Entry{Time: now, Actor: "bench", Action: "seal", Object: fmt.Sprint(i), Outcome: auditlog.Done}); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range connections {
		u := all[random.IntN(len(all))]
		addr := netip.AddrFrom4([4]byte{byte(random.IntN(200) + 1), byte(random.IntN(256)), byte(random.IntN(256)), 7})
		s.node.recorder.Take(event.Event{Time: now.Add(-time.Duration(random.IntN(24*3600)) * time.Second), Kind: event.Relayed, Conn: 1<<40 + uint64(i),
			Addr: addr, User: u.Name, Took: time.Second, Sent: 1000, Received: 9000, Transport: "faketls"})
	}
}
