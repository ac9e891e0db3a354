package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// TestKillLosesNothingAcknowledged kills the process while several clients of the API write, again and again, also
// while it starts. After every start what was acknowledged is there, nothing else is, the audit log verifies, and the
// node serves. In the end no secret can be read anywhere but in the file that is for it.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 10
	if long {
		rounds = 1000
	}
	const writers = 4
	s := crashable(t)
	if _, err := command(); err != nil { // so that the first start is like the others
		t.Fatal(err)
	}
	all := newCanaries()
	all.add("alice", alice)
	var team []*writer
	for i := range writers {
		team = append(team, &writer{number: i, users: map[string]*account{}, did: map[string]int{}, canaries: all})
	}
	masters := map[string]bool{}
	var begin time.Duration
	killedEarly := 0
	for round := range rounds {
		if round%4 == 3 { // one that dies while it starts
			n := launch(t, s)
			time.Sleep(rand.N(60 * time.Millisecond))
			n.kill()
			killedEarly++
		}
		started := time.Now()
		n := start(t, s)
		begin += time.Since(started)
		readMasters(t, n, all, masters)
		for _, w := range team {
			w.node = n
			w.settle(t)
		}
		audited(t, n, team)
		serves(t, n, team)
		if t.Failed() {
			t.Fatalf("in round %d of %d", round+1, rounds)
		}
		writeUntilKilled(t, n, team)
		all.inWords(t, n)
		readMasters(t, n, all, masters)
	}
	// At rest after a kill, and again while a process has it open.
	size := all.inFiles(t, s.values["state.dir"].(string), "master.key", "master.key.new")
	n := start(t, s)
	readMasters(t, n, all, masters)
	for _, w := range team {
		w.node = n
		w.settle(t)
	}
	audited(t, n, team)
	all.inFiles(t, n.dir, "master.key")
	all.inWords(t, n)
	onlyIn(t, n.dir, "master.key")
	acknowledged, counts := 0, map[string]int{}
	for _, w := range team {
		acknowledged += w.acknowledged
		for op, k := range w.did {
			counts[op] += k
		}
	}
	t.Logf("%d kills in the middle of writing and %d in a start; %d changes acknowledged (%v); a start takes %v; %d secrets looked for in %d bytes of state, %d master keys",
		rounds, killedEarly, acknowledged, counts, (begin / time.Duration(rounds)).Round(time.Millisecond), len(all.known), size, len(masters))
	if acknowledged < rounds*writers {
		t.Errorf("%d changes in %d rounds are too few to tell", acknowledged, rounds)
	}
}

// crashable is a configuration whose process can be started again at the same addresses: nobody else uses that host, so
// nobody's outgoing connection takes its ports meanwhile. Links stay out of its output.
func crashable(t *testing.T) *settings {
	s := standard(t, someSite(t).Addr().String(), telegram(t, 2))
	s.values["proxy.listen"] = []string{freeAddr(t, ownHost())}
	s.values["metrics.listen"] = freeAddr(t, ownHost())
	s.values["pages.listen"] = freeAddr(t, ownHost())
	s.values["pages.url"] = "https://links.example"
	s.env = append(s.env, "JOURNAL_STREAM=1:1")
	return s
}

var hosts atomic.Int32

// ownHost is an address of loopback that no other test has.
func ownHost() string { return fmt.Sprintf("127.77.0.%d", hosts.Add(1)) }

// kill ends the process as a power cut would, as far as a process goes.
func (n *node) kill() {
	n.t.Helper()
	n.cmd.Process.Kill()
	n.waitExit(patience)
}

// readMasters learns the master keys that are there: more than one while one takes over.
func readMasters(t *testing.T, n *node, all *canaries, masters map[string]bool) {
	t.Helper()
	for _, name := range []string{"master.key", "master.key.new"} {
		text, err := os.ReadFile(filepath.Join(n.dir, name))
		if err != nil {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(key) != 32 {
			t.Fatalf("%s holds %d bytes, %v", name, len(key), err)
		}
		masters[string(key)] = true
		all.add("master key", key)
	}
}

// onlyIn wants the master key in its file, readable by its owner alone.
func onlyIn(t *testing.T, dir, name string) {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v, want it there for its owner only", name, info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, name+".new")); err == nil {
		t.Errorf("%s.new is still there after a start", name)
	}
}

// audited wants the audit log whole, with a row at least for every change that was acknowledged.
func audited(t *testing.T, n *node, team []*writer) {
	t.Helper()
	report, err := n.api.AuditVerify(t.Context())
	if err != nil || !report.OK {
		t.Fatalf("the audit log: %+v, %v", report, err)
	}
	changes := 0
	for _, w := range team {
		changes += w.acknowledged
	}
	if report.Rows < int64(changes) {
		t.Errorf("%d rows in the audit log for %d changes", report.Rows, changes)
	}
}

