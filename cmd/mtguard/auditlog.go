package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"mtguard/control"
	"mtguard/security/auditlog"
)

func (a *app) auditlogCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "auditlog",
		GroupID: groupCare,
		Short:   "Read the log of who changed what, and verify that nobody changed the log",
		Example: `  mtguard auditlog tail
  mtguard auditlog verify`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.auditTailCommand(o),
		a.auditVerifyCommand(o),
		a.auditExportCommand(o),
		a.auditKeyCommand(o),
	)
	return cmd
}

func (a *app) auditTailCommand(o *nodeFlags) *cobra.Command {
	var n int
	var before int64
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last rows of the audit log",
		Example: `  mtguard auditlog tail
  mtguard auditlog tail -n 100 --before 400
  mtguard auditlog tail -o jsonl`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if n < 1 {
				return wrongFlag("lines", fmt.Errorf("%d rows", n))
			}
			rows, err := c.client.AuditTail(c.ctx, n, before)
			if err != nil {
				return err
			}
			slices.SortFunc(rows, func(x, y control.AuditRow) int { return int(x.Seq - y.Seq) })
			return answer(c, rows, func() error { return c.showAudit(rows) })
		}),
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 20, "`N` rows")
	cmd.Flags().Int64Var(&before, "before", 0, "those before row `N`; 0 for the last")
	return cmd
}

func (c *call) showAudit(rows []control.AuditRow) error {
	var lines [][]string
	for _, row := range rows {
		var details []string
		for key, value := range row.Details {
			details = append(details, key+"="+value)
		}
		slices.Sort(details)
		if row.Reason != "" {
			details = append(details, "reason="+strconv.Quote(row.Reason))
		}
		lines = append(lines, []string{strconv.FormatInt(row.Seq, 10), row.Time.Local().Format("2006-01-02 15:04:05"), row.Actor, row.Action,
			row.Object, row.Outcome, strings.Join(details, " ")})
	}
	return table(c.app.stdout, []string{"ROW", "TIME", "BY", "ACTION", "OBJECT", "OUTCOME", "DETAILS"}, lines)
}

func (a *app) auditVerifyCommand(o *nodeFlags) *cobra.Command {
	var file, keyFile string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that the audit log is what was written; exit code 10 if it is not",
		Long: `Verify that the audit log is what was written: no row was edited, removed, moved or
added. The exit code is 10 if one was, and the row is named.

Without flags the node looks at its own log. With --file and --key-file nothing is
asked of any node: an export is verified with the public key alone, which is best
kept elsewhere from the first day on.`,
		Example: `  mtguard auditlog verify
  mtguard auditlog verify --file export.jsonl --key-file audit.key`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file == "" && keyFile == "":
				return a.asks(o, (*call).verifyAudit)(cmd, args)
			case file == "" || keyFile == "":
				return &usageError{errors.New("--file and --key-file belong together"), "the key is what mtguard auditlog key prints"}
			}
			return a.works(o, func(c *call) error {
				report, err := verifyExport(file, keyFile)
				if err != nil {
					return err
				}
				return c.judgeAudit(report)
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "verify `FILE`, which mtguard auditlog export wrote")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "with the public key in `FILE`")
	return cmd
}

func (c *call) verifyAudit() error {
	c.slow()
	report, err := c.client.AuditVerify(c.ctx)
	if err != nil {
		return err
	}
	return c.judgeAudit(report)
}

// judgeAudit prints what a verification found.
func (c *call) judgeAudit(report control.AuditReport) error {
	err := answer(c, []control.AuditReport{report}, func() error {
		if !report.OK || c.quiet {
			return nil
		}
		text := fmt.Sprintf("ok: %s, of which %d are covered by %s", plural(int(report.Rows), "row"), report.Witnessed,
			plural(report.Checkpoints, "signed checkpoint"))
		if report.Backwards > 0 {
			text += fmt.Sprintf("; the clock went back %d times", report.Backwards)
		}
		fmt.Fprintln(c.app.stdout, text)
		if report.Witnessed < report.Rows {
			c.app.note(fmt.Sprintf("no signed checkpoint covers the rows from %d on yet", report.Witnessed+1))
		}
		return nil
	})
	if err != nil || report.OK {
		return err
	}
	lines := report.Refused
	text := "the audit log is not what was written"
	if report.Problem != "" {
		text = report.Problem
	}
	return &foundError{text, strings.Join(append([]string{fmt.Sprintf("rows before it are intact: %d; covered by signed checkpoints: %d", report.Rows, report.Witnessed)}, lines...), "\n")}
}

// verifyExport verifies a file without any node.
func verifyExport(file, keyFile string) (control.AuditReport, error) {
	none := control.AuditReport{}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return none, err
	}
	verifiers, err := readVerifiers(string(text))
	if err != nil {
		return none, &usageError{fmt.Errorf("%s: %w", keyFile, err), "it is what mtguard auditlog key prints"}
	}
	in, err := os.Open(file)
	if err != nil {
		return none, err
	}
	defer in.Close()
	found := auditlog.VerifyExport(in, auditlog.Evidence{Keys: verifiers})
	report := control.AuditReport{
		OK: found.Err() == nil, Rows: found.Intact, Witnessed: found.Witnessed, Checkpoints: found.Checkpoints, Backwards: found.Backwards,
	}
	if found.Bad != nil {
		report.Problem, report.Row = found.Bad.Error(), found.Bad.Row
	}
	for _, refused := range found.Refused {
		report.Refused = append(report.Refused, refused.Error())
	}
	// Without any checkpoint the chain proves nothing: whoever writes a file can compute one.
	if report.OK && report.Rows > 0 && report.Witnessed == 0 {
		report.OK, report.Row = false, 1
		report.Problem = "no checkpoint of this key is in it, so anybody may have written it"
	}
	return report, nil
}

// readVerifiers reads public keys, one in a line.
func readVerifiers(text string) (list []note.Verifier, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return nil, err
		}
		list = append(list, verifier)
	}
	if len(list) == 0 {
		return nil, errors.New("it holds no key")
	}
	return list, nil
}

func (a *app) auditExportCommand(o *nodeFlags) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the whole audit log, with signed checkpoints, as JSON Lines",
		Example: `  mtguard auditlog export -o audit.jsonl
  mtguard auditlog export | gzip > audit.jsonl.gz`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			c.stream()
			return c.produce(out, func(w io.Writer) error { return c.client.AuditExport(c.ctx, w) })
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, which must not exist yet, instead of standard output")
	return cmd
}

func (a *app) auditKeyCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Print the public key that checkpoints are verified with",
		Example: `  mtguard auditlog key > audit.key
  mtguard auditlog key --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			key, err := c.client.AuditKey(c.ctx)
			if err != nil {
				return err
			}
			type item struct {
				Key string `json:"key"`
			}
			return answer(c, []item{{key}}, func() error {
				_, err := fmt.Fprintln(a.stdout, clean(key))
				return err
			})
		}),
	}
}
