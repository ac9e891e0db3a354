package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/node/links"
)

// linkItem is a link as --json prints it.
type linkItem struct {
	control.Link
	Page string `json:"page,omitempty"`
}

// linkStyle says what `link` shows.
type linkStyle struct {
	qr, direct bool
	png, svg   string
}

func (a *app) linkCommand() *cobra.Command {
	o := new(nodeFlags)
	var style linkStyle
	cmd := &cobra.Command{
		Use:     "link [NAME]",
		GroupID: groupPeople,
		Short:   "Print the links of all users, or of one",
		Long: `Print the links of all users, or of one: one for each transport. When the user that is
named has a page, it is the address of the page, which always shows the newest
link; --direct prints the links all the same.

Whoever has a link can use the proxy: hand it out like a key. The audit log keeps
who looked at which.`,
		Example: `  mtguard link
  mtguard link alice --qr
  mtguard link alice --direct --png alice.png
  mtguard link --json`,
		Args:              atMost(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			if err := style.check(c); err != nil {
				return err
			}
			name := ""
			if len(c.args) == 1 {
				name = c.args[0]
			}
			if name == "" {
				c.slow()
				style.direct = true
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.Links(c.ctx, name, o) })
			if err != nil {
				return err
			}
			return answer(c, linkItems(result), func() error { return c.showLink(result, style) })
		}),
	}
	o.common(cmd.Flags())
	cmd.Flags().StringVar(&o.reason, "reason", "", "`TEXT` for the audit log")
	cmd.Flags().BoolVar(&style.qr, "qr", false, "draw a QR code below each link")
	cmd.Flags().BoolVar(&style.direct, "direct", false, "print the links, not the page's address")
	cmd.Flags().StringVar(&style.png, "png", "", "write the QR code to `FILE` as PNG")
	cmd.Flags().StringVar(&style.svg, "svg", "", "write the QR code to `FILE` as SVG")
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}

func (s linkStyle) check(c *call) error {
	switch {
	case c.format != formTable && s.qr:
		return &usageError{errors.New("--json and --qr exclude each other"), "a QR code holds the text of tg"}
	case len(c.args) == 0 && (s.png != "" || s.svg != ""):
		return &usageError{errors.New("a picture is of one user's link"), "name the user: " + c.cmd.CommandPath() + " NAME"}
	}
	return nil
}

func linkItems(result control.Result) []linkItem {
	items := make([]linkItem, 0, len(result.Links))
	for _, link := range result.Links {
		items = append(items, linkItem{link, result.Page})
	}
	return items
}

// pixels are the side of a module in a PNG.
const pixels = 8

// showLink prints what was asked for, and draws the pictures.
func (c *call) showLink(result control.Result, style linkStyle) error {
	if result.Page != "" && !style.direct {
		result.Links = nil
	} else {
		result.Page = ""
	}
	code := result.Page
	if code == "" && len(result.Links) > 0 {
		code = result.Links[0].TG
	}
	for _, picture := range []struct {
		file string
		draw func(string) ([]byte, error)
	}{
		{style.png, func(text string) ([]byte, error) { return links.PNG(text, pixels) }},
		{style.svg, func(text string) ([]byte, error) {
			drawing, err := links.SVG(text)
			return []byte(drawing), err
		}},
	} {
		if picture.file == "" {
			continue
		}
		drawing, err := picture.draw(code)
		if err != nil {
			return err
		}
		if _, err := newFile(picture.file, func(w io.Writer) error {
			_, err := w.Write(drawing)
			return err
		}); err != nil {
			return err
		}
	}
	if style.png != "" || style.svg != "" {
		return nil // the link is in the picture; a terminal keeps what it showed
	}
	return c.showLinks(result, style.qr)
}

// showLinks prints the page and the links that a change handed out.
func (c *call) showLinks(result control.Result, qr bool) error {
	out := c.app.stdout
	if result.Page != "" {
		fmt.Fprintf(out, "page\n  %s\n", clean(result.Page))
		if qr {
			code, err := links.QR(result.Page, colour(out))
			if err != nil {
				return err
			}
			fmt.Fprint(out, code)
		}
	}
	if len(result.Links) == 0 {
		return nil
	}
	items := make([]links.Item, 0, len(result.Links))
	for _, link := range result.Links {
		items = append(items, links.Item{User: clean(link.User), Kind: clean(link.Kind), Secret: link.Secret, TG: clean(link.TG), HTTPS: clean(link.HTTPS)})
	}
	if !c.quiet {
		c.app.note(reachable(result.Links[0]))
	}
	return links.Write(out, items, links.Style{QR: qr, Colour: colour(out)})
}

// reachable says what an operator should know about the address in a link, or nothing.
func reachable(link control.Link) string {
	at, err := url.Parse(link.TG)
	if err != nil {
		return ""
	}
	host := at.Query().Get("server")
	if host == "" {
		return ""
	}
	located, err := links.Locate("", []string{net.JoinHostPort(host, at.Query().Get("port"))})
	if err != nil {
		return ""
	}
	return located.Note
}
