package alert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mtguard/control/store"
	"mtguard/telemetry/stats"
)

// Report is what people see of alerts.
type Report struct {
	Alerts     []AlertInfo     `json:"alerts" doc:"those that fire, then those that are over, the newest first"`
	Receivers  []ReceiverInfo  `json:"receivers"`
	Silences   []Silence       `json:"silences"`
	Conditions []ConditionInfo `json:"conditions" doc:"what is watched"`
}

// AlertInfo is one alert.
type AlertInfo struct {
	ID       string     `json:"id"`
	Code     string     `json:"code"`
	Title    string     `json:"title"`
	Severity Severity   `json:"severity"`
	State    Status     `json:"state" enum:"firing,resolved"`
	Since    time.Time  `json:"since"`
	Until    *time.Time `json:"until,omitempty"`
	Value    float64    `json:"value"`
	Detail   string     `json:"detail,omitempty"`
	Fix      string     `json:"fix,omitempty"`
	Silenced bool       `json:"silenced,omitempty"`

	told bool
}

func infoOf(c Condition, a store.Alert) AlertInfo {
	info := AlertInfo{
		ID: a.ID, Code: a.Code, Title: c.Title, Severity: c.Severity, State: Firing, Since: a.Since, Value: a.Value, Detail: a.Detail, Fix: c.Fix, told: a.Told,
	}
	if !a.Resolved.IsZero() {
		info.State, info.Until = Resolved, &a.Resolved
	}
	return info
}

// ReceiverInfo is a receiver and how it does.
type ReceiverInfo struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Target      string     `json:"target" doc:"where it is, without what may be secret"`
	MinSeverity Severity   `json:"min_severity"`
	Waiting     int64      `json:"waiting"`
	Oldest      *time.Time `json:"oldest,omitempty" doc:"when the first that waits was made"`
	Delivered   uint64     `json:"delivered" doc:"messages since the start"`
	Failed      uint64     `json:"failed" doc:"attempts since the start"`
	Lost        int64      `json:"lost" doc:"messages it was never told"`
	Last        *time.Time `json:"last,omitempty" doc:"of the last delivery"`
	Problem     string     `json:"problem,omitempty"`
}

// ConditionInfo is a condition as it is in force.
type ConditionInfo struct {
	Code      string   `json:"code"`
	Title     string   `json:"title"`
	Severity  Severity `json:"severity"`
	Threshold float64  `json:"threshold"`
	For       string   `json:"for"`
	Off       bool     `json:"off,omitempty"`
}

