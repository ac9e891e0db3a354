package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtguard/config"
	"mtguard/control/alert"
	"mtguard/tgsim"
)

// TestTheFileKnowsAllConditions: config cannot import what it names.
func TestTheFileKnowsAllConditions(t *testing.T) {
	codes := alert.Codes()
	slices.Sort(codes)
	if known := config.AlertConditions(); !slices.Equal(known, codes) {
		t.Errorf("config knows %q\nthere are  %q", known, codes)
	}
}

// TestANodeTellsWhatIsWrong: a reload that is refused reaches a signed webhook, and that
// it is over does too.
func TestANodeTellsWhatIsWrong(t *testing.T) {
	came := make(chan alert.Message, 16)
	var unsigned []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Webhook-Signature") != "v1,"+alert.Sign("key-of-the-hook", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body) {
			unsigned = append(unsigned, string(body))
		}
		var m alert.Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		came <- m
	}))
	defer hook.Close()
	key := filepath.Join(t.TempDir(), "hook.key")
	if err := os.WriteFile(key, []byte("key-of-the-hook\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	receivers := "[[alert]]\nkind = \"webhook\"\nurl = \"" + hook.URL + "\"\nsecret_file = \"" + key + "\"\n"
	s := start(t, "", receivers)
	s.write(s.base + receivers + "[proxxy]\n")
	if s.node.Reload() == nil {
		t.Fatal("a bad file was taken")
	}
	if m := <-came; m.Code != "config.refused" || m.Status != alert.Firing || !strings.Contains(m.Detail, "proxxy") {
		t.Errorf("told %+v", m)
	}
	s.write(s.base + receivers)
	if err := s.node.Reload(); err != nil {
		t.Fatal(err)
	}
	m := <-came
	for m.Status == alert.Firing { // once more, if the first time ended with the answer
		m = <-came
	}
	if m.Code != "config.refused" || m.Status != alert.Resolved {
		t.Errorf("told %+v", m)
	}
	if len(unsigned) > 0 {
		t.Errorf("without a good signature: %q", unsigned)
	}
	// A key that others can read is none.
	os.Chmod(key, 0o644)
	if err := s.node.Reload(); err == nil || strings.Contains(err.Error(), "key-of") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// TestTheSnapshotReadsTheCounters: what alerts are judged by is what the node counts.
func TestTheSnapshotReadsTheCounters(t *testing.T) {
	s := start(t, "", "")
	before := s.node.snapshot()
	s.dial(s.client(tgsim.FakeTLS))
	bad := s.client(tgsim.FakeTLS)
	bad.Secret = []byte("fedcba9876543210")
	if c, err := bad.Dial(context.Background()); err == nil {
		c.Close()
	}
	s.node.plane.Health()
	now := s.node.snapshot()
	if now.Dials <= before.Dials || now.Handshakes <= before.Handshakes || now.HandshakesBad <= before.HandshakesBad || now.Sessions != 1 || now.Connections < 1 ||
		now.MaxConnections < 1 || now.MaxHalfOpen < 1 || now.CPU <= 0 || now.CPUs < 1 || now.Disk <= 0 || now.Disk > 1 || now.KnownAllowed < before.KnownAllowed {
		t.Errorf("%+v\nthen %+v", before, now)
	}
}