// serves wants the node to know good secrets from bad ones.
func serves(t *testing.T, n *node, team []*writer) {
	t.Helper()
	taken := func(who string, raw []byte) verdict {
		v, err := visitSilent(t.Context(), n.addr, append([]byte{0xdd}, raw...), nil)
		if err != nil {
			t.Errorf("%s: %v", who, err)
		}
		return v
	}
	if v := taken("alice", alice); v != silence {
		t.Errorf("alice is %s", v)
	}
	for _, w := range team {
		for _, a := range w.users {
			if v := taken(a.name, a.secret); v != silence {
				t.Errorf("%s with its active key is %s", a.name, v)
			}
			break
		}
		if n := len(w.dead); n > 0 {
			if v := taken("a dead secret", w.dead[n-1]); v != stranger {
				t.Errorf("a secret that was revoked or removed is %s", v)
			}
		}
	}
}

// visitSilent tells a client of the init, whom nobody answers, from one who is shown a site.
func visitSilent(ctx context.Context, addr string, secret []byte, dial client.Dial) (verdict, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	hello, err := greeting(secret)
	if err != nil {
		return "", err
	}
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	got, err := ask(c, hello)
	switch {
	case err != nil:
		return "", err
	case len(got) == 0:
		return silence, nil
	}
	return stranger, nil
}

// writeUntilKilled lets the team write and kills the process after a random time.
func writeUntilKilled(t *testing.T, n *node, team []*writer) {
	t.Helper()
	var busy sync.WaitGroup
	started := make(chan struct{}, len(team))
	for _, w := range team {
		busy.Go(func() { w.write(t, started) })
	}
	<-started
	time.Sleep(rand.N(400 * time.Millisecond))
	n.kill()
	busy.Wait()
}

// account is what was acknowledged of a user.
type account struct {
	name    string
	bound   int    // max_connections
	key     string // the active one; "": not known yet
	secret  []byte // of key
	revoked []string
	page    bool
}

// is reports whether the API tells the same of the user; nil is one who is not there.
func (a *account) is(u control.UserInfo, there bool) bool {
	if a == nil || !there {
		return a == nil && !there
	}
	return u.State == "ok" && u.MaxConnections == a.bound && u.Page == a.page && (a.key == "" || string(u.Key) == a.key)
}

// doubt is a change that nobody has answered yet: the user before and with it.
type doubt struct {
	name          string
	before, after *account
}

// writer changes users of its own and remembers what was acknowledged.
type writer struct {
	number   int
	node     *node
	canaries *canaries

	users        map[string]*account
	dead         [][]byte // secrets that must not open anything
	doubt        *doubt
	acknowledged int
	did          map[string]int
	serial       int
}

// errKilled is what a call returns when the process was killed before it answered.
var errKilled = errors.New("killed")

// gone tells a call that nobody answered from a refusal.
func gone(err error) error {
	if _, refused := errors.AsType[*control.Error](err); err == nil || refused {
		return err
	}
	return fmt.Errorf("%w: %w", errKilled, err)
}

// write makes changes until the process is gone.
func (w *writer) write(t *testing.T, started chan<- struct{}) {
	random := rand.New(rand.NewPCG(uint64(w.number), uint64(w.serial)))
	for i := 0; ; i++ {
		op, err := w.change(random)
		if errors.Is(err, errKilled) {
			return
		}
		if err != nil {
			t.Errorf("writer %d: %s: %v", w.number, op, err)
			w.node.cmd.Process.Kill()
			return
		}
		w.doubt = nil
		w.did[op]++
		if w.acknowledged++; i == 0 {
			started <- struct{}{}
		}
	}
}

// change makes one change; what it does not hear of stays in doubt.
func (w *writer) change(random *rand.Rand) (op string, err error) {
	names := slices.Sorted(maps.Keys(w.users))
	if len(names) < 4 || len(names) < 8 && random.IntN(3) == 0 {
		return "add", w.add(random)
	}
	a := w.users[names[random.IntN(len(names))]]
	next := a.copy()
	w.doubt = &doubt{a.name, a, next}
	ctx, api := context.Background(), w.node.api
	why := admin.ChangeOptions{Reason: "test", Force: true}
	var r control.Result
	switch k := random.IntN(16); {
	case k < 5:
		op = "set"
		next.bound++
		_, err = api.SetUser(ctx, a.name, admin.UserPatch{MaxConnections: &next.bound}, why)
	case k < 9:
		op = "rotate"
		next.key = ""
		r, err = api.RotateKeys(ctx, admin.RotateBody{User: a.name, Overlap: new(control.Duration)}, why)
	case k < 11:
		op = "revoke"
		next.key, next.revoked = "", append(next.revoked, a.key)
		r, err = api.RevokeKey(ctx, a.key, admin.RevokeBody{Replace: true}, why)
	case k < 13:
		op, next = "remove", nil
		w.doubt.after = nil
		_, err = api.RemoveUser(ctx, a.name, why)
	case k < 15:
		op = "page"
		next.page = true
		r, err = api.Page(ctx, a.name, map[bool]string{false: "open", true: "renew"}[a.page], why)
	default:
		w.doubt = nil
		return w.rekey(random)
	}
	if err == nil {
		err = w.took(next, r)
	}
	return op, gone(err)
}

