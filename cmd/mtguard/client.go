package main

// Every command but those that set the node up asks the running one, over its admin socket. This
// file is what these commands share: flags, the way to the socket, and the form of answers.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/token"
)

// nodeFlags are the flags of the commands of one noun.
type nodeFlags struct {
	server, config, stateDir string
	tokenFile                string
	json                     bool
	format                   string
	csv                      bool // --output may be csv
	quiet, noInput           bool
	timeout                  time.Duration

	// Only of commands that change something.
	dryRun, yes, force bool
	reason             string
	ifRevision         int64
	revertAfter        revertAfter // only of changes of the policy that can
}

// Forms of an answer, as --output names them.
const (
	formTable = "table"
	formJSON  = "json"
	formLines = "jsonl"
	formCSV   = "csv" // of few commands
)

// patience is how long an answer may take unless --timeout says otherwise. slowPatience is for
// what goes through everything the node has.
const (
	patience     = 10 * time.Second
	slowPatience = 10 * time.Minute
)

// common defines what every command that asks the node has.
func (o *nodeFlags) common(flags *pflag.FlagSet) {
	flags.StringVar(&o.server, "server", "", "admin `SOCKET` of the node, or the address of its dashboard; default: MTGUARD_CLI_SERVER, else that of the configuration or the last run")
	flags.StringVar(&o.tokenFile, "token-file", "", "`FILE` with a token, for a --server that is an address")
	flags.StringVar(&o.config, "config", "", "configuration `FILE`; default: "+config.DefaultPath+" if it exists")
	flags.StringVar(&o.stateDir, "state-dir", "", "state directory `DIR` instead of state.dir")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if o.format = formTable; flags.Lookup("output") == nil { // else it is the file to write
		flags.StringVarP(&o.format, "output", "o", formTable, "print the answer as `FORM`: table, json or jsonl")
	}
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print only what was asked for")
	flags.DurationVar(&o.timeout, "timeout", patience, "wait so `LONG` for the node")
	flags.BoolVar(&o.noInput, "no-input", false, "never ask; an error names the flag that answers")
}

// change defines what every command that changes something has besides.
func (o *nodeFlags) change(flags *pflag.FlagSet) {
	o.unforced(flags)
	flags.BoolVar(&o.force, "force", false, "override the safety rule that an error named")
}

// unforced is change for what no safety rule refuses.
func (o *nodeFlags) unforced(flags *pflag.FlagSet) {
	flags.BoolVar(&o.dryRun, "dry-run", false, "check, and say what would happen; change nothing")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	flags.StringVar(&o.reason, "reason", "", "`TEXT` for the audit log")
	flags.Int64Var(&o.ifRevision, "if-revision", 0, "only if the object still has revision `R`")
}

// envPrefix is in front of the variables that stand for flags. The node's own begin with
// MTGUARD__.
const envPrefix = "MTGUARD_CLI_"

// environment takes flags from the environment that the command line does not have.
func environment(flags *pflag.FlagSet) error {
	for _, name := range []string{"server", "token-file", "config", "state-dir", "json", "quiet", "timeout", "no-input"} {
		variable := envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value, set := os.LookupEnv(variable)
		if !set || value == "" || flags.Changed(name) {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return &usageError{fmt.Errorf("%s: %w", variable, err), "it stands for --" + name}
		}
	}
	return nil
}

// call is one run of a command that asks the node.
type call struct {
	*nodeFlags
	app    *app
	cmd    *cobra.Command
	ctx    context.Context
	cancel context.CancelFunc // of what stream bounds
	client *admin.Client
	args   []string
	now    time.Time
}

// asks makes a command one that asks the node: do gets the way to it.
func (a *app) asks(o *nodeFlags, do func(*call) error) func(*cobra.Command, []string) error {
	return a.runs(o, do, a.call)
}

// works makes a command one that shares the flags of those that ask, and asks no node.
func (a *app) works(o *nodeFlags, do func(*call) error) func(*cobra.Command, []string) error {
	return a.runs(o, do, a.lonely)
}

// caller makes the call of a command.
type caller = func(context.Context, *nodeFlags, *cobra.Command, []string) (*call, error)

