package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// key gives a tab a device that holds passkeys, and somebody who touches it.
func (b *tab) key() {
	b.t.Helper()
	call(b, webauthn.Enable, webauthn.EnableParams{})
	call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
}

// enrol makes a passkey as the page does.
func (b *tab) enrol() {
	b.t.Helper()
	if got := is[string](b, ceremony+`("passkey/register", "create")`); !strings.HasPrefix(got, "200 ") {
		b.t.Fatalf("a passkey: %s", got)
	}
}

func portOf(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }

// cookie is that of the node's session in a tab's browser; nil when there is none.
func (b *tab) cookie() *network.Cookie {
	b.t.Helper()
	for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{b.url + "/"}}).Cookies {
		if c.Name == "mtguard_"+portOf(b.url) {
			return c
		}
	}
	return nil
}

// asked is what the node answers a program, which sends what no browser would.
func (s *lure) asked(method, path, host, body string, headers ...string) answer {
	s.t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+portOf(s.url))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", method, path, host, len(body))
	for _, h := range headers {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"+body); err != nil {
		s.t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		s.t.Fatalf("%s %s for %q: %v", method, path, host, err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, string(text)}
}

// who is the person that a cookie of the node signs in, "" when it does not.
func (s *lure) who(cookie string) string {
	s.t.Helper()
	a := s.asked(http.MethodGet, "/auth/me", "localhost:"+portOf(s.url), "", "Cookie: mtguard_"+portOf(s.url)+"="+cookie)
	_, person, _ := strings.Cut(a.body, `"person":"`)
	person, _, _ = strings.Cut(person, `"`)
	return person
}

// mallory is somebody who may sign in, with a session of his own that he would have others use.
func (s *lure) mallory() (cookie string) {
	s.t.Helper()
	a := s.asked(http.MethodPost, "/auth/enter", "localhost:"+portOf(s.url), fmt.Sprintf(`{"code":%q}`, s.code("mallory", access.ReadOnly)))
	_, cookie, _ = strings.Cut(a.header.Get("Set-Cookie"), "=")
	cookie, _, _ = strings.Cut(cookie, ";")
	if s.who(cookie) != "mallory" {
		s.t.Fatalf("mallory cannot sign in: %d %s", a.status, a.body)
	}
	return cookie
}

// rebinding: whatever name leads to the node, it is there under its own only.
func (s *lure) rebinding() {
	port := portOf(s.url)
	code := s.code("nadia", access.Superuser)
	rows := s.rows()
	for _, host := range []string{"rebind.test", "localhost.rebind.test", "127.0.0.1.rebind.test", "rebind.localhost"} {
		s.evil.do(chromedp.Navigate("http://" + host + ":" + s.ports.careless + "/"))
		if got := is[string](s.evil, `fetch("/").then((r) => r.text())`); !strings.Contains(got, secret) {
			s.t.Fatalf("%s: even the careless site says %q", host, got)
		}
		s.evil.do(chromedp.Navigate("http://" + host + ":" + port + "/"))
		for _, request := range []string{
			`"/"`, `"/enter"`, `"/enter.js"`, `"/auth/me"`, `"/api/v1/status"`, `"/a/x"`, `"/api/v1/users", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"name":"mallory"}' }`,
			fmt.Sprintf(`"/auth/enter", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"code":"%s"}' }`, code),
		} {
			if got := is[string](s.evil, `fetch(`+request+`).then(async (r) => r.status + " " + await r.text())`); !strings.HasPrefix(got, "401 ") || !strings.Contains(got, "sign in first") {
				s.t.Errorf("%s: %s is %s", host, request, got)
			}
		}
	}
	cookie := "Cookie: mtguard_" + port + "=" + s.operator.cookie().Value
	for host, want := range map[string]int{
		"localhost:" + port: 200, "LOCALHOST:" + port: 200, "localhost.:" + port: 200,
		"127.0.0.1:" + port: 401, "[::1]:" + port: 401, "0.0.0.0:" + port: 401, "127.1:" + port: 401, "2130706433:" + port: 401, "[::ffff:127.0.0.1]:" + port: 401,
		"rebind.test:" + port: 401, "rebind.localhost:" + port: 401, "localhost@rebind.test:" + port: 400, "localhost.rebind.test": 401,
		"localhost:" + port + "@rebind.test": 400, "localhost:" + port + ":1": 401, "localhost,rebind.test": 401, "": 401,
	} {
		if a := s.asked(http.MethodGet, "/api/v1/status", host, "", cookie); a.status != want {
			s.t.Errorf("Host %q: %d, want %d", host, a.status, want)
		}
	}
	s.unharmed("rebinding", rows)
}

