package main

// The live view is four files: top.go is the command and its course, top_view.go the keys and tables, top_screen.go what is drawn of
// what is known, top_terminal.go the terminal, which is left as it was found.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/telemetry/live"
)

func (a *app) topCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "top",
		GroupID: groupServe,
		Short:   "Watch the running node",
		Long: `Watch the running node: connections, rates, the controls that refuse or would, or who is
connected, and open incidents, once a second. Keys: s sorts by the next column and r
the other way round, / shows only names with what you type, u shows users or controls,
space holds the picture, ? lists the keys, q quits.

Where standard output is no terminal, one line is printed a second. --json prints the
numbers of each second as the API has them.`,
		Example: `  mtguard top
  mtguard top --json | head`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			ctx, stop := signal.NotifyContext(c.ctx, syscall.SIGTERM) // for the terminal's sake
			defer stop()
			c.ctx = ctx
			return c.top(openTerminal(a.stdin, a.stdout))
		}),
	}
	o.common(cmd.Flags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}

// watchScreen is a terminal that can be drawn on. Its methods are called by one goroutine.
type watchScreen interface {
	// Enter keeps what is on the terminal and takes keys unbuffered; leave undoes that, once.
	Enter() (leave func(), err error)
	Size() (columns, rows int)
	Draw(picture string) error
	// Keys yields what is typed. It is closed when there is no more.
	Keys() <-chan byte
	// Resized yields when Size is another.
	Resized() <-chan os.Signal
}

// topPoll is how often it is asked for what no event tells.
const topPoll = 5 * time.Second

// topNews is something that changes the picture.
type topNews func(*topModel)

// top draws until somebody quits. A nil screen is none: lines are printed.
func (c *call) top(screen watchScreen) error {
	c.stream()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	if c.format != formTable || screen == nil {
		return c.topLines(ctx)
	}
	// What is not possible is said before the terminal is touched.
	status, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	leave, err := screen.Enter()
	if err != nil {
		return err
	}
	defer leave()
	w := &topWatch{model: topModel{status: status, now: time.Now()}, screen: screen}
	news := make(chan topNews, 64)
	broken := make(chan any, 1)
	go together(ctx, broken, func() { c.topFollow(ctx, news) })
	go together(ctx, broken, func() { c.topAsk(ctx, news) })
	for !w.view.leaving {
		if err := w.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errInterrupted
		case trouble := <-broken:
			panic(trouble) // here, so that the terminal is left before it is told
		case change := <-news:
			w.learn(change, news)
		case <-screen.Resized():
			w.drawn = "" // who knows what is on it
		case key, more := <-screen.Keys():
			if !more {
				return nil
			}
			w.key(key)
		}
	}
	if w.view.stopped {
		return errInterrupted
	}
	return nil
}

// topWatch is what is known, how somebody looks at it, and what is on the screen.
type topWatch struct {
	model, shown topModel // shown is the model that is held
	view         topView
	screen       watchScreen
	drawn        string
	columns      int
	rows         int
}

// draw brings the screen up to date. What stands on it already is not drawn again, so nothing flickers.
func (w *topWatch) draw() error {
	columns, rows := w.screen.Size()
	shown := &w.model
	if w.view.held {
		shown = &w.shown
	}
	picture := shown.picture(&w.view, columns, rows)
	if picture == w.drawn && columns == w.columns && rows == w.rows {
		return nil
	}
	w.drawn, w.columns, w.rows = picture, columns, rows
	return w.screen.Draw(picture)
}

// learn takes news, all that there are by now: they make one picture.
func (w *topWatch) learn(change topNews, news <-chan topNews) {
	for {
		change(&w.model)
		select {
		case change = <-news:
		default:
			w.model.now = time.Now()
			return
		}
	}
}

func (w *topWatch) key(key byte) {
	was := w.view.held
	if w.view.key(key); w.view.held && !was {
		w.shown = w.model
	}
}

// together runs work, and hands a panic of it on: in a goroutine of its own it would end the program with the
// terminal as it is.
func together(ctx context.Context, broken chan<- any, work func()) {
	defer func() {
		if trouble := recover(); trouble != nil {
			select {
			case broken <- fmt.Sprintf("%v\n%s", trouble, debug.Stack()):
			case <-ctx.Done():
			}
		}
	}()
	work()
}

// tell hands news on, unless the end comes first.
func tell(ctx context.Context, news chan<- topNews, change topNews) {
	select {
	case news <- change:
	case <-ctx.Done():
	}
}

