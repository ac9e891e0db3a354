package preview

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/mtproto"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// enforcing is a policy in which these controls are enforced, or all that are named
// nowhere.
func enforcing(l policy.Limits, controls ...string) *policy.Snapshot {
	s := &policy.Snapshot{Limits: l, Controls: make(map[string]policy.Control)}
	for _, name := range controls {
		s.Controls[name] = policy.Control{Mode: policy.Enforce}
	}
	return s
}

// session is a record of a session from an address, some seconds after at.
func session(user, addr string, from, to int) Record {
	return Record{
		At: at.Add(time.Duration(from) * time.Second), Handshake: 100 * time.Millisecond, Open: time.Duration(to-from) * time.Second,
		Addr: netip.MustParseAddr(addr), Privacy: Full, User: user, Key: "key of " + user, Transport: mtproto.FakeTLS,
	}
}

func failed(result stats.Result, addr string, from int) Record {
	r := session("", addr, from, from+1)
	r.Key, r.Transport, r.Result = "", 0, result
	return r
}

func (r Report) of(control string) ControlReport {
	for _, c := range r.Controls {
		if c.Control == control {
			return c
		}
	}
	return ControlReport{}
}

func rules(t testing.TB, list ...string) *access.Table {
	t.Helper()
	var rules []access.Rule
	for i, text := range list {
		m, err := access.ParseMatch(text)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, access.Rule{ID: strconv.Itoa(i), Match: m, Level: access.None, Source: access.Operator})
	}
	table, err := access.Compile(rules, access.Options{Default: access.Standard, NoGeo: true})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestEachControlIsPreviewed(t *testing.T) {
	old := session("alice", "192.0.2.1", 10, 20)
	old.Transport = mtproto.Classic
	three := []Record{session("alice", "192.0.2.1", 0, 100), session("alice", "192.0.2.1", 10, 100), session("bob", "192.0.2.2", 20, 100)}
	for _, c := range []struct {
		name, control string
		policy        *policy.Snapshot
		load          []Record
		want          string // users
		refused       int
	}{
		{"all", policy.ConnsTotal, enforcing(policy.Limits{MaxConnections: 2}), three, "bob:1", 1},
		{"addresses", policy.ConnsAddr, enforcing(policy.Limits{ConnectionsPerAddress: 1}, policy.ConnsAddr), three, "alice:1", 1},
		{"networks", policy.ConnsPrefix, enforcing(policy.Limits{ConnectionsPerPrefix: 1}, policy.ConnsPrefix), three, "alice:1 bob:1", 2},
		{"users", policy.ConnsUser, enforcing(policy.Limits{ConnectionsPerUser: 1}, policy.ConnsUser), three, "alice:1", 1},
		{"secrets", policy.ConnsKey, enforcing(policy.Limits{ConnectionsPerKey: 1}, policy.ConnsKey), three, "alice:1", 1},
		{
			"addresses of users", policy.AddrsUser, enforcing(policy.Limits{AddressesPerUser: 1}, policy.AddrsUser),
			append(slices.Clone(three), session("bob", "192.0.2.3", 30, 40)), "bob:1", 1,
		},
		{
			"new ones", policy.RateAccept, enforcing(policy.Limits{NewPerPrefix: ratelimit.Limit{Events: 1, Per: time.Minute}}, policy.RateAccept), three, "alice:1", 1,
		},
		{
			"failures", policy.RateFailures, enforcing(policy.Limits{HandshakeFailures: ratelimit.Limit{Events: 2, Per: time.Hour}}, policy.RateFailures),
			[]Record{failed(stats.ResultBadSecret, "192.0.2.9", 0), session("carol", "192.0.2.9", 5, 9), session("dave", "192.0.2.1", 6, 9)}, "carol:1", 1,
		},
		{
			"a success takes failures back", policy.RateFailures, enforcing(policy.Limits{HandshakeFailures: ratelimit.Limit{Events: 2, Per: time.Hour}}, policy.RateFailures),
			[]Record{failed(stats.ResultEOF, "192.0.2.9", 0), session("carol", "192.0.2.9", 5, 9), failed(stats.ResultEOF, "192.0.2.9", 10), session("carol", "192.0.2.9", 15, 19)}, "", 0,
		},
		{"old transports", policy.EncryptionRequired, enforcing(policy.Limits{Barred: [4]bool{mtproto.Classic: true}}, policy.EncryptionRequired), []Record{three[0], old}, "alice:1", 1},
		{"least transport", policy.TransportMin, enforcing(policy.Limits{MinTransport: mtproto.Secure}, policy.TransportMin), []Record{three[0], old}, "alice:1", 1},
		{"what is not known refuses nobody", policy.TransportMin, enforcing(policy.Limits{RequireKeyShare: true}, policy.TransportMin), three, "", 0},
		{"rules", policy.AccessLevel, func() *policy.Snapshot {
			s := enforcing(policy.Limits{}, policy.AccessLevel)
			s.Access = rules(t, "192.0.2.2")
			return s
		}(), three, "bob:1", 1},
		{"who is refused makes room", policy.ConnsAddr, enforcing(policy.Limits{ConnectionsPerAddress: 1}, policy.ConnsAddr), []Record{
			session("alice", "192.0.2.1", 0, 10), session("bob", "192.0.2.1", 5, 100), session("carol", "192.0.2.1", 20, 30),
		}, "bob:1", 1},
		{"a session that goes on keeps its place", policy.ConnsAddr, enforcing(policy.Limits{ConnectionsPerAddress: 1}, policy.ConnsAddr), []Record{
			{At: at, Ongoing: true, Addr: netip.MustParseAddr("192.0.2.1"), User: "alice", Privacy: Full}, session("bob", "192.0.2.1", 86_400, 86_401),
		}, "bob:1", 1},
		{"in monitor nobody is refused", policy.ConnsAddr, enforcing(policy.Limits{ConnectionsPerAddress: 1}), three, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Run(slices.Values(c.load), nil, c.policy, nil)
			of := got.of(c.control)
			if of.Refused != c.refused || got.Refused != c.refused || named(of.Users) != c.want {
				t.Errorf("refused %d of %d: %s; want %d: %s\n%+v", of.Refused, got.Refused, named(of.Users), c.refused, c.want, got)
			}
		})
	}
}

