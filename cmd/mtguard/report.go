package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/report"
)

func (a *app) reportCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "report",
		GroupID: groupCare,
		Short:   "Make reports of a period that is over, sealed by the audit log, and verify them",
		Long: `Make reports of a period that is over: compliance with a profile, security, usage.
Every figure names its evidence and the command that shows it; what nobody knows is
unknown, never a pass. The same period gives the same report at any later time, as long
as the node keeps what it is made of.

A report is sealed: the audit log has a row with its SHA-256, and the report the signed
proof of that row. mtguard report verify needs the file and the log's public key alone.`,
		Example: `  mtguard report compliance --profile asvs --format html -o asvs.html
  mtguard report security --last 7d
  mtguard report verify asvs.html --log-key audit.key`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.makeReportCommand(o, report.Compliance, "Say what a profile asks for, what is met, and by what evidence",
			`Say what a profile asks for, what is met, and by what evidence: requirements, the
modes of controls over the period, exceptions and accepted risks. The profiles are
baseline (mtguard's own), asvs (parts of OWASP ASVS 5.0) and host (in the manner of the
CIS benchmarks). The results are those at the end of the period.`,
			`  mtguard report compliance
  mtguard report compliance --profile asvs --format html -o asvs.html
  mtguard report compliance --last 90d --until 2026-11-01 --format csv -o october.csv`),
		a.makeReportCommand(o, report.Security, "Say what happened: incidents, blocks, audits, what controls refused",
			`Say what happened in a period: incidents, blocks, the audits and their findings, what
controls refused and would have refused, changes that were made and refused.`,
			`  mtguard report security --last 7d
  mtguard report security --since 2026-10-01 --until 2026-11-01 --format html -o october.html`),
		a.makeReportCommand(o, report.Usage, "Say what each user used on the whole days of a period",
			`Say what each user used on the whole days (UTC) of a period: sessions and bytes. It
names what it does not know.`,
			`  mtguard report usage --last 30d
  mtguard report usage --last 30d --format csv -o usage.csv`),
		a.verifyReportCommand(o),
	)
	return cmd
}

// reportFlags are what a report is about.
type reportFlags struct {
	profile, last, since, until, at, format, out string
	unsealed                                     bool
}

func (a *app) makeReportCommand(o *nodeFlags, kind report.Kind, short, long, example string) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:     string(kind),
		Short:   short,
		Long:    long,
		Example: example,
		Args:    atMost(0),
		RunE: a.asks(o, func(c *call) error {
			body, err := f.body(c)
			if err != nil {
				return err
			}
			c.stream()
			return c.writeReport(f.out, func(w io.Writer) error { return c.client.Report(c.ctx, string(kind), body, !f.unsealed, w) })
		}),
	}
	flags := cmd.Flags()
	if kind == report.Compliance {
		flags.StringVar(&f.profile, "profile", report.Profiles()[0], "compare with `PROFILE`: baseline, asvs or host")
		completeFlag(cmd, "profile", words(report.Profiles()...))
	}
	flags.StringVar(&f.last, "last", "", "a period so `LONG`; default: 30d")
	flags.StringVar(&f.since, "since", "", "a period from `WHEN` on: a date or an RFC 3339 time")
	flags.StringVar(&f.until, "until", "", "a period until `WHEN`: a date or an RFC 3339 time; default: now")
	flags.StringVar(&f.at, "at", "", "the same as --until: how it was at `WHEN`")
	flags.StringVar(&f.format, "format", string(report.Markdown), "write `FORMAT`: md, html, json or csv")
	flags.StringVarP(&f.out, "output", "o", "", "write to `FILE`, which must not exist yet, instead of standard output")
	flags.BoolVar(&f.unsealed, "unsealed", false, "leave the seal out: the same bytes at each call, and no row in the audit log")
	completeFlag(cmd, "format", words("md", "html", "json", "csv"))
	completeFlag(cmd, "last", words("1d", "7d", "30d", "90d"))
	return cmd
}

