package suite

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"mtguard/bench/internal/load"
	"mtguard/bench/internal/netlab"
	"mtguard/bench/internal/proc"
	"mtguard/bench/internal/sim"
	"mtguard/bench/internal/target"
)

// child is a process of the kit itself that is driven line by line.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	kill *time.Timer
}

func startChild(p target.Programs, in *netlab.Space, limit time.Duration, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(p.Self, args...)}
	c.cmd.Env = append(os.Environ(), p.SelfEnv)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := in.Start(c.cmd); err != nil {
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	if limit > 0 {
		c.kill = time.AfterFunc(limit, func() { c.cmd.Process.Kill() })
	}
	return c, nil
}

func (c *child) say(v any) error { return json.NewEncoder(c.in).Encode(v) }

func (c *child) hear(v any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the load generator or simulator ended without a word, or took too long")
		}
		return err
	}
	return json.Unmarshal(line, v)
}

func (c *child) stop() {
	if c.kill != nil {
		c.kill.Stop()
	}
	c.in.Close()
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// counters asks the simulator what it has seen.
func (c *child) counters() (sim.Counters, error) {
	var n sim.Counters
	if _, err := c.in.Write([]byte{'?'}); err != nil {
		return n, err
	}
	return n, c.hear(&n)
}

// Event is a line that the load generator says.
type Event struct {
	Is     string      `json:"is"` // ready, held or done
	Report load.Report `json:"report"`
	CPU    float64     `json:"cpu_s"` // what the load generator itself has used so far
	Error  string      `json:"error,omitempty"`
}

// ServeLoad is the other side of the conversation: it runs one Spec read from in and reports to out. A line on in lets each stage go on.
func ServeLoad(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	enc := json.NewEncoder(out)
	var spec load.Spec
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	stage := func(name string) func() error {
		return func() error {
			if err := enc.Encode(Event{Is: name, CPU: ownCPU()}); err != nil {
				return err
			}
			_, err := lines.ReadBytes('\n')
			return err
		}
	}
	done := Event{Is: "done"}
	l, err := load.New(spec)
	if err == nil {
		defer l.Close()
		done.Report, err = l.Run(stage("ready"), stage("held"))
	}
	if err != nil {
		done.Error = err.Error()
	}
	done.CPU = ownCPU()
	return enc.Encode(done)
}

func ownCPU() float64 {
	d, err := proc.CPU(os.Getpid())
	if err != nil {
		return 0
	}
	return d.Seconds()
}
