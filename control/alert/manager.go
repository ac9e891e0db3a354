package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"mtguard/control/store"
)

// Options is what a Manager is made of. Store, Snapshot and Log are required.
type Options struct {
	Store *store.Store
	// Snapshot reads the node's numbers. It is called every few seconds, by one goroutine.
	Snapshot func() Snapshot
	Log      *slog.Logger
	Node     string // how messages call this node; "": not at all
	Version  string // of this program
}

// Config is what the operator says about alerts.
type Config struct {
	Receivers []Receiver
	// Thresholds are the operator's own, by the code of the condition: a number, or Off.
	Thresholds map[string]string
}

func errUnknownCode(code string) error {
	return fmt.Errorf("no condition %q", clip(code, maxCode))
}
func errThreshold(text string) error {
	return fmt.Errorf("a threshold is a number from 0 on, or off: not %q", clip(text, 32))
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	names := make(map[string]bool)
	for _, r := range c.Receivers {
		if err := r.check(); err != nil {
			return err
		}
		if names[r.Name] {
			return fmt.Errorf("receiver %s is given twice", r.Name)
		}
		names[r.Name] = true
	}
	e := newEngine(Conditions(), nil)
	for _, code := range sortedKeys(c.Thresholds) {
		if err := e.threshold(code, c.Thresholds[code]); err != nil {
			return err
		}
	}
	return nil
}

// Manager watches and tells. Make it with New.
type Manager struct {
	o     Options
	store *store.Store
	log   *slog.Logger
	id    identity

	engine *engine // of the goroutine of Run

	mu           sync.Mutex // guards what follows
	config       Config
	receivers    map[string]*receiver // by name
	reconfigured chan struct{}        // closed when config changes
	active       []AlertInfo          // as of the last look
	looked       time.Time
	silences     []Silence
	storeError   string
	lost         uint64 // messages, since the start
	nextHeld     int64  // seq of messages that the store does not have: falling
}

// receiver is what the Manager knows of one while the process runs.
type receiver struct {
	Receiver
	wake  chan struct{}
	held  []waiting // what the store would not take
	state store.OutboxState

	delivered, failed, lost uint64
	last                    time.Time // of the last delivery
	lastError               string
	failedAt                time.Time
}

// maxHeld is how many messages for one receiver wait in memory while the store takes none.
const maxHeld = 64

