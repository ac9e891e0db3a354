package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/telemetry/history"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// past returns the points of a series of the last minutes.
func (s *site) past(name string) (total float64, points int) {
	s.t.Helper()
	list, err := s.node.plane.Series(context.Background(), history.Query{Names: []string{name}, From: time.Now().Add(-10 * time.Minute)})
	if err != nil || len(list) != 1 {
		s.t.Fatal(len(list), err)
	}
	for _, p := range list[0].Points {
		total += p.Value
	}
	return total, len(list[0].Points)
}

// TestTheHistoryOutlivesARestart: what a node counted until its end is in its history after it, once.
func TestTheHistoryOutlivesARestart(t *testing.T) {
	s := start(t, "", "")
	for sessions := 1.0; sessions <= 3; sessions++ {
		c := s.dial(s.client(tgsim.FakeTLS))
		if err := c.Download(50_000); err != nil {
			t.Fatal(err)
		}
		c.Close()
		eventually(t, "the session has ended", func() bool { return s.node.stats.Open.Load() == 0 })
		s.halt()
		s.boot(testLog(t))
		for name, want := range map[string]float64{"accepted": sessions, "served": sessions, "handshakes:ok": sessions, "covered": 0} {
			if got, points := s.past(name); got != want || points == 0 {
				t.Errorf("after %v sessions %s is %v in %d points, want %v", sessions, name, got, points, want)
			}
		}
		if got, _ := s.past("bytes_down"); got < 50_000*sessions || got > 100_000*sessions {
			t.Errorf("%v bytes went down, of %v sessions of 50,000", got, sessions)
		}
	}
	if got, points := s.past("heap"); got <= 0 || points == 0 {
		t.Errorf("a heap of %v in %d points", got, points)
	}
}

// TestEveryMinuteHasARow, with what happened in it, and the last one what was left when the node ended.
func TestEveryMinuteHasARow(t *testing.T) {
	s := start(t, "", "")
	s.halt() // its parts stay, and nobody else writes
	n := s.node
	comes := func(times int) {
		for range times {
			n.stats.Accepted()
			n.stats.Ended(stats.StateHandshake, stats.OutcomeCovered)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now().Truncate(time.Minute)
		n.openHistory()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.chronicle.run(ctx); close(done) }()
		for _, times := range []int{3, 0, 5} {
			comes(times)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		comes(2)
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		n.openHistory()
		defer n.chronicle.h.Close()
		list, err := numbers{n}.Series(history.Query{Names: []string{"covered"}, From: begun, To: time.Now()})
		if err != nil || len(list) != 1 || list[0].Step != 60 {
			t.Fatalf("%+v, %v", list, err)
		}
		for i, want := range []float64{3, 0, 5, 2} {
			if i >= len(list[0].Points) || list[0].Points[i].Value != want || !list[0].Points[i].At.Equal(begun.Add(time.Duration(i)*time.Minute)) {
				t.Fatalf("minute %d: want %v of %+v", i, want, list[0].Points)
			}
		}
	})
}
