package e2e

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/control/admin"
)

// lure is where an adversary plays: a node whose operator is signed in, a site of the adversary's own, and beside the
// node a careless site with none of what protects the node. What does not work there proves nothing about the node.
type lure struct {
	*dashboard
	chrome   context.Context
	operator *tab // signed in at the node, and at the careless site
	evil     *tab
	ports    struct{ evil, careless string }
	careless *carelessSite
	own      []target.ID // tabs that no attack has opened
}

// evilOrigins are where a page of the adversary's may come from: another port of the same name, to which browsers
// send the cookies of all its ports; the address behind that name; and a site on the Internet.
var evilOrigins = []struct{ name, host string }{{"another port", "localhost"}, {"the address", "127.0.0.1"}, {"another site", "evil.test"}}

func setStage(t *testing.T) *lure {
	t.Helper()
	chrome := browser(t, chromedp.Flag("disable-popup-blocking", true), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"))
	settings := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, settings)
	s := &lure{dashboard: dashboardOf(n, settings), chrome: chrome, careless: &carelessSite{}}
	s.ports.careless = serveAt(t, s.careless)
	s.ports.evil = serveAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><title>You have won</title><p>%s", r.Referer())
	}))
	s.operator = s.open(chrome, looks[0])
	s.operator.do(chromedp.Navigate(s.carelessURL()+"/login"), chromedp.Navigate(s.url))
	s.operator.await("the dashboard", settled)
	s.evil = newTab(t, chrome, "", looks[0])
	s.show("evil.test")
	for _, tab := range s.targets() {
		s.own = append(s.own, tab.TargetID)
	}
	return s
}

// serveAt serves h on loopback and returns the port.
func serveAt(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	return port
}

func (s *lure) carelessURL() string { return "http://localhost:" + s.ports.careless }

// show has the operator look at the adversary's page at that host.
func (s *lure) show(host string) {
	s.t.Helper()
	s.evil.do(chromedp.Navigate("http://" + host + ":" + s.ports.evil + "/"))
	is[chromedp.Void](s.evil, evilKit)
}

// on has a subtest use the stage.
func (s *lure) on(t *testing.T) *lure {
	c := *s
	n := &node{t: t, cmd: s.cmd, path: s.path, addr: s.addr, admin: s.admin, dir: s.dir, exited: s.exited, api: s.api, users: s.users}
	c.dashboard = &dashboard{n, s.url}
	c.operator, c.evil = s.operator.on(t), s.evil.on(t)
	return &c
}

// on has a subtest use the tab.
func (b *tab) on(t *testing.T) *tab { return &tab{t: t, ctx: b.ctx, url: b.url} }

// secret is what the careless site tells those who have its cookie.
const secret = "what only the operator may see"

// carelessSite believes everybody: it looks at nothing but the cookie, which has no attributes, lets every origin read,
// every site frame it, and has no mind for its name.
type carelessSite struct {
	mu   sync.Mutex
	hits []hit
}

// hit is a request that the careless site did.
type hit struct {
	method, path, media, body string
	cookie                    bool
}

