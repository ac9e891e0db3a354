package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mtguard/control/audit"
)

// ownerOf is the user that a file belongs to.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// readProcess adds the limits and capabilities of this process.
func readProcess(f *audit.HostFacts) {
	var limit unix.Rlimit
	if f.NoCoreLimit = unix.Getrlimit(unix.RLIMIT_CORE, &limit); f.NoCoreLimit == nil {
		f.CoreLimit = limit.Cur
	}
	if f.NoOpenFiles = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); f.NoOpenFiles == nil {
		f.OpenFiles = limit.Cur
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.NoCapabilities = err
		return
	}
	f.Capabilities, f.NoCapabilities = capabilities(status)
}

// capabilities are the names of those in effect, by the text of /proc/PID/status, but
// for the one that low ports take.
func capabilities(status []byte) (names []string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		text, found := strings.CutPrefix(lines.Text(), "CapEff:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("capabilities: %w", err)
		}
		for bit := range 64 {
			if set&(1<<bit) != 0 && bit != unix.CAP_NET_BIND_SERVICE {
				names = append(names, capabilityName(bit))
			}
		}
		return names, nil
	}
	return nil, errors.New("the system does not tell the capabilities of a process")
}

// capabilityName names those that are worth a name; capabilities(7) has the others.
func capabilityName(bit int) string {
	if name, ok := map[int]string{
		unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE", unix.CAP_KILL: "CAP_KILL", unix.CAP_SETUID: "CAP_SETUID", unix.CAP_SETGID: "CAP_SETGID",
		unix.CAP_NET_ADMIN: "CAP_NET_ADMIN", unix.CAP_NET_RAW: "CAP_NET_RAW", unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN",
		unix.CAP_SYS_MODULE: "CAP_SYS_MODULE", unix.CAP_BPF: "CAP_BPF",
	}[bit]; ok {
		return name
	}
	return "capability " + strconv.Itoa(bit)
}

// readClock asks the kernel, which knows whether something keeps its clock right.
func readClock(f *audit.HostFacts) {
	var t unix.Timex // changes nothing
	state, err := unix.Adjtimex(&t)
	if err != nil {
		f.NoClock = fmt.Errorf("adjtimex: %w", err)
		return
	}
	f.ClockSynced = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	f.ClockError = time.Duration(t.Maxerror) * time.Microsecond
}

// readDisk adds how full the disk of f.DiskPath is.
func readDisk(f *audit.HostFacts) {
	var s unix.Statfs_t
	if err := unix.Statfs(f.DiskPath, &s); err != nil {
		f.NoDisk = fmt.Errorf("%s: %w", f.DiskPath, err)
		return
	}
	f.DiskFree = audit.Share{Part: int64(s.Bavail), Whole: int64(s.Blocks)}
}
