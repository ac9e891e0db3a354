package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mtguard/control/advisory"
)

func (a *app) updateCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "update",
		GroupID: groupCare,
		Short:   "Say whether a newer version is there, and whether a file is the publisher's",
		Long: `Say whether a newer version is there, and whether a file is the publisher's.
Nothing is ever installed.`,
		Example: `  mtguard update check
  mtguard update verify mtguard.tar.gz --key mtguard.pub`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.updateCheckCommand(o), a.updateVerifyCommand(o))
	return cmd
}

func (a *app) updateCheckCommand(o *nodeFlags) *cobra.Command {
	var from, key string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether a newer version is there; exit code 10 if so, or if it is unknown",
		Long: `Say whether a newer version is there; the exit code is 10 if so, or if it is
unknown. The publisher's list of releases is read with its signature beside it
(.minisig); one that is older than what was seen last is refused. No node is asked.`,
		Example: `  mtguard update check
  mtguard update check --from https://releases.example.com/mtguard/releases.json --key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  mtguard update check --from ./releases.json --key mtguard.pub --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			c.stream()
			inventory, file, err := c.inventory()
			if err != nil {
				return err
			}
			if from == "" {
				from = file.Advisory.Releases
			}
			if from == "" {
				return &usageError{errors.New("no list of releases is named"), "--from FILE|ADDRESS, or advisory.releases in the configuration"}
			}
			source, err := sourceFlag(from, advisory.ParseFile)
			if err != nil {
				return err
			}
			public, err := releaseKey(key, file.Advisory.ReleaseKey)
			if err != nil {
				return err
			}
			files, err := c.stateFiles(file)
			if err != nil {
				return err
			}
			report, err := advisory.Latest(c.ctx, source, public, inventory.Program, files, c.now)
			if errors.Is(err, advisory.ErrSignature) {
				return &foundError{err.Error(), "do not believe that list; ask the publisher"}
			}
			if err != nil {
				return err
			}
			if err := answer(c, []advisory.ReleaseReport{*report}, func() error { return c.showRelease(report) }); err != nil || report.Verdict == advisory.Current {
				return err
			}
			return &foundError{"newer version: " + report.Verdict, "get it from the publisher; mtguard update verify FILE says whether it is his"}
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "read the list of releases from this `ADDRESS` or file; default: advisory.releases")
	keyFlag(cmd, &key)
	return cmd
}

func (c *call) showRelease(r *advisory.ReleaseReport) error {
	newest := ""
	if r.Newest != nil {
		newest = fmt.Sprintf("%s, %s", r.Newest.Version, when(&r.Newest.Time, c.now))
		if r.Newest.Notes != "" {
			newest += ", " + r.Newest.Notes
		}
	}
	verdict := r.Verdict
	if r.Why != "" {
		verdict += ": " + r.Why
	}
	if r.Security {
		verdict += ", and mends something that an attacker can use"
	}
	return table(c.app.stdout, nil, [][]string{
		{"running", r.Running}, {"newest", newest}, {"verdict", verdict}, {"list", "signed " + when(&r.Time, c.now) + " by " + r.Signer},
	})
}

// verified is what update verify answers.
type verified struct {
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	Key     string `json:"key"`     // its number
	Comment string `json:"comment"` // the signer's, signed too
}

func (a *app) updateVerifyCommand(o *nodeFlags) *cobra.Command {
	var signature, key string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say whether a file is what the publisher has signed; exit code 10 if not",
		Long: `Say whether a file is what the publisher has signed, in the form of minisign; the
exit code is 10 if not. The comment that it prints was signed too. No node is asked,
and nothing is installed.`,
		Example: `  mtguard update verify mtguard_1.4.0_linux_amd64.tar.gz
  mtguard update verify mtguard.tar.gz --signature ./other.minisig --key mtguard.pub`,
		Args: exactly(1),
		RunE: a.works(o, func(c *call) error {
			file, err := c.configuration()
			if err != nil {
				return err
			}
			public, err := releaseKey(key, file.Advisory.ReleaseKey)
			if err != nil {
				return err
			}
			v, err := c.verifyFile(public, orElse(signature, c.args[0]+".minisig"))
			if errors.Is(err, advisory.ErrSignature) {
				return &foundError{err.Error(), "do not use that file; get another copy"}
			}
			if err != nil {
				return err
			}
			return answer(c, []verified{v}, func() error {
				if c.quiet {
					return nil
				}
				_, err := fmt.Fprintf(a.stdout, "ok: %s is what %s has signed: %s\nsha256 %s\n", v.File, v.Key, clean(v.Comment), v.SHA256)
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&signature, "signature", "", "read the signature from `FILE`; default: beside the file, with .minisig at the end")
	keyFlag(cmd, &key)
	return cmd
}

// verifyFile reads the file once.
func (c *call) verifyFile(public advisory.PublicKey, signature string) (v verified, err error) {
	text, name, err := c.beginning(signature, 8<<10)
	if err != nil {
		return v, err
	}
	s, err := advisory.ParseSignature(text)
	if err != nil {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	in, err := os.Open(c.args[0])
	if err != nil {
		return v, err
	}
	defer in.Close()
	sum := sha256.New()
	v = verified{File: c.args[0], Key: public.ID()}
	v.Comment, err = public.Verify(io.TeeReader(in, sum), s)
	v.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return v, err
}

func keyFlag(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "key", "", "the publisher's public `KEY`, or the file that holds it; default: advisory.release_key")
}

// releaseKey reads the key that a flag names, or that the configuration holds.
func releaseKey(flag, configured string) (advisory.PublicKey, error) {
	text := orElse(flag, configured)
	if text == "" {
		return advisory.PublicKey{}, &usageError{errors.New("no key"), "--key, the publisher's public key, or advisory.release_key in the configuration"}
	}
	public, err := advisory.ParsePublicKey(text)
	if err == nil || flag == "" {
		return public, err
	}
	file, openErr := os.Open(flag)
	if openErr != nil {
		return public, wrongFlag("key", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, 4<<10))
	if err == nil {
		public, err = advisory.ParsePublicKey(string(content))
	}
	if err != nil {
		return public, wrongFlag("key", err)
	}
	return public, nil
}