func (a *app) runs(o *nodeFlags, do func(*call) error, begin caller) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
		defer stop()
		// From the first signal on, a second one has its ordinary effect.
		context.AfterFunc(ctx, stop)
		c, err := begin(ctx, o, cmd, args)
		if err == nil {
			defer func() { c.cancel() }()
			err = do(c)
		}
		if err != nil && ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
}

// newClient is the way to the node that the flags name.
func newClient(o *nodeFlags) (*admin.Client, error) {
	if !strings.Contains(o.server, "://") {
		if o.tokenFile != "" {
			return nil, &usageError{errors.New("--token-file is for a --server that is an address"), "over the socket the node knows who you are"}
		}
		return admin.NewClient(o.server, o.timeout), nil
	}
	if o.tokenFile == "" {
		return nil, &usageError{errors.New("--server is an address, and there is no token"), "--token-file FILE; make one at the node: mtguard token create NAME -o FILE"}
	}
	t, err := readToken(o.tokenFile)
	if err != nil {
		return nil, err
	}
	client, err := admin.NewWebClient(o.server, t, o.timeout)
	if err != nil {
		return nil, &usageError{err, ""}
	}
	return client, nil
}

// readToken reads a token of a file that nobody else may read.
func readToken(name string) (token.Token, error) {
	file, err := os.Open(name)
	if err != nil {
		return token.Token{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return token.Token{}, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return token.Token{}, &refusedError{fmt.Sprintf("%s can be read by others: its mode is %04o", name, info.Mode().Perm()), "chmod 600 " + name}
	}
	text, err := io.ReadAll(io.LimitReader(file, 4<<10))
	if err != nil {
		return token.Token{}, err
	}
	t, ok := token.Parse(token.API, strings.TrimSpace(string(text)))
	if !ok {
		return token.Token{}, &usageError{fmt.Errorf("%s holds no token", name), "mtguard token create NAME -o FILE"}
	}
	return t, nil
}

// slow gives a command more patience than the others have, unless the user chose it.
func (c *call) slow() {
	if !c.cmd.Flags().Changed("timeout") {
		c.timeout = slowPatience
		if client, err := newClient(c.nodeFlags); err == nil { // it did before
			c.client = client
		}
	}
}

// stream takes away the bound of time from a command that moves a file of any size, unless the
// user chose one.
func (c *call) stream() {
	if c.cmd.Flags().Changed("timeout") {
		c.ctx, c.cancel = context.WithTimeout(c.ctx, c.timeout)
	}
}

// lonely is a call without the way to a node.
func (a *app) lonely(ctx context.Context, o *nodeFlags, cmd *cobra.Command, args []string) (*call, error) {
	if err := environment(cmd.Flags()); err != nil {
		return nil, err
	}
	if err := o.form(); err != nil {
		return nil, err
	}
	return &call{nodeFlags: o, app: a, cmd: cmd, ctx: ctx, cancel: func() {}, args: args, now: time.Now()}, nil
}

func (a *app) call(ctx context.Context, o *nodeFlags, cmd *cobra.Command, args []string) (*call, error) {
	c, err := a.lonely(ctx, o, cmd, args)
	if err != nil {
		return nil, err
	}
	if o.timeout <= 0 {
		return nil, &usageError{fmt.Errorf("--timeout %v is too short", o.timeout), "such as 10s"}
	}
	if o.server == "" {
		if o.server, err = a.socket(o); err != nil {
			return nil, err
		}
	}
	if c.client, err = newClient(o); err != nil {
		return nil, err
	}
	return c, nil
}

// form settles --json and --output, of which one is short for the other.
func (o *nodeFlags) form() error {
	switch o.format {
	case formTable:
		if o.json {
			o.format = formJSON
		}
	case formJSON, formLines:
	case formCSV:
		if o.csv {
			return nil
		}
		fallthrough
	default:
		return &usageError{fmt.Errorf("--output %q is none", o.format), "table, json or jsonl"}
	}
	return nil
}

// socket finds the node's socket: what the configuration names, else what the last run noted,
// else where it is by default. A configuration that nobody asked for and that cannot be read is
// no reason not to ask the node: members of the socket's group need not see it, and a mistake
// in it may be why they ask.
func (a *app) socket(o *nodeFlags) (string, error) {
	path, err := a.configPath(o.config)
	if err != nil && o.config != "" {
		return "", err
	}
	file, err := load(path, stateFlag(o.stateDir))
	if err != nil && o.config != "" {
		return "", err
	}
	if err != nil {
		if file, err = load("", stateFlag(o.stateDir)); err != nil {
			return "", err
		}
	}
	const auto = "auto"
	switch named := file.Admin.Socket; named {
	case auto:
	case "":
		return "", &usageError{errors.New("the configuration turns management off: admin.socket is empty"), "name the socket: --server SOCKET"}
	default:
		return named, nil
	}
	dir, err := statedir.Find(file.State.Dir, file.Explicit("state.dir"))
	if err != nil {
		return a.defaultSocket, nil
	}
	run, err := dir.ReadRun()
	if err == nil && run.AdminSocket != "" && (o.config == "" || run.Config == path) {
		return run.AdminSocket, nil
	}
	if _, err := os.Stat(a.defaultSocket); err == nil {
		return a.defaultSocket, nil
	}
	return filepath.Join(dir.Path(), filepath.Base(a.defaultSocket)), nil
}

// options are what goes with a change. Each call of it is a change of its own.
func (c *call) options() admin.ChangeOptions {
	return admin.ChangeOptions{Reason: c.reason, IfRevision: c.ifRevision, IdempotencyKey: rand.Text(), DryRun: c.dryRun, Force: c.force,
		RevertAfter: control.Duration(c.revertAfter), From: whence()}
}

// change has a change done. When the connection breaks before the answer, nobody knows whether
// it was done; with the same key, asking once more does no harm.
func (c *call) change(do func(admin.ChangeOptions) (control.Result, error)) (control.Result, error) {
	o := c.options()
	result, err := do(o)
	if c.ctx.Err() == nil && broke(err) {
		return do(o)
	}
	return result, err
}

// broke tells a connection that broke from a node that is not there.
func broke(err error) bool {
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if is[*admin.UnreachableError](err) && errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// orWords lists the keys of a map: "a, b or c".
func orWords[T any](of map[string]T) string {
	names := slices.Sorted(maps.Keys(of))
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// answer prints items, for people by show.
func answer[T any](c *call, items []T, show func() error) error {
	switch c.format {
	case formJSON:
		return printJSON(c.app, c.cmd, items...)
	case formLines:
		return printLines(c.app, items...)
	}
	return show()
}

// collect goes through the pages of a list until limit, 0 for none, is reached. It reports
// whether there is more.
func collect[T any](limit int, page func(after string, limit int) ([]T, string, error)) (items []T, more bool, err error) {
	const most = 500
	for after := ""; ; {
		want := most
		if limit > 0 {
			want = min(most, limit-len(items))
		}
		got, next, err := page(after, want)
		if err != nil {
			return nil, false, err
		}
		items = append(items, got...)
		switch {
		case next == "" || len(got) == 0:
			return items, false, nil
		case limit > 0 && len(items) >= limit:
			return items, true, nil
		}
		after = next
	}
}

// collectSeq is collect for pages that go on after a number, 0 for the first and no next one.
func collectSeq[T any](limit int, page func(after int64, limit int) ([]T, int64, error)) (items []T, more bool, err error) {
	return collect(limit, func(after string, n int) ([]T, string, error) {
		from, _ := strconv.ParseInt(after, 10, 64)
		items, next, err := page(from, n)
		if next == 0 {
			return items, "", err
		}
		return items, strconv.FormatInt(next, 10), err
	})
}

// filters reads --filter key=value; allowed holds where each key goes.
func filters(given []string, allowed map[string]*string) error {
	for _, text := range given {
		key, value, found := strings.Cut(text, "=")
		target, known := allowed[key]
		if !found || !known {
			return &usageError{fmt.Errorf("--filter %q is none", text), "KEY=VALUE with KEY " + orWords(allowed)}
		}
		*target = value
	}
	return nil
}