// body is what is asked of the node.
func (f *reportFlags) body(c *call) (body admin.ReportBody, err error) {
	if _, err := report.ParseFormat(f.format); err != nil {
		return body, wrongFlag("format", err)
	}
	body = admin.ReportBody{Profile: f.profile, Format: f.format}
	if c.json && f.out == "" {
		body.Format = string(report.JSON)
	}
	if f.at != "" {
		if f.until != "" {
			return body, &usageError{errors.New("--at and --until are the same"), "give one of them"}
		}
		f.until = f.at
	}
	if f.until != "" {
		if body.Until, err = pastTime(f.until, c.now); err != nil {
			return body, wrongFlag("until", err)
		}
	}
	switch {
	case f.since != "" && f.last != "":
		return body, &usageError{errors.New("--since and --last both say when the period begins"), "give one of them"}
	case f.since != "":
		if body.Since, err = pastTime(f.since, c.now); err != nil {
			return body, wrongFlag("since", err)
		}
	case f.last != "":
		d, err := control.ParseDuration(f.last)
		if err == nil && d <= 0 {
			err = fmt.Errorf("%q is no length of a period", f.last)
		}
		if err != nil {
			return body, wrongFlag("last", err)
		}
		if body.Until.IsZero() {
			body.Until = c.now.Truncate(time.Microsecond)
		}
		body.Since = body.Until.Add(-time.Duration(d))
	}
	return body, nil
}

// pastTime is parseTime for what is over: a duration there means from now on.
func pastTime(text string, now time.Time) (time.Time, error) {
	if _, err := control.ParseDuration(text); err == nil {
		return time.Time{}, fmt.Errorf("time %q: want a date (2026-10-31) or an RFC 3339 time", text)
	}
	return parseTime(text, now)
}

// writeReport writes a report to a file, and says so, or to standard output.
func (c *call) writeReport(file string, fill func(io.Writer) error) error {
	if file != "" && file != "-" {
		return c.produce(file, fill)
	}
	if c.format == formLines {
		return &usageError{errors.New("a report is one item"), "--json"}
	}
	return fill(c.app.stdout)
}

// verifiedItem is what `report verify` proves of a file.
type verifiedItem struct {
	File   string    `json:"file"`
	OK     bool      `json:"ok"`
	Error  string    `json:"problem,omitempty"`
	Report string    `json:"report,omitempty"`
	Format string    `json:"format,omitempty"`
	Since  string    `json:"since,omitempty"`
	Until  string    `json:"until,omitempty"`
	Made   time.Time `json:"made,omitzero"`
	By     string    `json:"by,omitempty"`
	Log    string    `json:"log,omitempty"`
	Row    int64     `json:"row,omitempty"`
	Signed int64     `json:"signed,omitempty"`
	Sum    string    `json:"sha256,omitempty"`
}

func (a *app) verifyReportCommand(o *nodeFlags) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify that a report is what a node made; exit code 10 if it is not",
		Long: `Verify that a report is what a node made, byte for byte, in any format. No node is
asked: the report carries its row of the audit log, the proof that the row is in the
log, and a signed checkpoint; the key is what mtguard auditlog key prints, which is best
kept elsewhere from the first day on. The exit code is 10 if the report is something else.`,
		Example: `  mtguard report verify asvs.html --log-key audit.key
  mtguard report verify october.csv --log-key audit.key --json`,
		Args: exactly(1),
		RunE: a.works(o, func(c *call) error {
			if keyFile == "" {
				return &usageError{errors.New("--log-key is missing"), "it is a file with what mtguard auditlog key prints"}
			}
			text, err := os.ReadFile(keyFile)
			if err != nil {
				return err
			}
			verifiers, err := readVerifiers(string(text))
			if err != nil {
				return &usageError{fmt.Errorf("%s: %w", keyFile, err), "it is what mtguard auditlog key prints"}
			}
			file, name, err := c.beginning(c.args[0], report.MaxFile+1)
			if err != nil {
				return err
			}
			v, refused := report.Verify(bytes.Clone(file), verifiers...)
			item := verifiedItem{File: name, OK: refused == nil}
			if refused != nil {
				item.Error = refused.Error()
			} else {
				item.Report, item.Format, item.Since, item.Until, item.Made, item.By = v.Object, string(v.Format), v.Since, v.Until, v.Made, v.By
				item.Log, item.Row, item.Signed, item.Sum = v.Log, v.Row, v.Signed, v.Sum
			}
			err = answer(c, []verifiedItem{item}, func() error { return c.showVerified(item) })
			if err == nil && refused != nil {
				err = &foundError{fmt.Sprintf("%s: %v", name, refused), "it was altered, it was made by another node, or the key is another one's"}
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&keyFile, "log-key", "", "with the public key of the audit log in `FILE`")
	return cmd
}

func (c *call) showVerified(v verifiedItem) error {
	if !v.OK || c.quiet {
		return nil
	}
	fmt.Fprintf(c.app.stdout, "ok: report %s, later than %s until %s\n", clean(v.Report), clean(v.Since), clean(v.Until))
	return table(c.app.stdout, nil, [][]string{
		{"made", v.Made.Format(time.RFC3339), "by " + v.By},
		{"audit log", v.Log, fmt.Sprintf("row %d, of %d that are signed", v.Row, v.Signed)},
		{"sha-256", v.Sum},
	})
}
