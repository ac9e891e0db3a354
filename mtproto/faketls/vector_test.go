package faketls

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"
)

// hexBytes is a byte string of the vector files.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type helloCase struct {
	Name        string   `json:"name"`
	Secret      hexBytes `json:"secret"`
	Domain      string   `json:"domain"`
	Now         int64    `json:"now"`
	Hello       hexBytes `json:"hello"`
	DigestOK    bool     `json:"digest_ok"`
	Timestamp   *int64   `json:"timestamp"`
	SNI         *string  `json:"sni"`
	SessionID   hexBytes `json:"session_id"`
	FirstSuite  string   `json:"first_non_grease_cipher"`
	Expectation string   `json:"expect"`
	Why         string   `json:"why"`
}

type helloFile struct {
	Cases  []helloCase `json:"cases"`
	Replay struct {
		Hello        hexBytes `json:"hello"`
		Secret       hexBytes `json:"secret"`
		Now          int64    `json:"now"`
		RetimedHello hexBytes `json:"retimed_hello"`
		RetimedNow   int64    `json:"retimed_now"`
	} `json:"replay"`
}

func load[T any](t testing.TB, name string) (file T) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return file
}

// chosen says, for the cases in which programs differ, what a proxy built of this
// package with the default clock window and exact server names does, and why.
var chosen = map[string]struct{ verdict, why string }{
	"age-400s":           {"accept", "the default window is 600 s"},
	"ahead-60s":          {"accept", "the default window is 600 s"},
	"uptime-clock":       {"reject", "a hello without a clock cannot be told from an old copy"},
	"sni-other-case":     {"accept", "host names have no case"},
	"empty-session-id":   {"accept", "lengths are parsed, not assumed"},
	"small-hello":        {"accept", "100 bytes and more are parsed"},
	"oversized":          {"reject", "no record may be above 16384 bytes"},
	"fragmented-records": {"accept", "records are joined"},
}

// judge is what the proxy's handshake does with a hello, but for the replay cache.
func judge(c helloCase) (verdict, reason string) {
	h, n, need, err := ParseHello(c.Hello)
	switch {
	case err != nil:
		return "reject", err.Error()
	case need > 0:
		return "incomplete", strconv.Itoa(need) + " bytes missing"
	case n != len(c.Hello):
		return "reject", "bytes left over"
	case h.ServerName() != c.Domain:
		return "reject", "server name " + h.ServerName()
	}
	sentAt, ok := h.Open(c.Secret)
	if !ok {
		return "reject", "digest"
	}
	if age := time.Unix(c.Now, 0).Sub(sentAt); age.Abs() > 600*time.Second {
		return "reject", "age " + age.String()
	}
	if _, err := h.Answer(c.Secret, Profile{}, rand.Reader); err != nil {
		return "reject", err.Error()
	}
	return "accept", ""
}

func TestHelloVectors(t *testing.T) {
	used := 0
	for _, c := range load[helloFile](t, "faketls_hello.json").Cases {
		t.Run(c.Name, func(t *testing.T) {
			want, why := c.Expectation, c.Why
			if want == "policy" {
				choice, ok := chosen[c.Name]
				if !ok {
					t.Fatalf("programs differ and no choice is written down: %s", c.Why)
				}
				used++
				want, why = choice.verdict, choice.why
			}
			got, reason := judge(c)
			if got != want {
				t.Errorf("%s (%s), want %s because %s", got, reason, want, why)
			}
			checkFields(t, c)
		})
	}
	if used != len(chosen) {
		t.Errorf("%d choices used of %d", used, len(chosen))
	}
}

// checkFields compares what the hello says with what the vector's makers know.
func checkFields(t *testing.T, c helloCase) {
	h, _, need, err := ParseHello(c.Hello)
	if h == nil {
		if err == nil && need != 7 { // the truncated case lacks 7 bytes
			t.Errorf("need %d, want 7", need)
		}
		return
	}
	sentAt, ok := h.Open(c.Secret)
	if ok != c.DigestOK {
		t.Errorf("digest ok = %v, want %v", ok, c.DigestOK)
	}
	if ok && (c.Timestamp == nil || sentAt.Unix() != *c.Timestamp) {
		t.Errorf("sent at %d", sentAt.Unix())
	}
	if c.SessionID != nil && !bytes.Equal(h.SessionID(), c.SessionID) {
		t.Errorf("session id %x, want %x", h.SessionID(), c.SessionID)
	}
	if c.FirstSuite != "" {
		if s, err := h.suite(0); err != nil || strconv.FormatUint(uint64(s), 16) != c.FirstSuite {
			t.Errorf("suite %x, %v, want %s", s, err, c.FirstSuite)
		}
	}
}
