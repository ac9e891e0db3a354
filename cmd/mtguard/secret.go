package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mtguard/node/links"
)

func (a *app) secretCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "generate-secret [DOMAIN]",
		GroupID: groupCare,
		Short:   "Make a secret for a user",
		Long: `Make a secret for a user: 32 hex digits, or with a domain an ee… secret that
contains it. The 32 digits are enough for every transport; a domain is only
needed for a user whose links shall name another one than cover.domains does.`,
		Example: `  mtguard generate-secret
  mtguard generate-secret www.example.com
  (umask 077; mtguard generate-secret > alice.secret)`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			domain, kind := "", "plain"
			if len(args) == 1 {
				domain, kind = args[0], "faketls"
				if domain == "" {
					return &usageError{errors.New("the domain is empty"), "leave it out for a secret without one"}
				}
			}
			secret, err := links.NewSecret(domain)
			if err != nil && domain != "" {
				return &usageError{err, "a domain is a lower-case host name of 4 to 182 bytes"}
			}
			if err != nil {
				return err
			}
			if asJSON {
				type item struct {
					Kind   string `json:"kind"`
					Domain string `json:"domain,omitempty"`
					Secret string `json:"secret"`
				}
				return printJSON(a, cmd, item{kind, domain, secret})
			}
			_, err = fmt.Fprintln(a.stdout, secret)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
