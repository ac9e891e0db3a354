package node

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// smaps is what Linux says of a program and what it has mapped, shortened.
const smaps = `00400000-01435000 r-xp 00000000 fe:00 10338538                           /usr/bin/mtguard
Size:              16596 kB
Rss:                5376 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01435000-024d7000 r--p 01035000 fe:00 10338538                           /usr/bin/mtguard
Rss:                4656 kB
Anonymous:             0 kB
024d7000-02578000 rw-p 020d7000 fe:00 10338538                           /usr/bin/mtguard
Rss:                 580 kB
Anonymous:             0 kB
03000000-03001000 r-xp 00000000 fe:00 10338538                           /usr/bin/mtguard
Rss:                   4 kB
Anonymous:             4 kB
2890bc000000-2890bec00000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7ff2a9000000-7ff2a9001000 r--p 00000000 fe:00 7                          /usr/lib/libc.so.6
Anonymous:             0 kB
7ff2a9010000-7ff2a9011000 r-xp 00000000 fe:00 10338538                   /usr/bin/mtguard (deleted)
Anonymous:             0 kB
7ff2f0918000-7ff2f091a000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`

func TestPartsOfAProgramAreFound(t *testing.T) {
	for _, c := range []struct {
		name, path, text string
		want             []span
	}{
		{"read only parts that nobody wrote into", "/usr/bin/mtguard", smaps, []span{{0x400000, 0x1435000}, {0x1435000, 0x24d7000}}},
		{"replaced by an update", "/usr/bin/mtguard (deleted)", smaps, []span{{0x7ff2a9010000, 0x7ff2a9011000}}},
		{"another program", "/usr/bin/other", smaps, nil},
		{"a name that is a part of another", "/bin/mtguard", smaps, nil},
		{"a path with a space", "/opt/my proxy/mtguard", strings.ReplaceAll(smaps, "/usr/bin/", "/opt/my proxy/"), []span{{0x400000, 0x1435000}, {0x1435000, 0x24d7000}}},
		{"addresses that are none", "/p", "x-y r-xp 0 0 0 /p\nAnonymous: 0 kB\n2-1 r-xp 0 0 0 /p\nAnonymous: 0 kB\n", nil},
		{"a mapping of which no more is said", "/p", "1000-2000 r-xp 0 0 0 /p\n", nil},
		{"written into, and swapped out", "/p", "1000-2000 r--p 0 0 0 /p\nAnonymous: 0 kB\nSwap: 8 kB\n2000-3000 r-xp 0 0 0 /p\nAnonymous: 0 kB\nSwap: 0 kB\n", []span{{0x2000, 0x3000}}},
		{"nothing", "/p", "", nil},
	} {
		if got := partsOf(c.path, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
	}
}

// TestTheProgramRunsOnUnmapped: it finds itself in its own memory, and goes on.
func TestTheProgramRunsOnUnmapped(t *testing.T) {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	if parts := partsOf(path, string(maps)); len(parts) < 2 {
		t.Fatalf("code and constants are %x in\n%s", parts, maps)
	}
	before := mapped(t)
	unmapProgram()
	if after := mapped(t); after >= before {
		t.Errorf("%d KB of the file were mapped, then %d", before, after)
	}
}

// mapped is how much of files this process has touched, in KB.
func mapped(t *testing.T) (kb int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, rest, ok := strings.Cut(string(status), "RssFile:")
	if !ok {
		t.Skip("the system does not say")
	}
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
