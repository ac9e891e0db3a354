package e2e

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/control/admin"
)

// write puts a text into the one text area there is.
func (b *tab) write(text string) {
	b.t.Helper()
	b.await("the text area", `document.querySelector("main textarea")`)
	is[chromedp.Void](b, `(() => { const a = document.querySelector("main textarea"); a.focus(); a.value = `+quoted(text)+`; a.dispatchEvent(new Event("input", { bubbles: true })); })()`)
}

// quoted is a text as a script writes it.
func quoted(text string) string { return fmt.Sprintf("%q", text) }

// lastLine is the number of the last line of a text.
func lastLine(text string) string { return strconv.Itoa(strings.Count(text, "\n") + 1) }

// TestTheDashboardEditsThePolicyAsText: what is wrong is told with its line; what differs and whom it would have
// refused is seen before it is saved; it is on trial, and can be undone.
func TestTheDashboardEditsThePolicyAsText(t *testing.T) {
	n, b := atDesk(t)
	b.wanted = "status of 4"
	before, err := n.api.Policy(t.Context(), control.PolicyInForce)
	if err != nil {
		t.Fatal(err)
	}
	b.visit("policy")
	is[chromedp.Void](b, `[...document.querySelectorAll("main a")].find((a) => a.textContent === "Edit as text").click()`)
	b.await("the text", `document.querySelector("main textarea")?.value === `+quoted(before.Document))
	b.write(before.Document + "\n[connections]\nper_adress = 3\n")
	b.says("did you mean per_address?")
	b.accessible("an error in the text")
	b.press("Go to line " + lastLine(before.Document+"\n[connections]\nper_adress = 3"))
	if got := is[string](b, `getSelection().toString() || document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)`); got != "per_adress = 3" {
		t.Errorf("the line is %q", got)
	}
	b.write(before.Document + "\n[connections]\nper_address = 3\n")
	b.says("connections.per_address")
	b.await("what it does to those that came lately", `/Judged by [\d,]+ connections/.test(document.querySelector("main .preview").innerText)`)
	b.fill("Reason", "three are enough")
	b.press("Save")
	b.says("Keep it?")
	after, err := n.api.Policy(t.Context(), control.PolicyInForce)
	if err != nil || after.Revision != before.Revision+1 || !strings.Contains(after.Document, "per_address = 3") || after.Reason != "three are enough" {
		t.Fatalf("%+v, %v", after, err)
	}
	b.press("Undo")
	n.await("the policy as it was", func() bool {
		now, err := n.api.Policy(t.Context(), control.PolicyInForce)
		return err == nil && now.Document == before.Document && now.Revision == before.Revision+2
	})
	b.clean("policy as text")
}

// TestTheDashboardShowsWhoWasFaster: a text that was begun on an older revision is not saved over the newer one;
// what the other changed is shown, and one goes on with the own text or takes the other's.
func TestTheDashboardShowsWhoWasFaster(t *testing.T) {
	n, b := atDesk(t)
	b.wanted = "status of 4"
	b.visit("policy/text")
	before := is[string](b, `document.querySelector("main textarea").value`)
	other := before + "\n[connections]\nper_user = 99\n"
	if _, err := n.api.SetPolicy(t.Context(), admin.PolicyBody{Document: other}, admin.ChangeOptions{Reason: "while you wrote " + hostileShort}); err != nil {
		t.Fatal(err)
	}
	mine := before + "\n[connections]\nper_address = 98\n"
	b.write(mine)
	b.says("Somebody changed it meanwhile")
	b.says("connections.per_user")
	b.says("while you wrote " + hostileShort)
	if !is[bool](b, `[...document.querySelectorAll("main button")].find((b) => b.textContent === "Save").disabled`) {
		t.Error("it could be saved all the same")
	}
	is[chromedp.Void](b, `[...document.querySelectorAll("main button")].find((b) => b.textContent.startsWith("Take")).click()`)
	b.await("the other's text", `document.querySelector("main textarea").value === `+quoted(other))
	b.write(mine)
	b.says("connections.per_address")
	b.fill("Reason", "98 it is")
	b.press("Save")
	n.await("the own text", func() bool {
		now, err := n.api.Policy(t.Context(), control.PolicyInForce)
		return err == nil && now.Document == mine
	})
	b.clean("who was faster")
}

// TestTheDashboardGoesOnOverAStaleRevision: a user whom somebody else has changed while the dialog was open.
func TestTheDashboardGoesOnOverAStaleRevision(t *testing.T) {
	n, b := atDesk(t)
	b.wanted = "status of 412"
	b.visit("users/nadia")
	b.press("Edit")
	b.says("Change something to see it.")
	if _, err := n.api.SetUser(t.Context(), "nadia", admin.UserPatch{MaxConnections: new(7)}, admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	b.fill("Note", "aunt")
	b.says("Somebody changed it meanwhile")
	b.says("max_connections")
	b.accessible("who was faster")
	b.press("Go on over it")
	b.await("what it will do", `document.querySelector("dialog .preview p") && !document.querySelector("dialog .failure, dialog [aria-busy=true]")`)
	b.press("Save")
	n.await("both changes", func() bool {
		u, err := n.api.User(t.Context(), "nadia")
		return err == nil && u.Note == "aunt" && u.MaxConnections == 7
	})
	b.clean("stale")
}

// tunnel forwards connections to a node's dashboard, as ssh -L does, while it is up.
type tunnel struct {
	net.Listener
	down atomic.Bool
	mu   sync.Mutex
	open []net.Conn
}

// digTunnel opens one to addr; the test's end closes it.
func digTunnel(t *testing.T, addr string) *tunnel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tunnel{Listener: l}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil || w.down.Load() {
				near.Close()
				if err == nil {
					far.Close()
				}
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.mu.Unlock()
			for _, c := range [][2]net.Conn{{near, far}, {far, near}} {
				forwarding.Go(func() {
					io.Copy(c[0], c[1])
					c[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		forwarding.Wait()
	})
	return w
}

// cut ends what goes through it, and lets nobody else through.
func (w *tunnel) cut() {
	w.down.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// TestTheDashboardComesBack: a node that is gone is told once, over what is known of it; when it is back the pages
// are, without anybody pressing anything.
func TestTheDashboardComesBack(t *testing.T) {
	chrome := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	n.past()
	w := digTunnel(t, s.values["admin.listen"].(string))
	_, port, _ := strings.Cut(w.Addr().String(), ":")
	b := (&dashboard{n, "http://localhost:" + port}).open(chrome, looks[0])
	b.wanted = "net::ERR_"
	b.visit("users")
	w.cut()
	is[chromedp.Void](b, `dispatchEvent(new Event("online"))`)
	b.says("The node does not answer.")
	if rows, failures := is[int](b, `document.querySelectorAll("main tbody tr").length`), is[int](b, `document.querySelectorAll("main .failure").length`); rows < 7 || failures != 0 {
		t.Errorf("%d rows are left, %d failures are told besides", rows, failures)
	}
	b.accessible("lost")
	if _, err := n.api.AddUser(t.Context(), admin.UserBody{Name: "aaa-new"}, admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	w.down.Store(false)
	b.says("aaa-new")
	b.await("the line to go", `!document.querySelector(".lost")`)
	b.clean("back")
}
