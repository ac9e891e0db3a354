package node

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mtguard/control/pages"
	"mtguard/node/links"
	"mtguard/security/keys"
	"mtguard/telemetry/event"
)

// pageURL is the address of the page with that token, "" while pages are off.
func (n *Node) pageURL(token string) string {
	if n.pages == nil {
		return ""
	}
	return strings.TrimSuffix(n.File().Pages.URL, "/") + pages.Path(token)
}

// servePages serves the recipients' pages until ctx ends.
func (n *Node) servePages(ctx context.Context, work *sync.WaitGroup) {
	if n.pages == nil {
		return
	}
	file := n.File()
	source := &recipients{n: n}
	handler := pages.NewHandler(pages.Options{
		Source: source,
		QR:     links.SVG,
		Cover: func() pages.Site {
			cover := n.live.Load().Cover
			return pages.Site{Address: cover.Address, Name: cover.Name}
		},
		BehindProxy: file.Pages.CertFile == "",
		Guessed: func(client netip.Addr) {
			n.guesses[1].Inc()
			n.bus.Emit(event.Event{Time: time.Now(), Kind: event.Guess, Addr: client, Control: "pages", Reason: "page"})
		},
		Log: n.log,
	})
	work.Go(func() {
		defer handler.Close()
		o := pages.ServeOptions{CertFile: file.Pages.CertFile, KeyFile: file.Pages.KeyFile, Log: n.log}
		if err := pages.Serve(ctx, n.pages, handler, o); err != nil {
			n.log.Error("pages", "error", err)
		}
	})
	n.log.Info("pages", "listen", n.pages.Addr().String(), "url", file.Pages.URL)
}

// PagesAt is the address of the pages' listener, the zero AddrPort when it is off.
func (n *Node) PagesAt() netip.AddrPort {
	if n.pages == nil {
		return netip.AddrPort{}
	}
	return n.pages.Addr().(*net.TCPAddr).AddrPort()
}

// recipients is the control plane as the pages see it.
type recipients struct{ n *Node }

// Page is what the page with that token shows.
func (r *recipients) Page(_ context.Context, token string) (pages.Page, bool) {
	who, ok := r.n.plane.Recipient(token)
	if !ok {
		return pages.Page{}, false
	}
	file := r.n.File()
	page := pages.Page{
		Updated: who.Updated, OldUntil: who.OldUntil, Changes: who.Changes, ChangesUntil: who.ChangesUntil, Expires: who.Expires,
		QuotaLeft: who.Left, QuotaPer: who.Per, Note: file.Pages.Note, Checked: time.Now(), Works: r.n.serving.Load(),
	}
	if !who.Serving {
		return page, true
	}
	at, err := r.n.Locate()
	if err != nil {
		return page, true
	}
	for _, link := range who.Links {
		page.Links = append(page.Links, pages.Link{Kind: link.Kind, Link: keys.Link{Server: at.Host, Port: at.Port, Secret: link.Secret}})
	}
	return page, true
}

// Viewed counts a view.
func (r *recipients) Viewed(token string) { r.n.plane.Viewed(token) }

var _ pages.Source = (*recipients)(nil)
