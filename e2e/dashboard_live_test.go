package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// watchBlocks notes in the page when each address of the test's attackers is first to be seen.
const watchBlocks = `window.seen = {}; (() => {
	const look = () => { for (const [address] of document.querySelector("main").innerText.matchAll(/198\.18\.\d+\.1\b/g)) seen[address] ??= Date.now(); };
	new MutationObserver(look).observe(document.getElementById("app"), { subtree: true, childList: true, characterData: true });
})(); undefined`

// TestTheScreenShowsWhatHappens: 100 programs watch the node's samples, and what they cost is told. Then 55 addresses
// attack, each is blocked, and the dashboard shows it: that it does is what decides, how long it takes is told.
func TestTheScreenShowsWhatHappens(t *testing.T) {
	const attackers = 55
	chrome := browser(t)
	settings := withDashboard(t, enforcing(behindBalancer(t, coverSite(t).addr, telegram(t, 2)), "threat.block"))
	n := start(t, settings)
	d := dashboardOf(n, settings)
	d.crowd(100)
	b := d.open(chrome, looks[0])
	b.visit("access")
	is[chromedp.Void](b, watchBlocks)
	storm, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	var wg sync.WaitGroup
	for i := range attackers {
		time.Sleep(50 * time.Millisecond) // they come one after the other
		wg.Go(func() { attack(storm, n, fmt.Sprintf("198.18.%d.1", i)) })
	}
	n.await("all to be blocked", func() bool { return len(n.blocks()) >= attackers })
	end()
	wg.Wait()
	b.await("all blocks on the screen", fmt.Sprintf("Object.keys(seen).length >= %d", attackers))
	var took []time.Duration
	for _, r := range n.blocks() {
		if at := is[float64](b, fmt.Sprintf("seen[%q] || 0", strings.TrimSuffix(r.Match, "/32"))); at > 0 {
			took = append(took, time.UnixMilli(int64(at)).Sub(r.Created))
		}
	}
	if len(took) < attackers {
		t.Fatalf("%d of %d blocks were seen", len(took), attackers)
	}
	slices.Sort(took)
	t.Logf("from the block to the screen: %v in the middle, %v at p95, %v at most (%d)",
		took[len(took)/2].Round(time.Millisecond), took[len(took)*95/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
	b.clean("blocks")
}

// crowd has many programs watch the samples over the dashboard's listener, and tells what that costs the node.
func (d *dashboard) crowd(viewers int) {
	const long = 4 * time.Second
	var tokens []string // one credential has a tenth of the places at most
	for i := range viewers/10 + 1 {
		made, err := d.api.CreateToken(d.t.Context(), admin.TokenBody{Name: fmt.Sprint("crowd-", i), Level: access.ReadOnly}, admin.ChangeOptions{})
		if err != nil {
			d.t.Fatal(err)
		}
		tokens = append(tokens, made.Secret)
	}
	came := 0
	ctx, end := context.WithCancel(d.t.Context())
	defer end()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	watch := func(ctx context.Context) (<-chan string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/api/v1/events?kind=sample", nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+tokens[came%len(tokens)])
		came++
		a, err := client.Do(r)
		if err != nil || a.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("a viewer: %v, %v", a, err)
		}
		events := make(chan string, 64)
		go func() {
			defer a.Body.Close()
			defer close(events)
			for lines := bufio.NewScanner(a.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data:") {
					events <- lines.Text()
				}
			}
		}()
		return events, nil
	}
	cost := func() float64 {
		began, before := time.Now(), d.cpu()
		time.Sleep(long)
		return 100 * (d.cpu() - before).Seconds() / time.Since(began).Seconds()
	}
	one, err := watch(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	<-one
	before := cost()
	all := []<-chan string{one}
	crowd, over := context.WithCancel(ctx)
	defer over()
	for range viewers - 1 {
		events, err := watch(crowd)
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, events)
	}
	for _, events := range all {
		<-events
	}
	together := cost()
	for i, events := range all {
		if len(events) < 2 {
			d.t.Errorf("viewer %d got %d samples in %v", i, len(events), long)
		}
	}
	over()
	for _, events := range all[1:] {
		for range events { // until it ends
		}
	}
	after := cost()
	d.t.Logf("the node takes %.2f and %.2f %% of a core with one viewer at 1 Hz, before and after, and %.2f %% with %d", before, after, together, viewers)
}

// cpu is the time that the process has run.
func (n *node) cpu() (ran time.Duration) {
	n.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", n.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		n.t.Fatalf("threads %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			n.t.Fatalf("%s: %q, %v", file, text, err)
		}
		ran += time.Duration(nanoseconds)
	}
	return ran
}