// New makes a Manager without receivers. It reads which alerts fired when the process
// ended, so that they go on under their IDs.
func New(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{
		o: o, store: o.Store, log: o.Log, id: identity{o.Node, o.Version},
		receivers: make(map[string]*receiver), reconfigured: make(chan struct{}),
	}
	var active []store.Alert
	err := m.store.View(ctx, func(tx *store.Tx) (err error) {
		active, err = tx.Alerts(false)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.engine = newEngine(Conditions(), active)
	known := Codes()
	for _, a := range active {
		if !slices.Contains(known, a.Code) {
			m.endUnknown(ctx, a)
		}
	}
	return m, nil
}

// endUnknown ends an alert of a condition that this program does not have any more.
func (m *Manager) endUnknown(ctx context.Context, a store.Alert) {
	a.Resolved, a.Detail = time.Now().UTC(), "there is no such condition any more"
	c := change{Condition{Code: a.Code, Title: a.Code, Severity: Low}, a}
	m.commit(ctx, []change{c}, a.Told)
}

// Configure puts receivers and thresholds in force, now and while Run runs. What waits for
// a receiver that is no more goes, and is said. On an error nothing changes.
func (m *Manager) Configure(ctx context.Context, c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	if err := m.forgetOthers(ctx, c); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if reflect.DeepEqual(c, m.config) { // a reload that is about something else ends no delivery
		return nil
	}
	fresh := make(map[string]*receiver)
	for _, r := range c.Receivers {
		known := m.receivers[r.Name]
		if known == nil {
			known = &receiver{wake: make(chan struct{}, 1)}
		}
		known.Receiver = r
		fresh[r.Name] = known
	}
	m.config, m.receivers = c, fresh
	close(m.reconfigured)
	m.reconfigured = make(chan struct{})
	return nil
}

// forgetOthers takes out what waits for receivers that c does not have.
func (m *Manager) forgetOthers(ctx context.Context, c Config) error {
	var states []store.OutboxState
	if err := m.store.View(ctx, func(tx *store.Tx) (err error) { states, err = tx.OutboxStates(); return err }); err != nil {
		return err
	}
	for _, s := range states {
		if slices.ContainsFunc(c.Receivers, func(r Receiver) bool { return r.Name == s.Receiver && r.Kind != KindPing }) {
			continue
		}
		_, err := m.store.Update(ctx, func(tx *store.Tx) error { _, err := tx.ForgetReceiver(s.Receiver); return err })
		if err == nil && s.Waiting > 0 {
			m.log.Warn("a receiver of alerts is gone from the configuration, and what waited for it", "receiver", s.Receiver, "messages", s.Waiting)
		}
		if err != nil && !errors.Is(err, store.ErrFull) {
			return err
		}
	}
	return nil
}

// Run watches and delivers until ctx ends. What is not delivered by then is in the store.
func (m *Manager) Run(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		config, reconfigured := m.config, m.reconfigured
		receivers := slices.Collect(maps.Values(m.receivers))
		m.mu.Unlock()
		for _, code := range Codes() {
			m.engine.threshold(code, config.Thresholds[code]) // it was checked
		}
		inner, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		work.Go(func() { m.watch(inner) })
		for _, r := range receivers {
			w := newWorker(r.Receiver, r.newSender(m.id), m, r.wake)
			work.Go(func() { w.run(inner) })
		}
		select {
		case <-ctx.Done():
		case <-reconfigured:
		}
		stop()
		work.Wait()
	}
}

// Notify tells all receivers whom it concerns. It returns when the message is in the
// store, or in memory when the store takes nothing: in both cases it is delivered at
// least once unless a bound is met. An error is one of the message.
func (m *Manager) Notify(ctx context.Context, msg Message) error {
	if err := msg.settle(time.Now()); err != nil {
		return err
	}
	body, err := msg.encode()
	if err != nil {
		return err
	}
	if len(body) > store.MaxOutboxBody-512 { // by its evidence only
		msg.Evidence = nil
	}
	m.enqueue(ctx, []Message{msg}, nil)
	return nil
}

// enqueue puts messages into the queues of those they concern, in one transaction with
// what extra does. It reports whether the store has them.
func (m *Manager) enqueue(ctx context.Context, messages []Message, extra func(*store.Tx) error) bool {
	type entry struct {
		to  *receiver
		out store.Outgoing
		m   Message
	}
	var all []entry
	m.mu.Lock()
	for _, msg := range messages {
		msg.Node, msg.Version = m.id.node, m.id.version
		body, err := msg.encode()
		if err != nil {
			m.log.Error("alert: a message cannot be written", "id", msg.ID, "error", err)
			continue
		}
		for _, r := range m.receivers {
			if r.Kind != KindPing && msg.Severity >= r.MinSeverity {
				all = append(all, entry{r, store.Outgoing{Receiver: r.Name, ID: msg.ID, Body: body, Made: time.Now()}, msg})
			}
		}
	}
	m.mu.Unlock()
	dropped := make(map[string]int64)
	_, err := m.store.Update(ctx, func(tx *store.Tx) error {
		clear(dropped)
		if extra != nil {
			if err := extra(tx); err != nil {
				return err
			}
		}
		for _, e := range all {
			n, err := tx.AddOutgoing(e.out)
			if err != nil {
				return err
			}
			dropped[e.out.Receiver] += n
		}
		return nil
	})
	m.wrote(err)
	for name, n := range dropped {
		if err == nil && n > 0 {
			m.countLost(name, n, "more wait than there is room for")
		}
	}
	for _, e := range all {
		if err != nil {
			m.hold(e.to, e.m)
		}
		select {
		case e.to.wake <- struct{}{}:
		default:
		}
	}
	return err == nil
}

// wrote remembers whether the store takes anything.
func (m *Manager) wrote(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.storeError = ""
	case !errors.Is(err, context.Canceled):
		m.storeError = clip(err.Error(), maxPair)
	}
}

