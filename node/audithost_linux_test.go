package node

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"mtguard/control/audit"
)

func TestCapabilitiesAreRead(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		fail bool
	}{
		{"Name:\tmtguard\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000000000\n", nil, false},
		{"CapEff:\t0000000000000400\n", nil, false}, // NET_BIND_SERVICE
		{"CapEff:\t0000000000201400\n", []string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}, false},
		{"CapEff:\t00000000000c0084\n", []string{"CAP_DAC_READ_SEARCH", "CAP_SETUID", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"}, false},
		{"CapEff:\t8000000000000000\n", []string{"capability 63"}, false},
		{"CapEff:\txyz\n", nil, true},
		{"Name:\tmtguard\n", nil, true},
		{"", nil, true},
	} {
		got, err := capabilities([]byte(c.text))
		if !slices.Equal(got, c.want) || (err != nil) != c.fail {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
}

// TestCapabilitiesHaveTheKernelsNames: against the numbers that package unix takes from its headers.
func TestCapabilitiesHaveTheKernelsNames(t *testing.T) {
	for bit, want := range map[int]string{
		unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH", unix.CAP_SETPCAP: "CAP_SETPCAP", unix.CAP_NET_BROADCAST: "CAP_NET_BROADCAST",
		unix.CAP_SYS_RAWIO: "CAP_SYS_RAWIO", unix.CAP_SYS_BOOT: "CAP_SYS_BOOT", unix.CAP_MKNOD: "CAP_MKNOD", unix.CAP_SETFCAP: "CAP_SETFCAP", unix.CAP_SYSLOG: "CAP_SYSLOG",
		unix.CAP_AUDIT_READ: "CAP_AUDIT_READ", unix.CAP_BPF: "CAP_BPF", unix.CAP_CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE",
	} {
		if got := capabilityName(bit); got != want {
			t.Errorf("%d: %s, want %s", bit, got, want)
		}
	}
	if n := len(capabilityNames); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d have names of %d", n, unix.CAP_LAST_CAP+1)
	}
}

func TestTheHostIsRead(t *testing.T) {
	f := &audit.HostFacts{DiskPath: t.TempDir()}
	readProcess(f)
	readDisk(f)
	if f.NoOpenFiles != nil || f.OpenFiles == 0 || f.NoCoreLimit != nil || f.NoDisk != nil || f.DiskFree.Whole == 0 || f.DiskFree.Part > f.DiskFree.Whole {
		t.Errorf("%+v", f)
	}
	if readClock(f); f.NoClock == nil && f.ClockSynced && f.ClockError < 0 {
		t.Errorf("%+v", f)
	}
	f = &audit.HostFacts{DiskPath: "/no/such/directory"}
	if readDisk(f); f.NoDisk == nil {
		t.Error("a disk that is none was read")
	}
}
