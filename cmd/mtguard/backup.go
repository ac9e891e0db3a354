package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/backup"
	"mtguard/control/store"
	"mtguard/node"
)

func (a *app) backupCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "backup",
		GroupID: groupCare,
		Short:   "Back up users, keys and the audit log, sealed; verify and restore it",
		Example: `  mtguard backup create -o mtguard.backup
  mtguard backup verify mtguard.backup`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.backupCreateCommand(o), a.backupVerifyCommand(o), a.backupRestoreCommand(o))
	return cmd
}

func (a *app) backupCreateCommand(o *nodeFlags) *cobra.Command {
	var out, passphraseFile string
	var to control.BackupTarget
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Write a sealed copy of everything the node keeps, while it runs",
		Long: `Write a sealed copy of everything the node keeps, while it runs. Without
--recipient and --passphrase-file it is sealed to the node's master key: keep a
copy of that key elsewhere, or the backup cannot be opened when the machine is
lost.`,
		Example: `  mtguard backup create -o mtguard.backup
  mtguard backup create -o mtguard.backup --recipient age1…
  mtguard backup create --passphrase-file passphrase > mtguard.backup`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			c.stream()
			var err error
			if to.Passphrase, err = c.passphrase(passphraseFile); err != nil {
				return err
			}
			if to.Passphrase != "" && len(to.Recipients) > 0 {
				return &usageError{errors.New("--recipient and --passphrase-file exclude each other"), "leave one out"}
			}
			return c.produce(out, func(w io.Writer) error { return c.client.Backup(c.ctx, to, w) })
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`, which must not exist yet, instead of standard output")
	cmd.Flags().StringArrayVar(&to.Recipients, "recipient", nil, "seal to the owner of this public `KEY` of age; may be repeated")
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "seal with the passphrase in the first line of `FILE`, - for standard input")
	completeFlag(cmd, "recipient", cobra.NoFileCompletions)
	return cmd
}

// unsealing are the flags that say what opens a backup.
type unsealing struct{ identityFile, passphraseFile string }

func (u *unsealing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&u.identityFile, "identity-file", "", "open with the age identity in `FILE`, as age-keygen makes one")
	cmd.Flags().StringVar(&u.passphraseFile, "passphrase-file", "", "open with the passphrase in the first line of `FILE`, - for standard input")
}

// open opens a backup and gives it to do, with what opens it and the configuration that names the
// state directory.
func (u *unsealing) open(c *call, do func(*config.File, io.Reader, node.BackupSecret) (node.BackupReport, error)) (none node.BackupReport, err error) {
	var with node.BackupSecret
	if u.identityFile != "" && u.passphraseFile != "" {
		return none, &usageError{errors.New("--identity-file and --passphrase-file exclude each other"), "leave one out"}
	}
	if with.Passphrase, err = c.passphrase(u.passphraseFile); err != nil {
		return none, err
	}
	if u.identityFile != "" {
		identities, err := os.Open(u.identityFile)
		if err != nil {
			return none, err
		}
		defer identities.Close()
		with.Identities = identities
	}
	path, err := c.app.configPath(c.config)
	if err != nil {
		return none, err
	}
	file, err := load(path, stateFlag(c.stateDir))
	if err != nil {
		return none, err
	}
	in, err := os.Open(c.args[0])
	if err != nil {
		return none, err
	}
	defer in.Close()
	return do(file, in, with)
}

func (u *unsealing) verify(c *call) (node.BackupReport, error) {
	return u.open(c, func(file *config.File, in io.Reader, with node.BackupSecret) (node.BackupReport, error) {
		return node.VerifyBackup(c.ctx, file, in, with)
	})
}

func (a *app) backupVerifyCommand(o *nodeFlags) *cobra.Command {
	var u unsealing
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a backup whole and say what is in it; exit code 10 if it is damaged",
		Long: `Read a backup whole and say what is in it: every user, key and row of the audit log
is opened and checked. The exit code is 10 if it is damaged. No node is asked.
Without --identity-file and --passphrase-file the master key of the state
directory opens it.`,
		Example: `  mtguard backup verify mtguard.backup
  mtguard backup verify mtguard.backup --identity-file backup.key --json`,
		Args: exactly(1),
		RunE: a.works(o, func(c *call) error {
			report, err := u.verify(c)
			if errors.Is(err, backup.ErrDamaged) || errors.Is(err, store.ErrCorrupt) {
				return &foundError{err.Error(), "take another backup"}
			}
			if err != nil {
				return err
			}
			return answer(c, []node.BackupReport{report}, func() error {
				if !c.quiet {
					fmt.Fprintln(a.stdout, "ok: "+contents(report, c.now))
				}
				return nil
			})
		}),
	}
	u.flags(cmd)
	return cmd
}

func contents(r node.BackupReport, now time.Time) string {
	return fmt.Sprintf("made %s by version %s; %s, %s that work, %s of the audit log, %s", when(&r.Made, now), clean(r.Version),
		plural(r.Users, "user"), plural(r.Keys, "key"), plural(int(r.Rows), "row"), sizeText(r.Bytes))
}

func (a *app) backupRestoreCommand(o *nodeFlags) *cobra.Command {
	var u unsealing
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of what the node keeps; the node must be stopped",
		Long: `Put a backup in the place of what the node keeps; the node must be stopped. What
was there is kept beside it. A restore takes back what happened since: users that
were removed and keys that were revoked after the backup work again.

On a machine without a master key, the one in a backup for a recipient or with a
passphrase is put into the state directory.`,
		Example: `  mtguard backup restore mtguard.backup
  mtguard backup restore mtguard.backup --passphrase-file passphrase --yes
  mtguard backup restore mtguard.backup --dry-run`,
		Args: exactly(1),
		RunE: a.works(o, func(c *call) error {
			if !c.yes || c.dryRun {
				report, err := u.verify(c)
				if err != nil {
					return err
				}
				if c.dryRun {
					return answer(c, []node.BackupReport{report}, func() error {
						_, err := fmt.Fprintln(a.stdout, "would: restore what was "+contents(report, c.now))
						return err
					})
				}
				if err := c.confirm("restore what was "+contents(report, c.now)+"; what the node has now is kept beside it", "restore"); err != nil {
					return err
				}
			}
			report, err := u.open(c, func(file *config.File, in io.Reader, with node.BackupSecret) (node.BackupReport, error) {
				return node.RestoreBackup(c.ctx, file, in, with)
			})
			if err != nil {
				return err
			}
			return answer(c, []node.BackupReport{report}, func() error {
				if c.quiet {
					return nil
				}
				fmt.Fprintln(a.stdout, "restored what was "+contents(report, c.now))
				if report.Kept != "" {
					fmt.Fprintln(a.stdout, "what was there before: "+report.Kept)
				}
				return nil
			})
		}),
	}
	u.flags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "verify the backup, and say what would be restored; change nothing")
	return cmd
}

// maxPassphrase is far above the longest.
const maxPassphrase = 4 << 10

// passphrase is the first line of a file.
func (c *call) passphrase(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, name, err := c.beginning(file, maxPassphrase)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", &usageError{fmt.Errorf("%s holds no passphrase", name), "its first line is the passphrase"}
	}
	return line, nil
}
