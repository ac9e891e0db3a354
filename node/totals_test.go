package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/tgsim"
)

// scrape reads /metrics: values by series, as Prometheus writes these.
func (s *site) scrape() map[string]float64 {
	s.t.Helper()
	response, err := http.Get("http://" + s.node.MetricsAt().String() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	found := make(map[string]float64)
	in := bufio.NewScanner(response.Body)
	for in.Scan() {
		series, text, _ := strings.Cut(in.Text(), " ")
		if v, err := strconv.ParseFloat(text, 64); err == nil && series != "#" {
			found[series] = v
		}
	}
	if err := in.Err(); err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s, %v", response.Status, err)
	}
	return found
}

// flowOf is what a scrape says of connections.
type flowOf struct{ accepted, served, covered, refused, open, states float64 }

func flow(m map[string]float64) flowOf {
	ended := func(outcome string) float64 { return m[`mtguard_connections_total{outcome="`+outcome+`"}`] }
	f := flowOf{accepted: m["mtguard_connections_accepted_total"], open: m["mtguard_connections_open"]}
	f.served, f.covered, f.refused = ended("relayed"), ended("covered"), ended("denied")+ended("limited")+ended("error")
	for _, state := range []string{"connections_half_open", "connections_connecting", "sessions_open", "cover_connections_open", "connections_silent"} {
		f.states += m["mtguard_"+state]
	}
	return f
}

func (f flowOf) check(t *testing.T, what string) {
	t.Helper()
	if f.accepted != f.served+f.covered+f.refused+f.open || f.open != f.states {
		t.Errorf("%s: %+v does not add up", what, f)
	}
}

// TestEveryScrapeAddsUp: accepted = served + covered + refused + open, at each of hundreds of scrapes while connections of every sort come
// and go. E2E_LONG=1 makes it an hour.
func TestEveryScrapeAddsUp(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	long := 4 * time.Second
	if os.Getenv("E2E_LONG") == "1" {
		long = time.Hour
	}
	s := start(t, balancer+"\nhandshake_timeout = \"1s\"\nmax_connections = 60\n",
		"[limits]\nconnections_per_address = 4\nhalf_open = 12\n[policy.controls]\n\"conns.addr\" = \"enforce\"\n\"access.level\" = \"enforce\"\n")
	s.apply(control.AddRule{Match: "203.0.113.0/24", Level: access.None})
	end := time.Now().Add(long)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var work sync.WaitGroup
	for _, one := range traffic(s) {
		for range 3 {
			work.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					one(ctx, i)
				}
			})
		}
	}
	scrapes := 0
	var last flowOf
	for ; scrapes < 200 || time.Now().Before(end); scrapes++ {
		f := flow(s.scrape())
		if f.check(t, fmt.Sprint("scrape ", scrapes)); t.Failed() {
			break
		}
		if f.accepted < last.accepted || f.served < last.served || f.covered < last.covered || f.refused < last.refused {
			t.Fatalf("scrape %d: a total fell: %+v after %+v", scrapes, f, last)
		}
		last = f
	}
	cancel()
	work.Wait()
	t.Logf("%d scrapes, in the end %+v", scrapes, last)
	if last.served == 0 || last.covered == 0 || last.refused == 0 {
		t.Errorf("%d scrapes of %+v show little", scrapes, last)
	}
	lost := s.scrape()[`mtguard_connections_total{outcome="error"}`]
	s.halt()
	s.boot(testLog(t))
	after := s.scrape()
	if f := flow(after); f.open != 0 || f.accepted < last.accepted || f.accepted != f.served+f.covered+f.refused {
		t.Errorf("after all were ended and a restart %+v, before %+v", f, last)
	}
	if n := after[`mtguard_connections_total{outcome="error"}`]; n > lost+12 { // what was in its handshake may fail
		t.Errorf("%v connections failed, before the restart %v: some have no end", n, lost)
	}
}

