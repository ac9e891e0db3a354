package suite

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"mtguard/bench/internal/load"
	"mtguard/bench/internal/netlab"
	"mtguard/bench/internal/proc"
	"mtguard/bench/internal/report"
	"mtguard/bench/internal/target"
)

// Suite is one call of the benchmark.
type Suite struct {
	Programs  target.Programs
	Network   *netlab.Network
	Workloads []Workload
	Targets   []target.Target // those wanted; each workload takes its own from among them
	Rounds    int
	Scale     float64
	Deadline  time.Time // no run starts after it
	Say       func(format string, args ...any)

	sim *child
}

// Run makes all runs and gives what they found. Runs that fail are in the results with their error; an error here means that nothing can
// be measured at all.
func (s *Suite) Run() (report.Results, error) {
	sim, err := startSim(s.Programs, s.Network)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	s.sim = sim
	targets := s.available()
	var results report.Results
	for _, w := range s.Workloads {
		rounds := s.Rounds
		if w.Rounds > 0 {
			rounds = min(rounds, w.Rounds)
		}
		for round := range rounds {
			for _, t := range order(targets, w.Targets, round) {
				if !s.Deadline.IsZero() && time.Now().After(s.Deadline) {
					s.Say("out of time: the rest of %s, round %d, and what follows is left out", w.Name, round+1)
					return results, nil
				}
				sample := s.measure(w, t)
				sample.Workload, sample.Target, sample.Round = w.Name, t.Name, round
				results = append(results, sample)
				s.tell(w, &sample)
			}
		}
	}
	return results, nil
}

// StartSim starts a simulator in the network, until stop.
func StartSim(p target.Programs, n *netlab.Network) (stop func(), err error) {
	c, err := startSim(p, n)
	if err != nil {
		return nil, err
	}
	return c.stop, nil
}

func startSim(p target.Programs, n *netlab.Network) (*child, error) {
	c, err := startChild(p, n.Server, 0, "sim", "-dc", n.DCListen.String(), "-cover", n.CoverListen.String())
	if err != nil {
		return nil, err
	}
	if _, err := c.counters(); err != nil { // it answers once it listens
		c.stop()
		return nil, fmt.Errorf("simulator: %w", err)
	}
	return c, nil
}

// available drops targets that cannot run here, saying why.
func (s *Suite) available() []target.Target {
	var can []target.Target
	said := map[string]bool{}
	for _, t := range s.Targets {
		why := t.Missing(s.Programs, s.Network)
		if why == "" {
			can = append(can, t)
		} else if !said[why] {
			said[why] = true
			s.Say("%s is left out: %s", t.Name, why)
		}
	}
	return can
}

// order gives the targets of a workload, backwards in every second round.
func order(all []target.Target, names []string, round int) []target.Target {
	var in []target.Target
	for _, t := range all {
		if slices.Contains(names, t.Name) {
			in = append(in, t)
		}
	}
	if round%2 == 1 {
		slices.Reverse(in)
	}
	return in
}

func (s *Suite) tell(w Workload, sample *report.Sample) {
	line := fmt.Sprintf("%-16s round %d  %-16s", sample.Workload, sample.Round+1, sample.Target)
	if sample.Error != "" {
		s.Say("%s failed: %s", line, sample.Error)
		return
	}
	for _, m := range w.Metrics {
		if v, ok := m.Value(sample); ok {
			line += fmt.Sprintf("  "+m.Format+" %s", v, m.Name)
		}
	}
	if sample.CPU > 0 {
		line += fmt.Sprintf("  (kit: %.2f of the target's CPU)", sample.KitCPU/sample.CPU)
	}
	if sample.Report.Failures > 0 {
		line += fmt.Sprintf("  (%d failures, the last: %s)", sample.Report.Failures, sample.Report.Failure)
	}
	s.Say("%s", line)
}

// measure starts the target, lets the load generator do its work and takes the figures.
func (s *Suite) measure(w Workload, t target.Target) report.Sample {
	var sample report.Sample
	if err := s.try(w, t, &sample); err != nil {
		sample.Error = err.Error()
	}
	return sample
}

