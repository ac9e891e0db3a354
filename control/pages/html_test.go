package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mtguard/node/links"
	"mtguard/security/keys"
)

const (
	firstTG    = "tg://proxy?server=203.0.113.7&port=443&secret=" + secret
	firstHTTPS = "https://t.me/proxy?server=203.0.113.7&port=443&secret=" + secret
)

// What a person sees, word by word, in the language with the longest road to it.
func TestThePageSaysItAllInEnglish(t *testing.T) {
	text, _ := get(t, newTest(t, Options{}), Path(right))
	got := textOf(elements(t, text)["body"][0])
	want := "Connect Telegram " +
		"Your link changes on 5 December. Come back then and tap again, any time before 12 December; nothing to type. " +
		"Open in Telegram Telegram opens and shows the proxy. Tap Connect Proxy there, and you are done. " +
		"✔ Works now · checked 40 s ago It works here and not for you? Then something on your way blocks it: try another network. Check again " +
		"Valid until 28 March 2027 Traffic left this month 3.2 GB Questions? Ask Nadia. " +
		"Or scan from another phone " +
		"More servers Add these too, as a reserve. proxy2.example.com " +
		"Does it not open? In Telegram open Settings › Data and Storage › Proxy . On a computer: Settings › Advanced › Connection type . " +
		"Tap Add Proxy and choose MTProto . Copy these three in and save. " +
		"Server 203.0.113.7 Port 443 Secret " + secret + " proxy2.example.com Server proxy2.example.com Port 443 Secret " + secret + " " +
		"Another way: the same link at t.me (where t.me is not blocked) " +
		"English Русский فارسی"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestThePageWorksInEveryLanguage(t *testing.T) {
	h := newTest(t, Options{})
	for _, l := range languages {
		text, header := get(t, h, Path(right), "Accept-Language", l.Lang)
		if asked, _ := get(t, h, Path(right)+"?lang="+l.Lang, "Accept-Language", "de"); asked != text {
			t.Errorf("%s: the switch gives another page than the browser's language", l.Lang)
		}
		by := elements(t, text)
		if root := by["html"][0]; attr(root, "lang") != l.Lang || attr(root, "dir") != l.Dir || header.Get("Content-Language") != l.Lang {
			t.Errorf("%s: the document is in %q, %q", l.Lang, attr(root, "lang"), attr(root, "dir"))
		}
		if len(text) > 15_000 || header.Get("Content-Length") != strconv.Itoa(len(text)) {
			t.Errorf("%s: %d bytes, Content-Length %s", l.Lang, len(text), header.Get("Content-Length"))
		}
		seen := textOf(by["body"][0])
		for _, part := range []string{l.Title, l.Open, l.Scan, l.WorksNow, l.Blame, l.Again, l.Expires, l.LeftThisMonth, l.More, l.MoreHint, l.Trouble, l.Server, l.Port, l.Secret, l.Other, l.Same, l.SameWhere} {
			if !strings.Contains(seen, part) {
				t.Errorf("%s: the page lacks %q", l.Lang, part)
			}
		}
		checkButtonAndCode(t, by, l)
		checkSwitch(t, by, l)
	}
}

func checkButtonAndCode(t *testing.T, by map[string][]*html.Node, l *words) {
	t.Helper()
	for _, a := range by["a"] {
		if textOf(a) == l.Open && attr(a, "href") != firstTG {
			t.Errorf("%s: the button leads to %q", l.Lang, attr(a, "href"))
		}
		if textOf(a) == l.Same && attr(a, "href") != firstHTTPS {
			t.Errorf("%s: the other way leads to %q", l.Lang, attr(a, "href"))
		}
	}
	if len(by["img"]) != 1 || attr(by["img"][0], "alt") != l.Code {
		t.Fatalf("%s: %d pictures", l.Lang, len(by["img"]))
	}
	data, ok := strings.CutPrefix(attr(by["img"][0], "src"), "data:image/svg+xml,")
	svg, err := url.PathUnescape(data)
	if !ok || err != nil {
		t.Fatalf("%s: the picture is %.60q, %v", l.Lang, data, err)
	}
	want, err := links.SVG(firstTG)
	if err != nil {
		t.Fatal(err)
	}
	if svg != strings.ReplaceAll(want, `"`, `'`) {
		t.Errorf("%s: the code is not that of the tg:// link", l.Lang)
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%s: the code is no SVG: %v", l.Lang, err)
		}
	}
}

