package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control/advisory"
	"mtguard/node"
)

func (a *app) cryptoCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "crypto",
		GroupID: groupCare,
		Short:   "Know, prove and watch the cryptography in this program",
		Long: `Know, prove and watch the cryptography in this program.

It is compiled in, so its update is another binary: these commands say when one is
needed, and install nothing.`,
		Example: `  mtguard crypto inventory
  mtguard crypto verify`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.cryptoInventoryCommand(o), a.cryptoVerifyCommand(o), a.cryptoCheckCommand(o), a.cryptoStatusCommand(o), a.bulletinsCommand(o))
	return cmd
}

func (a *app) cryptoInventoryCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "inventory",
		Short: "List the modules, cipher suites and modes that this program is made of",
		Long: `List the modules, cipher suites and modes that this program is made of. No node is
asked.`,
		Example: `  mtguard crypto inventory
  mtguard crypto inventory --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			inventory, err := advisory.Read()
			if err != nil {
				return err
			}
			return answer(c, []advisory.Inventory{inventory}, func() error { return c.showInventory(inventory) })
		}),
	}
}

func (c *call) showInventory(v advisory.Inventory) error {
	fips := "off"
	switch {
	case v.FIPS.Enforced:
		fips = "enforced"
	case v.FIPS.Enabled:
		fips = "on"
	}
	var on []string
	for _, s := range v.Suites {
		if s.On {
			on = append(on, s.Name)
		}
	}
	rows := [][]string{
		{"mtguard", v.Program},
		{"go", fmt.Sprintf("%s %s/%s", v.Go, v.OS, v.Arch)},
		{"fips 140-3", fmt.Sprintf("%s, module %s", fips, v.FIPS.Version)},
		{"tls", "from " + v.TLS.Least + "; in 1.3 " + strings.Join(v.TLS.Suites, ", ")},
		{"suites", strings.Join(on, ", ")},
	}
	for _, s := range v.Suites {
		if !s.On {
			rows = append(rows, []string{"off", s.Name + ": " + s.Why})
		}
	}
	if err := table(c.app.stdout, nil, rows); err != nil {
		return err
	}
	fmt.Fprintln(c.app.stdout)
	rows = nil
	for _, m := range v.Modules {
		rows = append(rows, []string{m.Path, m.Version, m.Sum, m.Crypto})
	}
	return table(c.app.stdout, []string{"MODULE", "VERSION", "HASH", "CRYPTOGRAPHY"}, rows)
}

func (a *app) cryptoVerifyCommand(o *nodeFlags) *cobra.Command {
	var from, key, record string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove every module's hash with the Go checksum database; exit code 10 if one is not proven",
		Long: `Prove every module's hash with the Go checksum database; the exit code is 10 if one
is not proven, and 1 if nothing is answered. The database's signed tree must hold exactly the hashes that this
program was built from, and must go on from the tree that was seen last, which the
state directory remembers. No node is asked.

This asks ` + advisory.SumDBAddress + `, or advisory.checksums of the configuration. --from names
another address, such as a module proxy, or a directory that --record has written
on a machine with a network.`,
		Example: `  mtguard crypto verify
  mtguard crypto verify --from https://proxy.golang.org/sumdb/sum.golang.org
  mtguard crypto verify --record ./answers
  mtguard crypto verify --from ./answers --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			c.stream()
			inventory, file, err := c.inventory()
			if err != nil {
				return err
			}
			source, err := sourceFlag(orElse(from, orElse(file.Advisory.Checksums, advisory.SumDBAddress)), advisory.ParseSource)
			if err != nil {
				return err
			}
			files, err := c.stateFiles(file)
			if err != nil {
				return err
			}
			report, err := advisory.Prove(c.ctx, inventory.Modules, advisory.Proof{Source: source, Key: key, Heads: files, Record: record})
			if err != nil {
				return err
			}
			if n := report.Count(advisory.Unasked); n > 0 && report.Count(advisory.Proven)+report.Count(advisory.Differs)+report.Count(advisory.Forged) == 0 {
				at := slices.IndexFunc(report.Modules, func(m advisory.ModuleProof) bool { return m.Standing == advisory.Unasked })
				return fmt.Errorf("%s answers nothing: %s", report.Source, report.Modules[at].Problem)
			}
			if err := answer(c, []advisory.ProofReport{*report}, func() error { return c.showProof(report) }); err != nil || report.OK() {
				return err
			}
			return &foundError{fmt.Sprintf("%d of %s proven", report.Count(advisory.Proven), plural(len(report.Modules), "module")), "see the table; do not run what differs"}
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "ask this `ADDRESS`, or read the answers recorded in this directory")
	cmd.Flags().StringVar(&key, "key", "", "the database's public `KEY`; default: that of sum.golang.org")
	cmd.Flags().StringVar(&record, "record", "", "write the answers to `DIR`, for --from on a machine without a network")
	completeFlag(cmd, "key", cobra.NoFileCompletions)
	return cmd
}