func named(users []UserCount) string {
	var all []string
	for _, u := range users {
		all = append(all, u.User+":"+strconv.Itoa(u.Refused))
	}
	return strings.Join(all, " ")
}

func TestAReportSaysWhoAndHowMany(t *testing.T) {
	var load []Record
	for i := range 130 {
		for n := range 1 + i%3 + 1 {
			r := session(fmt.Sprintf("user%03d", i), "198.51.100."+strconv.Itoa(i), i, 10_000)
			r.At = r.At.Add(time.Duration(n) * time.Millisecond)
			load = append(load, r)
		}
	}
	slices.SortFunc(load, func(a, b Record) int { return a.At.Compare(b.At) })
	candidate := enforcing(policy.Limits{ConnectionsPerUser: 1}, policy.ConnsUser)
	got := Run(slices.Values(load), enforcing(policy.Limits{ConnectionsPerUser: 2}, policy.ConnsUser), candidate, func(user string) bool { return user != "user002" })
	of := got.of(policy.ConnsUser)
	connections, refused, lenient := len(load), len(load)-130, 43+2*43
	if got.Connections != connections || got.Known != connections-4 || got.Users != 129 || got.From != load[0].At || got.To != load[connections-1].At {
		t.Errorf("the load: %+v", got)
	}
	if got.Refused != refused || of.Refused != refused || got.KnownRefused != refused-3 || of.KnownRefused != refused-3 || got.UsersRefused != 129 || of.UsersRefused != 129 || of.Addresses != 130 {
		t.Errorf("refused: %+v, %+v", got, of)
	}
	if got.RefusedNow != lenient || of.RefusedNow != lenient {
		t.Errorf("now refused: %d, %d; want %d", got.RefusedNow, of.RefusedNow, lenient)
	}
	if len(of.Users) != mostUsers || of.Users[0] != (UserCount{"user005", 3}) || of.Users[42] != (UserCount{"user001", 2}) {
		t.Errorf("named are %d: %s", len(of.Users), named(of.Users))
	}
	if len(got.Controls)+len(got.NotJudged) != len(policy.Controls()) {
		t.Errorf("%d controls are judged and %d not", len(got.Controls), len(got.NotJudged))
	}
}

