package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/threat"
)

func (a *app) statusCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "status",
		GroupID: groupServe,
		Short:   "Say how the running node is",
		Example: `  mtguard status
  mtguard status --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			status, err := c.client.Status(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []control.Status{status}, func() error { return c.showStatus(status) })
		}),
	}
	o.common(cmd.Flags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}

func (c *call) showStatus(s control.Status) error {
	state := "serving"
	if s.Draining {
		state = "draining"
	}
	rotation := "secrets do not rotate by themselves"
	if s.Schedule.Every > 0 {
		rotation = fmt.Sprintf("every %v, the old secret works for another %v", s.Schedule.Every, s.Schedule.Overlap)
		if s.NextRotation != nil {
			rotation += "; next " + when(s.NextRotation, s.Now)
		}
	}
	rows := [][]string{
		{"node", s.Version + ", " + state + ", up " + about(s.Now.Sub(s.Started))},
		{"listening", strings.Join(s.Listening, ", ")},
		{"dashboard", orElse(s.Dashboard, "off")},
		{"users", fmt.Sprintf("%d, of which %d may connect", s.Users, s.Serving)},
		{"connections", fmt.Sprintf("%d open; %s since the start", s.Connections, plural(int(s.Sessions), "session"))},
		{"keys", keyCounts(s)},
		{"rotation", rotation},
		{"controls", fmt.Sprintf("%d enforcing, %d monitoring", s.Enforcing, s.Monitoring)},
		{"incidents", incidentText(s)},
		{"audit log", fmt.Sprintf("%s, %d of them signed", plural(int(s.AuditRows), "row"), s.AuditSigned)},
		{"audit", auditText(s)},
		{"backup", orElse(when(s.LastBackup, s.Now), "none yet: mtguard backup create")},
		{"crypto", cryptoLine(s)},
		{"master key", s.MasterKey},
		{"revision", strconv.FormatInt(int64(s.Revision), 10)},
	}
	for _, warning := range warnings(s) {
		rows = append(rows, []string{"WARN", warning})
	}
	if _, err := fmt.Fprintf(c.app.stdout, "%s\n\n", cleanLines(statusBrief(s))); err != nil {
		return err
	}
	return table(c.app.stdout, nil, rows)
}

// statusBrief is what most people want to know, in two lines.
func statusBrief(s control.Status) string {
	state, config := "serving", "config good"
	if s.Demo {
		state = "DEMO DATA: serving"
	}
	if s.Draining {
		state = "draining"
	}
	if s.ConfigError != "" {
		config = "CONFIG REFUSED"
	}
	keys := "keys do not rotate by themselves"
	if s.NextRotation != nil {
		keys = "keys rotate next " + soon(s.NextRotation, s.Now)
		if s.Schedule.Overlap > 0 {
			keys += fmt.Sprintf(" with %v overlap", s.Schedule.Overlap)
		}
	}
	audit := "no audit yet"
	if s.Audit != nil {
		audit = fmt.Sprintf("last audit %s, posture %d of 100", orElse(soon(s.Audit.Last, s.Now), "not of all yet"), s.Audit.Score)
	}
	return fmt.Sprintf("%s %s, %s · %s · %s\n%s enforcing, %d monitoring · %s · %s", state, plural(s.Serving, "user"), plural(int(s.Connections), "connection"),
		keys, audit, plural(s.Enforcing, "control"), s.Monitoring, plural(s.Incidents, "incident"), config)
}

func incidentText(s control.Status) string {
	if s.Incidents == 0 {
		return "none open"
	}
	return fmt.Sprintf("%d open, the gravest %s: mtguard incident list", s.Incidents, s.Gravest)
}

func keyCounts(s control.Status) string {
	text := fmt.Sprintf("%d active", s.KeysActive)
	for _, more := range []struct {
		n    int
		name string
	}{{s.KeysPending, "pending"}, {s.KeysRetiring, "retiring"}, {s.KeysRevoked, "revoked and watched"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.name)
		}
	}
	return text
}

func cryptoLine(s control.Status) string {
	switch c := s.Crypto; {
	case !c.Asked && c.Checked == nil:
		return "nobody is asked about vulnerabilities or releases: see [advisory]"
	case c.Checked == nil:
		return "not checked yet"
	default:
		return c.Verdict + ", checked " + when(c.Checked, s.Now)
	}
}

// warnings are what somebody should look at.
func warnings(s control.Status) (list []string) {
	if s.ConfigError != "" {
		list = append(list, "the last reload was refused: "+s.ConfigError)
	}
	if s.Glass != nil {
		list = append(list, glassText(s.Glass, s.Now))
	}
	for _, t := range s.Trials {
		list = append(list, trialText(t, s.Now))
	}
	if s.ClockHeld != "" {
		list = append(list, s.ClockHeld)
	}
	if s.Tripped > 0 {
		list = append(list, "a revoked secret is in use: "+plural(int(s.Tripped), "handshake")+" since the start")
	}
	if s.Audit != nil && s.Audit.High > 0 {
		list = append(list, plural(s.Audit.High, "finding")+" of severity high or worse: mtguard audit list --severity high")
	}
	if s.Gravest == threat.High.String() {
		list = append(list, "an incident of severity high is open: mtguard incident list")
	}
	return append(list, s.Crypto.Findings...)
}

// statusLine is the node in one line, nothing when it is not reachable: `mtguard` alone prints
// it below the help.
func (a *app) statusLine(cmd *cobra.Command) string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	o, like := new(nodeFlags), new(cobra.Command) // the variables count here, too
	o.common(like.Flags())
	c, err := a.call(ctx, o, like, nil)
	if err != nil {
		return ""
	}
	s, err := c.client.Status(ctx)
	if err != nil {
		return ""
	}
	line := fmt.Sprintf("The node is up %s: %s, %s, %s. See mtguard status.", about(s.Now.Sub(s.Started)),
		plural(s.Users, "user"), plural(int(s.Connections), "connection"), plural(len(warnings(s)), "warning"))
	return clean(line)
}

func auditText(s control.Status) string {
	if s.Audit == nil {
		return "none yet: mtguard audit run"
	}
	return fmt.Sprintf("score %d of 100, %s to look at; last %s", s.Audit.Score, plural(s.Audit.Waiting, "finding"), orElse(when(s.Audit.Last, s.Now), "not of all yet"))
}
