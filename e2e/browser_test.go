package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe/axe.min.js
var axe string

// chromium is the browser that Debian installs. Without one these tests say so and are skipped;
// scripts/test.sh installs it where it may.
func chromium(t *testing.T) string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Skip("no browser: install chromium, or name one in CHROMIUM")
	return ""
}

// browser is a running chromium; the context opens tabs.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	path := chromium(t)
	dir := filepath.Join(t.TempDir(), "profile")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(patience),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		end()
		stop()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// look is how a page is looked at.
type look struct {
	name, language, scheme string
	width                  int64
}

var looks = []look{
	{"light", "en", "light", 1440}, {"dark", "en", "dark", 1440}, {"persian", "fa", "dark", 1440}, {"phone", "ru", "light", 390},
}

// tab is a page of the dashboard in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	problems []string // what the console and the policy had to say
	wanted   string   // what they may say besides
}

// newTab opens a tab for the pages at url, which are not visited yet.
func newTab(t *testing.T, browser context.Context, url string, l look, more ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser, more...)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, url: url}
	b.must(chromedp.Do(ctx, chromedp.EmulateViewport(l.width, 900))) // the tab lives as long as the context of the first call
	b.must(chromedp.Listen(ctx, b.hear))
	call(b, log.Enable, cdp.Empty{})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: fmt.Sprintf(`
		if (location.protocol === "http:") localStorage.setItem("mtguard.language", %q);
		addEventListener("securitypolicyviolation", (e) => console.error("policy violated: " + e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile + ":" + e.lineNumber));
	`, l.language)})
	return b
}

// enter signs in with a one-time code, as somebody who follows the address that was printed.
func (b *tab) enter(code string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/enter#"+code))
	b.await("a session, or the question whether to take another", `location.pathname === "/" ? `+settled+` : document.getElementById("instead") && !document.getElementById("instead").hidden`)
	is[chromedp.Void](b, `document.getElementById("instead")?.click()`)
	b.await("a session", `location.pathname === "/" && `+settled)
}

func (b *tab) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, a := range e.Args {
				text += string(a.Value) + " "
			}
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Contains(text, "status of 409") || b.wanted != "" && strings.Contains(text, b.wanted) {
		return // the node refuses what a test wants it to
	}
	b.problems = append(b.problems, text)
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	b.must(chromedp.Do(ctx, steps...))
}

// is evaluates an expression.
func is[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits for an expression to be true.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ctx, end := context.WithTimeout(b.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")")) // fails while a page is on its way
		end()
		if ok && err == nil {
			return
		}
		if time.Since(began) > patience {
			b.t.Fatalf("%s did not come about (%v); the page says:\n%s", what, err, is[string](b, "location.href.split('#')[0] + ' ' + document.body.innerText"))
		}
	}
}

// settled says that everything has arrived that the page asked for.
const settled = `document.querySelector("main h1") && !document.querySelector(".loading, [aria-busy=true]")`

// visit goes to a page as somebody who follows a link.
func (b *tab) visit(hash string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/#/"+hash))
	b.await("page "+hash, settled)
}

// press presses the button that is called so, in the dialog if there is one.
func (b *tab) press(name string) {
	b.t.Helper()
	button := fmt.Sprintf(`[...(document.querySelector("dialog[open]") || document).querySelectorAll("button, summary")].find((b) => !b.disabled && (b.getAttribute("aria-label") || b.textContent).trim() === %q)`, name)
	b.await("button "+name, button)
	is[chromedp.Void](b, button+".click()")
}

// fill writes into the field with that label.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	field := fmt.Sprintf(`[...document.querySelectorAll("dialog[open] label, main label")].find((l) => l.textContent.trim().startsWith(%q))`, label)
	b.await("field "+label, field)
	is[chromedp.Void](b, fmt.Sprintf(`(() => { const l = %s; const f = l.htmlFor ? document.getElementById(l.htmlFor) : l.querySelector("input, select");
		f.focus(); f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })); f.dispatchEvent(new Event("change", { bubbles: true })); })()`, field, text))
}

// says waits until the page, or the dialog over it, says something.
func (b *tab) says(text string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%q", text), fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// clean fails the test for what the console and the policy had to say so far, and for text
// that was taken for markup.
func (b *tab) clean(where string) {
	b.t.Helper()
	if is[bool](b, "window.pwned !== undefined") {
		b.t.Errorf("%s: a stranger's text has run", where)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("%s: %s", where, p)
	}
	b.problems = nil
}

// accessible fails the test for what axe finds against WCAG 2.2 AA and its best practices.
func (b *tab) accessible(where string) {
	b.t.Helper()
	if !is[bool](b, "window.axe !== undefined") {
		is[chromedp.Void](b, axe+"; undefined")
	}
	found := is[string](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => n.html + " " + n.failureSummary) }))))`)
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	b.must(json.Unmarshal([]byte(found), &violations))
	for _, v := range violations {
		b.t.Errorf("%s: %s (%s)\n\t%s", where, v.ID, v.Help, strings.Join(v.Nodes, "\n\t"))
	}
	b.mu.Lock()
	b.problems = nil // axe adds style elements of its own, which the policy refuses
	b.mu.Unlock()
}

// call sends a command of the protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	r, err := chromedp.Call(ctx, command, params)
	b.must(err)
	return r
}
