// Command tgsim runs the parts of the simulated Telegram (package tgsim) by
// hand: a data centre, a cover site, a client, a traffic mix. Everything it
// reports goes to standard output, one line each; errors go to standard error
// and make it exit with 1. It is for tests and demonstrations, never for use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mtguard/tgsim"
)

const usage = `usage: tgsim dc|cover|client|mix [flags]   (tgsim COMMAND -h lists them)`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tgsim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	commands := map[string]func(context.Context, *flag.FlagSet, []string) error{
		"dc": runDC, "cover": runCover, "client": runClient, "mix": runMix,
	}
	command, ok := commands[args[0]]
	if !ok {
		return errors.New(usage)
	}
	return command(ctx, flag.NewFlagSet("tgsim "+args[0], flag.ContinueOnError), args[1:])
}

func runDC(ctx context.Context, f *flag.FlagSet, args []string) error {
	var cfg tgsim.DCConfig
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "`address` to listen at")
	f.IntVar(&cfg.Number, "number", 2, "`number` told in pongs")
	f.BoolVar(&cfg.Behaviour.Stall, "stall", false, "never answer")
	f.Int64Var(&cfg.Behaviour.VanishAfter, "vanish-after", 0, "reset after so many `bytes`")
	f.DurationVar(&cfg.Behaviour.Delay, "delay", 0, "wait before each packet")
	if err := f.Parse(args); err != nil {
		return err
	}
	dc, err := tgsim.StartDC(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println("dc", dc.Addr())
	<-ctx.Done()
	err = dc.Close()
	s := dc.Stats()
	fmt.Printf("accepted %d, bad inits %d, received %d, sent %d\n", s.Accepted, s.BadInits, s.Received, s.Sent)
	return err
}

func runCover(ctx context.Context, f *flag.FlagSet, args []string) error {
	var cfg tgsim.CoverConfig
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "`address` to listen at")
	f.StringVar(&cfg.Domain, "domain", "www.example.com", "`name` in the certificate")
	if err := f.Parse(args); err != nil {
		return err
	}
	site, err := tgsim.StartCover(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println("cover", site.Addr())
	<-ctx.Done()
	return site.Close()
}

// clientFlags are shared by client and mix.
func clientFlags(f *flag.FlagSet, args []string) (*tgsim.Client, error) {
	proxy := f.String("proxy", "127.0.0.1:8443", "`address` of the proxy")
	secret := f.String("secret", "", "secret as in a link: 32 hex digits, dd… or ee…")
	link := f.String("link", "", "tg:// or https:// link, in place of proxy and secret")
	domain := f.String("domain", "", "server `name`; makes 32 hex digits a fake TLS secret")
	dc := f.Int("dc", 2, "DC `id` as on the wire")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	c, err := tgsim.NewClient(*proxy, *secret)
	if *link != "" {
		c, err = tgsim.FromLink(*link)
	}
	if err != nil {
		return nil, err
	}
	c.DC = *dc
	if *domain != "" {
		c.Domain, c.Transport = *domain, tgsim.FakeTLS
	}
	return c, nil
}

func runClient(ctx context.Context, f *flag.FlagSet, args []string) error {
	down := f.Int64("download", 1<<20, "`bytes` to download")
	up := f.Int64("upload", 1<<20, "`bytes` to upload")
	c, err := clientFlags(f, args)
	if err != nil {
		return err
	}
	conn, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"ping", func() error { return conn.Ping([]byte("hello")) }},
		{"download", func() error { return conn.Download(*down) }},
		{"upload", func() error { return conn.Upload(*up) }},
	} {
		start := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("%s ok, %v, dc %d\n", step.name, time.Since(start).Round(time.Microsecond), conn.Reached())
	}
	return nil
}

func runMix(ctx context.Context, f *flag.FlagSet, args []string) error {
	users := f.Int("users", 3, "how many users at once")
	attackers := f.Int("attackers", 2, "how many attackers at once")
	rate := f.Float64("rate", 1, "acts per second of each")
	length := f.Duration("for", 0, "how long; 0 until interrupted")
	c, err := clientFlags(f, args)
	if err != nil {
		return err
	}
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	m := tgsim.Mix{
		People: []tgsim.Person{{Name: "user", Client: *c}}, Users: *users, Attackers: *attackers, Rate: *rate,
		Target: tgsim.Target{Addr: c.Proxy, Secret: c.Secret, Domain: c.Domain, DC: c.DC},
	}
	return m.Run(ctx, func(h tgsim.Happening) {
		fmt.Printf("%s %-12s %-20s %s\n", h.At.Format(time.TimeOnly), h.Who, h.What, h.Result)
	})
}
