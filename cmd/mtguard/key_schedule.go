package main

import (
	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

// scheduleFields are the flags of `key schedule`, which are the fields of a schedule.
func scheduleFields(s *control.Schedule) []scheduleField {
	return []scheduleField{
		{"every", &s.Every, "a secret lives so `LONG`; 0s turns the schedule off", "rotate every"},
		{"overlap", &s.Overlap, "the old secret works for so `LONG` beside the new one", "overlap"},
		{"window", &s.Window, "the rotations of all users are spread over so `LONG`", "window"},
		{"announce", &s.Announce, "the new secret is made so `LONG` before it takes over, for pages to announce it", "announce"},
		{"idle", &s.Idle, "an old secret ends early when unused for so `LONG` and the new one is in use; 0s: never", "idle"},
		{"tripwire", &s.Tripwire, "a revoked secret is watched for so `LONG`", "tripwire"},
	}
}

type scheduleField struct {
	flag  string
	value *control.Duration
	usage string
	name  string
}

func (a *app) keyScheduleCommand(o *nodeFlags) *cobra.Command {
	given := make(map[string]*string)
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Show how secrets rotate by themselves, or set it",
		Long: `Show how secrets rotate by themselves; with flags, set it: what no flag names
stays. Secrets in the configuration file are the file's and do not rotate.`,
		Example: `  mtguard key schedule
  mtguard key schedule --every 90d --overlap 14d
  mtguard key schedule --every 0s`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			schedule, err := c.client.Schedule(c.ctx)
			if err != nil {
				return err
			}
			changed := false
			for _, field := range scheduleFields(&schedule) {
				if !c.cmd.Flags().Changed(field.flag) {
					continue
				}
				changed = true
				if *field.value, err = control.ParseDuration(*given[field.flag]); err != nil {
					return wrongFlag(field.flag, err)
				}
			}
			if changed {
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.SetSchedule(c.ctx, schedule, o) }))
			}
			return answer(c, []control.Schedule{schedule}, func() error {
				var rows [][]string
				for _, field := range scheduleFields(&schedule) {
					text := field.value.String()
					if field.flag == "every" && schedule.Every == 0 {
						text = "never by themselves"
					}
					rows = append(rows, []string{field.name, text})
				}
				return table(a.stdout, nil, rows)
			})
		}),
	}
	o.change(cmd.Flags())
	for _, field := range scheduleFields(new(control.Schedule)) {
		given[field.flag] = cmd.Flags().String(field.flag, "", field.usage)
		completeFlag(cmd, field.flag, cobra.NoFileCompletions)
	}
	return cmd
}