func checkSwitch(t *testing.T, by map[string][]*html.Node, l *words) {
	t.Helper()
	var found []string
	for _, a := range by["a"] {
		if lang := attr(a, "hreflang"); lang != "" {
			found = append(found, lang)
			if attr(a, "href") != "?lang="+lang || attr(a, "lang") != lang || (attr(a, "aria-current") == "true") != (lang == l.Lang) {
				t.Errorf("%s: the switch to %s is %v", l.Lang, lang, a.Attr)
			}
		}
	}
	if strings.Join(found, " ") != "en ru fa" {
		t.Errorf("%s: the switch offers %v", l.Lang, found)
	}
}

// One request, no script, nothing from elsewhere, no brand; and the policy says so to the browser, too.
func TestThePageLoadsNothingAndRunsNothing(t *testing.T) {
	h := newTest(t, Options{})
	text, header := get(t, h, Path(right))
	for name, nodes := range elements(t, text) {
		switch name {
		case "script", "iframe", "object", "embed", "form", "base", "audio", "video", "source", "svg":
			t.Errorf("there is a <%s>", name)
		}
		for _, n := range nodes {
			for _, a := range n.Attr {
				leads := a.Key == "href" || a.Key == "src"
				fine := strings.HasPrefix(a.Val, "tg://proxy?") || strings.HasPrefix(a.Val, "https://t.me/proxy?") || strings.HasPrefix(a.Val, "?lang=") || strings.HasPrefix(a.Val, "data:")
				if leads && !fine || strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcset" || a.Key == "action" || a.Key == "ping" {
					t.Errorf("<%s %s=%q>", name, a.Key, a.Val)
				}
			}
		}
	}
	if regexp.MustCompile(`@import|url\(`).MatchString(pageCSS) || regexp.MustCompile(`\b(left|right)\s*:|(margin|padding|border)-(left|right)|text-align:right`).MatchString(pageCSS) {
		t.Error("the style loads something, or does not turn round for right-to-left")
	}
	if strings.Contains(strings.ToLower(text), "mtguard") {
		t.Error("the page names its program")
	}
	style := elements(t, text)["style"][0].FirstChild.Data
	sum := sha256.Sum256([]byte(style))
	want := map[string]string{
		"Content-Security-Policy":      "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"Cache-Control":                "no-store",
		"Content-Type":                 "text/html; charset=utf-8",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Robots-Tag":                 "noindex, nofollow, noarchive",
		"Set-Cookie":                   "",
	}
	for name, value := range want {
		if got := header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
}

func TestWhatOthersWroteStaysText(t *testing.T) {
	hostile := `"><script>alert(1)</script><img src=x onerror=alert(1)>' {{.}} javascript:alert(1) &lt;`
	page := fullPage()
	page.Note = hostile
	page.Links = []Link{{hostile, keys.Link{Server: hostile, Port: 443, Secret: hostile}}, {hostile, keys.Link{Server: hostile, Port: 443, Secret: "x"}}}
	h := newTest(t, Options{Source: newSource(map[string]Page{right: page})})
	text, _ := get(t, h, Path(right))
	by := elements(t, text)
	if len(by["script"]) != 0 || len(by["img"]) != 1 {
		t.Fatalf("%d scripts, %d pictures", len(by["script"]), len(by["img"]))
	}
	if n := strings.Count(textOf(by["body"][0]), strings.Join(strings.Fields(hostile), " ")); n < 5 {
		t.Errorf("the text is shown %d times", n)
	}
	for _, a := range by["a"] {
		if href := attr(a, "href"); !strings.HasPrefix(href, "tg://proxy?server=%22%3E%3Cscript%3E") && !strings.HasPrefix(href, "https://t.me/proxy?server=%22%3E") && !strings.HasPrefix(href, "?lang=") {
			t.Errorf("a link leads to %q", href)
		}
	}
	if _, header := get(t, h, Path(right)+".json"); header.Get("Content-Type") != "application/json" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser may take the document for a page: %v", header)
	}
}

func TestANoteIsBounded(t *testing.T) {
	page := plainPage()
	for _, note := range []string{strings.Repeat("ы", 10_000), strings.Repeat("a", 501), "\xff\xfe bad", "  \n "} {
		page.Note = note
		text, _ := get(t, newTest(t, Options{Source: newSource(map[string]Page{right: page})}), Path(right))
		if len(text) > 10_000 || strings.Contains(text, "\xff") || strings.Contains(text, "�…") {
			t.Errorf("a note of %d bytes makes a page of %d", len(note), len(text))
		}
		if (strings.TrimSpace(note) == "") == strings.Contains(text, `class="note"`) {
			t.Errorf("an empty note is shown, or %.10q is not", note)
		}
	}
}