func (c *call) showProof(r *advisory.ProofReport) error {
	var rows [][]string
	for _, m := range r.Modules {
		if m.Standing != advisory.Proven || !c.quiet {
			rows = append(rows, []string{m.Path, m.Version, string(m.Standing), m.Problem})
		}
	}
	if len(rows) > 0 {
		if err := table(c.app.stdout, []string{"MODULE", "VERSION", "HASH", "PROBLEM"}, rows); err != nil {
			return err
		}
	}
	if c.quiet {
		return nil
	}
	_, err := fmt.Fprintf(c.app.stdout, "\n%d of %s proven in the tree of %d records\n", r.Count(advisory.Proven), plural(len(r.Modules), "module"), r.Tree)
	return err
}

func (a *app) cryptoCheckCommand(o *nodeFlags) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for known vulnerabilities in this program; exit code 10 if one is, or may be, in it",
		Long: `Look for known vulnerabilities in this program; the exit code is 10 if one is, or may
be, in it. Every module and Go itself is affected-reachable (an affected version, and
the code is in the program), affected-unreachable (the code was left out),
unaffected, or unknown, which is no good answer. No node is asked.

This asks ` + advisory.GoVulnDB + `, or advisory.vulnerabilities of the configuration. --from
names another address laid out like it, or a directory: a copy of it, or files in
the OSV format.`,
		Example: `  mtguard crypto check
  mtguard crypto check --from ./vulndb --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			c.stream()
			inventory, file, err := c.inventory()
			if err != nil {
				return err
			}
			source, err := sourceFlag(orElse(from, orElse(file.Advisory.Vulnerabilities, advisory.GoVulnDB)), advisory.ParseSource)
			if err != nil {
				return err
			}
			symbols, err := advisory.ReadSymbols()
			if err != nil {
				a.note("which functions are in this program is not known: " + err.Error())
			}
			report, err := advisory.Scan(c.ctx, source, inventory, symbols, c.now)
			if err != nil {
				return err
			}
			if err := answer(c, []advisory.ScanReport{*report}, func() error { return c.showScan(report) }); err != nil || report.OK() {
				return err
			}
			return &foundError{fmt.Sprintf("%d affected-reachable, %d unknown", report.Count(advisory.Reachable), report.Count(advisory.Unknown)), "mtguard update check says whether a newer version is there"}
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "ask this `ADDRESS`, or read this directory")
	return cmd
}

func (c *call) showScan(r *advisory.ScanReport) error {
	var rows [][]string
	for _, m := range r.Modules {
		if m.Class == advisory.Unaffected {
			continue
		}
		if m.Problem != "" {
			rows = append(rows, []string{m.Path, m.Version, string(advisory.Unknown), "", "", m.Problem})
		}
		for _, v := range m.Vulnerabilities {
			rows = append(rows, []string{m.Path, m.Version, string(v.Class), v.ID, v.Fixed, v.Why})
		}
	}
	if len(rows) > 0 {
		if err := table(c.app.stdout, []string{"MODULE", "VERSION", "CLASS", "VULNERABILITY", "MENDED IN", "WHY"}, rows); err != nil {
			return err
		}
	}
	if c.quiet {
		return nil
	}
	_, err := fmt.Fprintf(c.app.stdout, "%s: %d affected-reachable, %d affected-unreachable, %d unaffected, %d unknown; the data is of %s\n", plural(len(r.Modules), "module"),
		r.Count(advisory.Reachable), r.Count(advisory.Unreachable), r.Count(advisory.Unaffected), r.Count(advisory.Unknown), when(&r.Data, c.now))
	return err
}

// inventory is what this program is made of, and the file that run would use, with --state-dir over it.
func (c *call) inventory() (v advisory.Inventory, file *config.File, err error) {
	if v, err = advisory.Read(); err == nil {
		file, err = c.configuration()
	}
	return v, file, err
}

// stateFiles are the files of the state directory, which is made where there is none.
func (c *call) stateFiles(file *config.File) (advisory.Files, error) {
	dir, err := statedir.Open(file.State.Dir, file.Explicit("state.dir"))
	if err != nil {
		return nil, err
	}
	c.app.note(dir.Note())
	return node.Files(dir), nil
}

// configuration is the file that run would use, with --state-dir over it.
func (c *call) configuration() (*config.File, error) {
	path, err := c.app.configPath(c.config)
	if err != nil {
		return nil, err
	}
	return load(path, stateFlag(c.stateDir))
}

// sourceFlag reads where answers come from: an address, or what is here.
func sourceFlag(text string, parse func(string) (advisory.Source, error)) (advisory.Source, error) {
	if !strings.Contains(text, "://") {
		var err error
		if text, err = filepath.Abs(text); err != nil {
			return advisory.Source{}, err
		}
	}
	source, err := parse(text)
	if err != nil {
		return source, wrongFlag("from", err)
	}
	return source, nil
}