// hold keeps a message in memory that the store would not take.
func (m *Manager) hold(r *receiver, msg Message) {
	m.mu.Lock()
	m.nextHeld--
	r.held = append(r.held, waiting{m.nextHeld, msg, msg.At})
	over := len(r.held) - maxHeld
	if over > 0 {
		r.held = slices.Delete(r.held, 0, over)
	}
	m.mu.Unlock()
	if over > 0 {
		m.countLost(r.Name, int64(over), "the store takes nothing, and memory holds few")
	}
}

// countLost counts what a receiver is never told, and says so.
func (m *Manager) countLost(name string, n int64, why string) {
	m.mu.Lock()
	m.lost += uint64(n)
	if r := m.receivers[name]; r != nil {
		r.lost += uint64(n)
	}
	m.mu.Unlock()
	m.log.Warn("messages to a receiver of alerts are lost", "receiver", name, "messages", n, "why", why)
}

// peek implements queue.
func (m *Manager) peek(ctx context.Context, name string, n int) (batch []waiting, err error) {
	var rows []store.Outgoing
	err = m.store.View(ctx, func(tx *store.Tx) (err error) { rows, err = tx.Outbox(name, n); return err })
	for _, row := range rows {
		msg, bad := decode(row.Body)
		if bad != nil { // of a version that wrote something else
			m.log.Error("alert: a message in the store cannot be read", "receiver", name, "id", row.ID)
			if m.remove(ctx, name, []int64{row.Seq}) == nil {
				m.lose(ctx, name, 1, "it cannot be read")
			}
			continue
		}
		batch = append(batch, waiting{row.Seq, msg, row.Made})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.receivers[name]; r != nil && len(batch) < n {
		batch = append(batch, r.held[:min(len(r.held), n-len(batch))]...)
	}
	if len(batch) > 0 {
		err = nil
	}
	return batch, err
}

// remove implements queue.
func (m *Manager) remove(ctx context.Context, name string, seqs []int64) error {
	m.mu.Lock()
	if r := m.receivers[name]; r != nil {
		r.held = slices.DeleteFunc(r.held, func(w waiting) bool { return slices.Contains(seqs, w.seq) })
	}
	m.mu.Unlock()
	seqs = slices.DeleteFunc(slices.Clone(seqs), func(seq int64) bool { return seq < 0 })
	if len(seqs) == 0 {
		return nil
	}
	_, err := m.store.Update(ctx, func(tx *store.Tx) error { return tx.RemoveOutgoing(seqs...) })
	m.wrote(err)
	return err
}

// lose implements queue.
func (m *Manager) lose(ctx context.Context, name string, n int64, why string) {
	_, err := m.store.Update(ctx, func(tx *store.Tx) error { return tx.CountDropped(name, n) })
	m.wrote(err)
	m.countLost(name, n, why)
}

// attempted implements queue.
func (m *Manager) attempted(name string, n int, f *failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.receivers[name]
	if r == nil {
		return
	}
	if f == nil {
		r.delivered += uint64(max(n, 1))
		if r.lastError != "" {
			m.log.Info("a receiver of alerts takes messages again", "receiver", name)
		}
		r.last, r.lastError = time.Now(), ""
		return
	}
	r.failed++
	if r.lastError == "" { // once, not at every try
		m.log.Warn("a receiver of alerts takes no message", "receiver", name, "error", f.text)
	}
	r.lastError, r.failedAt = f.text, time.Now()
}
