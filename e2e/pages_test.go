package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/pages"
)

// pagesURL is what addresses of pages begin with: in front of the node there is a proxy that speaks TLS, which is the
// test.
const pagesURL = "https://links.example"

// withPages is a configuration with pages whose cover site the process trusts, as it trusts any site that has a
// certificate of the authorities it knows.
func withPages(t *testing.T, web *site, tele *cluster) (s *settings, listen string) {
	t.Helper()
	s = standard(t, web.addr, tele)
	listen = freeAddr(t, "127.0.0.1")
	s.values["pages.listen"] = listen
	s.values["pages.url"] = pagesURL
	s.values["pages.note"] = "Ask <Nadia>."
	file := filepath.Join(t.TempDir(), "authorities.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.cert.Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "SSL_CERT_FILE="+file)
	return s, listen
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// get asks the listener of the pages, or with a client of its own another site, for a path.
func fetch(t *testing.T, c *http.Client, url string, fields ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = coverName
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, string(b)}
}

// TestPageShowsTheLinkToUse opens a page, rotates, renews and closes it, and reads it as a person's browser and as a
// program.
func TestPageShowsTheLinkToUse(t *testing.T) {
	t.Parallel()
	tele, web := telegram(t, 2), coverSite(t)
	s, listen := withPages(t, web, tele)
	n := start(t, s)
	old := n.add(admin.UserBody{Name: "olga"})
	r, err := n.api.Page(t.Context(), "olga", "open", admin.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := pagePath(t, r.Page)
	browser := &http.Client{Timeout: patience}
	at := "http://" + listen + path

	page := fetch(t, browser, at)
	if page.status != http.StatusOK || !strings.Contains(page.body, link(old)) || !strings.Contains(html.UnescapeString(page.body), "data:image/svg+xml,") {
		t.Errorf("status %d; want the page with the link %q and its code", page.status, link(old))
	}
	if !strings.Contains(page.body, "Ask &lt;Nadia&gt;.") || strings.Contains(page.body, "<script") {
		t.Error("want the operator's note as text, and no script")
	}
	if got := page.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
	d, tag := document(t, browser, at+".json")
	if len(d.Links) == 0 || d.Links[0].TG != html.UnescapeString(link(old)) || !d.OldUntil.IsZero() {
		t.Errorf("%+v, want the link of %s", d, old.id)
	}
	if again := fetch(t, browser, at+".json", "If-None-Match", tag); again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != tag {
		t.Errorf("asked again: status %d, %d bytes, tag %s; want 304 and the same tag", again.status, len(again.body), again.header.Get("ETag"))
	}

	fresh := n.rotate("olga", time.Hour)
	until := n.key(old.id).RetireBy.Truncate(time.Second)
	page = fetch(t, browser, at)
	if !strings.Contains(page.body, link(fresh)) || strings.Contains(page.body, link(old)) {
		t.Error("after the rotation the page does not show the new link alone")
	}
	if said := "tap it before " + until.UTC().Format("2 January, 15:04 UTC"); !strings.Contains(text(page.body), said) {
		t.Errorf("the page does not say %q:\n%s", said, text(page.body))
	}
	changed, newTag := document(t, browser, at+".json")
	if newTag == tag || len(changed.Links) == 0 || changed.Links[0].TG != html.UnescapeString(link(fresh)) || !changed.OldUntil.Equal(until) {
		t.Errorf("%+v with tag %s, want the link of %s and the old one until %v", changed, newTag, fresh.id, until)
	}
	if got := fetch(t, browser, at, "Accept", "application/json"); !json.Valid([]byte(got.body)) || got.header.Get("ETag") != newTag {
		t.Error("asked for JSON the page is something else")
	}
	n.await("the views", func() bool { return n.user("olga").PageViews == 2 }) // programs do not count

	r, err = n.api.Page(t.Context(), "olga", "renew", admin.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	moved := pagePath(t, r.Page)
	if moved == path {
		t.Error("the renewed page has the old address")
	}
	likeTheSite(t, web, listen, path)
	if page := fetch(t, browser, "http://"+listen+moved); !strings.Contains(page.body, link(fresh)) {
		t.Error("the page is not at its new address")
	}
	if _, err := n.api.Page(t.Context(), "olga", "close", admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	likeTheSite(t, web, listen, moved)
	likeTheSite(t, web, listen, moved+".json")
	_, err = n.api.Page(t.Context(), "olga", "renew", admin.ChangeOptions{})
	refusedAs(t, err, control.NotFound)
	for _, token := range []string{path[len("/u/"):], moved[len("/u/"):]} {
		if n.logged(token) {
			t.Error("the log holds the address of a page")
		}
	}
}

// pagePath is the path of a page's address.
func pagePath(t *testing.T, url string) string {
	t.Helper()
	path, ok := strings.CutPrefix(url, pagesURL)
	if !ok || !strings.HasPrefix(path, "/u/") {
		t.Fatalf("the page is at %q, want it below %s/u/", url, pagesURL)
	}
	return path
}

// link is the best link of somebody as it stands in HTML, without the server it leads to.
func link(p person) string { return fmt.Sprintf("secret=%x", p.ways["faketls"]) }

func text(page string) string {
	return strings.Join(strings.Fields(regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>|data:[^"]*`).ReplaceAllString(page, " ")), " ")
}

func document(t *testing.T, c *http.Client, url string) (d pages.Document, tag string) {
	t.Helper()
	a := fetch(t, c, url)
	if err := json.Unmarshal([]byte(a.body), &d); err != nil || a.status != http.StatusOK || d.Schema != pages.Schema {
		t.Fatalf("%s: status %d, %v: %s", url, a.status, err, a.body)
	}
	for i := range d.Links { // without the server they lead to
		d.Links[i].TG = "secret=" + d.Links[i].TG[strings.Index(d.Links[i].TG, "secret=")+len("secret="):]
	}
	return d, a.header.Get("ETag")
}

// likeTheSite compares the answer to a path with that of the cover site itself.
func likeTheSite(t *testing.T, web *site, listen, path string) {
	t.Helper()
	got := fetch(t, &http.Client{Timeout: patience}, "http://"+listen+path)
	want := fetch(t, web.visitor(), "https://"+web.addr+path)
	for _, h := range []http.Header{got.header, want.header} {
		h.Del("Date")
	}
	// The site says which path it was asked for. Of an address in use, or one that may be, it is asked for another.
	hide := regexp.MustCompile(`/u/[A-Za-z0-9_-]{22}`)
	got.body, want.body = hide.ReplaceAllString(got.body, "/u/…"), hide.ReplaceAllString(want.body, "/u/…")
	if got.status != want.status || fmt.Sprint(got.header) != fmt.Sprint(want.header) || got.body != want.body {
		t.Errorf("%s: got %d %v %q\nthe cover site says %d %v %q", path, got.status, got.header, got.body, want.status, want.header, want.body)
	}
}

// TestUnknownPageIsThatOfTheCoverSite asks for what is nobody's page.
func TestUnknownPageIsThatOfTheCoverSite(t *testing.T) {
	t.Parallel()
	web := coverSite(t)
	s, listen := withPages(t, web, telegram(t, 2))
	n := start(t, s)
	for _, path := range []string{
		"/", "/index.html", "/u/", "/u/short", "/u/4YbT0m1xQpW9vN2sKfLr8A", "/u/4YbT0m1xQpW9vN2sKfLr8A.json", "/u/4YbT0m1xQpW9vN2sKfLr8!",
		"/missing/thing", "/favicon.ico?x=1", "/api/v1/users", "/metrics",
	} {
		likeTheSite(t, web, listen, path)
	}
	if n.logged("cover site does not answer") {
		t.Error("the node did not reach the cover site")
	}
}

// TestPageOfSomebodyWhoIsNotServed shows no link to who could not use it.
func TestPageOfSomebodyWhoIsNotServed(t *testing.T) {
	t.Parallel()
	web := coverSite(t)
	s, listen := withPages(t, web, telegram(t, 2))
	n := start(t, s)
	p := n.add(admin.UserBody{Name: "paul"})
	r, err := n.api.Page(t.Context(), "paul", "open", admin.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + listen + pagePath(t, r.Page)
	yes := true
	n.set("paul", admin.UserPatch{Disabled: &yes})
	if page := fetch(t, http.DefaultClient, at); page.status != http.StatusOK || strings.Contains(page.body, link(p)) || strings.Contains(page.body, "secret=") {
		t.Errorf("status %d; the page of a disabled user shows a link", page.status)
	}
	if d, _ := document(t, http.DefaultClient, at+".json"); len(d.Links) > 0 {
		t.Errorf("%+v, want no links", d)
	}
	if _, err := n.api.RemoveUser(t.Context(), "paul", admin.ChangeOptions{Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	likeTheSite(t, web, listen, pagePath(t, r.Page))
}
