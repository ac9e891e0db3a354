package alert

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged is a log that tests read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bench is a Manager over a real store, whose numbers the test sets.
type bench struct {
	*Manager
	t     testing.TB
	path  string
	store *store.Store
	log   logged

	mu       sync.Mutex
	snapshot Snapshot

	stop func()
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "store.db")}
	b.open()
	t.Cleanup(func() { b.kill() })
	return b
}

// open starts a Manager over what the file has.
func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.store, err = sqlite.Open(context.Background(), sqlite.Options{Path: b.path}); err != nil {
		b.t.Fatal(err)
	}
	b.Manager, err = New(context.Background(), Options{Store: b.store, Snapshot: b.read, Log: slog.New(slog.NewTextHandler(&b.log, nil)), Node: "fra1", Version: "v1.2.3"})
	if err != nil {
		b.t.Fatal(err)
	}
}

// kill ends it as a crash would: nothing more is written.
func (b *bench) kill() {
	b.halt()
	if b.store != nil {
		b.store.Close()
		b.store = nil
	}
}

func (b *bench) halt() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

func (b *bench) read() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.snapshot
	s.At = time.Now()
	return s
}

func (b *bench) set(change func(*Snapshot)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.snapshot)
}

func (b *bench) configure(receivers ...Receiver) {
	b.t.Helper()
	for i := range receivers {
		if receivers[i].MinSeverity == 0 {
			receivers[i].MinSeverity = Info
		}
	}
	if err := b.Configure(context.Background(), Config{Receivers: receivers}); err != nil {
		b.t.Fatal(err)
	}
}

// run runs the Manager until halt.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m := b.Manager
	go func() { defer close(ended); m.Run(ctx) }()
	b.stop = func() { cancel(); <-ended }
}

// notify puts n messages with the IDs prefix0 … into the queues.
func (b *bench) notify(prefix string, n int) {
	b.t.Helper()
	for i := range n {
		m := sample()
		m.ID = fmt.Sprint(prefix, i)
		if err := b.Notify(context.Background(), m); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) waiting(receiver string) (n int64) {
	b.t.Helper()
	r, err := b.Report(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, info := range r.Receivers {
		if info.Name == receiver {
			n = info.Waiting
		}
	}
	return n
}

// sample is a message with everything in it.
func sample() Message {
	value := 0.97
	return Message{
		ID: "msg-1", About: "al-1", Kind: KindFinding, Status: Firing, Code: "probe.scan", Title: "A scan", Severity: High,
		Detail: "40 hellos", Fix: "mtguard incident show", At: began, Since: began.Add(-time.Minute), Value: &value,
		Evidence: map[string]string{"prefix": "203.0.113.0/24", "hellos": "40"},
	}
}

// eventually waits for what other goroutines do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}