// took remembers a change that was acknowledged.
func (w *writer) took(next *account, r control.Result) error {
	d := w.doubt
	if next != nil && next.key == "" {
		if err := w.learn(next, r); err != nil {
			return err
		}
	}
	if token := r.Page[strings.LastIndexByte(r.Page, '/')+1:]; token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return err
		}
		w.canaries.add("page of "+d.name, b)
	}
	w.put(d, next)
	return nil
}

// put brings the list of users in step with a change.
func (w *writer) put(d *doubt, next *account) {
	if d.before != nil && (next == nil || next.key != d.before.key) {
		w.dead = append(w.dead, d.before.secret)
	}
	if next == nil {
		delete(w.users, d.name)
	} else {
		w.users[d.name] = next
	}
}

// rekey changes a key that concerns everybody, or seals something.
func (w *writer) rekey(random *rand.Rand) (op string, err error) {
	ctx := context.Background()
	purposes := []string{"store", "master", "seal"}
	if w.number >= len(purposes) || random.IntN(2) == 0 {
		plain := fmt.Appendf(nil, "what writer %d sealed as number %d, %x", w.number, w.serial, random.Uint64())
		w.serial++
		w.canaries.add("a sealed text", plain)
		_, err := w.node.api.Seal(ctx, "", "", nil, strings.NewReader(string(plain)))
		return "seal", gone(err)
	}
	_, err = w.node.api.RotateKeys(ctx, admin.RotateBody{Purpose: purposes[w.number]}, admin.ChangeOptions{Reason: "test"})
	return "rotate " + purposes[w.number], gone(err)
}

// add makes a user, every other one with a secret of ours.
func (w *writer) add(random *rand.Rand) error {
	w.serial++
	next := &account{name: fmt.Sprintf("w%d-%d", w.number, w.serial), bound: 1 + random.IntN(9)}
	body := admin.UserBody{Name: next.name, MaxConnections: next.bound}
	if w.serial%2 == 0 {
		secret := make([]byte, 16)
		for i := range secret {
			secret[i] = byte(random.Uint32())
		}
		body.Secret = hex.EncodeToString(secret)
		w.canaries.add(next.name, secret)
	}
	w.doubt = &doubt{name: next.name, after: next}
	r, err := w.node.api.AddUser(context.Background(), body, admin.ChangeOptions{Reason: "test"})
	if err == nil {
		err = w.took(next, r)
	}
	return gone(err)
}

// learn takes over the secret of a result.
func (w *writer) learn(a *account, r control.Result) error {
	p, err := personOf(r)
	if err != nil {
		return err
	}
	a.key, a.secret = p.id, p.raw
	w.canaries.add(a.name, p.raw)
	return nil
}

