package proc

import (
	"net"
	"os"
	"testing"
	"time"
)

func TestCPUGrowsWithWork(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	x := 1
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		x *= 3
	}
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used < 10*time.Millisecond || used > 10*time.Second {
		t.Fatalf("100 ms of work (%d) are %s of CPU", x&1, used)
	}
}

func TestMemoryOfNobody(t *testing.T) {
	m, err := RSS(os.Getpid())
	if err != nil || m.Now < 1<<20 || m.Peak < m.Now {
		t.Fatalf("own memory is %+v (%v)", m, err)
	}
	if _, err := RSS(5_000_000); err == nil {
		t.Fatal("a process that does not exist has memory")
	}
	if _, err := CPU(5_000_000); err == nil {
		t.Fatal("a process that does not exist has used CPU")
	}
}

func TestListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	if !Listens(os.Getpid(), port) {
		t.Error("listener is not seen")
	}
	l.Close()
	if Listens(os.Getpid(), port) {
		t.Error("closed listener is still seen")
	}
}
