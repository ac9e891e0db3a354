package main

// The demonstration is six files: demo.go is the command and its course, demo_world.go what is
// there (simulated Telegram, a site, a whole node, people), demo_tally.go what is known of
// everybody, demo_attack.go what attackers got, demo_show.go what of it is printed, and
// demo_live.go the crowd and the attacks that somebody watches with top and events.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mtguard/tgsim"
)

// demoOptions are the flags of `mtguard demo`.
type demoOptions struct {
	length           time.Duration // 0 until interrupted
	users, attackers int
	crowd            int
	attack           string // one of demoAttacks; empty: all in turn
	json             bool
}

// demoShown bounds users and attackers: more lines than that nobody can read.
const demoShown = 64

func (o demoOptions) validate() error {
	switch {
	case o.length != 0 && o.length < time.Second:
		return &usageError{fmt.Errorf("--for %v is too short", o.length), "one second at least, or 0 until Ctrl-C"}
	case o.users < 1 || o.users > demoShown:
		return &usageError{fmt.Errorf("--users %d is out of range", o.users), fmt.Sprintf("1 to %d", demoShown)}
	case o.crowd < 0 || o.crowd > demoMostCrowd:
		return &usageError{fmt.Errorf("--crowd %d is out of range", o.crowd), fmt.Sprintf("0 to %d", demoMostCrowd)}
	case o.attack != "" && !slices.Contains(demoAttackNames(), o.attack):
		return &usageError{fmt.Errorf("--attack %q is none", o.attack), strings.Join(demoAttackNames(), ", ")}
	case o.attackers < 0 || o.attackers > demoShown:
		return &usageError{fmt.Errorf("--attackers %d is out of range", o.attackers), fmt.Sprintf("0 to %d", demoShown)}
	}
	return nil
}

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: groupServe,
		Short:   "Show a node at work: simulated Telegram, users and attackers",
		Long: `Show a node at work, in one process and without network: a whole proxy between
simulated data centres, users and attackers, and a line for everything that
happens to them. At the end two tables say what each user and each kind of
attack got. Nothing is kept.

The first lines have the address that opens the dashboard in a browser, once, and
say how to watch and manage the node from another terminal. Beside the users with
a line of their own there is a crowd, and once a minute an attack that the node
should find, as an incident.

The exit code is 0 when all users were served and no attacker learnt anything.`,
		Example: `  mtguard demo
  mtguard demo --for 2m --users 10 --attackers 12
  mtguard demo --attack leak
  mtguard demo --for 10s --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			// Asked for, SIGPIPE does not kill: a reader who leaves is an error of writing, which ends
			// the demonstration in order, for there are files to remove.
			pipe := make(chan os.Signal, 1)
			signal.Notify(pipe, syscall.SIGPIPE)
			defer signal.Stop(pipe)
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// From the first signal on, a second one has its ordinary effect.
			context.AfterFunc(ctx, stop)
			return a.demo(ctx, o)
		},
	}
	cmd.Flags().DurationVar(&o.length, "for", 0, "how `LONG` it goes on; 0: until Ctrl-C")
	cmd.Flags().IntVar(&o.users, "users", 5, "`N` users")
	cmd.Flags().IntVar(&o.attackers, "attackers", 6, "`N` attackers at the same time; 0 for none")
	cmd.Flags().IntVar(&o.crowd, "crowd", 300, "`N` more users, of whose acts only the sums are told")
	cmd.Flags().StringVar(&o.attack, "attack", "", "the attack of each minute, `KIND`: "+strings.Join(demoAttackNames(), ", ")+"; default: in turn")
	completeFlag(cmd, "attack", words(demoAttackNames()...))
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object for each happening, and one at the end")
	return cmd
}

// demoSummaryEvery is the time between two lines of sums.
const demoSummaryEvery = 5 * time.Second

// demo is the whole course. ctx ends early by Ctrl-C.
func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	w, err := newDemoWorld(o, a.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	show := newDemoShow(a.stdout, o.json, w)
	tally := newDemoTally(w)
	show.start(o)

	run, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.length > 0 {
		// No deadline: connections look at it themselves, and fail before ctx tells that it is over.
		defer time.AfterFunc(o.length, cancel).Stop()
	}
	happenings := make(chan demoTold, 1024)
	attacks := make(chan demoAttackLine, 16)
	go func() {
		defer close(happenings)
		var all sync.WaitGroup
		all.Go(func() { w.crowd(run) })
		if o.attackers > 0 {
			all.Go(func() {
				w.attacks(run, func(a demoAttack, n int) {
					attacks <- demoAttackLine{true, "attack", time.Now(), a.name, a.about, a.detector, attackerAddr(n).String()}
				})
			})
		}
		w.live(run, func(h tgsim.Happening) { happenings <- demoTold{h, time.Now()} })
		all.Wait()
	}()
	tick := time.NewTicker(demoSummaryEvery)
	defer tick.Stop()
	for going := true; going; {
		select {
		case e := <-w.events.C():
			tally.event(e)
		case h, ok := <-happenings:
			if going = ok; ok {
				tally.catchUp(h.at.Add(demoSettle))
				show.line(tally.happening(run, h.Happening))
			}
		case a := <-attacks:
			show.attack(a)
		case <-tick.C:
			show.sums(tally.sums())
		}
		if show.err != nil {
			cancel()
		}
	}
	if ctx.Err() == nil && show.err == nil {
		tally.lookAgain(ctx)
	}
	if tally.found, err = w.incidents(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := w.stop(); err != nil {
		return err
	}
	tally.rest()
	problems := tally.problems(ctx.Err() != nil)
	show.end(tally, problems)
	if err := show.err; err != nil {
		return err
	}
	if len(problems) > 0 {
		return errors.New("the demonstration went wrong: " + strings.Join(problems, "; "))
	}
	return nil
}

// demoAttackLine says that an attack comes.
type demoAttackLine struct {
	Demo     bool      `json:"demo"`
	Kind     string    `json:"kind"` // "attack"
	Time     time.Time `json:"time"`
	Attack   string    `json:"attack"`
	About    string    `json:"about"`
	Detector string    `json:"detector"`
	From     string    `json:"from"`
}

// demoTold is a happening and when it was told.
type demoTold struct {
	tgsim.Happening
	at time.Time
}

// demoSettle is how long the node gets to tell its part of a happening.
const demoSettle = 80 * time.Millisecond
