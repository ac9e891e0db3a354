package preview

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// This file is the promise of previews: what they count is what enforcement then does.

// visit is one connection of a random load.
type visit struct {
	accepted, judged, left time.Time
	addr                   netip.Addr
	user, key              string
	transport              mtproto.Transport
	result                 stats.Result
	hello                  *event.Hello // of fake TLS
}

func anyLoad(t *rapid.T) []*visit {
	var load []*visit
	now := at
	for range rapid.IntRange(1, 80).Draw(t, "connections") {
		step := func(most int) time.Duration {
			return time.Duration(rapid.IntRange(1, most).Draw(t, "µs")) * 997 * time.Microsecond
		}
		now = now.Add(step(5000))
		v := &visit{accepted: now, addr: near(t, "address"), transport: mtproto.Transport(rapid.IntRange(1, 3).Draw(t, "transport"))}
		v.judged = v.accepted.Add(step(3000))
		v.left = v.judged.Add(step(60_000))
		v.result = rapid.SampledFrom([]stats.Result{
			stats.ResultOK, stats.ResultOK, stats.ResultOK, stats.ResultOK, stats.ResultBadSecret, stats.ResultEOF, stats.ResultReplay, stats.ResultUser,
		}).Draw(t, "result")
		if v.result == stats.ResultOK || v.result == stats.ResultUser {
			n := rapid.IntRange(0, 4).Draw(t, "user")
			v.user, v.key = "user"+strconv.Itoa(n), fmt.Sprintf("%d.%d", n, rapid.IntRange(0, 1).Draw(t, "key"))
		}
		if v.transport == mtproto.FakeTLS {
			v.hello = &event.Hello{
				ServerName: rapid.SampledFrom([]string{"", "www.example.com", "old.example.com", "other.example"}).Draw(t, "server name"),
				JA4:        rapid.SampledFrom([]string{newPrint, oldPrint}).Draw(t, "ja4"), KeyShare: rapid.Bool().Draw(t, "key share"),
			}
		}
		load = append(load, v)
	}
	return load
}

const (
	newPrint = "t13d1516h2_8daaf6152771_e5627efa2ab1"
	oldPrint = "t12d0708h1_0123456789ab_cdef01234567"
)

func anyLimits(t *rapid.T) policy.Limits {
	few := func(name string) int { return rapid.IntRange(0, 4).Draw(t, name) }
	rate := func(name string) ratelimit.Limit {
		return ratelimit.Limit{Events: few(name), Per: 10 * time.Second, Burst: 1 + few(name)}
	}
	l := policy.Limits{
		MaxConnections: rapid.SampledFrom([]int{0, 8, 20}).Draw(t, "all"), ConnectionsPerAddress: few("address"), ConnectionsPerPrefix: 3 * few("network"),
		ConnectionsPerUser: few("user"), ConnectionsPerKey: few("key"), AddressesPerUser: few("addresses"),
		NewPerPrefix: rate("new"), HandshakeFailures: rate("failures"), MinTransport: mtproto.Transport(rapid.IntRange(0, 2).Draw(t, "least")),
	}
	l.RequireKeyShare = rapid.Bool().Draw(t, "with a key share")
	l.Barred[mtproto.Secure] = rapid.Bool().Draw(t, "secure barred")
	return l
}

// server is a model of what a node does with a load, by a real pipeline: naive
// enough to see that it is right. It has no other notion of what is open than to look
// at all visits.
type server struct {
	pipeline *guard.Pipeline
	policy   *policy.Snapshot
	sink     event.Sink
	load     []*visit
	in, auth map[*visit]bool // who is there, and has its place at its user
	conns    map[*visit]*guard.Conn
	refused  map[string]int // by user
}

func serve(load []*visit, s *policy.Snapshot, sink event.Sink, counters *stats.Counters) map[string]int {
	x := &server{
		pipeline: guard.NewPipeline(Checks(), sink, counters), policy: s, sink: sink, load: load,
		in: make(map[*visit]bool), auth: make(map[*visit]bool), conns: make(map[*visit]*guard.Conn), refused: make(map[string]int),
	}
	type step struct {
		at time.Time
		do func(*visit)
		v  *visit
	}
	var steps []step
	for _, v := range load {
		steps = append(steps, step{v.accepted, x.accept, v}, step{v.judged, x.judge, v}, step{v.left, x.leave, v})
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		// At one time first those who have been there for longer.
		return cmp.Or(a.at.Compare(b.at), a.v.accepted.Compare(b.v.accepted))
	})
	for _, s := range steps {
		s.do(s.v)
	}
	return x.refused
}

func (x *server) count(match func(*visit) bool) (n int) {
	for v := range x.in {
		if match(v) {
			n++
		}
	}
	return n
}

func (x *server) accept(v *visit) {
	x.in[v] = true
	share := func(v4, v6 int) func(*visit) bool {
		bits := v6
		if v.addr.Is4() {
			bits = v4
		}
		p, _ := v.addr.Prefix(bits)
		return func(o *visit) bool { return p.Contains(o.addr) }
	}
	c := &guard.Conn{
		ID: uint64(slices.Index(x.load, v) + 1), Addr: netip.AddrPortFrom(v.addr, 443), At: v.accepted, Policy: x.policy,
		Open: len(x.in), FromAddr: x.count(share(32, 64)), FromPrefix: x.count(share(24, 48)),
	}
	c.Access = x.policy.Access.Check(access.Query{Addr: v.addr, Now: v.accepted})
	x.conns[v] = c
	if x.pipeline.Admit(c).Action != guard.Allow {
		x.refuse(v)
	}
}

