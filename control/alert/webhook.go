package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook, as standardwebhooks.com has them, so that what people use already
// can check them.
const (
	headerID        = "Webhook-Id"        // of the message: the same when it is sent again
	headerTimestamp = "Webhook-Timestamp" // when this was sent, in seconds since 1970
	headerSignature = "Webhook-Signature" // "v1," and the signature in base64
)

// keyPrefix begins a key that is written in base64.
const keyPrefix = "whsec_"

// webhook posts one message at a time, signed when there is a key.
type webhook struct {
	httpSender
	r   Receiver
	now func() time.Time
}

func (*webhook) most() int            { return 1 }
func (*webhook) pause() time.Duration { return 0 }

func (w *webhook) send(ctx context.Context, batch []Message) (answer string, err error) {
	for _, m := range batch {
		body, err := w.r.body(m)
		if err != nil {
			return "", err
		}
		at := strconv.FormatInt(w.now().Unix(), 10)
		header := http.Header{
			"Content-Type":  {"application/json"},
			headerID:        {m.ID},
			headerTimestamp: {at},
		}
		if w.r.Secret != "" {
			header.Set(headerSignature, "v1,"+Sign(w.r.Secret, m.ID, at, body))
		}
		if _, answer, err = w.do(ctx, http.MethodPost, w.r.URL, body, header); err != nil {
			return "", err
		}
	}
	return answer, nil
}

// body is a message in the format of the receiver.
func (r Receiver) body(m Message) ([]byte, error) {
	if r.Format == FormatOCSF {
		return json.Marshal(ocsf(m))
	}
	return json.Marshal(m)
}

// Sign returns what stands behind "v1," in the header Webhook-Signature: HMAC-SHA-256 in
// base64 over id, timestamp and body with dots between them. A key that begins with
// "whsec_" is base64 behind that, others are taken byte by byte.
func Sign(key, id, timestamp string, body []byte) string {
	raw := []byte(key)
	if encoded, ok := strings.CutPrefix(key, keyPrefix); ok {
		if b, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			raw = b
		}
	}
	h := hmac.New(sha256.New, raw)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// ping says that all is well by asking for a URL.
type ping struct {
	httpSender
	r Receiver
}

func (*ping) most() int            { return 1 }
func (*ping) pause() time.Duration { return 0 }

func (p *ping) send(ctx context.Context, _ []Message) (string, error) {
	_, answer, err := p.do(ctx, http.MethodGet, p.r.URL, nil, http.Header{})
	return answer, err
}
