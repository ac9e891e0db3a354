package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// signInLine is the line of mtguard demo with the address to open.
var signInLine = regexp.MustCompile(`^  (http://localhost:\d+)/enter#(\S+)$`)

// demonstrate starts mtguard demo and returns where its dashboard is, and the code that signs in.
func demonstrate(t *testing.T, more ...string) (url, code string) {
	t.Helper()
	binary, err := command()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, append([]string{"demo"}, more...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+stateDir(t))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = patience
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	printed, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(printed)
	for code == "" && lines.Scan() {
		if m := signInLine.FindStringSubmatch(lines.Text()); m != nil {
			url, code = m[1], m[2]
		}
	}
	t.Logf("the address is printed after %v", time.Since(began).Round(10*time.Millisecond))
	read := make(chan struct{})
	last := ""
	go func() {
		defer close(read)
		for lines.Scan() {
			last = lines.Text()
		}
	}()
	t.Cleanup(func() {
		end()
		<-read
		cmd.Wait() // the error is that it was cancelled
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("mtguard demo ends with %d: %s\n%s", code, last, complaints.String())
		}
	})
	if code == "" {
		t.Fatalf("no address was printed: %s", complaints.String())
	}
	return url, code
}

// TestADemonstrationIsOpened: the address that is printed opens the dashboard, its numbers move, an attack becomes an
// incident, and every page says that none of it is real. With MTGUARD_PICTURES=DIR it leaves a picture there.
func TestADemonstrationIsOpened(t *testing.T) {
	chrome := browser(t)
	url, code := demonstrate(t, "--attack", "scan")
	b := newTab(t, chrome, url, look{"", "en", "light", 1280})
	b.enter(code)
	const ribbon = `document.querySelector(".demo")?.innerText || ""`
	b.await("the ribbon", `(`+ribbon+`).includes("DEMO DATA")`)
	b.await("an incident of the attack", `document.querySelector("main").innerText.toLowerCase().includes("scan")`)
	const tiles = `document.querySelector(".tiles").innerText`
	first := is[string](b, tiles)
	b.await("numbers that move", fmt.Sprintf("%s !== %q", tiles, first))
	if dir := os.Getenv("MTGUARD_PICTURES"); dir != "" {
		b.picture(filepath.Join(dir, "dashboard-demo.png"), 25*time.Second)
	}
	for _, name := range pageNames(b) {
		b.visit(name)
		b.await("the ribbon on "+name, ribbon)
		if !is[bool](b, `(() => { const r = document.querySelector(".demo").getBoundingClientRect(); return r.height > 0 && r.bottom <= innerHeight + 1 && r.top >= 0; })()`) {
			t.Errorf("the ribbon of %s is out of sight", name)
		}
		b.clean(name)
		b.accessible(name)
	}
	phone := newTab(t, chrome, url, look{"", "fa", "dark", 390})
	phone.visit("overview")
	phone.await("the ribbon in Persian", `(`+ribbon+`).includes("داده")`)
	if wide := is[int](phone, "document.documentElement.scrollWidth"); wide > 390 {
		t.Errorf("with the ribbon a phone's page is %d wide", wide)
	}
	phone.clean("phone")
	phone.accessible("phone")
}

// picture writes what the tab shows, after a while.
func (b *tab) picture(path string, after time.Duration) {
	b.t.Helper()
	time.Sleep(after)
	b.do(chromedp.EmulateViewport(1280, 860))
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.must(err)
	decoded, err := png.Decode(bytes.NewReader(shot))
	b.must(err)
	var small bytes.Buffer
	b.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(decoded)))
	b.must(os.WriteFile(path, small.Bytes(), 0o644))
}

// pageNames are the pages that the navigation leads to.
func pageNames(b *tab) []string {
	b.t.Helper()
	names := is[[]string](b, `[...document.querySelectorAll("nav.side a")].map((a) => a.getAttribute("href").replace("#/", ""))`)
	if len(names) < 9 {
		b.t.Fatalf("the pages are %q", names)
	}
	return names
}
