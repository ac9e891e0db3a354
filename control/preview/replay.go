package preview

import (
	"container/heap"
	"math"
	"net/netip"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// prefixes is how many prefixes have a rate of their own in a replay, as in a node.
const prefixes = 1 << 16

// Checks are fresh ones of those that records can be judged by, in the order in
// which a node asks them.
func Checks() guard.Stages {
	return guard.Stages{
		Accept: []guard.Check{
			guard.TotalConnections{},
			guard.AddressRules{},
			guard.OriginRules{},
			guard.PerAddress{},
			guard.PerNetwork{},
			guard.NewAcceptRate(prefixes),
			guard.NewFailureRate(prefixes),
		},
		Hello: []guard.Check{
			guard.HelloRules{},
		},
		Auth: []guard.Check{
			guard.UserLevel{},
			guard.AllowedTransports{},
			guard.MinTransport{},
			guard.SecretStrength{},
			guard.PerUser{},
			guard.PerKey{},
			guard.AddressesPerUser{},
		},
	}
}

// replay is one policy's judgement of a load. It is a clock that only records move,
// and what is open at its time.
type replay struct {
	policy   *policy.Snapshot
	blind    *policy.Snapshot // for those of whom nobody knows where they were
	nowhere  *policy.Snapshot // the same without access rules
	pipeline *guard.Pipeline
	tell     func(*Record, event.Event)

	serial   uint64
	steps    steps
	now      *Record // who is judged
	open     *guard.Occupancy
	accounts map[string]*usage.Account // by user
	leases   map[string]int            // by key
}

// flight is a connection under way.
type flight struct {
	at     int64 // when something happens to it next, Unix nanoseconds
	serial uint64
	record *Record
	conn   *guard.Conn      // nil once it was judged
	ground *policy.Snapshot // whose rules on addresses hold for it
	known  bool             // has a place at its user and its key
}

// newReplay prepares a judgement. tell hears of each refusal, and of those that were
// let through.
func newReplay(s *policy.Snapshot, tell func(*Record, event.Event)) *replay {
	r := &replay{tell: tell, open: guard.NewOccupancy(), accounts: make(map[string]*usage.Account), leases: make(map[string]int)}
	r.policy, r.blind = rehearsal(s)
	nowhere := *r.blind
	nowhere.Access = nil
	r.nowhere = &nowhere
	r.pipeline = guard.NewPipeline(Checks(), r, new(stats.Counters))
	return r
}

// rehearsal makes the snapshots to judge by: without glass, which is broken now and
// was whole then, without candidates, and with exceptions that count for nobody
// else. In the second, no exception depends on where an address is; of its access
// rules only those on hellos may be asked.
func rehearsal(s *policy.Snapshot) (all, blind *policy.Snapshot) {
	a := *s
	a.Glass, a.Candidates = time.Time{}, nil
	b := a
	var anywhere []policy.Exception
	for _, e := range s.Exceptions.All() {
		if e.Country == "" && !e.Prefix.IsValid() {
			anywhere = append(anywhere, e)
		}
	}
	// They were compiled once already, so there is no error.
	a.Exceptions, _ = policy.NewExceptions(s.Exceptions.All(), nil)
	b.Exceptions, _ = policy.NewExceptions(anywhere, nil)
	return &a, &b
}

// Emit implements event.Sink for the pipeline.
func (r *replay) Emit(e event.Event) { r.tell(r.now, e) }

// accept lets a connection come. Records come in the order of their times.
func (r *replay) accept(record *Record) {
	r.until(record.At.UnixNano())
	r.now = record
	r.serial++
	snapshot, ground := r.policy, r.policy
	if record.Privacy == Pseudonym {
		snapshot, ground = r.blind, r.nowhere
	}
	c := &guard.Conn{ID: r.serial, Addr: netip.AddrPortFrom(record.Addr, 0), At: record.At, Policy: snapshot, Known: record.User != ""}
	c.Open, c.FromAddr, c.FromPrefix = r.open.Enter(record.Addr)
	c.Access = ground.Access.Check(queryOf(record))
	f := &flight{serial: r.serial, record: record, conn: c, ground: ground}
	if r.pipeline.Admit(c).Action != guard.Allow {
		r.refused(f)
		return
	}
	r.later(f, record.At.Add(record.Handshake))
}

// queryOf asks the access table about the address of a record, as it was then.
func queryOf(r *Record) access.Query { return access.Query{Addr: r.Addr, Now: r.At} }

// until lets happen what is due at a time or before.
func (r *replay) until(at int64) {
	for len(r.steps) > 0 && r.steps[0].at <= at {
		f := heap.Pop(&r.steps).(*flight)
		r.now = f.record
		if f.conn == nil {
			r.leave(f)
		} else {
			r.judge(f)
		}
	}
}

// finish lets happen what is left.
func (r *replay) finish() { r.until(math.MaxInt64) }

func (r *replay) later(f *flight, at time.Time) {
	f.at = at.UnixNano()
	heap.Push(&r.steps, f)
}

// judge ends a handshake as it ended then, unless the client is refused.
func (r *replay) judge(f *flight) {
	c, record := f.conn, f.record
	if record.Hello != HelloNone {
		c.Transport, c.KeyShare, c.ServerName, c.JA4 = mtproto.FakeTLS, record.KeyShare, record.ServerName, record.JA4
		if r.pipeline.Hello(c).Action != guard.Allow {
			r.refused(f)
			return
		}
	}
	if came := record.Result == stats.ResultOK || record.Result == stats.ResultRefused; came && record.User != "" {
		r.identify(f)
		if r.pipeline.Authorize(c).Action != guard.Allow {
			r.refused(f)
			return
		}
	}
	r.pipeline.Conclude(c, record.Result)
	f.conn = nil
	if !record.Ongoing {
		r.later(f, record.End())
	}
}

// identify fills in what a node knows once a secret has matched, and takes the
// client's places.
func (r *replay) identify(f *flight) {
	c, record := f.conn, f.record
	account := r.accounts[record.User]
	if account == nil {
		account = new(usage.Account)
		r.accounts[record.User] = account
	}
	account.Enter(record.Addr)
	r.leases[record.Key]++
	f.known = true
	c.User, c.Key, c.Transport = record.User, record.Key, record.Transport
	if record.Hello == HelloNone {
		c.KeyShare = record.Transport == mtproto.FakeTLS // nobody knows, and nobody is to be refused for that
	}
	c.UserOpen, c.UserAddrs = account.Open()
	c.KeyOpen = r.leases[record.Key]
	own := access.Standard
	if i, ok := c.Policy.Keys.ByID(keys.ID(record.Key)); ok {
		key := c.Policy.Keys.At(i)
		c.SecretSince, c.Imported = key.Since(), key.Imported()
		own = key.Account().Level()
	} else if key := c.Policy.Keys.ByUser(record.User); key != nil {
		own = key.Account().Level()
	}
	hello := auth.HelloCeiling(c.Policy, record.Addr, record.User, record.ServerName, record.JA4, record.At)
	c.Level = min(own, hello, auth.Ceiling(f.ground, record.Addr, record.User, record.At))
}

// refused lets a connection go at once.
func (r *replay) refused(f *flight) {
	r.pipeline.Conclude(f.conn, stats.ResultRefused)
	r.leave(f)
}

// leave gives back what a connection holds.
func (r *replay) leave(f *flight) {
	r.open.Leave(f.record.Addr)
	if !f.known {
		return
	}
	r.accounts[f.record.User].Leave(f.record.Addr)
	if r.leases[f.record.Key]--; r.leases[f.record.Key] == 0 {
		delete(r.leases, f.record.Key)
	}
}

// steps is a heap of what happens next; of things at one time, what came first.
type steps []*flight

func (s steps) Len() int      { return len(s) }
func (s steps) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s steps) Less(i, j int) bool {
	return s[i].at < s[j].at || s[i].at == s[j].at && s[i].serial < s[j].serial
}
func (s *steps) Push(x any) { *s = append(*s, x.(*flight)) }
func (s *steps) Pop() any {
	last := len(*s) - 1
	f := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return f
}
