package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mtguard/bench/internal/netlab"
	"mtguard/bench/internal/report"
	"mtguard/bench/internal/suite"
	"mtguard/bench/internal/target"
)

// options are what the environment and the command line say.
type options struct {
	rounds    int
	scale     float64
	only      []string
	targets   []string
	link      string
	limit     time.Duration
	output    string
	module    string
	skipBuild bool
}

// innerMark is set in the process that has already got its own user namespace.
const innerMark = "MTBENCH_INNER"

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	target.RaiseDescriptors()
	var notes []string
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
	note := func(format string, args ...any) {
		notes = append(notes, fmt.Sprintf(format, args...))
		say(format, args...)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	programs, err := build(o, self, note)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 && o.link != "host" && os.Getenv(innerMark) == "" {
		if done, err := insideUserNamespace(args); done {
			return err
		}
	}
	network, err := makeNetwork(o.link, note)
	if err != nil {
		return err
	}
	defer network.Close()

	s := &suite.Suite{
		Programs: programs, Network: network, Rounds: o.rounds, Scale: o.scale,
		Deadline: time.Now().Add(o.limit), Say: say,
	}
	if s.Workloads, s.Targets, err = choose(o); err != nil {
		return err
	}
	s.Say = func(format string, args ...any) {
		if strings.Contains(format, "left out") {
			note(format, args...)
			return
		}
		say(format, args...)
	}
	started := time.Now()
	results, err := s.Run()
	if err != nil {
		return err
	}
	doc := document(s, results, notes, conditions(network, o, started))
	if err := keep(o, network, results, doc); err != nil {
		return err
	}
	_, err = doc.WriteTo(os.Stdout)
	return err
}

func parse(args []string) (options, error) {
	o := options{rounds: 5, scale: 1, link: os.Getenv("BENCH_LINK")}
	var err error
	if v := os.Getenv("BENCH_ROUNDS"); v != "" {
		if o.rounds, err = strconv.Atoi(v); err != nil || o.rounds < 1 {
			return o, fmt.Errorf("BENCH_ROUNDS=%s: not a number of rounds", v)
		}
	}
	if v := os.Getenv("BENCH_SCALE"); v != "" {
		if o.scale, err = strconv.ParseFloat(v, 64); err != nil || o.scale <= 0 {
			return o, fmt.Errorf("BENCH_SCALE=%s: not a factor", v)
		}
	}
	o.only = words(os.Getenv("BENCH_ONLY"))
	o.targets = words(os.Getenv("BENCH_TARGETS"))
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&o.output, "o", "", "also write the Markdown document to this `file`")
	f.StringVar(&o.module, "module", ".", "`folder` of the benchmark's module")
	f.DurationVar(&o.limit, "limit", 24*time.Minute, "start no run after this time")
	f.BoolVar(&o.skipBuild, "no-build", false, "take the programs in out/bin as they are")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.module, err = filepath.Abs(o.module); err != nil {
		return o, err
	}
	if _, err := os.Stat(filepath.Join(o.module, "peers", "mtg", "go.mod")); err != nil {
		return o, fmt.Errorf("%s is not the folder bench of the repository", o.module)
	}
	return o, nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func build(o options, self string, note func(string, ...any)) (target.Programs, error) {
	if o.skipBuild || os.Getenv(innerMark) != "" {
		return target.Built(o.module, self), nil
	}
	return target.Build(o.module, self, note)
}

// insideUserNamespace runs the same command once more with all rights over its own networks, where the system lets anybody have that.
func insideUserNamespace(args []string) (done bool, err error) {
	cmd := exec.Command("/proc/self/exe", append([]string{"run"}, args...)...)
	cmd.Env = append(os.Environ(), innerMark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		return false, nil
	}
	return true, cmd.Wait()
}

func makeNetwork(link string, note func(string, ...any)) (*netlab.Network, error) {
	switch link {
	case "", "loopback":
		n, err := netlab.Loopback()
		if err != nil {
			note("no private network (%v): everything runs on the machine's own loopback", err)
			return netlab.Here()
		}
		return n, nil
	case "host":
		return netlab.Here()
	case "veth":
		return netlab.Veth()
	default:
		return nil, fmt.Errorf("BENCH_LINK=%s: loopback, veth or host", link)
	}
}

func choose(o options) ([]suite.Workload, []target.Target, error) {
	var ws []suite.Workload
	known := map[string]bool{}
	for _, w := range suite.Workloads() {
		known[w.Name] = true
		if wanted(o.only, w.Name) {
			ws = append(ws, w)
		}
	}
	var ts []target.Target
	for _, t := range target.All() {
		known[t.Name] = true
		if wanted(o.targets, t.Name) {
			ts = append(ts, t)
		}
	}
	for _, name := range append(o.only, o.targets...) {
		if !known[name] && !strings.HasSuffix(name, "*") {
			return nil, nil, fmt.Errorf("no workload or target is called %q", name)
		}
	}
	if len(ws) == 0 || len(ts) == 0 {
		return nil, nil, errors.New("BENCH_ONLY or BENCH_TARGETS leaves nothing to do")
	}
	return ws, ts, nil
}

// wanted tells whether a list names something; an empty list names everything, and a star ends a prefix.
func wanted(list []string, name string) bool {
	if len(list) == 0 {
		return true
	}
	for _, l := range list {
		if prefix, ok := strings.CutSuffix(l, "*"); l == name || ok && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func conditions(n *netlab.Network, o options, started time.Time) []string {
	var u syscall.Utsname
	kernel := "?"
	if syscall.Uname(&u) == nil {
		kernel = ""
		for _, c := range u.Release {
			if c == 0 {
				break
			}
			kernel += string(rune(byte(c)))
		}
	}
	return []string{
		fmt.Sprintf("%s, %d cores, %s/%s, Linux %s, %s", started.UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, kernel, runtime.Version()),
		"network: " + n.Name,
		fmt.Sprintf("%d rounds (idle and slow clients: 2), interleaved, every second round backwards; scale %g; took %s", o.rounds, o.scale, time.Since(started).Round(time.Second)),
		fmt.Sprintf("%d descriptors per process", target.Descriptors()),
	}
}

func document(s *suite.Suite, results report.Results, notes, conditions []string) *report.Document {
	d := &report.Document{Conditions: conditions, Notes: notes, Results: results}
	for _, w := range s.Workloads {
		d.Tables = append(d.Tables, w.Table)
	}
	for _, t := range s.Targets {
		for i := range results {
			if results[i].Target == t.Name {
				d.Targets = append(d.Targets, report.Row{Name: t.Name, Note: t.Note})
				break
			}
		}
	}
	return d
}

// keep writes the samples as JSON and the document where it was asked for.
func keep(o options, n *netlab.Network, results report.Results, doc *report.Document) error {
	dir := filepath.Join(o.module, "out")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(struct {
		Network string         `json:"network"`
		Scale   float64        `json:"scale"`
		Samples report.Results `json:"samples"`
	}{n.Name, o.scale, results}, "", "\t")
	if err != nil {
		return err
	}
	name := time.Now().UTC().Format("20060102-150405") + ".json"
	if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
		return err
	}
	if o.output == "" {
		return nil
	}
	f, err := os.Create(o.output)
	if err != nil {
		return err
	}
	if _, err := doc.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