// Many links, long names, the longest note, in the languages with the longest letters.
func TestALargePageStaysSmall(t *testing.T) {
	for name, most := range map[int]int{100: 15_000, 182: 16_500} {
		page := fullPage()
		page.Note = strings.Repeat("ы", 250)
		page.Links = nil
		for range 20 {
			page.Links = append(page.Links, Link{"faketls", keys.Link{Server: "203.0.113.7", Port: 65535, Secret: "ee" + strings.Repeat("61", 16+name)}})
		}
		h := newTest(t, Options{Source: newSource(map[string]Page{right: page})})
		for _, l := range languages {
			text, _ := get(t, h, Path(right)+"?lang="+l.Lang)
			if len(text) > most || len(elements(t, text)["img"]) != 1 {
				t.Errorf("%s, a cover name of %d bytes: %d bytes", l.Lang, name, len(text))
			}
		}
		var d Document
		text, _ := get(t, h, Path(right)+".json")
		if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Links) != 20 {
			t.Errorf("the document has %d links, %v", len(d.Links), err)
		}
	}
}

func TestALinkTooLongForACodeIsShownWithout(t *testing.T) {
	page := Page{Links: []Link{{"faketls", keys.Link{Server: "a.example", Port: 1, Secret: strings.Repeat("x", 3000)}}}}
	text, _ := get(t, newTest(t, Options{Source: newSource(map[string]Page{right: page})}), Path(right))
	if by := elements(t, text); len(by["img"]) != 0 || !strings.Contains(textOf(by["body"][0]), english.Open) {
		t.Error("there is a code, or no button")
	}
}