// redirects: the node sends nobody elsewhere, and tells nobody where somebody came from.
func (s *lure) redirects() {
	port := portOf(s.url)
	for _, host := range []string{"localhost:" + port, "127.0.0.1:" + port, "127.0.0.1:" + port + "@evil.test"} {
		for _, path := range []string{
			"/", "//evil.test/", "///evil.test", `/\evil.test/`, "/%2f%2fevil.test/", "/enter/..//evil.test", "/enter?next=//evil.test", "/enter//evil.test", "/.evil.test", "/%0d%0aLocation:%20//evil.test", "/@evil.test/",
		} {
			to := s.asked(http.MethodGet, path, host, "").header.Get("Location")
			if to != "" && !strings.HasPrefix(to, s.url+"/") && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
				s.t.Errorf("%s of %s leads to %s", path, host, to)
			}
		}
	}
	from := newTab(s.t, s.chrome, s.url, looks[0])
	for site, want := range map[string]bool{s.carelessURL(): true, s.url: false} {
		from.do(chromedp.Navigate(site + "/"))
		is[chromedp.Void](from, fmt.Sprintf(`location.assign("http://evil.test:%s/")`, s.ports.evil))
		from.await("the evil page", `location.hostname === "evil.test" && document.querySelector("p")`)
		if got := is[string](from, "document.body.innerText"); (got != "") != want {
			s.t.Errorf("from %s the evil page learns %q", site, got)
		}
	}
	code := s.code("nadia", access.Superuser)
	from.enter(code)
	for _, e := range call(from, page.GetNavigationHistory, cdp.Empty{}).Entries {
		if strings.Contains(e.URL+e.UserTypedURL+e.Title, code) {
			s.t.Error("the history of the browser holds the code")
		}
	}
	if got := is[string](from, `JSON.stringify(performance.getEntries()) + document.referrer + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`); strings.Contains(got, code) {
		s.t.Error("scripts find the code")
	}
	// What the node answers is neither a script nor a worker, whoever loads it, and names in addresses stay names.
	if got := is[string](from, `navigator.serviceWorker.register("/api/v1/users").then(() => "registered", (e) => e.name)`); got == "registered" {
		s.t.Error("an answer of the API is a service worker")
	}
	evil := "__proto__[pwned]=1&__proto__.pwned=1&constructor[prototype][pwned]=1&__proto__=pwned"
	from.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/?"+evil+"#/users/__proto__?"+evil))
	from.await("the page", settled)
	if is[bool](from, "({}).pwned !== undefined || window.pwned !== undefined") {
		s.t.Error("an address changes what all objects have")
	}
	careless := `(() => { for (const [k, v] of new URLSearchParams(location.search)) { const [a, b] = k.replace("]", "").split("["); const into = {}; if (b) into[a][b] = v; } const is = ({}).pwned === "1"; delete Object.prototype.pwned; return is; })()`
	if !is[bool](from, careless) {
		s.t.Error("not even a careless reader is taken in")
	}
}

// othersSessions: nobody comes to act in a session that another has given him.
func (s *lure) othersSessions() {
	code := s.code("mallory", access.ReadOnly)
	rows := s.rows()
	for _, from := range evilOrigins {
		s.show(from.host)
		for _, script := range []string{
			`kit.form(to, "text/plain", { '{"code":"': '"}' })`, `kit.fetch(to, "POST", "no-cors", { "Content-Type": "text/plain" }, body)`, `kit.fetch(to, "POST", "cors", { "Content-Type": "application/json" }, body)`,
		} {
			for _, to := range []string{s.carelessURL(), s.url} {
				is[string](s.evil, fmt.Sprintf(`(async () => { const to = %q, body = %q; return await %s })()`, to+"/auth/enter", fmt.Sprintf(`{"code":%q}`, code), script))
			}
			s.careless.took(s.t, http.MethodPost, "/auth/enter")
		}
		// Anybody can have a browser follow an address.
		s.evil.do(chromedp.Navigate("http://" + from.host + ":" + s.ports.evil + "/"))
		is[chromedp.Void](s.evil, fmt.Sprintf(`location.assign(%q)`, s.url+"/enter#"+code))
		s.evil.await("the question", `location.pathname === "/enter" && document.getElementById("instead") && !document.getElementById("instead").hidden && document.body.innerText.includes("nadia")`)
		s.unharmed("signing in as another from "+from.name, rows)
	}
	is[chromedp.Void](s.evil, `document.getElementById("instead").click()`) // the address was good, and is when it is wanted
	s.evil.await("mallory's session", `location.pathname === "/" && `+settled)
	if got := is[string](s.operator, whoIs); got != "200 mallory" {
		s.t.Errorf("asked for, the address gives %s", got)
	}
	s.operator.url = s.url
	s.operator.enter(s.code("nadia", access.Superuser))
}