// traffic is one connection of every sort.
func traffic(s *site) map[string]func(context.Context, int) {
	dialled := func(c *tgsim.Client, then func(*tgsim.Conn)) func(context.Context, int) {
		return func(ctx context.Context, i int) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			own := *c
			if _, ok := own.Dialer.(behind); !ok {
				own.Dialer = behind(fmt.Sprintf("198.51.100.%d", i%200))
			}
			own.Timeout = 2 * time.Second
			if conn, err := own.Dial(ctx); err == nil {
				then(conn)
				conn.Close()
			}
		}
	}
	raw := func(say string, wait time.Duration) func(context.Context, int) {
		return func(ctx context.Context, i int) {
			c, err := behind(fmt.Sprintf("192.0.2.%d", i%200)).DialContext(ctx, "tcp", s.addr())
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(wait))
			io.WriteString(c, say)
			io.Copy(io.Discard, c)
		}
	}
	ping := func(c *tgsim.Conn) { c.Ping([]byte("ping")) }
	refused, crowded := s.client(tgsim.FakeTLS), s.client(tgsim.Secure)
	refused.Dialer, crowded.Dialer = behind("203.0.113.7"), behind("198.51.100.250")
	bad := s.client(tgsim.FakeTLS)
	bad.Secret = []byte("fedcba9876543210")
	return map[string]func(context.Context, int){
		"faketls":   dialled(s.client(tgsim.FakeTLS), ping),
		"secure":    dialled(s.client(tgsim.Secure), ping),
		"reset":     dialled(s.client(tgsim.ClassicAbridged), func(c *tgsim.Conn) { c.Reset() }),
		"cut off":   raw("\x16\x03\x01\x02\x00\x01\x00", 20*time.Millisecond),
		"nothing":   raw("", 10*time.Millisecond),
		"slow":      raw("\x16\x03\x01\x02\x00\x01\x00", 1500*time.Millisecond),
		"web":       raw("GET / HTTP/1.1\r\nHost: "+domain+"\r\nConnection: close\r\n\r\n", 100*time.Millisecond),
		"bad":       dialled(bad, ping),
		"refused":   dialled(refused, ping),
		"crowded":   dialled(crowded, func(c *tgsim.Conn) { ping(c); time.Sleep(10 * time.Millisecond) }),
		"no header": func(ctx context.Context, _ int) { noHeader(ctx, s.addr()) },
	}
}

// noHeader is a listed peer that does not begin with a PROXY header.
func noHeader(ctx context.Context, addr string) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	io.WriteString(c, "nothing of the kind")
	io.Copy(io.Discard, c)
}

// TestTotalsSurviveRestartAndKill: a clean restart loses nothing; a kill loses what was not written, which is nothing that a scrape showed.
func TestTotalsSurviveRestartAndKill(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	s := start(t, "", "")
	use := func() {
		c := s.dial(s.client(tgsim.FakeTLS))
		if err := c.Download(100_000); err != nil {
			t.Fatal(err)
		}
		c.Close()
		eventually(t, "the session has ended", func() bool { return s.node.stats.Open.Load() == 0 })
	}
	use()
	before := s.scrape()
	if before[`mtguard_connections_total{outcome="relayed"}`] != 1 || before[`mtguard_relay_bytes_total{direction="down"}`] < 100_000 {
		t.Fatalf("one session: %v", flow(before))
	}
	s.halt()
	s.boot(testLog(t))
	after := s.scrape()
	for series, v := range before {
		name, _, _ := strings.Cut(series, "{")
		if strings.HasPrefix(name, "mtguard_") && strings.HasSuffix(name, "_total") && after[series] < v {
			t.Errorf("after a restart %s is %v, was %v", series, after[series], v)
		}
	}
	use()

	// A kill leaves the file that the last scrape wrote, and an open connection without an end.
	open := s.dial(s.client(tgsim.FakeTLS))
	time.Sleep(totalsRest) // the file is written at a scrape once in this time
	seen := s.scrape()
	file := s.state(totalsFile)
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	open.Close()
	s.halt()
	if err := os.WriteFile(file, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	s.boot(testLog(t))
	now := s.scrape()
	flow(now).check(t, "after a kill")
	if flow(seen).open != 1 || now["mtguard_connections_accepted_total"] != 3 || now[`mtguard_connections_total{outcome="error"}`] != 1 ||
		now[`mtguard_connections_total{outcome="relayed"}`] != 2 {
		t.Errorf("after a kill: %+v, before it %+v", flow(now), flow(seen))
	}
	for series, v := range seen {
		name, _, _ := strings.Cut(series, "{")
		if strings.HasPrefix(name, "mtguard_") && strings.HasSuffix(name, "_total") && now[series] < v {
			t.Errorf("after a kill %s is %v, a scrape showed %v", series, now[series], v)
		}
	}
}

// TestDamagedTotalsStartFromZero, and the log says so.
func TestDamagedTotalsStartFromZero(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	s := start(t, "", "")
	s.dial(s.client(tgsim.FakeTLS)).Close()
	s.halt()
	if err := os.WriteFile(s.state(totalsFile), []byte("mtguard totals 1 00\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, text := logged()
	s.boot(log)
	if f := flow(s.scrape()); f != (flowOf{}) {
		t.Errorf("after damage: %+v", f)
	}
	s.halt()
	if !strings.Contains(text.String(), "totals not read: counters start from zero") {
		t.Errorf("the log says nothing of it:\n%s", text)
	}
}
