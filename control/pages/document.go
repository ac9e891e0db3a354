package pages

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Schema names the form of a Document.
const Schema = "mtguard/page/v1"

// Document is a page for programs: what GET gives for the address with .json behind it, or with "Accept: application/json". Its ETag is
// strong and depends on the content only, so a program that asks with If-None-Match gets 304 until something has changed. That is why it does
// not say when the proxy was last checked.
type Document struct {
	Schema string         `json:"schema"`
	Links  []DocumentLink `json:"links"` // the best first; empty when the owner cannot connect now
	// The times are those of Page, in UTC and whole seconds; also when they have passed.
	Updated      time.Time      `json:"updated,omitzero"`
	OldUntil     time.Time      `json:"old_until,omitzero"`
	Changes      time.Time      `json:"changes,omitzero"`
	ChangesUntil time.Time      `json:"changes_until,omitzero"`
	Expires      time.Time      `json:"expires,omitzero"`
	Quota        *DocumentQuota `json:"quota,omitempty"`
	Works        *bool          `json:"works,omitempty"` // left out while nobody has looked
	Note         string         `json:"note,omitempty"`
}

// DocumentLink is one way to connect.
type DocumentLink struct {
	Kind   string `json:"kind"`
	TG     string `json:"tg"`
	HTTPS  string `json:"https"`
	Server string `json:"server"`
	Port   uint16 `json:"port"`
	Secret string `json:"secret"`
}

// DocumentQuota is what is left to use, rounded down to a million bytes.
type DocumentQuota struct {
	Left int64  `json:"left"`
	Per  string `json:"per,omitempty"` // day or month
}

func (h *Handler) showDocument(w http.ResponseWriter, r *http.Request, page Page) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // links stay readable; nothing renders this as HTML
	if err := encoder.Encode(document(page)); err != nil {
		panic(err) // of these types nothing can fail but a year beyond 9999, a fault of the source
	}
	sum := sha256.Sum256(body.Bytes())
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	header := w.Header()
	header.Set("Cache-Control", "private, no-cache")
	header.Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.Write(body.Bytes())
}

func document(page Page) Document {
	second := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.UTC().Truncate(time.Second)
	}
	d := Document{
		Schema: Schema, Links: make([]DocumentLink, 0, len(page.Links)), Note: page.Note,
		Updated: second(page.Updated), OldUntil: second(page.OldUntil),
		Changes: second(page.Changes), ChangesUntil: second(page.ChangesUntil), Expires: second(page.Expires),
	}
	for _, l := range page.Links {
		d.Links = append(d.Links, DocumentLink{l.Kind, l.TG(), l.HTTPS(), l.Server, l.Port, l.Secret})
	}
	if page.QuotaLeft != nil {
		left := max(*page.QuotaLeft, 0)
		d.Quota = &DocumentQuota{Left: left - left%1_000_000, Per: page.QuotaPer}
	}
	if !page.Checked.IsZero() {
		d.Works = &page.Works
	}
	return d
}

// matches reports whether If-None-Match fields name tag, RFC 9110 section 13.1.2: "*" names any, and weak tags count too.
func matches(fields []string, tag string) bool {
	for _, field := range fields {
		for one := range strings.SplitSeq(field, ",") { // our tags have no comma
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