// settle looks what became of the change that nobody answered, and holds everything else against what is there.
func (w *writer) settle(t *testing.T) {
	t.Helper()
	ctx, api := t.Context(), w.node.api
	there := map[string]control.UserInfo{}
	for after := ""; ; {
		page, next, err := api.Users(ctx, control.UserFilter{After: after, Limit: 1000, Source: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page {
			if strings.HasPrefix(u.Name, fmt.Sprintf("w%d-", w.number)) {
				there[u.Name] = u
			}
		}
		if after = next; next == "" {
			break
		}
	}
	if d := w.doubt; d != nil {
		u, exists := there[d.name]
		switch {
		case d.before.is(u, exists):
		case d.after.is(u, exists):
			w.put(d, d.after)
		default:
			t.Errorf("%s is neither as before the last change nor as after it: %+v", d.name, u)
		}
		w.doubt = nil
	}
	for name, a := range w.users {
		u, exists := there[name]
		if !exists {
			t.Errorf("%s is gone, whose last change was acknowledged", name)
			continue
		}
		if !a.is(u, true) {
			t.Errorf("%s: acknowledged was %+v, there is %+v", name, a, u)
		}
		if a.key == "" {
			r, err := api.Links(ctx, name, admin.ChangeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r.User = &u
			if err := w.learn(a, r); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range a.revoked {
			if k, err := api.Key(ctx, id); err != nil || k.State != "revoked" {
				t.Errorf("key %s of %s is %s, %v: its revocation was acknowledged", id, name, k.State, err)
			}
		}
		delete(there, name)
	}
	for name := range there {
		t.Errorf("%s is there: nobody added it, or it was removed", name)
	}
}

func (a *account) copy() *account {
	b := *a
	b.revoked = slices.Clone(a.revoked)
	return &b
}

// TestUsageSurvivesAKill moves known numbers of bytes and kills the process. What is lost is at most what came since the
// last flush, every ten seconds; nothing is ever counted twice, and an orderly end loses nothing.
func TestUsageSurvivesAKill(t *testing.T) {
	t.Parallel()
	const flush = 10 * time.Second
	tele := telegram(t, 2)
	s := crashable(t)
	s.dcs[2] = []string{tele.servers[2].Addr()}
	n := start(t, s)
	p := n.add(admin.UserBody{Name: "hugo"})
	var moved counter
	var timeline []reading
	late, stopped := context.WithCancel(t.Context())
	worst := lag(late)
	talk(t, n, tele, p, &moved, func() bool {
		timeline = append(timeline, reading{time.Now(), moved.up.Load(), moved.down.Load()})
		return time.Since(timeline[0].at) > flush+4*time.Second
	})
	killed := time.Now()
	n.kill()
	stopped()
	tolerance := time.Second + 2*worst() // the node counts once a second

	n = start(t, s)
	first := n.user("hugo")
	least, flushed := reading{}, reading{}
	for _, r := range timeline {
		if r.at.Before(killed.Add(-flush - tolerance)) {
			least = r
		}
		if r.up <= first.Up {
			flushed = r
		}
	}
	last := timeline[len(timeline)-1]
	t.Logf("moved %d up and %d down when the process was killed; kept %d and %d, as of %v before; at least %d and %d were due",
		last.up, last.down, first.Up, first.Down, killed.Sub(flushed.at).Round(time.Millisecond), least.up, least.down)
	if first.Up < least.up || first.Down < least.down || first.Up == 0 {
		t.Errorf("more than a flush interval is lost: %d and %d of %d and %d that were there %v before the kill", first.Up, first.Down, least.up, least.down, flush+tolerance)
	}
	if first.Up > last.up || first.Down > last.down {
		t.Errorf("counted twice: %d and %d of %d and %d", first.Up, first.Down, last.up, last.down)
	}

	n.kill() // with nothing new
	n = start(t, s)
	if again := n.user("hugo"); again.Up != first.Up || again.Down != first.Down || again.Sessions != first.Sessions {
		t.Errorf("a start without traffic made %d and %d of %d and %d", again.Up, again.Down, first.Up, first.Down)
	}
	for range 2 { // orderly ends
		var more counter
		before, rounds := n.user("hugo"), 0
		talk(t, n, tele, p, &more, func() bool { rounds++; return rounds > 50 })
		n.stop()
		n = start(t, s)
		now := n.user("hugo")
		if now.Up != before.Up+more.up.Load() || now.Down != before.Down+more.down.Load() || now.Sessions != before.Sessions+1 {
			t.Errorf("up %d, down %d in %d sessions, then %d and %d in one more, and now %d and %d in %d",
				before.Up, before.Down, before.Sessions, more.up.Load(), more.down.Load(), now.Up, now.Down, now.Sessions)
		}
	}
}

// stop ends the process as an operator does.
func (n *node) stop() {
	n.t.Helper()
	n.signal(os.Interrupt)
	if err := n.waitExit(patience); err != nil {
		n.t.Errorf("the process ended with %v", err)
	}
}

type reading struct {
	at       time.Time
	up, down int64
}

// counter counts the payload of a client that speaks padded intermediate without TLS: all but its 64 bytes of init.
type counter struct {
	net.Conn
	up, down atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	k, err := c.Conn.Write(b)
	c.up.Add(int64(k))
	return k, err
}

func (c *counter) Read(b []byte) (int, error) {
	k, err := c.Conn.Read(b)
	c.down.Add(int64(k))
	return k, err
}

// talk lets a client talk on one connection until done says so, with nothing under way whenever it asks.
func talk(t *testing.T, n *node, tele *cluster, p person, count *counter, done func() bool) {
	t.Helper()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		count.Conn = c
		count.up.Store(-64)
		return count, err
	}
	err := client.Connect(bounded(t, 2*time.Minute), way(t, n.addr, p.ways["secure"], dial), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		for !done() {
			if err := echo(ctx, c, 3000); err != nil {
				return err
			}
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
