package pages

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))
	pageStyle    = template.CSS(strings.TrimSpace(pageCSS))

	// contentPolicy allows the page's own style, named by its hash so that it needs no second request, and pictures inside the page.
	contentPolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const (
	// maxHTML is how large a page may be. Links beyond it are left out; the document has all. One link is shown however long it is: with a
	// cover name of more than about 130 bytes, which nobody has, it makes a page of up to 16.5 kB.
	maxHTML    = 15_000
	shownLinks = 8
	shownNote  = 500
	// fresh is how long "works now" may be said after a check.
	fresh = 15 * time.Minute
	// near is when a date is told with the time of day.
	near = 48 * time.Hour
)

// view is a page in words, as the template wants it.
type view struct {
	*words
	Style     template.CSS
	QR        template.URL
	Links     []viewLink
	Notice    string
	Status    string // "good", "bad", "old" or ""
	CheckedAt string
	Facts     []fact
	Note      string
	Languages []*words
}

type viewLink struct {
	TG, HTTPS template.URL // made of a server, a port and a secret by keys.Link, so the scheme is ours
	Label     string
	Server    string
	Port      uint16
	Secret    string
}

type fact struct{ Name, Value string }

func (h *Handler) showHTML(w http.ResponseWriter, r *http.Request, page Page, now time.Time) {
	v := newView(chooseLanguage(r.URL.Query().Get("lang"), r.Header.Values("Accept-Language")), page, now)
	if len(page.Links) > 0 {
		// A link too long for a code is shown without.
		if svg, err := h.qr(page.Links[0].TG()); err == nil {
			v.QR = template.URL("data:image/svg+xml," + escapeData.Replace(svg))
		}
	}
	body := v.render()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Language", v.Lang)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// render writes the page, with as many links as it has room for.
func (v *view) render() []byte {
	for {
		var body bytes.Buffer
		if err := pageTemplate.Execute(&body, v); err != nil {
			panic(err)
		}
		if body.Len() <= maxHTML || len(v.Links) <= 1 {
			return body.Bytes()
		}
		v.Links = v.Links[:len(v.Links)-1]
	}
}

// escapeData escapes what may not stand in a data: address within an attribute; most of an SVG may.
var escapeData = strings.NewReplacer("%", "%25", "#", "%23", `"`, "'", "<", "%3c", ">", "%3e", "\n", "")

func newView(l *words, page Page, now time.Time) *view {
	v := &view{words: l, Style: pageStyle, Languages: languages, Note: clip(page.Note), Notice: notice(l, page, now)}
	for _, link := range page.Links[:min(len(page.Links), shownLinks)] {
		v.Links = append(v.Links, viewLink{
			TG: template.URL(link.TG()), HTTPS: template.URL(link.HTTPS()), Label: label(link, page.Links),
			Server: link.Server, Port: link.Port, Secret: link.Secret,
		})
	}
	if !page.Checked.IsZero() {
		v.CheckedAt = fmt.Sprintf(l.Checked, l.numbers.since(page.Checked, now))
		switch {
		case !page.Works:
			v.Status = "bad"
		case now.Sub(page.Checked) <= fresh:
			v.Status = "good"
		default:
			v.Status = "old"
		}
	}
	if page.Expires.After(now) {
		v.Facts = append(v.Facts, fact{l.Expires, l.until(page.Expires, now)})
	}
	if page.QuotaLeft != nil {
		v.Facts = append(v.Facts, quota(l, *page.QuotaLeft, page.QuotaPer))
	}
	return v
}

// notice says what the next change of the link asks of its owner.
func notice(l *words, page Page, now time.Time) string {
	switch {
	case page.Changes.After(now) && page.ChangesUntil.After(page.Changes):
		at, until := l.dates(page.Changes, page.ChangesUntil, now)
		return fmt.Sprintf(l.Changes, at, until)
	case page.Changes.After(now):
		return fmt.Sprintf(l.ChangesAtOnce, l.numbers.clock(page.Changes))
	case page.OldUntil.After(now) && !page.Updated.IsZero():
		at, until := l.dates(page.Updated, page.OldUntil, now)
		return fmt.Sprintf(l.Changed, at, until)
	}
	return ""
}

// dates writes two times as days, or both with the time of day where days would be too coarse.
func (l *words) dates(from, to, now time.Time) (first, second string) {
	if to.Sub(from) < near || to.Sub(now) < near {
		return l.numbers.clock(from), l.numbers.clock(to)
	}
	return l.numbers.date(from, now), l.numbers.date(to, now)
}

// until writes the last day of what ends at t.
func (l *words) until(t, now time.Time) string {
	if t.Sub(now) < near {
		return l.numbers.clock(t)
	}
	return l.numbers.date(t.Add(-time.Second), now)
}

func quota(l *words, left int64, per string) fact {
	name := l.Left
	switch per {
	case "day":
		name = l.LeftToday
	case "month":
		name = l.LeftThisMonth
	}
	if left <= 0 {
		return fact{name, l.NothingLeft}
	}
	return fact{name, l.numbers.amount(left)}
}

// label names a link among others: by its server, and by its kind where the server alone would not do.
func label(link Link, all []Link) string {
	same := 0
	for _, other := range all {
		if other.Server == link.Server && other.Port == link.Port {
			same++
		}
	}
	if same > 1 && link.Kind != "" {
		return link.Server + " · " + link.Kind
	}
	return link.Server
}

// clip keeps a note to its bound, at a letter's end.
func clip(note string) string {
	note = strings.TrimSpace(strings.ToValidUTF8(note, "�"))
	if len(note) <= shownNote {
		return note
	}
	end := shownNote
	for !utf8.RuneStart(note[end]) {
		end--
	}
	return note[:end] + "…"
}