// fixation: what a browser brings along never becomes somebody's session, and a session that has become more, or has
// ended, is not to be had by what it was.
func (s *lure) fixation() {
	port, planted := portOf(s.url), s.mallory()
	name := "mtguard_" + port
	victim := newTab(s.t, s.chrome, s.url, looks[0], chromedp.WithNewBrowserContext())
	toss := func(text string) {
		victim.do(chromedp.Navigate("http://localhost:" + s.ports.evil + "/"))
		is[chromedp.Void](victim, fmt.Sprintf("document.cookie = %q; undefined", text))
	}
	toss(name + "=" + planted + "; path=/")
	quiet := chromedp.Navigate(s.url + "/enter.css") // a page of the node that does nothing by itself
	victim.do(quiet)
	if got := is[string](victim, whoIs); got != "200 mallory" {
		s.t.Fatalf("the planted session is %s: the attack is none", got)
	}
	victim.key()
	steps := []struct {
		name string
		do   func()
	}{
		{"signing in", func() { victim.enter(s.code("vera", access.Superuser)) }},
		{"a passkey", victim.enrol},
		{"stepping up", func() {
			if got := is[string](victim, ceremony+`("step-up", "get")`); !strings.HasPrefix(got, "200 ") {
				s.t.Fatalf("stepping up: %s", got)
			}
		}},
		{"signing in again", func() { victim.enter(s.code("vera", access.Superuser)) }},
	}
	before := planted
	for _, step := range steps {
		step.do()
		c := victim.cookie()
		if c == nil || c.Value == before || s.who(c.Value) != "vera" {
			s.t.Fatalf("%s: the cookie is %+v", step.name, c)
		}
		if who := s.who(before); before != planted && who != "" {
			s.t.Errorf("%s: the cookie before signs in %s", step.name, who)
		}
		if !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict || c.Path != "/" || c.Domain != "localhost" || !c.Session || c.Secure {
			s.t.Errorf("%s: the cookie is %+v", step.name, c)
		}
		if got := is[string](victim, `document.cookie + JSON.stringify(localStorage) + document.documentElement.outerHTML`); strings.Contains(got, c.Value) {
			s.t.Errorf("%s: scripts see the cookie", step.name)
		}
		before = c.Value
	}
	if who := s.who(planted); who != "" {
		s.t.Errorf("the session that was planted is %s's; it ends when another takes its place", who)
	}
	planted = s.mallory()
	// A page at another port cannot take the place of the cookie, nor come between with one of its own.
	toss(name + "=" + planted + "; path=/")
	for path, want := range map[string]string{"/": "200 vera", "/auth": "401 undefined"} {
		if path != "/" {
			toss(name + "=" + planted + "; path=" + path)
		}
		victim.do(quiet)
		if got := is[string](victim, whoIs); got != want {
			s.t.Errorf("with mallory's cookie for %s it is %s, want %s", path, got, want)
		}
		toss(name + "=; max-age=0; path=" + path)
	}
	victim.do(chromedp.Navigate(s.url))
	victim.await("the dashboard", settled)
	victim.press("Sign out")
	victim.await("the sign-in", `location.pathname === "/enter"`)
	if who := s.who(before); who != "" || victim.cookie() != nil {
		s.t.Errorf("signed out, the cookie signs in %q, and the browser has %v", who, victim.cookie())
	}
	if _, err := s.api.EndSessions(s.t.Context(), admin.EndSessionsBody{Person: "mallory"}, admin.ChangeOptions{Reason: "was a test"}); err != nil {
		s.t.Error(err)
	}
}

// goingBack: after signing out nothing of the dashboard is to be seen, neither by going back nor from a cache.
func (s *lure) goingBack() {
	b := newTab(s.t, s.chrome, s.url, looks[0], chromedp.WithNewBrowserContext())
	b.do(chromedp.Navigate(s.carelessURL() + "/"))
	b.enter(s.code("nadia", access.Superuser))
	for _, hash := range []string{"users", "users/alice", "tokens"} {
		is[chromedp.Void](b, fmt.Sprintf("location.hash = %q", "/"+hash))
		b.await(hash, settled)
	}
	cached := is[string](b, `Promise.all(["/api/v1/users", "/auth/me", "/"].map((u) => fetch(u, { cache: "only-if-cached", mode: "same-origin" }).then((r) => r.status + u, () => "")))`+`.then((a) => a.join(""))`)
	if strings.Contains(cached, "200") {
		s.t.Errorf("the cache holds %s", cached)
	}
	b.press("Sign out")
	b.await("the sign-in", `location.pathname === "/enter"`)
	for range 5 {
		entries := call(b, page.GetNavigationHistory, cdp.Empty{})
		if entries.CurrentIndex == 0 {
			break
		}
		to := entries.Entries[entries.CurrentIndex-1]
		call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: to.ID})
		for began, there := time.Now(), false; !there; time.Sleep(10 * time.Millisecond) {
			seen, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.readyState + "\n" + document.body.innerText`))
			if err != nil {
				continue // on the way
			}
			where, text, _ := strings.Cut(seen, "\n")
			if strings.HasPrefix(where, s.url) && (strings.Contains(text, "alice") || strings.Contains(text, "Sign out")) {
				s.t.Fatalf("going back to %s shows %s", to.URL, seen)
			}
			there = !strings.HasPrefix(where, s.url) || where == s.url+"/enter" && strings.HasPrefix(text, "complete")
			if time.Since(began) > patience {
				s.t.Fatalf("going back to %s leads to %s", to.URL, seen)
			}
		}
	}
}
