package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/policy"
)

func (a *app) policyControlsCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "controls",
		Short: "List all controls: their modes, and what they refused or would have",
		Long: `List all controls: their modes, what they let through and refused, and what they
would have refused in monitor, since the node started. KNOWN are connections of
known users among them: those that a control should not refuse. COST is the time
of one judgement, the mean of every 16th connection's; where some were enforced
and others in monitor, first that of the former.`,
		Example: `  mtguard policy controls
  mtguard policy controls --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			controls, err := c.client.Controls(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, controls, func() error {
				var rows [][]string
				for _, t := range controls {
					rows = append(rows, []string{t.Name, modeText(t), count(t.Allowed), count(t.Refused), count(t.WouldRefuse), count(t.KnownRefused + t.KnownWould),
						numberText(t.Exceptions), costText(t)})
				}
				defer c.noteInForce()
				return table(a.stdout, []string{"CONTROL", "MODE", "ALLOWED", "REFUSED", "WOULD", "KNOWN", "EXCEPTIONS", "COST"}, rows)
			})
		}),
	}
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// costText is what one judgement takes: enforced and in monitor, where both happen.
func costText(t control.ControlInfo) string {
	text := func(micros float64) string { return strconv.FormatFloat(micros, 'f', 1, 64) }
	switch {
	case t.CostSamples == 0:
		return ""
	case t.CostEnforcedMicros > 0 && t.CostMonitorMicros > 0:
		return text(t.CostEnforcedMicros) + ", " + text(t.CostMonitorMicros) + " µs"
	}
	return text(t.CostMicros) + " µs"
}

func modeText(t control.ControlInfo) string {
	if t.Always {
		return t.Mode + " (always)"
	}
	return shareText(t.Mode, t.Percent)
}

// Modes as `policy mode` takes them.
var modes = []string{policy.Off.String(), policy.Monitor.String(), policy.Enforce.String()}

func (a *app) policyModeCommand(o *nodeFlags) *cobra.Command {
	var percent int
	cmd := &cobra.Command{
		Use:   "mode CONTROL off|monitor|enforce",
		Short: "Roll one control out, or back",
		Long: `Roll one control out, or back. Monitor counts what the control would refuse, and
refuses nothing; enforce refuses, with --percent for a share of users: it is the
same users every time, and a higher share adds some to them. With --revert-after
the change reverts by itself, unless you keep it: nobody who was cut off by what he
enforced is cut off for longer.`,
		Example: `  mtguard policy mode rate.accept enforce --percent 10 --reason "monitor was quiet for a week"
  mtguard policy mode rate.accept enforce --revert-after 10m --reason "an attack"
  mtguard policy mode rate.accept monitor`,
		Args:              exactly(2),
		ValidArgsFunction: controlThenMode,
		RunE: a.asks(o, func(c *call) error {
			name, mode := c.args[0], c.args[1]
			if _, err := policy.ParseMode(mode); err != nil {
				return &usageError{fmt.Errorf("%q is no mode", mode), "off, monitor or enforce"}
			}
			enforce := mode == policy.Enforce.String()
			if c.cmd.Flags().Changed("percent") && (!enforce || percent < 1 || percent > 100) {
				return &usageError{fmt.Errorf("--percent %d does nothing here", percent), "it goes with enforce, and is 1 to 100"}
			}
			do := func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.SetControl(c.ctx, name, admin.ModeBody{Mode: mode, Percent: percent}, o)
			}
			if enforce {
				if err := c.sureToEnforce(name, percent, do); err != nil {
					return err
				}
			}
			return c.changed(c.change(do))
		}),
	}
	o.change(cmd.Flags())
	o.trial(cmd)
	cmd.Flags().IntVar(&percent, "percent", 0, "for `N` percent of users, the others in monitor; default: for all")
	completeFlag(cmd, "percent", words("1", "10", "50", "100"))
	return cmd
}

func controlThenMode(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return words(policy.Controls()...)(nil, nil, begun)
	case 1:
		return words(modes...)(nil, nil, begun)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// sureToEnforce says what a control would have refused so far, and asks, unless the node refuses it anyway.
func (c *call) sureToEnforce(name string, percent int, do func(admin.ChangeOptions) (control.Result, error)) error {
	if err := c.needsReason(); err != nil {
		return err
	}
	if c.yes || c.dryRun {
		return nil
	}
	if err := c.wouldDo(do); err != nil {
		return err
	}
	controls, err := c.client.Controls(c.ctx)
	if err != nil {
		return err
	}
	for _, t := range controls {
		if t.Name != name {
			continue
		}
		share := "all"
		if percent > 0 && percent < 100 {
			share = strconv.Itoa(percent) + "%"
		}
		what := fmt.Sprintf("enforce %s for %s: since the start it would have refused %s of %s, %d of them of known users",
			name, share, plural(int(t.WouldRefuse), "connection"), count(t.Allowed+t.Refused+t.WouldRefuse), t.KnownWould)
		return c.confirm(what+c.onTrial(), name)
	}
	return nil // the node knows better what is wrong with the name
}

func (a *app) policyExceptCommand(o *nodeFlags) *cobra.Command {
	var whom []string
	var s span
	cmd := &cobra.Command{
		Use:   "except CONTROL…",
		Short: "Spare a user, a network or a country some controls for a while",
		Long: `Spare somebody some controls for a while. --for says whom: an address or a prefix,
