package main

// The live view is three files: top.go is the command and its course, top_screen.go what is drawn of what is known, top_terminal.go
// the terminal, which is left as it was found.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
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
		Long: `Watch the running node: connections, rates, the controls that refuse or would, and open
incidents, once a second. Keys: q quits, space holds the picture.

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
	model := &topModel{status: status, now: time.Now()}
	news := make(chan topNews, 64)
	go c.topFollow(ctx, news)
	go c.topAsk(ctx, news)
	held := false
	draw := func() error {
		if held {
			return nil
		}
		columns, rows := screen.Size()
		return screen.Draw(model.picture(columns, rows))
	}
	for {
		if err := draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errInterrupted
		case change := <-news:
			change(model)
			model.now = time.Now()
		case <-screen.Resized():
		case key, more := <-screen.Keys():
			const interrupt, end = 3, 4 // Ctrl-C and Ctrl-D: in raw mode they are keys like others
			switch {
			case !more, key == 'q', key == end:
				return nil
			case key == interrupt:
				return errInterrupted
			case key == ' ':
				held = false
				model.held = !model.held
				if err := draw(); err != nil {
					return err
				}
				held = model.held
			}
		}
	}
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
		c.topIncidents(ctx, news)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
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
	status    control.Status
	controls  []control.ControlInfo
	incidents []control.IncidentInfo
	last      live.Second
	past      []float64 // connections a second, the newest last
	now       time.Time
	away      bool // the node is gone
	held      bool
}

// topPast is how many seconds the curve may have.
const topPast = 300

func (m *topModel) second(s live.Second) {
	m.last, m.away = s, false
	m.past = append(m.past, s.Accepted)
	m.past = m.past[max(0, len(m.past)-topPast):]
}
