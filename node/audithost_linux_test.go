package node

import (
	"slices"
	"testing"

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
