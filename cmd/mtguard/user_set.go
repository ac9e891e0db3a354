package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

// userFlags are what `user add` and `user set` have in common, as text.
type userFlags struct {
	level, expires, quota, domain, note string
	connections, addresses              int
}

func (u *userFlags) flags(cmd *cobra.Command, level string) {
	flags := cmd.Flags()
	flags.StringVar(&u.level, "level", level, "`LEVEL`: none, read_only, standard, admin or superuser")
	flags.StringVar(&u.expires, "expires", "never", "`WHEN`: a date (from its first minute on), an RFC 3339 time, a duration from now such as 30d, or never")
	flags.StringVar(&u.quota, "quota", "none", "`BYTES/PERIOD` up and down together: 10GiB/month, 500MB/day, or none")
	flags.IntVar(&u.connections, "max-connections", 0, "at most `N` connections at once; 0 for no limit")
	flags.IntVar(&u.addresses, "max-addresses", 0, "from at most `N` addresses at once; 0 for no limit")
	flags.StringVar(&u.domain, "domain", "", "server `NAME` in this user's fake-TLS links instead of the first of cover.domains")
	flags.StringVar(&u.note, "note", "", "`TEXT` of your own")
	completeFlag(cmd, "level", words(levelNames()...))
	completeFlag(cmd, "expires", words("30d", "90d", "365d", "never"))
	completeFlag(cmd, "quota", words("10GiB/month", "1GiB/day", "none"))
	for _, free := range []string{"max-connections", "max-addresses", "domain", "note"} {
		completeFlag(cmd, free, cobra.NoFileCompletions)
	}
}

// patch reads those flags that were given.
func (u *userFlags) patch(c *call, flags *pflag.FlagSet) (p admin.UserPatch, err error) {
	if flags.Changed("level") {
		level, err := access.ParseLevel(u.level)
		if err != nil {
			return p, wrongFlag("level", err)
		}
		p.Level = &level
	}
	if flags.Changed("expires") {
		at, err := parseExpiry(u.expires, c.now)
		if err != nil {
			return p, wrongFlag("expires", err)
		}
		expiry := admin.Expiry(at)
		p.Expires = &expiry
	}
	if flags.Changed("quota") {
		quota, err := parseQuota(u.quota)
		if err != nil {
			return p, wrongFlag("quota", err)
		}
		p.Quota = &quota
	}
	for name, n := range map[string]int{"max-connections": u.connections, "max-addresses": u.addresses} {
		if n < 0 {
			return p, wrongFlag(name, fmt.Errorf("%d is negative", n))
		}
	}
	if flags.Changed("max-connections") {
		p.MaxConnections = &u.connections
	}
	if flags.Changed("max-addresses") {
		p.MaxAddresses = &u.addresses
	}
	if flags.Changed("domain") {
		p.Domain = &u.domain
	}
	if flags.Changed("note") {
		p.Note = &u.note
	}
	return p, nil
}

// wrongFlag is a value of a flag that makes no sense.
func wrongFlag(name string, err error) error {
	return &usageError{fmt.Errorf("--%s: %w", name, err), ""}
}

func (a *app) userAddCommand(o *nodeFlags) *cobra.Command {
	var u userFlags
	var file string
	var qr bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user and print the links",
		Long: `Add a user with a fresh secret, or with an existing one from a file, and print
the links. Whoever has a link can use the proxy: hand it out like a key.

What the levels mean:
  none       sees the cover site
  read_only  reads; uploads are held to a small budget
  standard   normal
  admin      normal, shed late under overload
  superuser  normal, shed last`,
		Example: `  mtguard user add alice
  mtguard user add bob --expires 2026-12-31 --quota 50GiB/month --max-addresses 5 --qr
  mtguard user add carol --secret-file carol.secret
  mtguard generate-secret | mtguard user add dave --secret-file - --json`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			if qr && c.format != formTable {
				return &usageError{errors.New("--json and --qr exclude each other"), "a QR code holds the text of tg"}
			}
			p, err := u.patch(c, c.cmd.Flags())
			if err != nil {
				return err
			}
			secret, err := c.secret(file)
			if err != nil {
				return err
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.AddUser(c.ctx, newUser(c.args[0], p, secret), o)
			})
			return c.handsOut(result, err, qr)
		}),
	}
	o.change(cmd.Flags())
	u.flags(cmd, access.Standard.String())
	cmd.Flags().StringVar(&file, "secret-file", "", "import the secret in `FILE`, - for standard input, instead of making one")
	cmd.Flags().BoolVar(&qr, "qr", false, "draw a QR code below each link")
	return cmd
}

// newUser makes a user of a name and of what was said about it.
func newUser(name string, p admin.UserPatch, secret string) admin.UserBody {
	body := admin.UserBody{Name: name, Level: p.Level, Quota: p.Quota, Secret: secret}
	if p.Expires != nil && *p.Expires != (admin.Expiry{}) {
		at := time.Time(*p.Expires)
		body.Expires = &at
	}
	for to, from := range map[*int]*int{&body.MaxConnections: p.MaxConnections, &body.MaxAddresses: p.MaxAddresses} {
		if from != nil {
			*to = *from
		}
	}
	for to, from := range map[*string]*string{&body.Domain: p.Domain, &body.Note: p.Note} {
		if from != nil {
			*to = *from
		}
	}
	return body
}

// maxSecretFile is far above the longest secret.
const maxSecretFile = 4 << 10

// secret reads the secret to import. Its text never appears in an error.
func (c *call) secret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, name, err := c.beginning(file, maxSecretFile+1)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || len(text) > maxSecretFile {
		return "", &usageError{fmt.Errorf("%s holds no secret", name), "it is one line, such as mtguard generate-secret prints"}
	}
	return secret, nil
}

func (a *app) userSetCommand(o *nodeFlags) *cobra.Command {
	var u userFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a user; what no flag names stays",
		Example: `  mtguard user set alice --expires never --quota none
  mtguard user set alice --level read_only --reason "over the fair share"
  mtguard user set alice --max-addresses 3 --if-revision 17`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			p, err := u.patch(c, c.cmd.Flags())
			if err != nil {
				return err
			}
			if p == (admin.UserPatch{}) {
				return &usageError{errors.New("nothing to set"), "give at least one of --level, --expires, --quota, --max-connections, --max-addresses, --domain, --note"}
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.SetUser(c.ctx, c.args[0], p, o) })
			return c.changed(result, err)
		}),
	}
	o.change(cmd.Flags())
	u.flags(cmd, "")
	return cmd
}
