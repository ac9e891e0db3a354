package admin

import (
	"context"
	"net/http"

	"mtguard/control"
	"mtguard/control/advisory"
)

// BulletinBody is a crypto bulletin as its publisher has signed it.
type BulletinBody struct {
	Signed string `json:"signed" minLength:"1" maxLength:"65536" doc:"a note of golang.org/x/mod/sumdb/note"`
}

type cryptoOutput struct{ Body control.CryptoInfo }

func (s *server) getCrypto(ctx context.Context, _ *struct{}) (*cryptoOutput, error) {
	info, err := s.plane.Crypto(ctx)
	return &cryptoOutput{info}, err
}

type cryptoCheckOutput struct{ Body *advisory.Outcome }

func (s *server) checkCrypto(ctx context.Context, _ *struct{}) (*cryptoCheckOutput, error) {
	outcome, err := s.plane.CheckCrypto(ctx, actor(ctx))
	return &cryptoCheckOutput{outcome}, err
}

type takeBulletinInput struct {
	ChangeInput
	Body BulletinBody
}

// takeBulletin takes no revision: bulletins have numbers.
func (s *server) takeBulletin(ctx context.Context, in *takeBulletinInput) (*changed, error) {
	return s.change(ctx, control.TakeBulletin{Signed: in.Body.Signed}, &in.ChangeInput)
}

func (s *server) dropBulletin(ctx context.Context, in *ChangeInput) (*changed, error) {
	return s.change(ctx, control.DropBulletin{}, in)
}

// Crypto returns the node's cryptography.
func (c *Client) Crypto(ctx context.Context) (info control.CryptoInfo, err error) {
	err = c.do(ctx, get("/crypto"), &info)
	return info, err
}

// CheckCrypto has the node ask its sources now. It takes some minutes at most.
func (c *Client) CheckCrypto(ctx context.Context) (outcome advisory.Outcome, err error) {
	k := get("/crypto/check")
	k.method, k.long = http.MethodPost, true
	err = c.do(ctx, k, &outcome)
	return outcome, err
}

// TakeBulletin puts a signed crypto bulletin in force.
func (c *Client) TakeBulletin(ctx context.Context, body BulletinBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPut, "/crypto/bulletin", body, o)
}

// DropBulletin takes it out of force.
func (c *Client) DropBulletin(ctx context.Context, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodDelete, "/crypto/bulletin", nil, o)
}
