package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/config/spelling"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
	"mtguard/security/token"
)

func (a *app) tokenCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "token",
		GroupID: groupAdmins,
		Short:   "Make and revoke tokens: credentials of programs that manage the node",
		Long: `Make and revoke tokens: credentials of programs that manage the node. A token is shown
once, when it is made, and kept as a digest. It has a level, may be bound to parts of
the API and to addresses, and always expires.`,
		Example: `  mtguard token create deploy --level admin --scope users -o deploy.token
  mtguard token list`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.tokenCreateCommand(o), a.tokenListCommand(o), a.tokenRevokeCommand(o))
	return cmd
}

func (a *app) tokenCreateCommand(o *nodeFlags) *cobra.Command {
	var level, long, out string
	var scopes, from []string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and show it, once",
		Long: `Make a token and show it, once: on standard output, or into a new file that only you
can read. --scope is a noun of the API (users), a noun of which it may only read
(users:read), or one operation (list-users); it may be repeated, and without any the
token may do all that its level may. --from binds it to a prefix of addresses.`,
		Example: `  mtguard token create grafana --level read_only --scope status --scope incidents:read -o grafana.token
  mtguard token create deploy --level admin --for 30d --from 198.51.100.0/24 -o deploy.token`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			body := admin.TokenBody{Name: c.args[0], Scopes: scopes}
			if !slices.Contains(tokenLevels, level) {
				return &usageError{fmt.Errorf("--level: a token cannot have the level %q", level), didYouMean(level, tokenLevels)}
			}
			if err := body.Level.UnmarshalText([]byte(level)); err != nil {
				return wrongFlag("level", err)
			}
			life, err := control.ParseDuration(long)
			if err == nil && life == 0 {
				err = errors.New("a token is good for a minute at least") // for the node 0s is its own usual time
			}
			if err != nil {
				return wrongFlag("for", err)
			}
			body.For = &life
			for _, text := range from {
				p, err := prefixFlag(text)
				if err != nil {
					return wrongFlag("from", err)
				}
				body.From = append(body.From, p)
			}
			return c.makeToken(body, out)
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&level, "level", access.ReadOnly.String(), "what it may do: read_only, admin or superuser")
	cmd.Flags().StringVar(&long, "for", "90d", "good for so `LONG`, at most 365d")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "only for this `PART` of the API; may be repeated")
	cmd.Flags().StringArrayVar(&from, "from", nil, "only from this `CIDR`; may be repeated")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the token to `FILE`, which must not exist yet")
	completeFlag(cmd, "level", words(tokenLevels...))
	completeFlag(cmd, "for", words("1d", "30d", "90d", "365d"))
	return cmd
}

// tokenLevels are those that a token may have.
var tokenLevels = []string{access.ReadOnly.String(), access.Admin.String(), access.Superuser.String()}

// didYouMean is the word that was probably meant, or all that there are.
func didYouMean(word string, known []string) string {
	if near := spelling.Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	return strings.Join(known, ", ")
}

// prefixFlag reads a prefix, or an address as the prefix of it alone.
func prefixFlag(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no prefix of addresses such as 198.51.100.0/24", text)
	}
	return p.Masked(), nil
}

// makeToken makes a token and hands it out. The file is there before the node is
// asked: a token that could not be written would be lost, and good.
func (c *call) makeToken(body admin.TokenBody, out string) error {
	var result control.Result
	ask := func() (err error) {
		result, err = c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.CreateToken(c.ctx, body, o) })
		return err
	}
	if out == "" || c.dryRun {
		if err := ask(); err != nil {
			return err
		}
		return answer(c, []control.Result{result}, func() error {
			c.say(result)
			if result.Secret != "" {
				fmt.Fprintln(c.app.stdout, result.Secret)
			}
			return nil
		})
	}
	_, err := newFile(out, func(w io.Writer) error {
		if err := ask(); err != nil {
			return err
		}
		if result.Secret == "" {
			return errors.New("the node has made it already, and shows it once: revoke it, and make another")
		}
		_, err := fmt.Fprintln(w, result.Secret)
		return err
	})
	if err != nil {
		return err
	}
	result.Secret = ""
	return answer(c, []control.Result{result}, func() error {
		c.say(result)
		return nil
	})
}

func (a *app) tokenListCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets; those that ended for a month",
		Example: `  mtguard token list
  mtguard token list --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, err := c.client.Tokens(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, t := range items {
					from := make([]string, len(t.From))
					for i, p := range t.From {
						from[i] = p.String()
					}
					rows = append(rows, []string{t.Name, t.ID, t.Level.String(), orElse(strings.Join(t.Scopes, " "), "all"), orElse(strings.Join(from, " "), "anywhere"),
						t.State, soon(&t.Expires, c.now), orElse(soon(t.LastUsed, c.now), "never"), t.LastFrom, t.MadeBy})
				}
				return table(a.stdout, []string{"TOKEN", "ID", "LEVEL", "MAY", "FROM", "STATE", "EXPIRES", "USED", "LAST FROM", "MADE BY"}, rows)
			})
		}),
	}
}

func (a *app) tokenRevokeCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME|ID",
		Short: "End a token at once",
		Long: `End a token at once. What it has begun and goes on, such as a stream of events,
ends within seconds; a change that is being made is made whole or not at all.`,
		Example: `  mtguard token revoke deploy --reason "left on a laptop"
  mtguard token revoke k3v5xq7w2m4a6b2c --reason "not needed any more"`,
		Args:              exactly(1),
		ValidArgsFunction: a.tokenNames(o),
		RunE: a.asks(o, func(c *call) error {
			if t, ok := token.Parse(token.API, c.args[0]); ok {
				return &usageError{errors.New("that is a token, and the history of the shell may have it now"), "name it by its id: mtguard token revoke " + t.ID()}
			}
			if err := c.needsReason(); err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RevokeToken(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

// tokenNames completes names of tokens that are good.
func (a *app) tokenNames(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) (names []string, err error) {
		items, err := c.client.Tokens(c.ctx)
		for _, t := range items {
			if t.State == "ok" {
				names = append(names, clean(t.Name)+"\t"+described(t.Level.String(), t.MadeBy))
			}
		}
		return names, err
	})
}
