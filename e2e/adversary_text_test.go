package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
	"mtguard/tgsim"
)

// payloads are texts that do something where they are taken for anything but text: each sets window.pwned, after a
// click on what it is where it takes one.
var payloads = []string{
	`<script>window.pwned=1</script>`,
	`"><img src=x onerror="window.pwned=1">`,
	`'><svg onload='window.pwned=1'>`,
	`javascript:window.pwned=1//`,
	`<a href="javascript:window.pwned=1">go</a>`,
	`<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
	`<math><mtext><table><mglyph><style><!--</style><img src onerror=window.pwned=1>`,
	`</title></textarea></main><details open ontoggle=window.pwned=1>`,
	`<button autofocus onfocus=window.pwned=1 onclick=window.pwned=1>go`,
}

// hostileText writes hostile texts into everything that takes one, sends them over the wire, and then looks at every page in
// every language: they are there, as text, and nothing of them has become anything else.
func (s *lure) hostileText() {
	s.payloadsWork()
	s.operator.key()
	hostileName := strings.Replace(ceremony, `"this device"`, fmt.Sprintf("%q", payloads[1]+" my-device"), 1)
	if got := is[string](s.operator, hostileName+`("passkey/register", "create")`); !strings.HasPrefix(got, "200 ") {
		s.t.Fatalf("a passkey with a hostile name: %s", got)
	}
	s.past()
	s.strangersSpeak()
	shown := s.writeEverywhere()
	open, _, err := s.api.Incidents(s.t.Context(), control.IncidentFilter{Limit: 1})
	if err != nil || len(open) != 1 {
		s.t.Fatalf("%d incidents, %v", len(open), err)
	}
	pages := []string{"overview", "threats", "threats/" + open[0].ID, "users", "users/mum", "users/xss-1", "keys", "policy", "policy/conns.addr", "access", "audit", "tokens", "system", url.PathEscape(payloads[0])}
	for _, language := range []string{"en", "ru", "fa", "fa-u-ca-persian"} {
		b := newTab(s.t, s.chrome, s.url, look{language, language, "light", 1440})
		b.dialogs()
		b.visit("overview")
		var text strings.Builder
		for _, p := range pages {
			is[chromedp.Void](b, fmt.Sprintf("location.hash = %q", "/"+p))
			b.await(p, settled)
			text.WriteString(is[string](b, "document.body.innerText"))
			b.innocent(language + " " + p)
		}
		for sink, marker := range shown { // the other languages show the same
			if language == "en" && !strings.Contains(text.String(), marker) {
				s.t.Errorf("what was written into %s is on no page: it proves nothing", sink)
			}
		}
	}
	s.hostileReports()
}

// hostileReports: reports as HTML hold what was written, as text, also where no content policy is there to help.
func (s *lure) hostileReports() {
	s.evil.do(chromedp.Navigate(s.carelessURL() + "/echo?text=x"))
	told := false
	for _, kind := range []string{"security", "compliance", "usage"} {
		html := is[string](s.operator, fmt.Sprintf(`fetch("/api/v1/reports/%s?format=html").then((r) => r.text())`, kind))
		told = told || strings.Contains(html, "reason-of-")
		got := is[string](s.evil, fmt.Sprintf(`new Promise((done) => {
			const frame = document.createElement("iframe");
			frame.onload = () => done(String(frame.contentWindow.pwned) + window.pwned + frame.contentDocument.querySelectorAll("script, iframe, [onerror], [onload], [ontoggle], [onfocus]").length);
			frame.srcdoc = %q;
			document.body.append(frame);
		})`, html))
		if got != "undefinedundefined0" {
			s.t.Errorf("the report %s runs what was written into it: %s", kind, got)
		}
	}
	if !told {
		s.t.Error("no report holds what was written: it proves nothing")
	}
}

// dialogs has what opens a dialog count as a problem.
func (b *tab) dialogs() {
	b.must(chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*page.EventJavascriptDialogOpening); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.problems = append(b.problems, "a dialog: "+e.Message)
		}
	}))
}

// innocent fails the test when the page has anything that only hostile text brings in.
func (b *tab) innocent(where string) {
	b.t.Helper()
	b.clean(where)
	const foreign = `script:not([src^="/a/"]), iframe, object, embed, base, form[action], math, style, [onload], [onerror], [onclick], [onfocus], [ontoggle], [srcdoc], [href^="javascript:" i], img[src=x], link:not([href^="/a/"]), title ~ title`
	if found := is[string](b, fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.outerHTML.slice(0, 200)).join()", foreign)); found != "" {
		b.t.Errorf("%s: the page holds %s", where, found)
	}
}

// payloadsWork shows that every payload does what it is for, on a page that takes it as it comes.
func (s *lure) payloadsWork() {
	for _, p := range payloads {
		text := p
		if strings.HasPrefix(p, "javascript:") {
			text = `<a href="` + p + `">go</a>`
		}
		s.evil.do(chromedp.Navigate(s.carelessURL() + "/echo?text=" + url.QueryEscape(text)))
		s.evil.await("the payload "+p, `(document.querySelector("main a, main button")?.click(), window.pwned === 1)`)
	}
}

// strangersSpeak sends hostile texts as those do who have no part in the node.
func (s *lure) strangersSpeak() {
	ctx, end := context.WithTimeout(s.t.Context(), patience)
	defer end()
	for i, p := range payloads {
		for _, who := range []string{"203.0.113.9", fmt.Sprintf("198.18.9.%d", i)} {
			target := tgsim.Client{Proxy: s.addr, Secret: alice, Domain: p, Dialer: at(who), Timeout: time.Second}
			if c, err := target.Dial(ctx); err == nil {
				c.Close()
			}
		}
		for _, path := range []string{"/", "/enter?" + url.QueryEscape(p), "/api/v1/users/" + url.PathEscape(p)} {
			s.asked(http.MethodGet, path, "localhost:"+portOf(s.url), "", "User-Agent: "+p, "Referer: "+p, "X-Forwarded-For: "+p, "Authorization: Bearer "+p)
		}
	}
	// Whoever signs in says what browser he has.
	a := s.asked(http.MethodPost, "/auth/enter", "localhost:"+portOf(s.url), fmt.Sprintf(`{"code":%q}`, s.code("ulla", access.ReadOnly)), "User-Agent: "+payloads[1]+" agent-of-ulla")
	if a.status != http.StatusOK {
		s.t.Errorf("ulla: %d %s", a.status, a.body)
	}
}

// writeEverywhere has an operator write every payload into everything that takes a text of his, and returns by what it
// is known again on the pages.
func (s *lure) writeEverywhere() map[string]string {
	ctx := s.t.Context()
	until := time.Now().Add(24 * time.Hour)
	readOnly := access.ReadOnly
	taken := map[string]int{}
	incidents, _, err := s.api.Incidents(ctx, control.IncidentFilter{State: "open", Limit: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	findings, _, err := s.api.Findings(ctx, control.FindingFilter{Limit: 1})
	if err != nil || len(findings) != 1 {
		s.t.Fatalf("%d findings, %v", len(findings), err)
	}
	for i, p := range payloads {
		in := func(sink string) admin.ChangeOptions {
			return admin.ChangeOptions{Reason: p + " reason-of-" + sink, Force: true}
		}
		did := func(sink string, _ control.Result, err error) {
			if err == nil {
				taken[sink]++
			}
		}
		name := fmt.Sprintf("xss-%d", i)
		r, err := s.api.AddUser(ctx, admin.UserBody{Name: name, Note: p + " note-of-user"}, in("user"))
		did("note", r, err)
		r, err = s.api.AddUser(ctx, admin.UserBody{Name: p + "name-of-user"}, in("user"))
		did("user", r, err)
		r, err = s.api.AddUser(ctx, admin.UserBody{Name: name + "-d", Domain: p + "domain-of-user"}, in("user"))
		did("domain", r, err)
		r, err = s.api.CreateToken(ctx, admin.TokenBody{Name: p + "name-of-token", Level: readOnly}, in("token"))
		did("token", r, err)
		r, err = s.api.CreateToken(ctx, admin.TokenBody{Name: name, Level: readOnly, Scopes: []string{p}}, in("token"))
		did("scope", r, err)
		r, err = s.api.MakeCode(ctx, admin.CodeBody{Person: p + "name-of-person", Level: &readOnly}, in("code"))
		did("person", r, err)
		r, err = s.api.AddRule(ctx, admin.RuleBody{Match: fmt.Sprintf("198.51.%d.0/24", i), Level: access.ReadOnly}, in("rule"))
		did("rule", r, err)
		r, err = s.api.AddRule(ctx, admin.RuleBody{Match: "sni:" + p + "match-of-rule", Level: access.ReadOnly}, in("match"))
		did("match", r, err)
		r, err = s.api.Block(ctx, admin.BlockBody{Target: fmt.Sprintf("203.0.112.%d", i)}, in("block"))
		did("block", r, err)
		r, err = s.api.SetList(ctx, p+"name-of-list", admin.ListBody{Origin: "/tmp/x", Level: access.None}, in("list"))
		did("list", r, err)
		r, err = s.api.SetList(ctx, name, admin.ListBody{Origin: "/" + p + " origin-of-list", Level: access.None}, in("list"))
		did("origin", r, err)
		r, err = s.api.AddException(ctx, admin.ExceptionBody{Controls: []string{"conns.user"}, User: "kiosk-3", Until: until}, in("exception"))
		did("exception", r, err)
		r, err = s.api.SilenceAlerts(ctx, admin.SilenceBody{Code: p}, in("silence"))
		did("silence", r, err)
		r, err = s.api.AckFinding(ctx, findings[0].ID, admin.SayBody{Until: until}, in("finding"))
		did("finding", r, err)
		r, err = s.api.SetPolicy(ctx, admin.PolicyBody{Document: fmt.Sprintf("schema = 1\n# %s %d\n", p, i)}, in("policy"))
		did("policy", r, err)
		if i < len(incidents) {
			r, err = s.api.MoveIncident(ctx, incidents[i].ID, "acknowledged", admin.IncidentBody{}, in("incident"))
			did("incident", r, err)
		}
	}
	shown := map[string]string{"agent": "agent-of-ulla", "passkey": "my-device"}
	markers := map[string]string{
		"note": "note-of-user", "token": "name-of-token", "person": "", "rule": "reason-of-rule", "match": "match-of-rule", "block": "reason-of-block", "list": "name-of-list", "origin": "origin-of-list",
		"exception": "reason-of-exception", "policy": "reason-of-policy", "incident": "", "user": "name-of-user", "domain": "domain-of-user", "scope": "",
	}
	for sink, n := range taken {
		if marker := markers[sink]; marker != "" {
			shown[sink] = marker
		}
		s.t.Logf("%s takes %d of %d", sink, n, len(payloads))
	}
	for _, sink := range []string{"note", "rule", "block", "exception", "policy", "incident"} {
		if taken[sink] == 0 {
			s.t.Errorf("%s takes no hostile text: it proves nothing", sink)
		}
	}
	return shown
}
