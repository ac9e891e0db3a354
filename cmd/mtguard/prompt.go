package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"mtguard/control"
	"mtguard/control/admin"
)

// confirm says what is about to happen and has the user type word. The flag that stands for
// the answer is --yes, without which nothing is done when nobody can be asked.
func (c *call) confirm(what, word string) error {
	if c.yes || c.dryRun {
		return nil
	}
	a := c.app
	if c.noInput || !a.canAsk() {
		return &usageError{fmt.Errorf("nothing was done: %s", what), "--yes confirms it where nobody can be asked"}
	}
	fmt.Fprintf(a.stderr, "%s\nType %s to continue: ", clean(what), clean(word))
	answer, err := readLine(c.ctx, a.stdin)
	switch {
	case err != nil && err != io.EOF:
		return err
	case answer != word:
		return &refusedError{"nothing was done: the answer was another", "--yes does it without asking"}
	}
	return nil
}

// wouldDo has the node check a change that somebody is to be asked about: nobody is asked about what is refused then.
func (c *call) wouldDo(do func(admin.ChangeOptions) (control.Result, error)) error {
	if c.yes || c.dryRun { // nobody is asked
		return nil
	}
	_, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
		o.DryRun = true
		return do(o)
	})
	return err
}

// needsReason refuses a change that cuts somebody off and does not say why. The node would, too,
// but only after the user was asked.
func (c *call) needsReason() error {
	if c.reason == "" {
		return &usageError{fmt.Errorf("%s needs a reason", c.cmd.CommandPath()), "--reason TEXT; it stands in the audit log"}
	}
	return nil
}

// canAsk reports whether somebody sits at the other end of standard input.
func (a *app) canAsk() bool { return a.asking || isTerminal(a.stdin) }

// readLine reads a line, or gives up with ctx: a read from a terminal cannot be interrupted, so
// it is left behind.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		// A byte at a time would leave the rest for others; nobody else reads what follows.
		line, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
		got <- result{strings.TrimSpace(line), err}
	}()
	select {
	case r := <-got:
		return r.line, r.err
	case <-ctx.Done():
		return "", errInterrupted
	}
}
