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

// capabilityNames are those of capabilities(7), by their numbers.
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN",
	"SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE",
	"MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// capabilityName is the name of a capability, or its number where it is newer than this program.
func capabilityName(bit int) string {
	if bit < len(capabilityNames) {
		return "CAP_" + capabilityNames[bit]
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
