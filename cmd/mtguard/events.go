package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/alert"
	"mtguard/telemetry/live"
)

// eventFlags are the flags of `mtguard events`.
type eventFlags struct {
	kinds  []string
	since  time.Duration
	follow bool
	scheme string // schemeOCSF, or empty
}

// schemeOCSF is a schema that programs of others know.
const schemeOCSF = "ocsf"

func (a *app) eventsCommand() *cobra.Command {
	o, f := new(nodeFlags), new(eventFlags)
	var since string
	cmd := &cobra.Command{
		Use:     "events",
		GroupID: groupServe,
		Short:   "Print what happens on the running node",
		Long: `Print what happens on the running node: decisions about connections, incidents,
blocks, keys, policy, and rows of the audit log, which take the level admin.
Once a second the node in numbers, with --kind sample.

Without -f, what is kept is printed: the last some thousand events since the
node started. Samples and decisions are noted only while somebody looks, and of
a flood of decisions some; each says how many were skipped before it.
With -f, what comes is printed until Ctrl-C, also across a restart of the node.`,
		Example: `  mtguard events -f
  mtguard events --kind incident,block --since 24h
  mtguard events -f --kind decision --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if since != "" {
				d, err := control.ParseDuration(since)
				if err != nil {
					return wrongFlag("since", err)
				}
				f.since = time.Duration(d)
			}
			return c.events(f)
		}),
	}
	o.common(cmd.Flags())
	cmd.Flags().StringSliceVar(&f.kinds, "kind", nil, "only of these `KINDS`: "+strings.Join(kindWords(), ", "))
	cmd.Flags().StringVar(&since, "since", "", "begin so `LONG` ago, such as 10m or 3d")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().StringVar(&f.scheme, "format", "", "incidents alone, as JSON lines of `SCHEMA`: ocsf")
	completeFlag(cmd, "format", words(schemeOCSF))
	completeFlag(cmd, "kind", words(kindWords()...))
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}

func kindWords() (list []string) {
	for _, k := range live.Kinds() {
		list = append(list, string(k))
	}
	return list
}

func (f *eventFlags) query(now time.Time) (q admin.EventQuery, err error) {
	q.Follow = f.follow
	for _, word := range f.kinds {
		if !slices.Contains(kindWords(), word) {
			return q, &usageError{fmt.Errorf("--kind %q is none", word), "one or more of " + strings.Join(kindWords(), ", ")}
		}
		q.Kinds = append(q.Kinds, live.Kind(word))
	}
	switch f.scheme {
	case "":
	case schemeOCSF:
		if len(f.kinds) > 0 && !slices.Equal(f.kinds, []string{string(live.Incident)}) {
			return q, &usageError{errors.New("--format ocsf is of incidents alone"), "leave --kind out"}
		}
		q.Kinds = []live.Kind{live.Incident}
	default:
		return q, &usageError{fmt.Errorf("--format %q is none", f.scheme), schemeOCSF}
	}
	if f.since > 0 {
		q.Since = now.Add(-f.since)
	}
	return q, nil
}

// comeBack is how long a command that follows waits before it looks whether the node is there again.
const comeBack = time.Second

// events prints events. One that follows goes on after a restart of the node, which may have been all that there was to see.
func (c *call) events(f *eventFlags) error {
	q, err := f.query(c.now)
	if err != nil {
		return err
	}
	c.stream()
	var kept []admin.WatchedEvent // of the one answer that --json is, without -f
	away := false
	for {
		var broken error
		for e, err := range c.client.Events(c.ctx, q) {
			if broken = err; err != nil {
				break
			}
			if away {
				c.app.note("the node is there again")
				away = false
			}
			if e.ID != "" {
				q.After = e.ID
			}
			if e.Kind == live.Sample && len(f.kinds) == 0 {
				continue
			}
			if f.scheme == schemeOCSF {
				if err := c.showOCSF(e); err != nil {
					return err
				}
			} else if c.format == formJSON && !f.follow {
				kept = append(kept, e)
			} else if err := c.showEvent(e); err != nil {
				return err
			}
		}
		switch {
		case broken == nil && !f.follow:
			if c.format == formJSON && f.scheme == "" {
				return printJSON(c.app, c.cmd, kept...)
			}
			return nil
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		case !f.follow || q.After == "" || !is[*admin.UnreachableError](broken):
			return broken
		case !away:
			c.app.note("the node is gone; waiting for it")
			away = true
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(comeBack):
		}
	}
}

// showEvent prints one event in a line, whatever the form.
func (c *call) showEvent(e admin.WatchedEvent) error {
	if c.format != formTable {
		return printLines(c.app, e)
	}
	text, err := eventText(e)
	if e.Kind == live.Gap || err != nil { // a gap is told beside what happened
		c.app.note(text)
		return err
	}
	_, err = fmt.Fprintf(c.app.stdout, "%s  %-8s  %s\n", e.Time.Local().Format("2006-01-02 15:04:05"), clean(string(e.Kind)), clean(text))
	return err
}

// showOCSF prints an incident as what is made for it in that schema.
func (c *call) showOCSF(e admin.WatchedEvent) error {
	if e.Kind != live.Incident {
		text, err := eventText(e)
		c.app.note(text)
		return err
	}
	var i control.IncidentInfo
	if err := json.Unmarshal(e.Data, &i); err != nil {
		return errors.New("an event cannot be read: is the node of this version?")
	}
	m := i.Message()
	m.ID, m.At = e.ID, e.Time
	item, err := alert.OCSF(m)
	if err != nil {
		return err
	}
	return printLines(c.app, item)
}

// eventText says in a line what an event is about.
func eventText(e admin.WatchedEvent) (text string, err error) {
	parts := func(list ...string) string {
		return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
	}
	switch e.Kind {
	case live.Sample:
		var s live.Second
		err = json.Unmarshal(e.Data, &s)
		text = secondText(s)
	case live.Decision:
		var j live.Judgement
		err = json.Unmarshal(e.Data, &j)
		text = judgementText(j)
	case live.Incident:
		var i control.IncidentInfo
		err = json.Unmarshal(e.Data, &i)
		text = parts(i.Severity.String(), i.State, i.Detector, i.Subject, fmt.Sprintf("(%s, %s)", i.ID, plural(int(i.Count), "finding")), i.Action)
	case live.Gap:
		var m live.Missing
		err = json.Unmarshal(e.Data, &m)
		text = m.Reason + ": " + m.Detail
	default:
		var row live.Change
		err = json.Unmarshal(e.Data, &row)
		text = parts(row.Action, row.Object, "by "+row.Actor)
		if row.Outcome != "done" {
			text += ", " + row.Outcome
		}
		if row.Reason != "" {
			text += ": " + row.Reason
		}
	}
	if err != nil {
		return "", errors.New("an event cannot be read: is the node of this version?")
	}
	return text, nil
}

func judgementText(j live.Judgement) string {
	text := strings.ReplaceAll(j.Verdict, "_", " ") + " " + cmp.Or(j.Addr, "somebody")
	if j.User != "" {
		text += " " + j.User
	}
	if j.Transport != "" {
		text += " " + j.Transport
	}
	if j.Control != "" {
		text += " by " + j.Control
		if j.Mode != "" {
			text += " (" + j.Mode + ")"
		}
	}
	if j.Reason != "" {
		text += ": " + j.Reason
	}
	if j.Skipped > 0 {
		text += fmt.Sprintf("; %d more like it", j.Skipped)
	}
	return text
}

func secondText(s live.Second) string {
	return fmt.Sprintf("%d open, %d sessions; a second: %s accepted, %s served, %s covered, %s refused, %s would be; up %s/s, down %s/s", s.Open, s.Sessions,
		rate(s.Accepted), rate(s.Served), rate(s.Covered), rate(s.Refused), rate(s.WouldRefuse), size(int64(s.Up)), size(int64(s.Down)))
}

// rate is a number a second for people.
func rate(n float64) string {
	if n > 0 && n < 9.95 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}