func TestEveryControlIsJudgedOrSaidNotToBe(t *testing.T) {
	judged := make(map[string]bool)
	for _, check := range append(Checks().Accept, Checks().Auth...) {
		judged[check.Name()] = true
	}
	for _, name := range policy.Controls() {
		if judged[name] != Judges(name) {
			t.Errorf("%s: judged %v, said to be %v", name, judged[name], Judges(name))
		}
	}
	for _, name := range notJudged {
		if !slices.Contains(policy.Controls(), name) {
			t.Errorf("%s is no control", name)
		}
	}
}

func TestMonitorPercentAndExceptionsLetThroughAndAreCounted(t *testing.T) {
	load := []Record{session("alice", "192.0.2.1", 0, 100), session("alice", "192.0.2.1", 10, 100), session("bob", "192.0.2.1", 20, 100)}
	candidate := enforcing(policy.Limits{ConnectionsPerAddress: 1}, policy.ConnsAddr)
	var err error
	candidate.Exceptions, err = policy.NewExceptions([]policy.Exception{{
		ID: "e1", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Controls: []string{policy.ConnsAddr}, Until: at.Add(time.Hour),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	candidate.Glass = at.Add(time.Hour) // broken now, and that is not what is asked
	candidate.Candidates = map[string]*policy.Limits{policy.ConnsAddr: {ConnectionsPerAddress: 1}}
	if of := Run(slices.Values(load), nil, candidate, nil).of(policy.ConnsAddr); of.Refused != 0 || of.WouldRefuse != 2 {
		t.Errorf("with an exception: %+v", of)
	}
	if n, _ := candidate.Exceptions.Hits("e1"); n != 0 {
		t.Errorf("the exception counted %d connections that there were not", n)
	}
	candidate.Exceptions = nil
	if of := Run(slices.Values(load), nil, candidate, nil).of(policy.ConnsAddr); of.Refused != 2 || of.WouldRefuse != 0 {
		t.Errorf("without: %+v", of)
	}
	before := -1
	for percent := 0; percent <= 100; percent += 10 {
		var many []Record
		for i := range 200 {
			user := "user" + strconv.Itoa(i)
			many = append(many, session(user, "192.0.2.1", i, 1000), session(user, "192.0.2.1", i, 1000))
		}
		s := enforcing(policy.Limits{ConnectionsPerUser: 1})
		s.Controls[policy.ConnsUser] = policy.Control{Mode: policy.Enforce, Percent: max(percent, 1)}
		of := Run(slices.Values(many), nil, s, nil).of(policy.ConnsUser)
		if of.Refused+of.WouldRefuse != 200 || of.Refused < before || of.Percent != max(percent, 1) {
			t.Errorf("%d%%: %+v after %d", percent, of, before)
		}
		before = of.Refused
	}
	if before != 200 {
		t.Errorf("for all: %d", before)
	}
}

func TestWithoutAddressesNothingIsJudgedByThem(t *testing.T) {
	load := []Record{session("alice", "192.0.2.1", 0, 100), session("alice", "192.0.2.1", 10, 100), session("bob", "192.0.2.2", 20, 100)}
	for i := range load {
		load[i].Privacy = Pseudonym
	}
	s := enforcing(policy.Limits{ConnectionsPerAddress: 1}, policy.ConnsAddr, policy.AccessLevel)
	s.Access = rules(t, "192.0.2.0/24")
	var err error
	s.Exceptions, err = policy.NewExceptions([]policy.Exception{
		{ID: "e1", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Controls: []string{policy.ConnsAddr}, Until: at.Add(time.Hour)},
		{ID: "e2", User: "bob", Controls: []string{policy.ConnsUser}, Until: at.Add(time.Hour)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := Run(slices.Values(load), nil, s, nil)
	if got.of(policy.AccessLevel).Refused != 0 || got.of(policy.ConnsAddr).Refused != 1 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "pseudonym") {
		t.Errorf("got %+v", got)
	}
	load[2].Privacy, load[1].Privacy = Truncated, Full
	load[1].User, load[1].Result = "", stats.ResultRefused
	s.Limits.RequireKeyShare = true
	if got := Run(slices.Values(load), nil, s, nil); len(got.Notes) != 4 {
		t.Errorf("notes: %q", got.Notes)
	}
}

func TestKeysAndLevelsAreThoseOfTheStore(t *testing.T) {
	secret, err := keys.ParseSecret("dd00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	account := new(usage.Account)
	ring := keys.NewRing()
	if err := ring.Put(keys.Spec{ID: secret.ID(), User: "alice", Number: 1, State: keys.Active, Secret: secret, Account: account, Since: at.Add(-48 * time.Hour), Imported: true}); err != nil {
		t.Fatal(err)
	}
	mine, former := session("alice", "192.0.2.1", 0, 100), session("alice", "192.0.2.1", 10, 100)
	mine.Key = string(secret.ID())
	check := func(l policy.Limits, control string) int {
		s := enforcing(l, control)
		s.Keys = ring.Set()
		return Run(slices.Values([]Record{mine, former}), nil, s, nil).of(control).Refused
	}
	if n := check(policy.Limits{MaxSecretAge: 24 * time.Hour}, policy.AuthStrength); n != 1 {
		t.Errorf("too old: %d", n)
	}
	if n := check(policy.Limits{RefuseImported: true}, policy.AuthStrength); n != 1 {
		t.Errorf("imported: %d", n)
	}
	account.SetLevel(access.ReadOnly)
	if n := check(policy.Limits{ConnectionsReadOnly: 1}, policy.ConnsUser); n != 1 {
		t.Errorf("read only, by either secret: %d", n)
	}
	account.SetLevel(access.None)
	if n := check(policy.Limits{}, policy.AccessLevel); n != 2 {
		t.Errorf("none: %d", n)
	}
}

// The rest is the promise of previews: what they count is what enforcement then does.

// visit is one connection of a random load.
type visit struct {
	accepted, judged, left time.Time
	addr                   netip.Addr
	user, key              string
	transport              mtproto.Transport
	result                 stats.Result
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
		load = append(load, v)
	}
	return load
}

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
	e := event.Event{Time: v.judged, Conn: c.ID, Addr: v.addr, User: v.user, Key: v.key, Took: v.judged.Sub(v.accepted), Transport: v.transport.String()}
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
	c.User, c.Key, c.Transport, c.KeyShare, c.Level = v.user, v.key, v.transport, true, access.Standard
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
	refusals := 0
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
		if privacy == Full {
			candidate.Access = rules(t, "2001:db8:0:1::/64", "198.51.1.2")
		}
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
	if refusals == 0 {
		t.Error("nothing was ever refused")
	}
}

// BenchmarkRun judges a full ring: a hundred thousand sessions of a day.
func BenchmarkRun(b *testing.B) {
	load := make([]Record, 100_000)
	for i := range load {
		load[i] = session("user"+strconv.Itoa(i%1000), fmt.Sprintf("198.51.%d.%d", i/250%250, i%250), i, i+3600)
	}
	s := enforcing(policy.Limits{ConnectionsPerAddress: 100, ConnectionsPerUser: 3, NewPerPrefix: ratelimit.Limit{Events: 20, Per: time.Second}}, policy.ConnsAddr, policy.ConnsUser, policy.RateAccept)
	b.ReportAllocs()
	for b.Loop() {
		Run(slices.Values(load), s, s, nil)
	}
}
