package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/audit"
	"mtguard/node"
)

func (a *app) doctorCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "doctor",
		GroupID: groupServe,
		Short:   "Say whether this machine is fit for a node; exit code 10 if it is not",
		Long: `Say whether this machine is fit for a node: files, limits, capabilities, clock, disk,
and whether links lead here. No node is asked; limits are those of this shell. The
exit code is 10 when something is of severity high or worse, or could not be told.
mtguard audit run asks the same of the running node, and much more.`,
		Example: `  mtguard doctor
  mtguard doctor --config mtguard.toml --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			path, err := a.configPath(c.config)
			if err != nil {
				return err
			}
			file, err := load(path, stateFlag(c.stateDir))
			if err != nil {
				return err
			}
			report, err := node.Doctor(c.ctx, file)
			if err != nil {
				return err
			}
			items := make([]control.FindingInfo, len(report.Findings))
			wrong := 0
			for i, f := range report.Findings {
				items[i].Finding = f
				if f.Severity >= audit.High {
					wrong++
				}
			}
			// Not as findings of a node: they have no state and no history.
			if err := answer(c, report.Findings, func() error {
				showFindings(a.stdout, items)
				if !c.quiet {
					fmt.Fprintf(a.stdout, "%s, %s\n", plural(len(report.Asked), "check"), plural(len(items), "finding"))
				}
				return nil
			}); err != nil || wrong == 0 {
				return err
			}
			return &foundError{fmt.Sprintf("%s of severity high or worse", plural(wrong, "finding")), "each says what mends it"}
		}),
	}
	o.common(cmd.Flags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}
