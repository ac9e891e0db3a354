package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) cryptoStatusCommand(o *nodeFlags) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running node may seal with, and what its regular check found",
		Long: `Show what the running node may seal with, and what its regular check found: it asks
whom [advisory] of the configuration names, every day unless that says otherwise.`,
		Example: `  mtguard crypto status
  mtguard crypto status --now
  mtguard crypto status --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if now {
				if _, err := c.client.CheckCrypto(c.ctx); err != nil {
					return err
				}
			}
			info, err := c.client.Crypto(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []control.CryptoInfo{info}, func() error { return c.showCrypto(info) })
		}),
	}
	cmd.Flags().BoolVar(&now, "now", false, "have the node ask now")
	return cmd
}

func (c *call) showCrypto(info control.CryptoInfo) error {
	asked, last := "nobody: see [advisory] in the configuration", "never"
	if info.Asked {
		asked = "next " + orElse(when(info.Next, c.now), "in a moment")
	}
	if info.Last != nil {
		last = info.Last.Verdict + ", " + when(&info.Last.Time, c.now)
	}
	rows := [][]string{{"go", info.Inventory.Go}, {"asked", asked}, {"last", last}}
	if l := info.Last; l != nil && l.Scan != nil {
		rows = append(rows, []string{"vulnerabilities", fmt.Sprintf("%d affected-reachable, %d unknown, of %s", l.Scan.Count("affected-reachable"), l.Scan.Count("unknown"), plural(len(l.Scan.Modules), "module"))})
	}
	if l := info.Last; l != nil && l.Proof != nil {
		rows = append(rows, []string{"hashes", fmt.Sprintf("%d of %d proven", l.Proof.Count("proven"), len(l.Proof.Modules))})
	}
	if l := info.Last; l != nil && l.Release != nil {
		rows = append(rows, []string{"newer version", l.Release.Verdict})
	}
	bulletin := "none"
	if info.Bulletin.Number > 0 {
		bulletin = fmt.Sprintf("%d, taken %s", info.Bulletin.Number, when(info.Bulletin.Taken, c.now))
	}
	rows = append(rows, []string{"bulletin", bulletin})
	if info.Last != nil {
		for _, finding := range info.Last.Findings {
			rows = append(rows, []string{"WARN", finding})
		}
	}
	if err := table(c.app.stdout, nil, rows); err != nil {
		return err
	}
	fmt.Fprintln(c.app.stdout)
	return table(c.app.stdout, []string{"SUITE", "SEALS", "WHY NOT", "BULLETIN"}, suiteRows(info))
}

func suiteRows(info control.CryptoInfo) (rows [][]string) {
	said := make(map[string]string)
	for _, s := range info.Bulletin.Suites {
		if said[s.Name] = s.Use; s.From != nil {
			said[s.Name] += " from " + s.From.UTC().Format(time.RFC3339)
		}
	}
	for _, s := range info.Inventory.Suites {
		seals := "yes"
		if !s.On {
			seals = "no"
		}
		rows = append(rows, []string{s.Name, seals, s.Why, said[s.Name]})
	}
	return rows
}

func (a *app) bulletinsCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bulletin",
		Short: "Take signed word that a cipher suite is to be used no more",
		Long: `Take signed word that a cipher suite is to be used no more. A bulletin can only
tighten what the policy allows, and what the bulletin before it did. What was sealed
goes on opening.`,
		Example: `  mtguard crypto bulletin take ./bulletin
  mtguard crypto bulletin drop --reason "the publisher's key was stolen"`,
		Args: noSubcommand,
		RunE: help,
	}
	cmd.AddCommand(a.takeBulletinCommand(o), a.dropBulletinCommand(o))
	return cmd
}

// maxBulletinFile is what the node takes, and one more.
const maxBulletinFile = 64<<10 + 1

func (a *app) takeBulletinCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "take FILE",
		Short: "Put a signed crypto bulletin in force",
		Long: `Put a signed crypto bulletin in force. The publisher's key is advisory.bulletin_key
of the configuration; one that would loosen anything is refused.`,
		Example: `  mtguard crypto bulletin take ./bulletin
  mtguard crypto bulletin take - --dry-run`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			text, _, err := c.beginning(c.args[0], maxBulletinFile)
			if err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.TakeBulletin(c.ctx, admin.BulletinBody{Signed: string(text)}, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) dropBulletinCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Take the crypto bulletin out of force; needs --reason",
		Long: `Take the crypto bulletin out of force; needs --reason. The policy alone says then
what may be sealed with, until a bulletin with a higher number comes.`,
		Example: `  mtguard crypto bulletin drop --reason "the publisher's key was stolen"
  mtguard crypto bulletin drop --reason "false alarm" --yes`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			info, err := c.client.Crypto(c.ctx)
			switch {
			case err != nil:
				return err
			case info.Bulletin.Number == 0:
				return &missingError{"no crypto bulletin is in force", "mtguard crypto status"}
			}
			number := strconv.FormatInt(info.Bulletin.Number, 10)
			if err := c.confirm("drop crypto bulletin "+number+": suites that it forbids may seal again", number); err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.DropBulletin(c.ctx, o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
