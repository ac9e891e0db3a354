package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// mostWait bounds what a receiver may ask us to wait.
const mostWait = time.Hour

// httpSender is what senders over HTTP share.
type httpSender struct{ client *http.Client }

func newHTTP(r Receiver) httpSender {
	return httpSender{&http.Client{
		Timeout: timeout,
		// What answers from elsewhere than the operator said is not who he meant.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: r.Roots, MinVersion: tls.VersionTLS12},
			DialContext:            (&net.Dialer{Timeout: timeout / 2}).DialContext,
			TLSHandshakeTimeout:    timeout / 2,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           1,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
	}}
}

func (h httpSender) close() { h.client.CloseIdleConnections() }

// do sends a request and returns the body of a good answer. Others are a *failure.
func (h httpSender) do(ctx context.Context, method, url string, body []byte, header http.Header) ([]byte, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	request.Header = header
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "mtguard-alert/1")
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 == 2 {
		return answer, said(response.Status, answer), err
	}
	f := &failure{text: "it answered " + said(response.Status, answer), after: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	switch code := response.StatusCode; {
	case code/100 == 3:
		f.text = fmt.Sprintf("it answered %s: redirects are not followed, give the address it moved to", response.Status)
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity:
		f.final = true
	}
	return answer, "", f
}

// said is what a receiver answered, for people.
func said(status string, body []byte) string {
	text := strings.TrimSpace(clip(string(body), 160))
	if text == "" {
		return clip(status, 64)
	}
	return clip(status, 64) + ": " + text
}

// retryAfter reads the header, a number of seconds or a date, and bounds it.
func retryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), mostWait)
}