func (s *Suite) try(w Workload, t target.Target, sample *report.Sample) error {
	dir, err := os.MkdirTemp("", "mtbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env := &target.Env{Programs: s.Programs, Network: s.Network, Cover: s.Network.Cover, Dir: dir}
	if w.NoCover {
		env.Cover = s.Network.NoCover
	}
	running, err := t.Start(env)
	if err != nil {
		return err
	}
	defer running.Stop()

	spec := s.spec(w, t)
	sample.Conns = spec.Conns
	c, err := startChild(s.Programs, s.Network.Clients, spec.Deadline+40*time.Second, "load")
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.say(spec); err != nil {
		return err
	}
	err = s.follow(w, c, gauge{running}, sample)
	if running != nil {
		// A dead target explains whatever else went wrong.
		if dead := running.Alive(); dead != nil {
			return dead
		}
	}
	return err
}

func (s *Suite) spec(w Workload, t target.Target) load.Spec {
	spec := w.spec(t, s.Scale)
	spec.Mode, spec.DC = t.Mode, 2
	spec.Proxy = s.Network.ProxyAt
	if t.Name == target.Direct {
		spec.Proxy = s.Network.DC
	}
	spec.Secret, spec.Domain = target.Secret, target.Domain
	spec.StrangerFrom = s.Network.Strangers
	spec.Deadline = time.Minute
	return spec
}

// follow goes through the stages of one run.
func (s *Suite) follow(w Workload, c *child, g gauge, sample *report.Sample) error {
	ready, err := c.next("ready")
	if err != nil {
		return err
	}
	before, err := s.sim.counters()
	if err != nil {
		return err
	}
	if sample.Base, _, err = g.memory(); err != nil {
		return err
	}
	cpu, err := g.cpu()
	if err != nil {
		return err
	}
	simCPU, err := proc.CPU(s.sim.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := c.say("go"); err != nil {
		return err
	}
	if w.settle > 0 {
		if _, err := c.next("held"); err != nil {
			return err
		}
		time.Sleep(w.settle)
		if sample.Held, _, err = g.memory(); err != nil {
			return err
		}
		after, err := s.sim.counters()
		if err != nil {
			return err
		}
		sample.Taken = after.Sent - before.Sent
		if err := c.say("end"); err != nil {
			return err
		}
	}
	done, err := c.next("done")
	if err != nil {
		return err
	}
	used, err := g.cpu()
	if err != nil {
		return err
	}
	sample.CPU = (used - cpu).Seconds()
	if _, sample.Peak, err = g.memory(); err != nil {
		return err
	}
	sample.Report = done.Report
	simUsed, err := proc.CPU(s.sim.cmd.Process.Pid)
	if err != nil {
		return err
	}
	sample.KitCPU = done.CPU - ready.CPU + (simUsed - simCPU).Seconds()
	after, err := s.sim.counters()
	if err != nil {
		return err
	}
	if after.BadOrders > before.BadOrders {
		return fmt.Errorf("the data centre got streams that it could not read: %s", after.LastBad)
	}
	return nil
}

// next waits for a stage of the load generator.
func (c *child) next(stage string) (Event, error) {
	var ev Event
	if err := c.hear(&ev); err != nil {
		return ev, err
	}
	if ev.Error != "" {
		return ev, errors.New(ev.Error)
	}
	if ev.Is != stage {
		return ev, fmt.Errorf("load generator is %s and not %s", ev.Is, stage)
	}
	return ev, nil
}

// gauge reads a target's figures; without a target they are zero.
type gauge struct{ *target.Running }

func (g gauge) cpu() (time.Duration, error) {
	if g.Running == nil {
		return 0, nil
	}
	return proc.CPU(g.PID)
}

func (g gauge) memory() (now, peak int64, err error) {
	if g.Running == nil {
		return 0, 0, nil
	}
	m, err := proc.RSS(g.PID)
	return m.Now, m.Peak, err
}
