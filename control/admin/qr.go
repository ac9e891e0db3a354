package admin

import (
	"context"

	"mtguard/node/links"
)

// QRBody is a text to be drawn: a link, or the address of a page. It is a secret, so it
// travels in a body, which no log holds, and prints as nothing.
type QRBody struct {
	Text string `json:"text" minLength:"1" maxLength:"1024"`
}

// String is the same for every text.
func (QRBody) String() string { return "a text for a QR code" }

// GoString is String.
func (b QRBody) GoString() string { return b.String() }

// QRAnswer is the code, as a picture that stands alone.
type QRAnswer struct {
	SVG string `json:"svg"`
}

type (
	qrInput  struct{ Body QRBody }
	qrOutput struct{ Body QRAnswer }
)

// drawQR is for browsers, which have no encoder.
func (s *server) drawQR(_ context.Context, in *qrInput) (*qrOutput, error) {
	svg, err := links.SVG(in.Body.Text)
	if err != nil {
		return nil, malformed.problem("the text does not fit into a QR code")
	}
	return &qrOutput{QRAnswer{svg}}, nil
}
