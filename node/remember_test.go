package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/config/statedir"
	"mtguard/security/replay"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// listener is between a client and the proxy and keeps what the client sends.
type listener struct {
	net.Conn
	mu sync.Mutex
	b  []byte
}

func (l *listener) DialContext(ctx context.Context, network, addr string) (c net.Conn, err error) {
	l.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
	return l, err
}

func (l *listener) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.b = append(l.b, b...)
	l.mu.Unlock()
	return l.Conn.Write(b)
}

// captured is what a client sent, and when by its own clock.
type captured struct {
	sent []byte
	at   time.Time
}

// capture lets a client reach Telegram and returns what it sent: all of it, or
// the hello if there is one.
func (s *site) capture(t tgsim.Transport) captured {
	s.t.Helper()
	at, ear, c := time.Now(), &listener{}, s.client(t)
	c.Dialer, c.Clock = ear, func() time.Time { return at }
	s.dial(c).Close()
	if records, _ := tgsim.Records(ear.b); t == tgsim.FakeTLS {
		return captured{ear.b[:5+len(records[0].Payload)], at}
	}
	return captured{ear.b, at}
}

// movedTo gives a hello another time, which needs no secret (spec 4.7).
func (c captured) movedTo(t time.Time) captured {
	b := bytes.Clone(c.sent)
	field := b[39:43]
	binary.LittleEndian.PutUint32(field, binary.LittleEndian.Uint32(field)^uint32(c.at.Unix())^uint32(t.Unix()))
	return captured{b, t}
}

// again sends captured bytes to the node, and says whether they were taken for
// a client's. What else happens has to be what the cover site does.
func (s *site) again(c captured, transport string) (accepted bool) {
	s.t.Helper()
	count := func(r stats.Result) uint64 { return s.node.stats.Handshakes(transport, r) }
	to := tgsim.Target{Addr: s.addr(), Secret: secret, Domain: domain, DC: 2, Wait: time.Second}
	for tries := 1; ; tries++ {
		ok, refused := count(stats.ResultOK), count(stats.ResultReplay)
		proxy, site, err := tgsim.Replay(c.sent).Compare(context.Background(), to, s.cover.Addr())
		if err != nil {
			s.t.Error(err)
			return false
		}
		// A hello alone is answered and becomes no session: no init follows.
		if proxy.Served || count(stats.ResultOK) > ok {
			return true
		}
		if got := count(stats.ResultReplay) - refused; got != 1 {
			s.t.Errorf("%s: %d replays counted, want 1", transport, got)
		}
		diff := tgsim.Diff(site, proxy, 8)
		if diff != "" && tries < 3 { // once in some hundred times it is the site that is late
			continue
		}
		if diff != "" {
			s.t.Errorf("%s: the proxy differs from its cover site: %s", transport, diff)
		}
		return false
	}
}

var memoryFiles = []string{"hellos.replay", "inits.replay"}

func (s *site) state(file string) string { return filepath.Join(filepath.Dir(s.path), file) }

// TestARestartForgetsNoHandshake: what was captured before it, moved in time
// where there is a time to move, meets the cover site after it. That it would
// be accepted otherwise is shown by taking the files away.
func TestARestartForgetsNoHandshake(t *testing.T) {
	s := start(t, "", "")
	hello, init := s.capture(tgsim.FakeTLS), s.capture(tgsim.Secure)
	replayed := func() (h, i bool) {
		var both sync.WaitGroup
		both.Go(func() { h = s.again(hello.movedTo(time.Now().Add(time.Second)), "faketls") })
		both.Go(func() { i = s.again(init, "secure") })
		both.Wait()
		return h, i
	}
	for _, when := range []string{"the same process", "the first restart", "the second restart"} {
		if h, i := replayed(); h || i {
			t.Errorf("%s: the re-timed hello was accepted: %v, the init: %v", when, h, i)
		}
		s.halt()
		s.boot(testLog(t))
	}
	s.dial(s.client(tgsim.FakeTLS))
	s.dial(s.client(tgsim.Secure))
	s.halt()
	for _, file := range memoryFiles {
		if info, err := os.Stat(s.state(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", file, info, err)
		}
		if err := os.Remove(s.state(file)); err != nil {
			t.Fatal(err)
		}
	}
	s.boot(testLog(t))
	if h, i := replayed(); !h || !i {
		t.Errorf("without the files, the re-timed hello was accepted: %v, the init: %v; this test shows nothing", h, i)
	}
}

// TestACrashLosesAMinuteAtMost: the file is older than the crash. What it holds
// is refused moved in time or not; of what it does not hold, the hello as it
// was sent is refused by its time.
func TestACrashLosesAMinuteAtMost(t *testing.T) {
	s := start(t, "", "")
	old := s.capture(tgsim.FakeTLS)
	s.node.memory.save()
	file := s.state("hellos.replay")
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gap := s.capture(tgsim.FakeTLS)
	s.halt()
	if now, err := os.ReadFile(file); err != nil || bytes.Equal(now, saved) {
		t.Fatalf("the end of the drain wrote nothing new (%v)", err)
	}
	if err := os.WriteFile(file, saved, 0o600); err != nil { // as a crash would have left it
		t.Fatal(err)
	}
	time.Sleep(time.Until(gap.at.Add(1100 * time.Millisecond))) // times are whole seconds, and the floor begins one before the start
	s.boot(testLog(t))
	for name, c := range map[string]captured{
		"a hello of the file": old, "a hello of the file, moved in time": old.movedTo(time.Now()), "a hello of the gap": gap,
	} {
		if s.again(c, "faketls") {
			t.Errorf("%s was accepted again", name)
		}
	}
	if !s.again(gap.movedTo(time.Now()), "faketls") {
		t.Error("a hello of the gap, moved in time, was refused: it was no gap, or SECURITY.md is out of date")
	}
}

// logged is a logger and what it wrote. To be read once nothing logs any more.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

// warnings are the lines that say something of the replay memory as a warning.
func warnings(b *bytes.Buffer) (all []string) {
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "replay memory") {
			all = append(all, line)
		}
	}
	return all
}