func TestTheNoticeTellsWhatToDoAndWhen(t *testing.T) {
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	for name, test := range map[string]struct {
		page Page
		want string
	}{
		"nothing planned":       {Page{}, ""},
		"a change with overlap": {Page{Changes: day(7), ChangesUntil: day(14)}, "Your link changes on 5 December. Come back then and tap again, any time before 12 December; nothing to type."},
		"a change at once":      {Page{Changes: day(7)}, "Your link changes on 5 December, 12:00 UTC, and the old one stops at once. Come back then and tap again; nothing to type."},
		"a short overlap":       {Page{Changes: day(7), ChangesUntil: day(7).Add(3 * time.Hour)}, "Your link changes on 5 December, 12:00 UTC. Come back then and tap again, any time before 5 December, 15:00 UTC; nothing to type."},
		"changed lately":        {Page{Updated: day(-3), OldUntil: day(4)}, "Your link changed on 25 November. If you have not tapped the button since, tap it before 2 December; nothing to type."},
		"changed, nearly over":  {Page{Updated: day(-6), OldUntil: day(1)}, "Your link changed on 22 November, 12:00 UTC. If you have not tapped the button since, tap it before 29 November, 12:00 UTC; nothing to type."},
		"all of it long ago":    {Page{Updated: day(-60), OldUntil: day(-50), Changes: day(-1), ChangesUntil: day(-1)}, ""},
		"a late change":         {Page{Changes: day(0), ChangesUntil: day(7)}, ""},
		"both":                  {Page{Updated: day(-3), OldUntil: day(4), Changes: day(20), ChangesUntil: day(27)}, "Your link changes on 18 December. Come back then and tap again, any time before 25 December; nothing to type."},
	} {
		if got := plainSpaces(notice(&english, test.page, start)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestTheStateAndTheFactsAreSaidAsTheyAre(t *testing.T) {
	ptr := func(n int64) *int64 { return &n }
	base := plainPage()
	with := func(change func(*Page)) Page { p := base; change(&p); return p }
	for name, test := range map[string]struct {
		page     Page
		has, not string
	}{
		"never checked":         {base, "", "checked"},
		"works":                 {with(func(p *Page) { p.Checked, p.Works = start.Add(-15*time.Minute), true }), "✔ Works now · checked 15 min ago", "Does not"},
		"worked long ago":       {with(func(p *Page) { p.Checked, p.Works = start.Add(-16*time.Minute), true }), "Worked when it was last checked · checked 16 min ago", "now"},
		"does not work":         {with(func(p *Page) { p.Checked = start.Add(-time.Minute) }), "✘ Does not answer at the moment · checked 60 s ago Your link is all right. Try again in a while. Check again", "✔"},
		"a check in the future": {with(func(p *Page) { p.Checked, p.Works = start.Add(time.Hour), true }), "checked 0 s ago", ""},
		"no link":               {Page{}, "There is no link for you right now. Keep this address and come back later.", "Open in"},
		"expires soon":          {with(func(p *Page) { p.Expires = start.Add(5 * time.Hour) }), "Valid until 28 November, 17:00 UTC", ""},
		"expires at midnight":   {with(func(p *Page) { p.Expires = time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC) }), "Valid until 23 December", ""},
		"expired":               {with(func(p *Page) { p.Expires = start }), "", "Valid"},
		"quota for ever":        {with(func(p *Page) { p.QuotaLeft = ptr(math.MaxInt64) }), "Traffic left 9223372 TB", ""},
		"quota a day":           {with(func(p *Page) { p.QuotaLeft, p.QuotaPer = ptr(20_000_000), "day" }), "Traffic left today 20 MB", ""},
		"nothing left":          {with(func(p *Page) { p.QuotaLeft, p.QuotaPer = ptr(-5), "month" }), "Traffic left this month none", ""},
	} {
		text, _ := get(t, newTest(t, Options{Source: newSource(map[string]Page{right: test.page})}), Path(right))
		seen := textOf(elements(t, text)["body"][0])
		if !strings.Contains(seen, test.has) || test.not != "" && strings.Contains(seen, test.not) {
			t.Errorf("%s: %s", name, seen)
		}
	}
}

func TestLinksOfOneServerAreToldApartByTheirKind(t *testing.T) {
	a, b, c := link("a.example"), link("a.example"), link("b.example")
	b.Kind = "secure"
	all := []Link{a, b, c}
	for i, want := range []string{"a.example · faketls", "a.example · secure", "b.example"} {
		if got := label(all[i], all); got != want {
			t.Errorf("link %d is called %q, want %q", i, got, want)
		}
	}
}

// WCAG 2.2, 1.4.3 (AA): 4.5 to 1 for text.
func TestColoursContrastEnough(t *testing.T) {
	schemes := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(pageCSS, -1)
	if len(schemes) != 2 {
		t.Fatalf("%d colour schemes", len(schemes))
	}
	for i, scheme := range schemes {
		colour := make(map[string]string)
		for _, m := range regexp.MustCompile(`--([a-z-]+):#([0-9a-f]+)`).FindAllStringSubmatch(scheme[1], -1) {
			colour[m[1]] = m[2]
		}
		for _, pair := range []string{"text card", "text ground", "soft card", "link card", "link ground", "go-text go", "good card", "bad card", "notice-text notice"} {
			front, ground, _ := strings.Cut(pair, " ")
			if ratio := contrast(t, colour[front], colour[ground]); ratio < 4.5 {
				t.Errorf("scheme %d: %s has a contrast of %.2f", i, pair, ratio)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(hex string) float64 {
		if len(hex) == 3 {
			hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
		}
		n, err := strconv.ParseUint(hex, 16, 32)
		if err != nil || len(hex) != 6 {
			t.Fatalf("colour %q", hex)
		}
		part := func(shift uint) float64 {
			c := float64(n>>shift&0xff) / 255
			if c <= 0.04045 {
				return c / 12.92
			}
			return math.Pow((c+0.055)/1.055, 2.4)
		}
		return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
	}
	l, d := luminance(a), luminance(b)
	return (max(l, d) + 0.05) / (min(l, d) + 0.05)
}

func TestHEADHasTheHeadersOfGETAndIsNoView(t *testing.T) {
	source := newSource(map[string]Page{right: fullPage()})
	h := newTest(t, Options{Source: source})
	for _, target := range []string{Path(right), Path(right) + ".json"} {
		head := do(t, h, request("HEAD", target))
		_, header := get(t, h, target)
		if head.StatusCode != http.StatusOK || len(head.Header) != len(header) {
			t.Errorf("HEAD %s: %d, %v", target, head.StatusCode, head.Header)
		}
		for name := range header {
			if head.Header.Get(name) != header.Get(name) {
				t.Errorf("HEAD %s: %s is %q, with GET %q", target, name, head.Header.Get(name), header.Get(name))
			}
		}
	}
	if len(source.viewed) != 1 || source.viewed[0] != right {
		t.Errorf("views: %v, want the one GET of the page", source.viewed)
	}
}

// Chat programs put what follows an address into the link.
func TestAHolderSeesThePageInSpiteOfWhatWasAppended(t *testing.T) {
	h := newTest(t, Options{})
	for _, after := range []string{".", ")", "/", ",", "?utm_source=chat", "%20", "%D8%8C", "%22%3E", "?lang=xx"} {
		if text, _ := get(t, h, Path(right)+after); !strings.Contains(text, english.Open) {
			t.Errorf("%q: no page", after)
		}
	}
}

func TestTheDocumentHasEverything(t *testing.T) {
	h := newTest(t, Options{})
	text, header := get(t, h, Path(right)+".json")
	want := `{"schema":"mtguard/page/v1","links":[` +
		`{"kind":"faketls","tg":"` + firstTG + `","https":"` + firstHTTPS + `","server":"203.0.113.7","port":443,"secret":"` + secret + `"},` +
		`{"kind":"faketls","tg":"` + strings.Replace(firstTG, "203.0.113.7", "proxy2.example.com", 1) + `","https":"` + strings.Replace(firstHTTPS, "203.0.113.7", "proxy2.example.com", 1) + `","server":"proxy2.example.com","port":443,"secret":"` + secret + `"}],` +
		`"updated":"2026-10-28T12:00:00Z","changes":"2026-12-05T09:00:00Z","changes_until":"2026-12-12T09:00:00Z","expires":"2027-03-28T12:00:00Z",` +
		`"quota":{"left":3249000000,"per":"month"},"works":true,"note":"Questions? Ask Nadia."}` + "\n"
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if header.Get("Cache-Control") != "private, no-cache" || header.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", header)
	}
	if byAccept, _ := get(t, h, Path(right), "Accept", "application/json"); byAccept != text {
		t.Error("by Accept there is another document")
	}
	empty, _ := get(t, newTest(t, Options{Source: newSource(map[string]Page{right: {}})}), Path(right)+".json")
	if empty != `{"schema":"mtguard/page/v1","links":[]}`+"\n" {
		t.Errorf("an empty page is %s", empty)
	}
}

func TestTheDocumentIsSentAgainOnlyWhenItHasChanged(t *testing.T) {
	source := newSource(map[string]Page{right: fullPage()})
	h := newTest(t, Options{Source: source})
	_, header := get(t, h, Path(right)+".json")
	tag := header.Get("ETag")
	if !regexp.MustCompile(`^"[A-Za-z0-9_-]{22}"$`).MatchString(tag) {
		t.Fatalf("the tag is %q, not a strong one", tag)
	}
	// Another check of the proxy is no change, nor is the use of some bytes.
	page, less := fullPage(), int64(3_249_000_000)
	page.Checked, page.QuotaLeft = start, &less
	source.pages[sha256.Sum256([]byte(right))] = page
	for _, field := range []string{tag, "W/" + tag, `"x", ` + tag, "*", `"x" , W/` + tag + ` `} {
		answer := do(t, h, request("GET", Path(right)+".json", "If-None-Match", field))
		if answer.StatusCode != http.StatusNotModified || body(t, answer) != "" || answer.Header.Get("ETag") != tag || answer.Header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("If-None-Match %s: %d, %v", field, answer.StatusCode, answer.Header)
		}
	}
	for _, field := range []string{"", `"x"`, strings.Trim(tag, `"`), tag[:5] + `"`} {
		if answer := do(t, h, request("GET", Path(right)+".json", "If-None-Match", field)); answer.StatusCode != http.StatusOK {
			t.Errorf("If-None-Match %s: %d", field, answer.StatusCode)
		}
	}
	changed := map[string]func(*Page){
		"links":   func(p *Page) { p.Links = p.Links[:1] },
		"note":    func(p *Page) { p.Note = "" },
		"works":   func(p *Page) { p.Works = false },
		"changes": func(p *Page) { p.Changes = p.Changes.Add(time.Second) },
		"quota":   func(p *Page) { left := less - 1; p.QuotaLeft = &left },
	}
	for name, change := range changed {
		page := fullPage()
		page.QuotaLeft = &less
		change(&page)
		source.pages[sha256.Sum256([]byte(right))] = page
		answer := do(t, h, request("GET", Path(right)+".json", "If-None-Match", tag))
		if answer.StatusCode != http.StatusOK || answer.Header.Get("ETag") == tag {
			t.Errorf("%s changed: %d, %s", name, answer.StatusCode, answer.Header.Get("ETag"))
		}
	}
	// The page itself is never taken from a store.
	if answer := do(t, h, request("GET", Path(right), "If-None-Match", "*")); answer.StatusCode != http.StatusOK || answer.Header.Get("ETag") != "" {
		t.Errorf("the page: %d, %v", answer.StatusCode, answer.Header)
	}
}
