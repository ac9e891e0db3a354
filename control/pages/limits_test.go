package pages

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control/serving"
	"mtguard/security/ratelimit"
)

// nearTokens are wrong tokens that share the first half with right.
func nearTokens(n int) []string {
	other := tokens("near")
	var list []string
	for range n {
		list = append(list, right[:tokenLength/2]+other()[tokenLength/2:])
	}
	return list
}

func coverSays(text string) Options {
	return Options{Cover: testSite, Strangers: ratelimit.Limit{Events: 1_000_000, Per: time.Second}, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return answerOf(404, text), nil
	})}
}

// The source is asked once for whatever comes, so that the time of an answer does not tell a page's path from others.
func TestEveryRequestCostsOneLookup(t *testing.T) {
	source := newSource(map[string]Page{right: fullPage()})
	o := coverSays("")
	o.Source = source
	h := newTest(t, o)
	for _, test := range []struct{ method, path, want string }{
		{"GET", Path(right), right}, {"HEAD", Path(right), right}, {"POST", Path(right), right}, {"GET", Path(right) + ".json", right},
		{"GET", Path(wrong), wrong}, {"DELETE", Path(wrong), wrong},
		{"GET", "/", nobody}, {"GET", Path(right[:20]), nobody}, {"OPTIONS", "*", nobody}, {"GET", Path(right + "x"), nobody}, {"GET", Path(nobody), nobody},
	} {
		source.asked = nil
		do(t, h, request(test.method, test.path))
		if len(source.asked) != 1 || source.asked[0] != test.want {
			t.Errorf("%s %s: looked up %v, want %s", test.method, test.path, source.asked, test.want)
		}
	}
}

// Should anybody ever have the token that stands for none, other paths must not show his page.
func TestThePageOfNobodyIsShownAtItsOwnAddressOnly(t *testing.T) {
	o := coverSays("no such page")
	o.Source = newSource(map[string]Page{nobody: fullPage()})
	if answer := do(t, newTest(t, o), request("GET", "/")); body(t, answer) != "no such page" {
		t.Error("the start page is somebody's page")
	}
}

// A neighbour behind the same address guesses as fast as he can: the holder notices nothing.
func TestGuessesOfANeighbourShutNobodyOut(t *testing.T) {
	h := newTest(t, coverSays("no such page"))
	guess := tokens("guess")
	for range 5_000 {
		if answer := do(t, h, request("GET", Path(guess()))); body(t, answer) != "no such page" {
			t.Fatal("a guess gets another answer than the cover's")
		}
	}
	for range 50 { // nor is it the holder's own use that wears the limit
		get(t, h, Path(right))
	}
}

// Who has seen half of a token gets ten tries a minute for the rest, and cannot tell that there is a limit, or that he would have been right.
func TestCompletingATokenSeenInPartIsLimited(t *testing.T) {
	for name, near := range map[string]func(i int) string{
		"the end is missing":   func(i int) string { return nearTokens(i + 1)[i] },
		"the start is missing": func(i int) string { return nearTokens(i + 1)[i][tokenLength/2:] + right[tokenLength/2:] },
	} {
		now := start
		source := newSource(map[string]Page{right: fullPage()})
		o := coverSays("no such page")
		o.Source, o.Now = source, func() time.Time { return now }
		h := newTest(t, o)
		for i := range 40 {
			if answer := do(t, h, request("GET", Path(near(i)))); body(t, answer) != "no such page" {
				t.Fatalf("%s: guess %d gets another answer", name, i)
			}
		}
		looked := 0
		for _, asked := range source.asked {
			if asked != nobody {
				looked++
			}
		}
		if looked != 10 || len(source.asked) != 40 {
			t.Errorf("%s: %d of %d guesses were looked up, want 10 of 40", name, looked, len(source.asked))
		}
		if answer := do(t, h, request("GET", Path(right))); body(t, answer) != "no such page" {
			t.Errorf("%s: the right token is still answered", name)
		}
		// Others are not concerned: another address, the same with another page.
		if answer := do(t, h, from(request("GET", Path(right)), "198.51.100.8")); !strings.Contains(body(t, answer), english.Open) {
			t.Errorf("%s: a holder elsewhere is shut out", name)
		}
		other := tokens("another page")()
		sourceOfTwo := newSource(map[string]Page{right: fullPage(), other: fullPage()})
		source.mu.Lock()
		source.pages = sourceOfTwo.pages
		source.mu.Unlock()
		get(t, h, Path(other))
		// And it is over soon.
		now = now.Add(6 * time.Second)
		get(t, h, Path(right))
	}
}

func TestANeighbourWithIPv6CannotGuessFromManyAddresses(t *testing.T) {
	source := newSource(nil)
	o := coverSays("")
	o.Source = source
	h := newTest(t, o)
	for i, near := range nearTokens(100) {
		do(t, h, from(request("GET", Path(near)), fmt.Sprintf("[2001:db8:1:%x::1]", i)))
	}
	looked := 0
	for _, asked := range source.asked {
		if asked != nobody {
			looked++
		}
	}
	if looked != 10 {
		t.Errorf("%d guesses were looked up from one /48, want 10", looked)
	}
}

