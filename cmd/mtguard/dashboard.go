package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// signInAddress is what the dashboard command prints.
type signInAddress struct {
	URL    string    `json:"url"`              // with the code: secret, and good once
	Tunnel string    `json:"tunnel,omitempty"` // a command for the machine with the browser
	Until  time.Time `json:"until"`
}

// codeGood is for how long the node takes a code.
const codeGood = 10 * time.Minute

func (a *app) dashboardCommand() *cobra.Command {
	o := new(nodeFlags)
	var person, level, port string
	cmd := &cobra.Command{
		Use:     "dashboard",
		GroupID: groupAdmins,
		Short:   "Print an address that signs a browser in, once",
		Long: `Print an address that signs a browser in, once, within ten minutes. There is no
password: whoever may use the node's socket may sign in, as himself or as --person,
and then set up a passkey in the browser. The dashboard listens on this machine
alone unless [admin] says otherwise: from another one, run the printed ssh command
there first.`,
		Example: `  mtguard dashboard
  mtguard dashboard --person nadia --level admin`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
				return wrongFlag("local-port", fmt.Errorf("%q is no port: 1 to 65535", port))
			}
			body := admin.CodeBody{Person: person}
			if level != "" {
				body.Level = new(access.Level)
				if err := body.Level.UnmarshalText([]byte(level)); err != nil {
					return wrongFlag("level", err)
				}
			}
			status, err := c.client.Status(c.ctx)
			if err != nil {
				return err
			}
			if status.Dashboard == "" {
				return &refusedError{"the dashboard is off", "[admin] listen = \"127.0.0.1:8380\" in the configuration, and a restart; or the port was taken: see the node's log"}
			}
			result, err := c.client.MakeCode(c.ctx, body, c.options())
			if err != nil {
				return err
			}
			at, err := url.Parse(status.Dashboard)
			if err != nil {
				return err
			}
			out := signInAddress{Until: c.now.Add(codeGood).UTC()}
			if at.Scheme == "http" {
				local := orElse(port, at.Port())
				out.Tunnel = fmt.Sprintf("ssh -N -L %s:localhost:%s %s", local, at.Port(), sshTarget())
				at.Host = "localhost:" + local
			} else if port != "" {
				at.Host = strings.TrimSuffix(net.JoinHostPort(at.Hostname(), port), ":443")
			}
			out.URL = at.String() + "/enter#" + result.Secret
			return answer(c, []signInAddress{out}, func() error {
				if c.quiet {
					fmt.Fprintln(a.stdout, out.URL)
					return nil
				}
				if out.Tunnel != "" {
					fmt.Fprintf(a.stdout, "From another machine, run there first:\n  %s\n", clean(out.Tunnel))
				}
				fmt.Fprintf(a.stdout, "Open within ten minutes; it works once:\n  %s\n", out.URL)
				return nil
			})
		}),
	}
	o.common(cmd.Flags())
	cmd.Flags().StringVar(&person, "person", "", "sign in as `NAME`; default: your user id")
	cmd.Flags().StringVar(&level, "level", "", "at most this `LEVEL`: read_only, admin or superuser; default: yours")
	cmd.Flags().StringVar(&port, "local-port", "", "it is reached at this `PORT`, where a tunnel or a forward begins; default: that of the dashboard")
	cmd.Flags().StringVar(&o.reason, "reason", "", "`TEXT` for the audit log")
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	completeFlag(cmd, "level", words("read_only", "admin", "superuser"))
	return cmd
}

// sshTarget is this machine as somebody else reaches it: the address that this shell's
// own ssh connection came to, else the machine's name.
func sshTarget() string {
	user := orElse(os.Getenv("SUDO_USER"), orElse(os.Getenv("USER"), "root"))
	if fields := strings.Fields(os.Getenv("SSH_CONNECTION")); len(fields) == 4 {
		return user + "@" + fields[2]
	}
	name, err := os.Hostname()
	if err != nil {
		name = "HOST"
	}
	return user + "@" + name
}