user:NAME (or just the name), or country:DE; given several times, all must agree.
An exception has an owner, a reason and an end, and counts how often it was
needed. What bounds the node's memory spares nobody; and what judges before it is
known who comes (conns.addr, conns.prefix, rate.accept, rate.failures, and rules
of level none) spares no user by his name: name a prefix.`,
		Example: `  mtguard policy except conns.addr rate.accept --for 203.0.113.0/24 --until 90d --reason "a school behind one address"
  mtguard policy except conns.user --for alice --until 2026-12-31 --reason "moves house"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("no control to spare anybody"), "usage: " + cmd.UseLine()}
			}
			return nil
		},
		ValidArgsFunction: words(policy.Controls()...),
		RunE: a.asks(o, func(c *call) error {
			if err := c.needsReason(); err != nil {
				return err
			}
			body := admin.ExceptionBody{Controls: c.args}
			for _, who := range whom {
				if err := exceptWhom(&body, who); err != nil {
					return wrongFlag("for", err)
				}
			}
			if len(whom) == 0 {
				return &usageError{errors.New("nobody to spare"), "--for ADDRESS, PREFIX, user:NAME or country:DE"}
			}
			_, until, err := s.times(c.now)
			if err != nil {
				return err
			}
			if until == nil {
				return &usageError{errors.New("an exception needs an end"), "--until 30d, or a date"}
			}
			body.Until = *until
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.AddException(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringArrayVar(&whom, "for", nil, "`WHOM`: an address, a prefix, user:NAME or country:DE; may be repeated")
	cmd.Flags().StringVar(&s.until, "until", "", "it ends `WHEN`: a date, an RFC 3339 time or a duration from now, up to a year")
	completeFlag(cmd, "for", a.userNames(o, 0))
	completeFlag(cmd, "until", words("7d", "30d", "90d"))
	return cmd
}

// exceptWhom reads whom an exception is for. A name that looks like an address is one of a user
// only behind user:.
func exceptWhom(body *admin.ExceptionBody, text string) error {
	target, value := &body.User, text
	if kind, rest, found := strings.Cut(text, ":"); found && kind == "user" {
		value = rest
	} else if found && kind == "country" {
		target, value = &body.Country, rest
	} else if isAddress(text) {
		target = &body.Prefix
	}
	switch {
	case value == "":
		return fmt.Errorf("%q names nobody", text)
	case *target != "":
		return fmt.Errorf("%q and %q cannot both hold for one connection: make two exceptions", *target, value)
	}
	*target = value
	return nil
}

func isAddress(text string) bool {
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, err := netip.ParseAddr(text)
	return err == nil || strings.Contains(text, "/")
}

func (a *app) policyExceptionsCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "exceptions",
		Short: "List exceptions: for whom, until when, and how often they were needed",
		Example: `  mtguard policy exceptions
  mtguard policy exceptions --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			exceptions, err := c.client.Exceptions(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, exceptions, func() error {
				var rows [][]string
				for _, e := range exceptions {
					rows = append(rows, []string{e.ID, strings.Join(e.Controls, " "), described(e.Prefix, e.User, e.Country), e.State, soon(e.Until, c.now),
						strconv.FormatInt(e.Hits, 10), e.Owner, e.Reason})
				}
				return table(a.stdout, []string{"EXCEPTION", "CONTROLS", "FOR", "STATE", "ENDS", "HITS", "OWNER", "REASON"}, rows)
			})
		}),
	}
}

func (a *app) policyUnexceptCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unexcept ID",
		Short: "End an exception",
		Example: `  mtguard policy unexcept e7b2f47a10
  mtguard policy unexcept e7b2f47a10 --reason "they have an address of their own now"`,
		Args:              exactly(1),
		ValidArgsFunction: a.exceptionIDs(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.RemoveException(c.ctx, c.args[0], o)
			}))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) policyGlassCommand(o *nodeFlags) *cobra.Command {
	var long string
	var end bool
	cmd := &cobra.Command{
		Use:   "break-glass",
		Short: "Stop enforcing at once, for a while, when people are refused who should not be",
		Long: `Stop enforcing at once, for a while, when people are refused who should not be:
every control is in monitor until then, but for those that bound the node's
memory. Replays and revoked secrets are refused as ever. It ends by itself.`,
		Example: `  mtguard policy break-glass --reason "users are refused" --for 1h
  mtguard policy break-glass --end`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			var body admin.GlassBody
			switch {
			case end && c.cmd.Flags().Changed("for"):
				return &usageError{errors.New("--for and --end exclude each other"), ""}
			case end:
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.EndGlass(c.ctx, o) }))
			}
			d, err := control.ParseDuration(long)
			if err == nil && d == 0 {
				err = errors.New("0s is no time at all")
			}
			if err != nil {
				return wrongFlag("for", err)
			}
			if err := c.needsReason(); err != nil {
				return err
			}
			body.For = &d
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.BreakGlass(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&long, "for", "4h", "for so `LONG`, up to a day")
	cmd.Flags().BoolVar(&end, "end", false, "enforce again, now")
	completeFlag(cmd, "for", words("1h", "4h", "1d"))
	return cmd
}
