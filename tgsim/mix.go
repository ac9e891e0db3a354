package tgsim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Happening is one act of somebody in a mix and what came of it.
type Happening struct {
	At       time.Time
	Who      string // "alice", "alice-2" or "attacker-1"
	Attacker bool
	What     string // a user's act, or a probe's name
	Result   string // in words
	OK       bool   // a user was served; an attacker learnt nothing
	Took     time.Duration
	Bytes    int64 // of a download or an upload
	Err      error
	Observed *Observed // of a probe that ran
}

// Person is a user of a mix.
type Person struct {
	Name   string
	Client Client
}

// Mix is a traffic mix: users that connect, ping, move files, idle and come
// back, and attackers that go through the probes.
type Mix struct {
	People    []Person // who the users are, in turn
	Users     int      // at the same time; 0 is one each
	Attackers int
	Target    Target  // of the attackers
	Probes    []Probe // nil is those of Probes that must be covered
	Rate      float64 // acts per second of each user and attacker; 0 is 1
	Transfer  int64   // largest download or upload of one act; 0 is 1 MiB
	// Dialer, when set, gives each user and attacker a way to connect of its own,
	// for example from an address of its own.
	Dialer func(who string) Dialer
}

// Run goes on until ctx ends and returns when the last actor has stopped. report
// is never called concurrently.
func (m *Mix) Run(ctx context.Context, report func(Happening)) error {
	if len(m.People) == 0 && m.Users > 0 {
		return errors.New("a mix of users needs people")
	}
	var mu sync.Mutex
	tell := func(h Happening) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil { // what the end interrupted is no result
			report(h)
		}
	}
	users := m.Users
	if users == 0 {
		users = len(m.People)
	}
	var actors sync.WaitGroup
	for i := range users {
		p := m.People[i%len(m.People)]
		if again := i / len(m.People); again > 0 {
			p.Name = fmt.Sprintf("%s-%d", p.Name, again+1)
		}
		if m.Dialer != nil {
			p.Client.Dialer = m.Dialer(p.Name)
		}
		actors.Go(func() { m.use(ctx, p, tell) })
	}
	for i := range m.Attackers {
		actors.Go(func() { m.attack(ctx, i, tell) })
	}
	actors.Wait()
	return nil
}

// pause waits about one act's time; it reports false at the end.
func (m *Mix) pause(ctx context.Context) bool {
	rate := m.Rate
	if rate <= 0 {
		rate = 1
	}
	wait := time.Duration((0.5 + rand.Float64()) / rate * float64(time.Second))
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// use is the life of one user.
func (m *Mix) use(ctx context.Context, p Person, tell func(Happening)) {
	for m.pause(ctx) {
		start := time.Now()
		conn, err := p.Client.Dial(ctx)
		tell(happening(p.Name, "connect", "connected", start, err))
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		for acts := 2 + rand.IntN(4); acts > 0 && m.act(conn, p, tell); acts-- {
			if !m.pause(ctx) {
				break
			}
		}
		stop()
		conn.Close()
	}
}

// act does one thing on a connection and reports whether it still works.
func (m *Mix) act(conn *Conn, p Person, tell func(Happening)) bool {
	largest := m.Transfer
	if largest <= 0 {
		largest = 1 << 20
	}
	n, start := 1+rand.Int64N(largest), time.Now()
	var h Happening
	switch rand.IntN(4) {
	case 0:
		err := conn.Download(n)
		h = happening(p.Name, "download", fmt.Sprintf("%d bytes, every one right", n), start, err)
		h.Bytes = n
	case 1:
		err := conn.Upload(n)
		h = happening(p.Name, "upload", fmt.Sprintf("%d bytes, hash right", n), start, err)
		h.Bytes = n
	default:
		err := conn.Ping([]byte("are you there?"))
		h = happening(p.Name, "ping", fmt.Sprintf("answer from dc %d", conn.Reached()), start, err)
	}
	tell(h)
	return h.OK
}

func happening(who, what, result string, start time.Time, err error) Happening {
	h := Happening{At: start, Who: who, What: what, Result: result, OK: err == nil, Took: time.Since(start), Err: err}
	if err != nil {
		h.Result = err.Error()
	}
	return h
}

// attack is the life of one attacker; each begins at another probe.
func (m *Mix) attack(ctx context.Context, i int, tell func(Happening)) {
	probes, target := m.Probes, m.Target
	if probes == nil {
		probes = slices.DeleteFunc(Probes(), func(p Probe) bool { return p.Served })
	}
	who := fmt.Sprintf("attacker-%d", i+1)
	if m.Dialer != nil {
		target.Dialer = m.Dialer(who)
	}
	for at := i * len(probes) / max(m.Attackers, 1); m.pause(ctx); at++ {
		p, start := probes[at%len(probes)], time.Now()
		o, err := p.Run(ctx, target)
		h := happening(who, p.Name, o.Summary(), start, err)
		h.Attacker = true
		if err == nil {
			h.Observed, h.OK = &o, !o.Served || p.Served
		}
		tell(h)
	}
}
