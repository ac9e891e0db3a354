package preview

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/security/usage"
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
		{"hellos", policy.AccessPattern, func() *policy.Snapshot {
			s := enforcing(policy.Limits{}, policy.AccessPattern)
			s.Access = rules(t, "sni:old.example.com", "ja4:t12*")
			return s
		}(), []Record{hello("alice", "old.example.com", newPrint), hello("bob", "", oldPrint), hello("carol", "www.example.com", newPrint), three[0]}, "alice:1 bob:1", 2},
		{"key shares", policy.TransportMin, enforcing(policy.Limits{RequireKeyShare: true}, policy.TransportMin), []Record{hello("alice", "", newPrint), three[2]}, "alice:1", 1},
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

// hello is a record of a session with a hello.
func hello(user, name, ja4 string) Record {
	r := session(user, "192.0.2.1", 30, 40)
	r.Hello, r.ServerName, r.JA4 = HelloNamed, name, ja4
	return r
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
	for _, check := range slices.Concat(Checks().Accept, Checks().Hello, Checks().Auth) {
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
	s.Access = rules(t, "192.0.2.0/24", "sni:old.example.com")
	s.Controls[policy.AccessPattern] = policy.Control{Mode: policy.Enforce}
	load = append(load, hello("carol", "old.example.com", newPrint))
	load[3].Privacy, load[3].Addr = Pseudonym, netip.MustParseAddr("192.0.2.3")
	var err error
	s.Exceptions, err = policy.NewExceptions([]policy.Exception{
		{ID: "e1", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Controls: []string{policy.ConnsAddr}, Until: at.Add(time.Hour)},
		{ID: "e2", User: "bob", Controls: []string{policy.ConnsUser}, Until: at.Add(time.Hour)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := Run(slices.Values(load), nil, s, nil)
	if got.of(policy.AccessLevel).Refused != 0 || got.of(policy.AccessPattern).Refused != 1 || got.of(policy.ConnsAddr).Refused != 1 || len(got.Notes) != 2 || !strings.Contains(got.Notes[0], "pseudonym") {
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

// TestEndingsSayWhatHappensToWhom: before the date, and as enforcement then does.
func TestEndingsSayWhatHappensToWhom(t *testing.T) {
	old := func(user string, transport mtproto.Transport, from int) Record {
		r := session(user, "192.0.2.1", from, from+1)
		r.Transport = transport
		return r
	}
	load := []Record{
		old("alice", mtproto.Classic, 0), old("bob", mtproto.Classic, 1), old("alice", mtproto.Classic, 2), old("carol", mtproto.FakeTLS, 3),
		old("gone", mtproto.Classic, 4), old("", mtproto.Classic, 5), old("late", mtproto.Classic, 7200),
	}
	s := enforcing(policy.Limits{}, policy.EncryptionRequired)
	s.Limits.TransportUntil[mtproto.Classic], s.Limits.TransportUntil[mtproto.Secure] = at.Add(time.Hour), at.Add(2*time.Hour)
	var err error
	s.Exceptions, err = policy.NewExceptions([]policy.Exception{{ID: "e1", User: "bob", Controls: []string{policy.EncryptionRequired}, Until: at.Add(24 * time.Hour)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := func(user string) bool { return user != "gone" }
	got := Run(slices.Values(load), nil, s, known)
	want := []Ending{
		{Transport: "classic", Until: at.Add(time.Hour), Connections: 3, UsersCame: 2, Refused: 2, WouldRefuse: 1, Users: []EndingFor{
			{User: "alice", Connections: 2, Refused: 2, Last: at.Add(2 * time.Second)}, {User: "bob", Connections: 1, Last: at.Add(time.Second)},
		}},
		{Transport: "secure", Until: at.Add(2 * time.Hour)},
	}
	if !reflect.DeepEqual(got.Endings, want) {
		t.Errorf("got %+v\nwant %+v", got.Endings, want)
	}
	if got.Refused != 1 { // who came behind the date
		t.Errorf("%d are refused already", got.Refused)
	}
	// The same load a day later: what was said to be refused is.
	for i := range load {
		load[i].At = load[i].At.Add(3 * time.Hour)
	}
	later := Run(slices.Values(load[:4]), nil, s, known)
	if of := later.of(policy.EncryptionRequired); of.Refused != want[0].Refused || of.WouldRefuse != want[0].WouldRefuse || named(of.Users) != "alice:2" {
		t.Errorf("when the date has come: %+v", of)
	}
	s.Controls[policy.EncryptionRequired] = policy.Control{Mode: policy.Monitor}
	for i := range load {
		load[i].At = load[i].At.Add(-3 * time.Hour)
	}
	if e := Run(slices.Values(load), nil, s, known).Endings[0]; e.Refused != 0 || e.WouldRefuse != 3 || e.UsersCame != 2 {
		t.Errorf("in monitor: %+v", e)
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