// topFollow follows samples and incidents until ctx ends, also over a restart of the node.
func (c *call) topFollow(ctx context.Context, news chan<- topNews) {
	for ctx.Err() == nil {
		for e, err := range c.client.Events(ctx, admin.EventQuery{Kinds: []live.Kind{live.Sample, live.Incident}, Follow: true}) {
			if err != nil {
				tell(ctx, news, func(m *topModel) { m.away = true })
				break
			}
			switch e.Kind {
			case live.Sample:
				var s live.Second
				if json.Unmarshal(e.Data, &s) == nil {
					tell(ctx, news, func(m *topModel) { m.second(s) })
				}
			case live.Incident:
				c.topIncidents(ctx, news)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(comeBack):
		}
	}
}

// topAsk asks now and again for what no event tells.
func (c *call) topAsk(ctx context.Context, news chan<- topNews) {
	tick := time.NewTicker(topPoll)
	defer tick.Stop()
	for {
		if status, err := c.client.Status(ctx); err == nil {
			tell(ctx, news, func(m *topModel) { m.status = status })
		}
		if controls, err := c.client.Controls(ctx); err == nil {
			tell(ctx, news, func(m *topModel) { m.controls = controls })
		}
		c.topUsers(ctx, news)
		c.topIncidents(ctx, news)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// topSessions is how many sessions are looked at, those that moved most.
const topSessions = 1000

// topUsers asks who is connected.
func (c *call) topUsers(ctx context.Context, news chan<- topNews) {
	sessions, err := c.client.Clients(ctx, control.ClientFilter{Limit: topSessions})
	refusal, ok := errors.AsType[*control.Error](err)
	switch now := time.Now(); {
	case err == nil:
		tell(ctx, news, func(m *topModel) { m.connected(sessions, now) })
	case ok && refusal.Kind == control.Denied:
		tell(ctx, news, func(m *topModel) { m.usersDenied = true })
	}
}

// topShownIncidents is more than a picture has room for.
const topShownIncidents = 50

func (c *call) topIncidents(ctx context.Context, news chan<- topNews) {
	items, _, err := c.client.Incidents(ctx, control.IncidentFilter{State: control.IncidentOpen, Limit: topShownIncidents})
	if err == nil {
		tell(ctx, news, func(m *topModel) { m.incidents = items })
	}
}

// topLines prints a line for each second and each incident.
func (c *call) topLines(ctx context.Context) error {
	q := admin.EventQuery{Kinds: []live.Kind{live.Sample, live.Incident}, Follow: true}
	for e, err := range c.client.Events(ctx, q) {
		if err != nil && ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			return err
		}
		if err := c.showEvent(e); err != nil {
			return err
		}
	}
	return errors.New("the stream ended")
}

// topModel is what is known of the node.
type topModel struct {
	status      control.Status
	controls    []control.ControlInfo
	incidents   []control.IncidentInfo
	users       []topUser // the busiest first
	usersDenied bool
	moved       map[topSession][2]int64 // bytes up and down, when asked last
	movedAt     time.Time
	last        live.Second
	past        []float64 // connections a second, the newest last
	now         time.Time
	away        bool // the node is gone
}

// topUser is somebody who has sessions.
type topUser struct {
	name                string
	sessions, addresses int
	up, down            int64
	upRate, downRate    float64 // a second
}

// topSession tells sessions apart.
type topSession struct {
	user, from string
	since      time.Time
}

// topPast is how many seconds the curve may have.
const topPast = 300

func (m *topModel) second(s live.Second) {
	m.last, m.away = s, false
	m.past = append(m.past, s.Accepted)
	m.past = m.past[max(0, len(m.past)-topPast):]
}

// connected takes the sessions that there are, and by the bytes since the last time how fast they are. A session
// that was not there then has no rate yet.
func (m *topModel) connected(sessions []control.ClientInfo, now time.Time) {
	moved := make(map[topSession][2]int64, len(sessions))
	users := make(map[string]*topUser)
	addresses := make(map[[2]string]bool)
	took := now.Sub(m.movedAt).Seconds()
	for _, s := range sessions {
		u := users[s.User]
		if u == nil {
			u = &topUser{name: s.User}
			users[s.User] = u
		}
		u.sessions, u.up, u.down = u.sessions+1, u.up+s.Up, u.down+s.Down
		if from := [2]string{s.User, s.From}; !addresses[from] {
			addresses[from] = true
			u.addresses++
		}
		which := topSession{s.User, s.From, s.Since}
		before, known := m.moved[which]
		if known && took > 0 {
			u.upRate += float64(max(0, s.Up-before[0])) / took
			u.downRate += float64(max(0, s.Down-before[1])) / took
		}
		moved[which] = [2]int64{s.Up, s.Down}
	}
	m.users, m.moved, m.movedAt, m.usersDenied = nil, moved, now, false
	for _, name := range slices.Sorted(maps.Keys(users)) {
		m.users = append(m.users, *users[name])
	}
	slices.SortStableFunc(m.users, func(a, b topUser) int {
		return cmp.Or(cmp.Compare(b.upRate+b.downRate, a.upRate+a.downRate), cmp.Compare(b.up+b.down, a.up+a.down))
	})
}