// Beyond its rate an address gets no answer at all for what is no page; pages are shown still, and others are served.
func TestStrangersHaveARate(t *testing.T) {
	asked := 0
	now := start
	h := newTest(t, Options{
		Cover: testSite, Strangers: ratelimit.Limit{Events: 5, Per: time.Second, Burst: 20}, Now: func() time.Time { return now },
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { asked++; return answerOf(404, "no such page"), nil }),
	})
	guess := tokens("guess")
	closed := 0
	for range 100 {
		if do(t, h, request("GET", Path(guess()))) == nil {
			closed++
		}
	}
	if asked != 20 || closed != 80 {
		t.Errorf("%d requests reached the cover site and %d were closed, want 20 and 80", asked, closed)
	}
	get(t, h, Path(right))
	if do(t, h, from(request("GET", "/"), "198.51.100.8")) == nil {
		t.Error("another address is refused")
	}
	now = now.Add(time.Second)
	if do(t, h, request("GET", "/")) == nil {
		t.Error("a second later it is still refused")
	}
	asked = 0
	for i := range 1000 {
		do(t, h, from(request("GET", "/"), fmt.Sprintf("[2001:db8:1:%x::1]", i)))
	}
	if want := 20 * wideFactor; asked != want {
		t.Errorf("%d requests from one /48, want %d", asked, want)
	}
}

// A cover site that does not answer holds a bounded number of requests, of one address a quarter of them; the rest does not wait.
func TestASlowCoverSitePilesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		waiting, most := 0, 0
		h := newTest(t, Options{Cover: testSite, CoverRequests: 8, Now: time.Now, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			waiting++
			most = max(most, waiting)
			mu.Unlock()
			<-r.Context().Done()
			mu.Lock()
			waiting--
			mu.Unlock()
			return nil, r.Context().Err()
		})})
		var all sync.WaitGroup
		results := make(chan *http.Response, 200)
		ask := func(address string) {
			all.Go(func() { results <- do(t, h, from(request("GET", "/"), address)) })
		}
		for range 10 {
			ask("198.51.100.7")
		}
		synctest.Wait()
		if most != 2 {
			t.Errorf("one address has %d requests under way, want a quarter of 8", most)
		}
		for i := range 50 {
			ask(fmt.Sprintf("203.0.113.%d", i))
		}
		synctest.Wait()
		if most != 8 || len(results) != 52 {
			t.Errorf("%d requests are under way and %d ended, want 8 and 52", most, len(results))
		}
		get(t, h, Path(right)) // holders do not wait
		began := time.Now()
		all.Wait()
		if took := time.Since(began); took > coverTime {
			t.Errorf("a request took %v", took)
		}
		close(results)
		closed, plain := 0, 0
		for answer := range results {
			if answer == nil {
				closed++
			} else if answer.StatusCode == 404 {
				plain++
			}
		}
		if closed != 52 || plain != 8 {
			t.Errorf("%d closed, %d with a plain 404", closed, plain)
		}
		if !h.cover.places.Take(netip.MustParseAddr("192.0.2.1"), serving.Bounds{All: 1, Each: 1}) {
			t.Error("some places are still taken")
		}
	})
}

func TestTheClientIsThePeerOrWhatOurOwnProxySays(t *testing.T) {
	for _, test := range []struct {
		behind    bool
		remote    string
		forwarded []string
		want      string
	}{
		{false, "198.51.100.7:1", []string{"192.0.2.1"}, "198.51.100.7"},
		{true, "127.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{true, "127.0.0.1:1", []string{"6.6.6.6, 192.0.2.1"}, "192.0.2.1"},
		{true, "127.0.0.1:1", []string{"6.6.6.6", "7.7.7.7,192.0.2.1 "}, "192.0.2.1"},
		{true, "127.0.0.1:1", []string{"192.0.2.1:5555"}, "192.0.2.1"},
		{true, "127.0.0.1:1", []string{"[2001:db8::1]:5555"}, "2001:db8::1"},
		{true, "127.0.0.1:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{true, "127.0.0.1:1", []string{"fe80::1%eth0"}, "fe80::1"},
		{true, "127.0.0.1:1", []string{"unknown"}, "127.0.0.1"},
		{true, "127.0.0.1:1", nil, "127.0.0.1"},
		{true, "@", []string{"192.0.2.1"}, "192.0.2.1"},
		{true, "@", nil, "::"},
		{false, "", nil, "::"},
	} {
		r := request("GET", "/")
		r.RemoteAddr = test.remote
		for _, f := range test.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		h := &Handler{behindProxy: test.behind}
		if got := h.client(r).String(); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}

func TestAFaultEndsTheRequestAndNamesNobody(t *testing.T) {
	log, text := logged()
	source := newSource(nil)
	source.fault = true
	h := newTest(t, Options{Source: source, Log: log})
	if answer := do(t, h, request("GET", Path(right))); answer != nil {
		t.Errorf("got %+v", answer)
	}
	if got := text(); !strings.Contains(got, "no page for anybody") || strings.Contains(got, right) || strings.Contains(got, "198.51.100.7") {
		t.Errorf("the log says %s", got)
	}
}

func TestOnePageCanBeLookedAtSoOftenFromOnePlace(t *testing.T) {
	now := start
	h := newTest(t, Options{Now: func() time.Time { return now }})
	refused := 0
	for range 100 {
		if a := do(t, h, request("GET", Path(right))); a.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if want := 100 - readings.Burst; refused != want {
		t.Errorf("%d of 100 readings were refused, want %d", refused, want)
	}
	if a := do(t, h, from(request("GET", Path(right)), "198.51.100.8")); a.StatusCode != http.StatusOK {
		t.Errorf("another address gets %d", a.StatusCode)
	}
	now = now.Add(time.Second)
	if a := do(t, h, request("GET", Path(right))); a.StatusCode != http.StatusOK {
		t.Errorf("a second later: %d", a.StatusCode)
	}
}