func (x *server) judge(v *visit) {
	if !x.in[v] {
		return
	}
	c := x.conns[v]
	e := event.Event{Time: v.judged, Conn: c.ID, Addr: v.addr, User: v.user, Key: v.key, Took: v.judged.Sub(v.accepted), Transport: v.transport.String(), Hello: v.hello}
	if h := v.hello; h != nil {
		c.Transport, c.ServerName, c.JA4, c.KeyShare = v.transport, h.ServerName, h.JA4, h.KeyShare
		if x.pipeline.Hello(c).Action != guard.Allow {
			x.refuse(v)
			return
		}
	}
	if v.result != stats.ResultOK {
		x.pipeline.Conclude(c, v.result)
		e.Kind, e.Reason = event.HandshakeFailed, v.result.String()
		x.sink.Emit(e)
		return
	}
	x.auth[v] = true
	places := make(map[netip.Prefix]bool)
	for o := range x.auth {
		if o.user == v.user {
			place, _, _ := ratelimit.PrefixesOf(o.addr)
			places[place] = true
		}
	}
	c.User, c.Key, c.Transport = v.user, v.key, v.transport
	c.Level = min(access.Standard, auth.HelloCeiling(x.policy, v.addr, v.user, c.ServerName, c.JA4, v.accepted))
	c.UserOpen = x.count(func(o *visit) bool { return x.auth[o] && o.user == v.user })
	c.KeyOpen = x.count(func(o *visit) bool { return x.auth[o] && o.key == v.key })
	c.UserAddrs = len(places)
	if x.pipeline.Authorize(c).Action != guard.Allow {
		x.refuse(v)
		return
	}
	x.pipeline.Conclude(c, stats.ResultOK)
	e.Kind = event.Authenticated
	x.sink.Emit(e)
}

func (x *server) refuse(v *visit) {
	x.pipeline.Conclude(x.conns[v], stats.ResultRefused)
	if v.user != "" {
		x.refused[v.user]++
	}
	delete(x.in, v)
	delete(x.auth, v)
}

func (x *server) leave(v *visit) {
	if !x.in[v] {
		return
	}
	delete(x.in, v)
	delete(x.auth, v)
	e := event.Event{Kind: event.Covered, Time: v.left, Conn: x.conns[v].ID, Addr: v.addr, User: v.user, Key: v.key, Took: v.left.Sub(v.accepted), Transport: v.transport.String()}
	if v.result == stats.ResultOK {
		e.Kind = event.Relayed
	}
	x.sink.Emit(e)
}

// taker is a Recorder as a sink.
type taker struct{ *Recorder }

func (t taker) Emit(e event.Event) { t.Take(e) }

func TestWhatAPreviewCountsIsWhatEnforcementThenDoes(t *testing.T) {
	refusals, patterns := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		load := anyLoad(rt)
		privacy := rapid.SampledFrom([]Privacy{Full, Pseudonym}).Draw(rt, "privacy")
		recorder := recorder(t, Options{Privacy: privacy, Key: [32]byte{7}})
		watching := &policy.Snapshot{Limits: anyLimits(rt)} // everything in monitor
		watching.Limits.MaxConnections = 0
		serve(load, watching, taker{recorder}, nil)

		var enforced []string
		for _, name := range policy.Controls() {
			if rapid.IntRange(0, 2).Draw(rt, name) > 0 {
				enforced = append(enforced, name)
			}
		}
		candidate := enforcing(anyLimits(rt), enforced...)
		for _, name := range enforced { // users draw the same lots in either run
			if slices.Contains([]string{policy.ConnsUser, policy.ConnsKey, policy.AddrsUser}, name) {
				candidate.Controls[name] = policy.Control{Mode: policy.Enforce, Percent: rapid.SampledFrom([]int{0, 30, 70}).Draw(rt, "percent")}
			}
		}
		some := []string{"ja4:t12*"}
		if privacy == Full { // else of strangers there are no names, and nobody has an address
			some = rapid.SampledFrom([][]string{some, {"sni:old.example.com"}, {"sni:*.example.com", "ja4:" + oldPrint}}).Draw(rt, "patterns")
			some = append(slices.Clone(some), "2001:db8:0:1::/64", "198.51.1.2")
		}
		candidate.Access = rules(t, some...)
		report := Run(recorder.Records(at), watching, candidate, nil)
		recorder.Close()

		var counters stats.Counters
		users := serve(load, candidate, event.Discard(), &counters)
		for _, c := range report.Controls {
			count := counters.Control(c.Control)
			refused := count.Decisions(stats.VerdictMask, stats.ModeEnforce) + count.Decisions(stats.VerdictDeny, stats.ModeEnforce)
			would := count.Decisions(stats.VerdictMask, stats.ModeMonitor)
			if uint64(c.Refused) != refused || uint64(c.WouldRefuse) != would {
				rt.Fatalf("%s: the preview says %d refused and %d to be refused; it was %d and %d", c.Control, c.Refused, c.WouldRefuse, refused, would)
			}
			refusals += c.Refused
			if c.Control == policy.AccessPattern {
				patterns += c.Refused
			}
		}
		previewed := make(map[string]int)
		for _, c := range report.Controls {
			for _, u := range c.Users {
				previewed[u.User] += u.Refused
			}
		}
		if !maps.Equal(previewed, users) {
			rt.Fatalf("by users the preview says %v; it was %v", previewed, users)
		}
		if report.Connections != len(load) || report.RefusedNow != 0 {
			rt.Fatalf("%d connections of %d; %d refused in monitor", report.Connections, len(load), report.RefusedNow)
		}
	})
	if refusals == 0 || patterns == 0 {
		t.Errorf("%d were ever refused, %d of them by their hellos", refusals, patterns)
	}
}
