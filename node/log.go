package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"mtguard/config"
	"mtguard/telemetry/event"
)

// logDepth is how many events may wait to be written. More are dropped and
// counted: a slow disk must not slow connections down.
const logDepth = 4096

// NewLogger returns the logger that the file asks for: text on a terminal,
// else JSON, unless it says which.
func NewLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.Level)) // validated; the zero level is info
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" || c.Format != "text" && !terminal(w) {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// writeLog writes events as log lines until the subscription is closed. A
// session makes one line, when it ends; a revoked secret that somebody uses makes
// one a minute; a check of the cryptography makes one, and the watcher one for each of
// its findings; everything else is at debug level and in the metrics, since
// strangers who mean it would fill any disk.
func (n *Node) writeLog(events *event.Subscription) {
	tripped := make(map[string]time.Time) // by key; revoking is an operator's act, so these are few
	for e := range events.C() {
		level := slog.LevelDebug
		switch {
		case e.Kind == event.Relayed, e.Kind == event.CryptoCheck:
			level = slog.LevelInfo
		case e.Kind == event.Tripwire && e.Time.Sub(tripped[e.Key]) >= time.Minute:
			level = slog.LevelWarn
			tripped[e.Key] = e.Time
		}
		if !n.log.Enabled(context.Background(), level) {
			continue
		}
		n.log.LogAttrs(context.Background(), level, e.Kind.String(), attributes(&e, n.hide)...)
	}
}

func attributes(e *event.Event, hide func(netip.Addr) string) []slog.Attr {
	var all []slog.Attr
	text := func(key, value string) {
		if value != "" {
			all = append(all, slog.String(key, value))
		}
	}
	number := func(key string, value int64) {
		if value != 0 {
			all = append(all, slog.Int64(key, value))
		}
	}
	number("conn", int64(e.Conn))
	if e.Addr.IsValid() {
		text("addr", hide(e.Addr))
	}
	text("user", e.User)
	text("key", e.Key)
	text("transport", e.Transport)
	number("dc", int64(e.DC))
	text("control", e.Control)
	text("mode", e.Mode)
	text("reason", e.Reason)
	number("sent", e.Sent)
	number("received", e.Received)
	number("took_ms", e.Took.Milliseconds())
	return all
}

// hider returns how client addresses are written: full, truncated to /24 and
// /48, or as a hash whose key does not outlive the process.
func hider(how string) func(netip.Addr) string {
	switch how {
	case "full":
		return netip.Addr.String
	case "hash":
		key := make([]byte, 32)
		rand.Read(key)
		return func(a netip.Addr) string {
			mac := hmac.New(sha256.New, key)
			b := a.As16()
			mac.Write(b[:])
			return hex.EncodeToString(mac.Sum(nil)[:8])
		}
	}
	return func(a netip.Addr) string {
		bits := 24
		if a.Is6() {
			bits = 48
		}
		p, err := a.Prefix(bits)
		if err != nil {
			return ""
		}
		return p.String()
	}
}
