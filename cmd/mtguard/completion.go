package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/aead"
)

// Completion asks the node, so that the shell offers what there is. A node that does not answer
// at once, or at all, is as one that has nothing: nobody wants an error in the middle of a line.
const (
	completionPatience = time.Second
	completionMost     = 100
)

// completer offers values for what stands before the cursor.
type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// live is a completer that asks the node, for up to most arguments (0: any number).
func (a *app) live(o *nodeFlags, most int, ask func(c *call, begun string) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		if environment(cmd.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		own := *o // a copy, whose form and patience are ours
		own.timeout, own.format, own.json = completionPatience, formTable, false
		c, err := a.call(ctx, &own, cmd, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		values, err := ask(c, begun)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		values = slices.DeleteFunc(values, func(value string) bool {
			word, _, _ := strings.Cut(value, "\t")
			return !strings.HasPrefix(word, begun) || slices.Contains(args, word)
		})
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// userNames completes names of users.
func (a *app) userNames(o *nodeFlags, most int) completer {
	return a.live(o, most, func(c *call, begun string) ([]string, error) {
		// Sorted by name, those that begin so stand behind the words before.
		users, _, err := c.client.Users(c.ctx, control.UserFilter{After: before(begun), Limit: completionMost})
		var names []string
		for _, user := range users {
			names = append(names, clean(user.Name)+"\t"+described(user.State, user.Note))
		}
		return names, err
	})
}

// before is a text that sorts in front of all names that begin with text, and behind all others
// that do. Names have no character above a letter.
func before(text string) string {
	if text == "" {
		return ""
	}
	last := len(text) - 1
	return text[:last] + string(text[last]-1) + "~"
}

// keyIDs completes ids of keys that what keeps.
func (a *app) keyIDs(o *nodeFlags, filter control.KeyFilter) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		filter.Limit = completionMost
		found, _, err := c.client.Keys(c.ctx, filter)
		var ids []string
		for _, key := range found {
			ids = append(ids, clean(string(key.ID))+"\t"+described(key.State, key.User))
		}
		return ids, err
	})
}

// sealKeyIDs completes ids of keys that can seal.
func (a *app) sealKeyIDs(o *nodeFlags) completer {
	return a.keyIDs(o, control.KeyFilter{Purpose: "seal"})
}

// ruleIDs completes ids of access rules.
func (a *app) ruleIDs(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		rules, _, err := c.client.Rules(c.ctx, control.RuleFilter{Limit: completionMost})
		var ids []string
		for _, r := range rules {
			ids = append(ids, clean(r.ID)+"\t"+described(r.Match, r.Level.String(), r.Reason))
		}
		return ids, err
	})
}

// blocked completes what is shut out by rules.
func (a *app) blocked(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		rules, _, err := c.client.Rules(c.ctx, control.RuleFilter{Level: access.None.String(), Limit: completionMost})
		var targets []string
		for _, r := range rules {
			targets = append(targets, clean(r.Match)+"\t"+described(r.State, r.Reason))
		}
		return targets, err
	})
}

// listNames completes names of lists.
func (a *app) listNames(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		lists, err := c.client.Lists(c.ctx)
		var names []string
		for _, l := range lists {
			names = append(names, clean(l.Name)+"\t"+described(l.Level.String(), l.Origin))
		}
		return names, err
	})
}

// policyRevisions completes revisions of the policy.
func (a *app) policyRevisions(o *nodeFlags) completer {
	return a.live(o, 2, func(c *call, _ string) ([]string, error) {
		revisions, err := c.client.PolicyHistory(c.ctx, 0, completionMost)
		var names []string
		for _, r := range revisions {
			names = append(names, revisionText(r.Revision)+"\t"+described(r.Actor, r.Reason))
		}
		return append(names, "r0\tbefore anybody set one"), err
	})
}

// exceptionIDs completes ids of exceptions.
func (a *app) exceptionIDs(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		exceptions, err := c.client.Exceptions(c.ctx)
		var ids []string
		for _, e := range exceptions {
			ids = append(ids, clean(e.ID)+"\t"+described(append(e.Controls, e.Prefix, e.User, e.Country)...))
		}
		return ids, err
	})
}

// receiverNames completes receivers of alerts, silenceIDs maintenance windows.
func (a *app) receiverNames(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) (names []string, err error) {
		report, err := c.client.Alerts(c.ctx)
		for _, r := range report.Receivers {
			names = append(names, clean(r.Name)+"\t"+described(r.Kind, r.Target))
		}
		return names, err
	})
}

func (a *app) silenceIDs(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) (ids []string, err error) {
		report, err := c.client.Alerts(c.ctx)
		for _, s := range report.Silences {
			ids = append(ids, clean(s.ID)+"\t"+described(s.Code, s.Reason))
		}
		return ids, err
	})
}

// described is the remark that shells show beside a value.
func described(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return clean(strings.Join(parts, ", "))
}

// words completes from a fixed list.
func words(list ...string) completer {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		fitting := slices.DeleteFunc(slices.Clone(list), func(word string) bool { return !strings.HasPrefix(word, begun) })
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag gives a flag its completer. A flag that does not exist is a mistake of ours.
func completeFlag(cmd *cobra.Command, flag string, complete completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

func levelNames() []string {
	var names []string
	for _, level := range access.Levels() {
		names = append(names, level.String())
	}
	return names
}

func suiteNames() []string {
	var names []string
	for _, suite := range aead.Suites() {
		names = append(names, suite.String())
	}
	return names
}

// findingIDs completes ids of findings that are not fixed.
func (a *app) findingIDs(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		findings, _, err := c.client.Findings(c.ctx, control.FindingFilter{Limit: completionMost})
		var ids []string
		for _, f := range findings {
			ids = append(ids, clean(f.ID)+"\t"+described(severityText(f), f.Check, f.Subject))
		}
		return ids, err
	})
}