// Report returns what there is.
func (m *Manager) Report(ctx context.Context) (Report, error) {
	r := Report{Alerts: []AlertInfo{}, Receivers: []ReceiverInfo{}, Silences: []Silence{}, Conditions: []ConditionInfo{}}
	var rows []store.Alert
	var states []store.OutboxState
	err := m.store.View(ctx, func(tx *store.Tx) error {
		silences, err := Silences(tx, time.Now())
		if err != nil {
			return err
		}
		r.Silences = append(r.Silences, silences...)
		if rows, err = tx.Alerts(true); err != nil {
			return err
		}
		states, err = tx.OutboxStates()
		return err
	})
	if err != nil {
		return r, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Alerts = append(r.Alerts, m.active...)
	for _, row := range rows {
		if !row.Resolved.IsZero() {
			r.Alerts = append(r.Alerts, infoOf(conditionOf(row), row))
		}
	}
	for _, name := range sortedKeys(m.receivers) {
		r.Receivers = append(r.Receivers, m.receivers[name].info(states))
	}
	for _, c := range Conditions() {
		info := ConditionInfo{Code: c.Code, Title: c.Title, Severity: c.Severity, Threshold: c.Threshold, For: c.For.String()}
		if own := m.config.Thresholds[c.Code]; own == Off {
			info.Off = true
		} else if v, err := parseThreshold(own); err == nil {
			info.Threshold = v
		}
		r.Conditions = append(r.Conditions, info)
	}
	return r, nil
}

// conditionOf is the condition of an alert in the store, or what is known of one that is
// no more.
func conditionOf(a store.Alert) Condition {
	all := Conditions()
	if i := slices.IndexFunc(all, func(c Condition) bool { return c.Code == a.Code }); i >= 0 {
		return all[i]
	}
	severity, err := ParseSeverity(a.Severity)
	if err != nil {
		severity = Info
	}
	return Condition{Code: a.Code, Title: a.Code, Severity: severity}
}

// info is the receiver with the state that the store has of it.
func (r *receiver) info(states []store.OutboxState) ReceiverInfo {
	info := ReceiverInfo{
		Name: r.Name, Kind: r.Kind, Target: r.target(), MinSeverity: r.MinSeverity, Waiting: int64(len(r.held)), Delivered: r.delivered, Failed: r.failed,
		Lost: int64(r.lost), Problem: r.lastError,
	}
	for _, s := range states {
		if s.Receiver == r.Name {
			info.Waiting += s.Waiting
			info.Lost = max(info.Lost, s.Dropped)
			if s.Waiting > 0 {
				info.Oldest = &s.Oldest
			}
		}
	}
	if !r.last.IsZero() {
		info.Last = &r.last
	}
	return info
}

// Answer is what a receiver said to a test.
type Answer struct {
	Receiver string  `json:"receiver"`
	Kind     string  `json:"kind"`
	OK       bool    `json:"ok"`
	Answer   string  `json:"answer" doc:"what it said, or why it was not reached"`
	Seconds  float64 `json:"seconds"`
}

// ErrNoReceiver: there is none of that name.
var ErrNoReceiver = fmt.Errorf("no receiver of that name")

// Test sends a message to one receiver, or with "" to all, past their queues, and returns
// what each said.
func (m *Manager) Test(ctx context.Context, name string) ([]Answer, error) {
	m.mu.Lock()
	var to []Receiver
	for _, n := range sortedKeys(m.receivers) {
		if name == "" || n == name {
			to = append(to, m.receivers[n].Receiver)
		}
	}
	m.mu.Unlock()
	if name != "" && len(to) == 0 {
		return nil, ErrNoReceiver
	}
	msg := Message{
		Kind: KindTest, Status: Firing, Code: "test", Title: "This is a test", Severity: Info,
		Detail: "Somebody ran mtguard alert test. Nothing is wrong.", ID: newID("test"),
	}
	if err := msg.settle(time.Now()); err != nil {
		return nil, err
	}
	msg.Node, msg.Version = m.id.node, m.id.version
	answers := make([]Answer, len(to))
	var work sync.WaitGroup
	for i, r := range to {
		work.Go(func() { answers[i] = r.test(ctx, msg, m.id) })
	}
	work.Wait()
	return answers, nil
}

func (r Receiver) test(ctx context.Context, msg Message, id identity) Answer {
	s := r.newSender(id)
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	started := time.Now()
	said, err := s.send(ctx, []Message{msg})
	a := Answer{Receiver: r.Name, Kind: r.Kind, OK: err == nil, Answer: r.scrub(said), Seconds: time.Since(started).Seconds()}
	if err != nil {
		a.Answer = r.explain(err).text
	}
	a.Answer = strings.TrimSpace(a.Answer)
	return a
}

// Metrics are the metrics of this package. Receivers are named by the configuration.
func (m *Manager) Metrics() []stats.Family {
	each := func(of func(r *receiver, emit func(float64, ...string))) func(func(float64, ...string)) {
		return func(emit func(float64, ...string)) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, name := range sortedKeys(m.receivers) {
				of(m.receivers[name], emit)
			}
		}
	}
	return []stats.Family{
		{
			Name: "alert_deliveries_total", Help: "Messages to receivers of alerts: delivered (ok), attempts that failed (error), and those never delivered (lost).",
			Labels: []string{"receiver", "result"}, Counter: true,
			Collect: each(func(r *receiver, emit func(float64, ...string)) {
				emit(float64(r.delivered), r.Name, "ok")
				emit(float64(r.failed), r.Name, "error")
				emit(float64(r.lost), r.Name, "lost")
			}),
		},
		{
			Name: "alert_queue_messages", Help: "Messages that wait for a receiver of alerts.", Labels: []string{"receiver"},
			Collect: each(func(r *receiver, emit func(float64, ...string)) {
				emit(float64(r.state.Waiting)+float64(len(r.held)), r.Name)
			}),
		},
		{
			Name: "alerts_firing", Help: "Alerts that fire, by severity.", Labels: []string{"severity"},
			Collect: func(emit func(float64, ...string)) {
				m.mu.Lock()
				defer m.mu.Unlock()
				n := make(map[Severity]int)
				for _, a := range m.active {
					n[a.Severity]++
				}
				for s := Info; s <= Critical; s++ {
					emit(float64(n[s]), s.String())
				}
			},
		},
	}
}
