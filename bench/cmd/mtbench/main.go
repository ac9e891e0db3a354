// Command mtbench compares mtguard with other proxies; see README.md beside the module.
//
//	mtbench run      builds, measures and prints tables (what "make bench" calls)
//	mtbench relay    the plain Go relay
//	mtbench sim      the simulated data centre and cover site, driven by the first
//	mtbench load     the load generator, driven by the first
package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/plainrelay"
	"mtguard/bench/internal/sim"
	"mtguard/bench/internal/suite"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mtbench:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		args = []string{"run"}
	}
	switch name, rest := args[0], args[1:]; name {
	case "run":
		return run(rest)
	case "relay":
		return relay(rest)
	case "sim":
		return simulate(rest)
	case "load":
		evloop.UseProcessors(1)
		return suite.ServeLoad(os.Stdin, os.Stdout)
	default:
		return fmt.Errorf("unknown command %q: run, relay, sim or load", name)
	}
}

func relay(args []string) error {
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:0", "address to listen at")
	to := f.String("to", "", "address to relay to")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return plainrelay.Serve(l, *to)
}

func simulate(args []string) error {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	dc := f.String("dc", "", "addresses of the data centre, with commas between them")
	cover := f.String("cover", "", "addresses of the cover site")
	if err := f.Parse(args); err != nil {
		return err
	}
	dcs, err := addresses(*dc)
	if err != nil {
		return err
	}
	covers, err := addresses(*cover)
	if err != nil {
		return err
	}
	evloop.UseProcessors(1)
	loop, err := evloop.New()
	if err != nil {
		return err
	}
	defer loop.Close()
	s, err := sim.New(loop, dcs, covers)
	if err != nil {
		return err
	}
	return s.Serve(0, os.Stdout)
}

func addresses(list string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for text := range strings.SplitSeq(list, ",") {
		if text == "" {
			continue
		}
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}
