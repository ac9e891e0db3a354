package pages_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"mtguard/control/pages"
	"mtguard/node/links"
	"mtguard/security/keys"
)

// onePage is a source with one page. A real one finds pages by a hash of the token.
type onePage struct{ token string }

func (s onePage) Page(_ context.Context, token string) (pages.Page, bool) {
	if token != s.token {
		return pages.Page{}, false
	}
	link := keys.Link{Server: "203.0.113.7", Port: 443, Secret: "dd7c1f0d93a55be24486f2b1093cd86e5a"}
	return pages.Page{Links: []pages.Link{{Kind: "secure", Link: link}}}, true
}

func (onePage) Viewed(string) {}

// Pages on a loopback address, behind a proxy that speaks TLS.
func Example() {
	handler := pages.NewHandler(pages.Options{
		Source:      onePage{"4YbT0m1xQpW9vN2sKfLr8A"},
		QR:          links.SVG,
		Cover:       func() pages.Site { return pages.Site{Address: "127.0.0.1:8443", Name: "www.example.com"} },
		BehindProxy: true,
	})
	defer handler.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	fmt.Println(pages.Serve(ctx, listener, handler, pages.ServeOptions{}))
	// Output: <nil>
}
