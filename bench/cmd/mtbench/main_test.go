package main

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/load"
	"mtguard/bench/internal/netlab"
	"mtguard/bench/internal/suite"
	"mtguard/bench/internal/target"
)

// childMark makes the test binary behave as mtbench, so that the suite can start itself.
const childMark = "MTBENCH_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		main()
		os.Exit(0)
	}
	evloop.UseProcessors(2)
	os.Exit(m.Run())
}

func programs(t *testing.T) target.Programs {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return target.Programs{Self: self, SelfEnv: childMark + "=1"}
}

// TestSmoke takes the plain relay through every workload that has it, and wants figures from each.
func TestSmoke(t *testing.T) {
	network, err := netlab.Here()
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	smoke(t, network)
}

func TestSmokeVeth(t *testing.T) {
	network, err := netlab.Veth()
	if err != nil {
		t.Skipf("no network of our own: %v", err)
	}
	defer network.Close()
	smoke(t, network)
}

func smoke(t *testing.T, network *netlab.Network) {
	t.Helper()
	s := suite.Suite{Programs: programs(t), Network: network, Workloads: suite.Workloads(), Rounds: 1, Scale: 0.004, Say: t.Logf}
	for i := range s.Workloads {
		s.Workloads[i].Shorten()
	}
	for _, x := range target.All() {
		if x.Name == target.Relay || x.Name == target.Direct {
			s.Targets = append(s.Targets, x)
		}
	}
	results, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workloads {
		if strings.HasPrefix(w.Name, "strangers") { // nothing there for a relay
			continue
		}
		if _, why := results.Failed(w.Name, target.Relay); why != "" {
			t.Errorf("%s: %s", w.Name, why)
			continue
		}
		for _, m := range w.Metrics {
			if v := results.Values(w.Name, target.Relay, m); len(v) != 1 || v[0] <= 0 {
				t.Errorf("%s: %s is %v", w.Name, m.Name, v)
			}
		}
	}
}

// TestWrongProxyGetsNoFigures puts a relay that spoils one byte between clients and data centre.
func TestWrongProxyGetsNoFigures(t *testing.T) {
	network, err := netlab.Here()
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	simLoop(t, network)
	proxy := spoiler(t, network.DC.String())
	l, err := load.New(load.Spec{Work: load.Sessions, Mode: load.Plain, Proxy: proxy, DC: 2, Conns: 1, Count: 10, Size: 64, Deadline: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = l.Run(func() error { return nil }, nil)
	if err == nil || !strings.Contains(err.Error(), "different bytes") {
		t.Fatalf("a proxy that spoils bytes passes: %v", err)
	}
}

// TestStrangersAreSorted lets strangers meet something that hangs up on them, and something that never answers.
func TestStrangersAreSorted(t *testing.T) {
	for name, silent := range map[string]bool{"hang-up": false, "silence": true} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						c.Read(make([]byte, 4096))
						if silent {
							c.Read(make([]byte, 4096))
						}
					}()
				}
			}()
			l, err := load.New(load.Spec{
				Work: load.Strangers, Mode: load.Secure, Secret: target.Secret, Proxy: ln.Addr().(*net.TCPAddr).AddrPort(), DC: 2,
				Conns: 2, Size: 64, Seconds: 0.2, Hold: 20 * time.Millisecond, StrangerFrom: netip.MustParseAddr("127.0.0.66"), Unchecked: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			r, _ := l.Run(func() error { return nil }, nil)
			if silent && (r.Held == 0 || r.HungUp > 0) || !silent && (r.HungUp == 0 || r.Held > 0) || r.Answered > 0 {
				t.Fatalf("%d hung up, %d held, %d answered", r.HungUp, r.Held, r.Answered)
			}
		})
	}
}

// simLoop runs a simulator as a child of the test.
func simLoop(t *testing.T, n *netlab.Network) {
	t.Helper()
	p := programs(t)
	stop, err := suite.StartSim(p, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

func spoiler(t *testing.T, to string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			go func() {
				defer d.Close()
				buf := make([]byte, 32<<10)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					d.Write(buf[:n])
				}
			}()
			go func() {
				defer c.Close()
				buf := make([]byte, 32<<10)
				for {
					n, err := d.Read(buf)
					if err != nil {
						return
					}
					buf[n-1] ^= 1
					c.Write(buf[:n])
				}
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}
