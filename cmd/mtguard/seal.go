package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mtguard/security/aead"
)

// sealing are the flags of seal and open.
type sealing struct {
	key, suite, context string
	in, out             string
}

func (s *sealing) flags(cmd *cobra.Command, o *nodeFlags) {
	// --output is the file here; --json tells what was written.
	cmd.Flags().StringVarP(&s.in, "input", "i", "", "read `FILE` instead of standard input")
	cmd.Flags().StringVarP(&s.out, "output", "o", "", "write to `FILE`, which must not exist yet, instead of standard output")
	cmd.Flags().StringVar(&s.context, "context", "", "`TEXT` that the result is bound to: it opens with the same one only")
	o.common(cmd.Flags())
}

func (a *app) sealCommand() *cobra.Command {
	o := new(nodeFlags)
	var s sealing
	cmd := &cobra.Command{
		Use:     "seal",
		GroupID: groupKeys,
		Short:   "Encrypt standard input or a file with a key of the node",
		Long: fmt.Sprintf(`Encrypt standard input or a file, up to %d MiB, with a key of the node; mtguard
open takes it back. The key that seals is the active one unless --key names
another; mtguard key rotate --seal makes a new one, and older ones go on opening.`, aead.MaxPlaintext>>20),
		Example: `  mtguard seal < users.csv > users.sealed
  mtguard seal -i users.csv -o users.sealed --context "users, November"
  mtguard seal --suite aes-256-gcm -i users.csv -o users.sealed --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			return c.convert(s, func(in io.Reader) ([]byte, error) {
				return c.client.Seal(c.ctx, s.key, s.suite, []byte(s.context), in)
			})
		}),
	}
	s.flags(cmd, o)
	cmd.Flags().StringVar(&s.key, "key", "", "seal with the key of this `ID`; default: the active one")
	cmd.Flags().StringVar(&s.suite, "suite", "", "seal with `SUITE`; default: the one the key was made for, else the first that the policy allows and no bulletin forbids")
	completeFlag(cmd, "suite", words(suiteNames()...))
	completeFlag(cmd, "key", a.sealKeyIDs(o))
	return cmd
}

func (a *app) openCommand() *cobra.Command {
	o := new(nodeFlags)
	var s sealing
	cmd := &cobra.Command{
		Use:     "open",
		GroupID: groupKeys,
		Short:   "Decrypt what mtguard seal has encrypted",
		Example: `  mtguard open < users.sealed > users.csv
  mtguard open -i users.sealed -o users.csv --context "users, November"`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			return c.convert(s, func(in io.Reader) ([]byte, error) {
				return c.client.Open(c.ctx, []byte(s.context), in)
			})
		}),
	}
	s.flags(cmd, o)
	return cmd
}

// convert reads the input, and writes what do makes of it.
func (c *call) convert(s sealing, do func(io.Reader) ([]byte, error)) error {
	c.stream()
	a := c.app
	in := a.stdin
	if s.in != "" && s.in != "-" {
		file, err := os.Open(s.in)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	} else if isTerminal(in) {
		return &usageError{errors.New("standard input is a terminal"), "name a file with -i, or redirect: < FILE"}
	}
	return c.produce(s.out, func(w io.Writer) error {
		result, err := do(in)
		if err == nil {
			_, err = w.Write(result)
		}
		return err
	})
}
