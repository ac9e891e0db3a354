package alert

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// facility is authpriv: security messages that not everybody reads (RFC 5424, 6.2.1).
const facility = 10

// sdID names our structured data. 32473 is the number that is set aside for those who
// have none of their own (RFC 5612).
const sdID = "mtguard@32473"

// syslog sends RFC 5424 messages over TLS, framed as RFC 5425 says. Syslog answers
// nothing; so each sending is a connection of its own, and what was sent counts as taken
// when the receiver has closed it in answer to our close, which RFC 5425, 4.4 demands of
// it. Whoever breaks off instead is sent everything again.
type syslog struct {
	r    Receiver
	id   identity
	dial func(ctx context.Context, address string) (*tls.Conn, *net.TCPConn, error)
}

func (*syslog) most() int            { return 64 }
func (*syslog) pause() time.Duration { return 0 }
func (*syslog) close()               {}

func (s *syslog) send(ctx context.Context, batch []Message) (string, error) {
	var frames []byte
	for _, m := range batch {
		line, err := s.line(m)
		if err != nil {
			return "", err
		}
		frames = append(frames, strconv.Itoa(len(line))+" "...)
		frames = append(frames, line...)
	}
	at, err := url.Parse(s.r.URL)
	if err != nil {
		return "", err
	}
	c, plain, err := s.dial(ctx, at.Host)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	stop := context.AfterFunc(ctx, func() { plain.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(frames); err != nil {
		return "", err
	}
	if err := errors.Join(c.CloseWrite(), plain.CloseWrite()); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(c, maxAnswer)); err != nil {
		return "", &failure{text: "it did not close the connection in answer, so it may not have read it all: " + err.Error()}
	}
	return "taken over " + tls.VersionName(c.ConnectionState().Version), nil
}

// line is a message as RFC 5424 has it.
func (s *syslog) line(m Message) ([]byte, error) {
	body, err := s.r.body(m)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("<" + strconv.Itoa(facility*8+syslogSeverity(m)) + ">1 ")
	b.WriteString(m.At.UTC().Format("2006-01-02T15:04:05.000000Z") + " ")
	b.WriteString(printable(s.id.node, 255) + " mtguard " + strconv.Itoa(os.Getpid()) + " " + printable(string(m.Kind), 32) + " ")
	b.WriteString("[" + sdID)
	for _, p := range [][2]string{
		{"id", m.ID}, {"about", m.About}, {"code", m.Code}, {"status", string(m.Status)}, {"severity", m.Severity.String()}, {"title", m.Title},
	} {
		b.WriteString(" " + p[0] + `="` + escape(p[1]) + `"`)
	}
	b.WriteString("] \ufeff") // the mark of UTF-8 that 6.4 asks for
	return append([]byte(b.String()), body...), nil
}

// syslogSeverity is the number of RFC 5424, 6.2.1. What is over is a notice.
func syslogSeverity(m Message) int {
	if m.Status.Over() {
		return 5
	}
	return [...]int{Info: 6, Low: 5, Medium: 4, High: 3, Critical: 2}[m.Severity]
}

// escape is PARAM-VALUE of RFC 5424, 6.3.3: a backslash before what would end it.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(clip(text, maxText))
}

// printable is text of printable ASCII without blanks, or "-" for none.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}