// TestABrokenMemoryIsAWarning: the node starts with a fresh memory, and writes
// good files again.
func TestABrokenMemoryIsAWarning(t *testing.T) {
	s := start(t, "", "")
	s.capture(tgsim.FakeTLS)
	s.halt()
	good, err := os.ReadFile(s.state("hellos.replay"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"good": {good, ""}, "empty": {nil, "cut short"}, "cut short": {good[:len(good)/2], "cut short"},
		"altered": {flipped, "altered"}, "foreign": {bytes.Repeat([]byte("x"), 1<<20), "no export"},
	} {
		if err := os.WriteFile(s.state("hellos.replay"), c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		log, text := logged()
		s.boot(log)
		s.capture(tgsim.FakeTLS)
		s.halt()
		switch got := warnings(text); {
		case c.want == "" && len(got) != 0:
			t.Errorf("%s: warnings %q", name, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.Contains(got[0], "hellos.replay")):
			t.Errorf("%s: warnings %q, want one with %q and the file", name, got, c.want)
		}
		if n, err := remembered(s.node.dir, "hellos.replay"); err != nil || n == 0 {
			t.Errorf("%s: afterwards the file holds %d handshakes, %v", name, n, err)
		}
	}
}

// remembered reads a file by itself.
func remembered(dir *statedir.Dir, file string) (int, error) {
	c := replay.New(handshakeMemory, time.Now())
	err := (&replayMemory{dir: dir}).read(file, c)
	return c.Len(), err
}

func newMemory(t *testing.T) (*replayMemory, *bytes.Buffer) {
	t.Helper()
	dir, err := statedir.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	log, text := logged()
	return &replayMemory{dir: dir, log: log, start: time.Now(), skew: 10 * time.Minute}, text
}

func TestTheMemoryIsWrittenWhenItChanged(t *testing.T) {
	m, text := newMemory(t)
	synctest.Test(t, func(t *testing.T) {
		m.start = time.Now()
		c := m.open("hellos.replay")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan struct{})
		go func() { m.run(ctx); close(done) }()
		accept := func(key byte) {
			if v := c.FirstSeen([16]byte{key}, time.Now(), time.Now()); v != replay.Fresh {
				t.Fatalf("handshake %d is %v", key, v)
			}
		}
		holds := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if n, err := remembered(m.dir, "hellos.replay"); err != nil || n != want {
				t.Errorf("%s: the file holds %d handshakes (%v), want %d", when, n, err, want)
			}
		}
		holds("at start", 0)
		accept(1)
		time.Sleep(saveEvery - time.Second)
		holds("within the first minute", 0)
		time.Sleep(2 * time.Second)
		holds("after a minute", 1)

		if err := os.Remove(filepath.Join(m.dir.Path(), "hellos.replay")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * saveEvery)
		synctest.Wait()
		if _, err := remembered(m.dir, "hellos.replay"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("written although nothing had changed (%v)", err)
		}
		accept(2)
		stop()
		<-done
		holds("at the end", 2)
	})
	if got := warnings(text); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
}

// TestAFullDiskIsOneWarning: here the directory is gone, as root meets no
// other refusal.
func TestAFullDiskIsOneWarning(t *testing.T) {
	m, text := newMemory(t)
	m.open("hellos.replay")
	m.open("inits.replay")
	m.save()
	path := m.dir.Path()
	c := m.kept[0].cache
	fail := func() {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		for key := range byte(3) {
			c.FirstSeen([16]byte{byte(c.Len()), key}, time.Now(), time.Now())
			m.save()
		}
	}
	fail()
	if got := warnings(text); len(got) != 1 || !strings.Contains(got[0], path) {
		t.Errorf("warnings %q, want one that names the directory", got)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	m.save()
	if n, err := remembered(m.dir, "hellos.replay"); err != nil || n != 3 {
		t.Errorf("with room again the file holds %d handshakes (%v), want 3", n, err)
	}
	if !strings.Contains(text.String(), "written again") {
		t.Errorf("the log does not say that it works again:\n%s", text)
	}
	fail()
	if got := warnings(text); len(got) != 2 {
		t.Errorf("warnings %q, want one for each time it began to fail", got)
	}
}

// TestAMemoryFromTheFutureIsNotKept: it would refuse every client.
func TestAMemoryFromTheFutureIsNotKept(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		kept  bool
	}{{-time.Hour, true}, {5 * time.Minute, true}, {11 * time.Minute, false}, {10000 * time.Hour, false}} {
		m, text := newMemory(t)
		then := m.start.Add(c.ahead)
		written := replay.New(handshakeMemory, then)
		written.FirstSeen([16]byte{1}, then, then)
		if err := m.dir.Replace("hellos.replay", written.Export); err != nil {
			t.Fatal(err)
		}
		got := m.open("hellos.replay")
		if kept := got.Len() == 1; kept != c.kept || len(warnings(text)) == 0 != c.kept {
			t.Errorf("%v ahead: kept %v, want %v; warnings %q", c.ahead, kept, c.kept, warnings(text))
		}
		if !c.kept && !got.Floor().Equal(m.start.Add(-time.Second)) {
			t.Errorf("%v ahead: floor %v after a start at %v", c.ahead, got.Floor(), m.start)
		}
	}
}
