package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// keyedTab is a tab of a browser with a device that holds passkeys.
type keyedTab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the browser complained about
}

// openChromium starts a browser; without one the test is skipped.
func openChromium(t *testing.T) *keyedTab {
	t.Helper()
	path := chromium(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	bounded, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	browser, stop := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	c := &keyedTab{t: t, ctx: tab}
	err := chromedp.Listen(tab, func(event any) {
		if e, ok := event.(*cdplog.EventEntryAdded); ok && e.Entry.Level == cdplog.EntryLevelError {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.problems = append(c.problems, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.do(chromedp.Func(func(ctx context.Context, at *chromedp.Target) error {
		if _, err := cdp.Call(ctx, at, cdplog.Enable, cdp.Empty{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, at, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, at, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return err
	}))
	return c
}

func (c *keyedTab) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, steps...); err != nil {
		c.t.Fatal(err)
	}
}

// text evaluates an expression, or what a promise gives.
func (c *keyedTab) text(script string) string {
	c.t.Helper()
	text, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		c.t.Fatalf("%s: %v", script, err)
	}
	return text
}

// until waits until an expression is true.
func (c *keyedTab) until(what, script string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](script)) // fails while a page is on its way
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			at, _ := chromedp.Run(c.ctx, chromedp.Evaluate[string]("location.href.split('#')[0] + ' ' + document.body.innerText"))
			c.t.Fatalf("not within %v: %s (%v)\n%s", patience, what, err, at)
		}
	}
}

// post sends JSON as the page would, and returns the status and the answer.
func (c *keyedTab) post(path, body string) string {
	c.t.Helper()
	return c.text(fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": "application/json"}, body: %q}).then(async r => r.status + " " + await r.text())`, path, body))
}

func (c *keyedTab) me() string {
	c.t.Helper()
	return c.text(`fetch("/auth/me").then(async r => r.status + " " + await r.text())`)
}

// ceremony is a passkey made, or shown.
const ceremony = `(async (what, verb) => {
	const send = (path, body) => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
	const begun = await (await send("/auth/" + what + "/begin", {})).json();
	if (!begun.publicKey) return JSON.stringify(begun);
	const credential = verb === "create"
		? await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(begun.publicKey)})
		: await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(begun.publicKey)});
	const body = {credential: credential.toJSON()};
	if (verb === "create") body.name = "this device";
	window.last = JSON.stringify(body);
	const done = await send("/auth/" + what + "/finish", body);
	return done.status + " " + await done.text();
})`

// TestABrowserSignsIn goes all the way in a real browser: an address that works once, a passkey, signing out and in,
// a step-up, and nothing that the browser complains about.
func TestABrowserSignsIn(t *testing.T) {
	c := openChromium(t)
	s := standard(t, coverSite(t).addr, telegram(t, 2))
	listen := freeAddr(t, "127.0.0.1")
	s.values["admin.listen"] = listen
	n := start(t, s)
	_, port, _ := strings.Cut(listen, ":")
	base := "http://localhost:" + port
	level := access.Superuser
	code := func() string {
		t.Helper()
		made, err := n.api.MakeCode(t.Context(), admin.CodeBody{Person: "nadia", Level: &level}, admin.ChangeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made.Secret
	}
	signedIn := `location.pathname === "/" && document.readyState === "complete"`

	first := code()
	c.do(chromedp.Navigate(base + "/enter#" + first))
	c.until("a session by the code", signedIn)
	if me := c.me(); !strings.HasPrefix(me, "200 ") || !strings.Contains(me, `"via":"code"`) || !strings.Contains(me, `"person":"nadia"`) {
		t.Fatalf("after the code: %s", me)
	}
	if seen := c.text(`document.cookie + " " + location.href`); strings.Contains(seen, "mts_") || strings.Contains(seen, first) {
		t.Errorf("scripts see %s", seen)
	}
	if got := c.text(ceremony + `("passkey/register", "create")`); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"passkeys":1`) {
		t.Fatalf("a passkey: %s", got)
	}
	if got := c.post("/auth/logout", "{}"); !strings.HasPrefix(got, "200 ") {
		t.Fatalf("signing out: %s", got)
	}
	if me := c.me(); !strings.HasPrefix(me, "401 ") {
		t.Fatalf("after signing out: %s", me)
	}

	c.do(chromedp.Navigate(strings.Replace(base, "localhost", "127.0.0.1", 1) + "/enter"))
	c.until("the page by its name, with the button", `location.hostname === "localhost" && !document.getElementById("passkey").hidden`)
	c.do(chromedp.Click("#passkey"))
	c.until("a session by the passkey", signedIn)
	if me := c.me(); !strings.Contains(me, `"via":"passkey"`) || !strings.Contains(me, `"level":"superuser"`) {
		t.Fatalf("with the passkey: %s", me)
	}
	if got := c.text(ceremony + `("step-up", "get")`); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "fresh_until") {
		t.Fatalf("stepping up: %s", got)
	}
	if got := c.text(`fetch("/auth/step-up/finish", {method: "POST", headers: {"Content-Type": "application/json"}, body: window.last}).then(async r => r.status + " " + await r.text())`); !strings.HasPrefix(got, "4") {
		t.Errorf("the same proof again: %s", got)
	}
	if got := c.post("/api/v1/tokens", `{"name":"ci","level":"admin"}`); !strings.HasPrefix(got, "200 ") {
		t.Errorf("a token: %s", got)
	}
	sessions, err := n.api.BrowserSessions(t.Context())
	if err != nil || len(sessions) != 1 || sessions[0].Via != "passkey" || !strings.Contains(sessions[0].Agent, "Chrome") {
		t.Errorf("the sessions are %+v, %v", sessions, err)
	}

	if _, err := n.api.EndSessions(t.Context(), admin.EndSessionsBody{Person: "nadia"}, admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	c.do(chromedp.Navigate(base + "/enter#" + first))
	c.until("word that the address is used up", `document.getElementById("say").textContent.includes("does not work any more")`)
	if at := c.text("location.href"); strings.Contains(at, first) {
		t.Error("the code stays in the address")
	}

	// An answer that is lost costs nothing, and whoever reads Persian is told so in Persian.
	c.do(chromedp.Func(func(ctx context.Context, at *chromedp.Target) error {
		_, err := cdp.Call(ctx, at, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
			Object.defineProperty(navigator, "languages", {get: () => ["de", "fa-IR", "en"]});
			if (location.pathname === "/enter") {
				const real = fetch;
				window.fetch = () => { window.fetch = real; return Promise.reject(new TypeError("lost")); };
			}`})
		return err
	}), chromedp.Navigate("about:blank"), chromedp.Navigate(base+"/enter#"+code()))
	c.until("word that there was no answer, in Persian", `!document.getElementById("retry").hidden && document.documentElement.dir === "rtl" && document.getElementById("say").textContent.includes("دوباره")`)
	c.do(chromedp.Click("#retry"))
	c.until("a session by the code, the second time", signedIn)
	// Refused requests are errors to the browser's log, and wanted here; anything about policy is not.
	for _, p := range c.problems {
		if strings.Contains(p, "Content Security Policy") || strings.Contains(p, "TrustedHTML") || !strings.Contains(p, "40") {
			t.Errorf("the browser says: %s", p)
		}
	}
}
