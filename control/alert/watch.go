package alert

import (
	"context"
	"time"

	"mtguard/control/store"
)

// beatEvery is how often the store is tried.
const beatEvery = 30 * time.Second

// watch looks every few seconds until ctx ends.
func (m *Manager) watch(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var beat time.Time
	for {
		if now := time.Now(); now.Sub(beat) >= beatEvery {
			_, err := m.store.Update(ctx, func(tx *store.Tx) error { return tx.Beat(now) })
			m.wrote(err)
			beat = now
		}
		m.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look judges one snapshot, and tells what follows from it.
func (m *Manager) look(ctx context.Context) {
	snapshot := m.o.Snapshot()
	if snapshot.At.IsZero() {
		snapshot.At = time.Now()
	}
	silences, states := m.read(ctx, snapshot.At)
	m.mu.Lock()
	snapshot.StoreError, snapshot.MessagesLost = m.storeError, m.lost
	m.silences = silences
	for _, r := range m.receivers {
		r.state = store.OutboxState{}
	}
	for _, s := range states {
		r := m.receivers[s.Receiver]
		if r == nil {
			continue
		}
		r.state = s
		if age := snapshot.At.Sub(s.Oldest); s.Waiting > 0 && age > snapshot.Undelivered {
			snapshot.Undelivered, snapshot.UndeliveredFor = age, s.Receiver
		}
	}
	m.mu.Unlock()

	m.settleChanges(ctx, m.engine.step(snapshot), silences, snapshot.At)
	m.publish(snapshot.At, silences)
}

// read gets what the store knows. When it cannot, what is known stays.
func (m *Manager) read(ctx context.Context, now time.Time) (silences []Silence, states []store.OutboxState) {
	err := m.store.View(ctx, func(tx *store.Tx) (err error) {
		if silences, err = Silences(tx, now); err != nil {
			return err
		}
		states, err = tx.OutboxStates()
		return err
	})
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.silences, nil
	}
	return silences, states
}

// settleChanges tells what is over, if it was told that it began; and what fires, if it is
// not silenced and was not told yet.
func (m *Manager) settleChanges(ctx context.Context, changes []change, silences []Silence, now time.Time) {
	for _, c := range changes {
		if !c.alert.Resolved.IsZero() {
			m.log.Info("alert is over", "code", c.alert.Code, "id", c.alert.ID)
			m.commit(ctx, []change{c}, c.alert.Told)
		}
	}
	for _, s := range m.engine.active() {
		silent := silenced(silences, s.c.Code, now)
		began := s.alert.Since.Equal(now.UTC())
		if began {
			m.log.Warn("alert", "code", s.c.Code, "severity", s.c.Severity.String(), "id", s.alert.ID, "detail", s.alert.Detail, "silenced", silent)
		}
		if s.alert.Told || silent && !began {
			continue
		}
		s.alert.Told = !silent
		m.commit(ctx, []change{{s.c, *s.alert}}, !silent)
	}
}

// commit keeps alerts and, where tell says so, puts the messages into the queues, all at
// once.
func (m *Manager) commit(ctx context.Context, changes []change, tell bool) {
	var messages []Message
	for _, c := range changes {
		if tell {
			messages = append(messages, message(c.condition, c.alert))
		}
	}
	m.enqueue(ctx, messages, func(tx *store.Tx) error {
		for _, c := range changes {
			if err := tx.PutAlert(c.alert); err != nil {
				return err
			}
		}
		return nil
	})
}

func silenced(silences []Silence, code string, now time.Time) bool {
	for _, s := range silences {
		if s.covers(code, now) {
			return true
		}
	}
	return false
}

// publish makes what others read of the engine.
func (m *Manager) publish(now time.Time, silences []Silence) {
	var active []AlertInfo
	for _, s := range m.engine.active() {
		info := infoOf(s.c, *s.alert)
		info.Silenced = silenced(silences, s.c.Code, now)
		active = append(active, info)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active, m.looked = active, now
}

// firing implements queue: what was told and is not over.
func (m *Manager) firing(least Severity) (messages []Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.active {
		if a.told && a.Severity >= least {
			msg := message(Condition{Code: a.Code, Title: a.Title, Severity: a.Severity, Fix: a.Fix}, store.Alert{ID: a.ID, Code: a.Code, Detail: a.Detail, Value: a.Value, Since: a.Since})
			msg.Node, msg.Version = m.id.node, m.id.version
			messages = append(messages, msg)
		}
	}
	return messages
}

// well implements queue.
func (m *Manager) well(least Severity) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked.IsZero() || time.Since(m.looked) > 10*every {
		return false // nobody looks: that is not well
	}
	for _, a := range m.active {
		if a.Severity >= least && !a.Silenced {
			return false
		}
	}
	return true
}