// ServeHTTP implements http.Handler.
func (c *carelessSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
	}
	if r.Method == http.MethodOptions {
		return
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4096)) // what came is what it is
	_, err := r.Cookie("careless")
	c.mu.Lock()
	c.hits = append(c.hits, hit{r.Method, r.URL.Path, r.Header.Get("Content-Type"), string(body), err == nil})
	c.mu.Unlock()
	switch {
	case r.URL.Path == "/login":
		h.Set("Set-Cookie", "careless=1; Path=/")
	case r.URL.Path == "/echo":
		h.Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>echo</title><main>%s</main>", r.URL.Query().Get("text"))
	case r.Header.Get("Upgrade") == "websocket":
		webSocket(w, r)
	case strings.HasSuffix(r.URL.Path, "/events"):
		h.Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", secret)
	default:
		h.Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>careless</title><p>%s<script>(opener || parent).postMessage(document.querySelector("p").innerText, "*")</script>`, secret)
	}
}

// webSocket says the secret in one frame.
func webSocket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprintf(buffer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n\x81%c%s",
		base64.StdEncoding.EncodeToString(sum[:]), len(secret), secret)
	buffer.Flush()
	io.Copy(io.Discard, connection)
}

// took waits until the careless site has done a request, and reports whether the operator's cookie came along.
func (c *carelessSite) took(t *testing.T, method, path string) (last hit) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		i := slices.IndexFunc(c.hits, func(h hit) bool { return h.method == method && h.path == path })
		if i >= 0 {
			last, c.hits = c.hits[i], nil
			c.mu.Unlock()
			return last
		}
		c.mu.Unlock()
		if time.Since(began) > patience {
			t.Fatalf("%s %s does not even come to a careless site: the attack is none", method, path)
		}
	}
}

// evilKit is what the adversary's page has to send requests with.
const evilKit = `window.kit = {
	form: (to, enctype, fields, target) => new Promise((done) => {
		const frame = document.createElement("iframe");
		frame.name = "f" + Math.random();
		document.body.append(frame);
		const form = Object.assign(document.createElement("form"), { method: "post", action: to, enctype, target: target || frame.name });
		for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
		document.body.append(form);
		if (target) done(""); else frame.onload = () => done("");
		form.submit();
	}),
	fetch: (to, method, mode, headers, body) => fetch(to, { method, mode, headers, body, credentials: "include" }).then((r) => r.text(), () => ""),
	xhr: (to, method, body) => new Promise((done) => {
		const x = new XMLHttpRequest();
		x.open(method, to);
		x.withCredentials = true;
		x.setRequestHeader("Content-Type", "text/plain");
		x.onloadend = () => done(x.responseText);
		x.send(body);
	}),
	beacon: (to, body) => (navigator.sendBeacon(to, new Blob([body], { type: "text/plain" })), kit.fetch(to, "GET", "no-cors")),
	load: (tag, field, to) => new Promise((done) => {
		const e = document.createElement(tag);
		e.onload = e.onerror = () => done("");
		if (tag === "link") e.rel = "stylesheet";
		e[field] = to;
		document.body.append(e);
	}),
	frame: (tag, field, to) => new Promise((done) => {
		addEventListener("message", (m) => done(String(m.data)), { once: true });
		const e = document.createElement(tag);
		e.onload = e.onerror = () => setTimeout(done, 50, "");
		e[field] = to;
		document.body.append(e);
	}),
	events: (to) => new Promise((done) => {
		const e = new EventSource(to, { withCredentials: true });
		e.onmessage = (m) => (e.close(), done(m.data));
		e.onerror = () => (e.close(), done(""));
	}),
	socket: (to) => new Promise((done) => {
		const s = new WebSocket(to.replace("http:", "ws:"));
		s.onmessage = (m) => (s.close(), done(m.data));
		s.onerror = () => done("");
	}),
	open: (to) => new Promise((done) => {
		addEventListener("message", (m) => (w.close(), done(String(m.data))), { once: true });
		const w = open(to, "_blank", "width=300,height=200");
		const look = setInterval(() => {
			if (!w.closed) return w.postMessage("hello", "*");
			clearInterval(look);
			done("");
		}, 20);
	}),
}; undefined`

// rows are the newest rows of the audit log.
func (s *lure) rows() []control.AuditRow {
	s.t.Helper()
	rows, err := s.api.AuditTail(s.t.Context(), 50, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// unharmed fails the test when the node was changed since rows, or the operator is not signed in any more.
func (s *lure) unharmed(what string, rows []control.AuditRow) {
	s.t.Helper()
	last := int64(0)
	if len(rows) > 0 {
		last = rows[len(rows)-1].Seq
	}
	for _, r := range s.rows() {
		if r.Seq > last {
			s.t.Errorf("%s: the node did %s of %s for %s", what, r.Action, r.Object, r.Actor)
		}
	}
	if got := is[string](s.operator, whoIs); !strings.HasPrefix(got, "200 nadia") {
		s.t.Fatalf("%s: the operator is %s now", what, got)
	}
}

// whoIs says who is signed in, as the node knows it.
const whoIs = `fetch("/auth/me").then(async (r) => r.status + " " + (await r.json()).person)`

// TestAdversary is what a page of somebody else's, in the browser of an operator, tries against the node.
func TestAdversary(t *testing.T) {
	s := setStage(t)
	for _, part := range []struct {
		name string
		play func(*lure)
	}{
		{"cross-site changes", (*lure).crossSiteChanges},
		{"cross-site reads", (*lure).crossSiteReads},
		{"every GET", (*lure).everyGet},
		{"rebinding", (*lure).rebinding},
		{"redirects", (*lure).redirects},
		{"sessions of others", (*lure).othersSessions},
		{"fixation", (*lure).fixation},
		{"going back", (*lure).goingBack},
		{"hostile text", (*lure).hostileText},
	} {
		t.Run(part.name, func(t *testing.T) { part.play(s.on(t)) })
	}
}

// bodyOfMallory is a change that the operator may make; a form can send it too.
const bodyOfMallory = `{"name":"mallory","note":"="}`

// crossSiteChanges: nothing that a page can send with the operator's cookie changes anything.
func (s *lure) crossSiteChanges() {
	attacks := []struct{ name, method, script string }{
		{"form", "POST", `kit.form(to, "application/x-www-form-urlencoded", { name: "mallory" })`},
		{"form with files", "POST", `kit.form(to, "multipart/form-data", { name: "mallory" })`},
		{"form that is JSON", "POST", `kit.form(to, "text/plain", { '{"name":"mallory","note":"': '"}' })`},
		{"form in a new tab", "POST", `kit.form(to, "text/plain", { '{"name":"mallory","note":"': '"}' }, "other")`},
		{"fetch", "POST", `kit.fetch(to, "POST", "no-cors", { "Content-Type": "text/plain" }, body)`},
		{"fetch that reads", "POST", `kit.fetch(to, "POST", "cors", { "Content-Type": "text/plain" }, body)`},
		{"fetch with JSON", "POST", `kit.fetch(to, "POST", "cors", { "Content-Type": "application/json" }, body)`},
		{"fetch with a key", "POST", `kit.fetch(to, "POST", "cors", { "Content-Type": "application/json", "Idempotency-Key": "k", "If-Match": "*" }, body)`},
		{"beacon", "POST", `kit.beacon(to, body)`},
		{"XHR", "POST", `kit.xhr(to, "POST", body)`},
		{"PUT", "PUT", `kit.xhr(to, "PUT", body)`},
		{"PATCH", "PATCH", `kit.xhr(to, "PATCH", body)`},
		{"DELETE", "DELETE", `kit.xhr(to, "DELETE", "")`},
	}
	routes := map[string][]struct{ path, body string }{
		"POST":   {{"/api/v1/users", bodyOfMallory}, {"/auth/logout", "{}"}, {"/api/v1/tokens", `{"name":"mallory","level":"read_only"}`}},
		"PUT":    {{"/api/v1/audits/schedule", `{"every":"6h"}`}},
		"PATCH":  {{"/api/v1/users/alice", `{"disabled":true}`}},
		"DELETE": {{"/api/v1/users/alice?reason=x", ""}},
	}
	rows := s.rows()
	for _, from := range evilOrigins {
		s.show(from.host)
		for _, a := range attacks {
			what := a.name + " from " + from.name
			run := func(to, body string) {
				is[string](s.evil, fmt.Sprintf(`(async () => { const to = %q, body = %q; return await %s })()`, to, body, a.script))
			}
			path, _, _ := strings.Cut(routes[a.method][0].path, "?")
			run(s.carelessURL()+routes[a.method][0].path, routes[a.method][0].body)
			if h := s.careless.took(s.t, a.method, path); from.host == "localhost" && !h.cookie {
				s.t.Errorf("%s: no cookie comes to the careless site: the attack is none", what)
			}
			for _, r := range routes[a.method] {
				run(s.url+r.path, r.body)
			}
			s.unharmed(what, rows)
		}
		s.shut()
	}
	// The same from the node's own page is done: it is the origin that is refused, not the request.
	got := is[string](s.operator, fmt.Sprintf(`fetch("/api/v1/users", { method: "POST", headers: { "Content-Type": "application/json" }, body: %q }).then(async (r) => r.status + " " + await r.text())`, bodyOfMallory))
	if !strings.HasPrefix(got, "200 ") {
		s.t.Errorf("the operator's own page: %s", got)
	}
	if _, err := s.api.RemoveUser(s.t.Context(), "mallory", admin.ChangeOptions{Reason: "was a test"}); err != nil {
		s.t.Error(err)
	}
}

// crossSiteReads: nothing of the node comes to a page of another origin.
func (s *lure) crossSiteReads() {
	attacks := []struct {
		name, path, script string
		reads              bool // at the careless site
	}{
		{"fetch", "/api/v1/users", `kit.fetch(to, "GET", "cors", {})`, true},
		{"fetch with a header", "/api/v1/users", `kit.fetch(to, "GET", "cors", { "If-Match": "*" })`, true},
		{"XHR", "/auth/me", `kit.xhr(to, "GET", null)`, true},
		{"events", "/api/v1/events", `kit.events(to)`, true},
		{"socket", "/api/v1/events", `kit.socket(to)`, true},
		{"window", "/", `kit.open(to)`, true},
		{"window on the sign-in", "/enter", `kit.open(to)`, true},
		{"iframe", "/", `kit.frame("iframe", "src", to)`, true},
		{"object", "/", `kit.frame("object", "data", to)`, true},
		{"embed", "/enter", `kit.frame("embed", "src", to)`, true},
		{"script", "/api/v1/users", `kit.load("script", "src", to)`, false},
		{"style", "/api/v1/users", `kit.load("link", "href", to)`, false},
		{"image", "/api/v1/users", `kit.load("img", "src", to)`, false},
	}
	rows := s.rows()
	for _, from := range evilOrigins {
		s.show(from.host)
		framed := false
		for _, a := range attacks {
			what := a.name + " from " + from.name
			run := func(to string) string {
				return is[string](s.evil, fmt.Sprintf(`(async () => { const to = %q; return await %s })()`, to, a.script))
			}
			got := run(s.carelessURL() + a.path)
			if a.reads && from.host == "localhost" && !strings.Contains(got, secret) {
				s.t.Errorf("%s: even of the careless site it reads only %q: the attack is none", what, got)
			}
			s.careless.took(s.t, http.MethodGet, a.path)
			for _, u := range s.frames(s.evil) {
				framed = framed || strings.HasPrefix(u, s.carelessURL())
			}
			if got := run(s.url + a.path); got != "" {
				s.t.Errorf("%s: it reads %q", what, got)
			}
			for _, u := range s.frames(s.evil) {
				if strings.HasPrefix(u, s.url) {
					s.t.Errorf("%s: the evil page frames %s", what, u)
				}
			}
		}
		if !framed {
			s.t.Errorf("from %s not even the careless site is framed: nothing is seen", from.name)
		}
		s.shut()
	}
	s.unharmed("reading", rows)
}

// getPaths are the paths of all operations that read, with names that there are.
func getPaths(t *testing.T) (paths []string) {
	t.Helper()
	text, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if p, ok := strings.CutPrefix(line, "  /"); ok && !strings.HasPrefix(p, " ") {
			path = "/api/v1/" + strings.TrimSuffix(p, ":")
		}
		if line == "    get:" && path != "" {
			paths = append(paths, strings.NewReplacer("{name}", "alice", "{id}", "x", "{kind}", "usage").Replace(path))
		}
	}
	if len(paths) < 40 {
		t.Fatalf("%d paths: the description of the API is not read", len(paths))
	}
	return paths
}

// everyGet: whatever a page may have a browser fetch with the operator's cookie, nothing comes of it.
func (s *lure) everyGet() {
	paths := append(getPaths(s.t), "/auth/me", "/auth/enter", "/auth/logout", "/enter", "/")
	rows := s.rows()
	s.show("localhost")
	for _, path := range paths {
		is[string](s.evil, fmt.Sprintf(`(async () => { for (const to of [%q, %q]) await Promise.all([kit.load("img", "src", to), kit.fetch(to, "GET", "no-cors"), kit.fetch(to, "HEAD", "no-cors")]); return "" })()`,
			s.carelessURL()+path, s.url+path))
		if h := s.careless.took(s.t, http.MethodGet, path); !h.cookie {
			s.t.Errorf("%s: no cookie comes to the careless site", path)
		}
	}
	s.unharmed("GET", rows)
}

// frames are the addresses of what is framed in a tab, as far as it could be loaded.
func (s *lure) frames(b *tab) (urls []string) {
	b.t.Helper()
	var walk func(*page.FrameTree)
	walk = func(f *page.FrameTree) {
		for _, child := range f.ChildFrames {
			urls = append(urls, child.Frame.URL)
			walk(child)
		}
	}
	walk(call(b, page.GetFrameTree, cdp.Empty{}).FrameTree)
	for _, other := range s.targets() { // frames of other sites have processes of their own
		if other.Type != "iframe" {
			continue
		}
		ctx, end := chromedp.NewContext(s.chrome, chromedp.WithTargetID(other.TargetID), chromedp.WithDetachOnCancel())
		if at, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href")); err == nil { // not of what is blocked: it has an address of its own
			urls = append(urls, at)
		}
		end()
	}
	return urls
}

func (s *lure) targets() []*target.Info {
	s.t.Helper()
	all, err := chromedp.Targets(s.chrome)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// shut closes the windows that attacks have opened.
func (s *lure) shut() {
	s.t.Helper()
	for _, other := range s.targets() {
		if other.Type == "page" && !slices.Contains(s.own, other.TargetID) {
			if _, err := chromedp.CallBrowser(s.chrome, target.CloseTarget, target.CloseTargetParams{TargetID: other.TargetID}); err != nil {
				s.t.Error(err)
			}
		}
	}
}
