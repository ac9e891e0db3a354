package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/bin"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
	"mtguard/security/access"
)

const (
	reloadsIn  = time.Second // what is promised of a list of half a million lines
	listedAddr = "203.0.113.66"
)

// writeList writes a list of single addresses, none of them in 192.0.2.0/24, with those that are given among them.
func writeList(t *testing.T, path string, seed uint64, lines int, more ...string) {
	t.Helper()
	draw := rand.New(rand.NewPCG(seed, 0))
	b := []byte("# a list for a test\n")
	for range lines {
		b = fmt.Appendf(b, "%d.%d.%d.%d\n", 1+draw.IntN(9), draw.IntN(256), draw.IntN(256), draw.IntN(256))
	}
	b = append(b, strings.Join(more, "\n")+"\n"...)
	err := os.WriteFile(path+".new", b, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLargeListIsLoadedUnderLoad loads a list of half a million addresses, and another one in its place, under sessions
// and clients that work and come. Nobody's connection is dropped, but for who stands on the list.
func TestLargeListIsLoadedUnderLoad(t *testing.T) {
	t.Parallel()
	const idlers = 200
	listLines := 500_000
	if raceDetector {
		listLines /= 10
	}
	tele, site := telegram(t, 2), someSite(t)
	tele.servers[2].ExpectCuts()
	s := enforcing(behindBalancer(t, site.Addr().String(), tele), "access.level")
	s.values["log.level"] = "warn"
	n := start(t, s)
	from := func(ip string) client.Dial { return dialWith(dialFrom(listed), headerV1(ip)) }
	stays := func(ip string) *session {
		t.Helper()
		c, err := way(t, n.addr, secureSecret, from(ip))(t.Context(), 2)
		if err == nil {
			err = answered(t.Context(), c)
		}
		if err != nil {
			t.Fatalf("a client from %s: %v", ip, err)
		}
		s := &session{Conn: c, ended: make(chan time.Time, 1)}
		t.Cleanup(func() { c.Close() })
		go func() {
			var b bin.Buffer
			c.Recv(t.Context(), &b)
			s.ended <- time.Now()
		}()
		return s
	}
	var open []*session
	for i := range idlers {
		open = append(open, stays(fmt.Sprintf("192.0.2.%d", 1+i)))
	}
	doomed := stays(listedAddr)
	busy := stay(t, tele, way(t, n.addr, fakeTLSSecret, from("192.0.2.250")), client.FakeTLSPart)
	before := n.settled()

	stop, knocked := make(chan struct{}), make(chan int)
	go func() { // others come all the time
		came := 0
		defer func() { knocked <- came }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if v, err := visit(t.Context(), n.addr, fakeTLSSecret, from(fmt.Sprintf("192.0.2.%d", 1+came%200)), site); err != nil || v != welcome {
				t.Errorf("while a list is loaded: %s, %v", v, err)
				return
			}
			came++
		}
	}()
	path := filepath.Join(t.TempDir(), "bad.netset")
	load := func(seed uint64, more ...string) time.Duration {
		t.Helper()
		writeList(t, path, seed, listLines-len(more), more...)
		began := time.Now()
		r, err := control.Result{}, error(nil)
		if seed == 1 {
			r, err = n.api.SetList(t.Context(), "bad", admin.ListBody{Origin: path, Level: access.None}, because)
		} else {
			r, err = n.api.ReloadList(t.Context(), "bad", because)
		}
		took := time.Since(began)
		if err != nil || r.List == nil || int(r.List.Entries) < listLines*9/10 || r.List.Problem != "" {
			t.Fatalf("a list of %d lines: %+v, %v", listLines, r.List, err)
		}
		return took
	}
	first := load(1, listedAddr)
	if took := doomed.cut(t, time.Now()); took > prompt {
		t.Errorf("who stands on the list was cut off %v later", took)
	}
	isStranger(t, n.addr, secureSecret, from(listedAddr), site)
	loaded := n.settled()
	took := load(2)
	close(stop)
	came := <-knocked
	busy.leave(t, "a client that works while lists are loaded")
	for i, s := range open {
		s.goesOn(t, fmt.Sprintf("session %d does not stand on the list", i))
	}
	if v, err := visit(t.Context(), n.addr, fakeTLSSecret, from(listedAddr), site); err != nil || v != welcome {
		t.Errorf("who is not on the list any more: %s, %v", v, err)
	}
	again := n.settled()
	t.Logf("%d lines are loaded in %v and reloaded in %v, while %d clients came", listLines, first.Round(time.Millisecond), took.Round(time.Millisecond), came)
	t.Logf("before %v, with the list %v, after a reload %v", before, loaded, again)
	if long && !raceDetector && took > reloadsIn {
		t.Errorf("a reload takes %v, want %v at most", took, reloadsIn)
	}

	// What is no list, or not one to be believed, changes nothing.
	writeList(t, path, 3, listLines, listedAddr)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing at all": nil,
		"a tenth":        whole[:bytes.LastIndexByte(whole[:len(whole)/10], '\n')],
		"cut off":        append(slices.Clone(whole), "203.0."...),
		"everybody":      []byte("0.0.0.0/0\n"),
		"a web page":     []byte("<html><body>Not found</body></html>\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := n.api.ReloadList(t.Context(), "bad", because)
		refusedAs(t, err, control.Refused)
		info, err := n.api.List(t.Context(), "bad")
		if err != nil || info.Problem == "" || int(info.Entries) < listLines*9/10 {
			t.Errorf("%s: %+v, %v, want the list before it and a word about the problem", name, info, err)
		}
		if v, err := visit(t.Context(), n.addr, fakeTLSSecret, from("192.0.2.1"), site); err != nil || v != welcome {
			t.Errorf("%s: a client is %s, %v", name, v, err)
		}
	}
}
