package node

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram has the system forget which pages of the program's own file this process
// has touched. Nothing is lost: they stay in the cache of files, and what is used again is
// mapped again, 64 KB in about a microsecond. The start touches all of a file that a node
// at rest uses a third of; what is not mapped the system may drop when memory is short,
// and does not count as ours.
func unmapProgram() {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, part := range partsOf(path, string(maps)) {
		// An error means that the part stays mapped, as memory does that somebody has locked.
		unix.Syscall(unix.SYS_MADVISE, part.from, part.to-part.from, unix.MADV_DONTNEED)
	}
}

// span is where something lies in memory.
type span struct{ from, to uintptr }

// partsOf finds in /proc/PID/smaps where the file at a path is mapped for reading alone. A
// part in which a page was written nevertheless, by a debugger or a probe of the kernel's,
// is left out: what was written would be lost.
func partsOf(path, smaps string) (parts []span) {
	var at span // none while to is 0
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			at = span{}
			_, name, _ := strings.Cut(line, "/")
			if strings.Contains(fields[1], "w") || "/"+strings.TrimSuffix(name, "\n") != path {
				continue
			}
			low, high, _ := strings.Cut(fields[0], "-")
			from, err1 := strconv.ParseUint(low, 16, strconv.IntSize)
			to, err2 := strconv.ParseUint(high, 16, strconv.IntSize)
			if err1 == nil && err2 == nil && from < to {
				at = span{uintptr(from), uintptr(to)}
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && at.to != 0:
			parts = append(parts, at)
		case len(fields) == 3 && fields[0] == "Swap:" && fields[1] != "0" && len(parts) > 0 && parts[len(parts)-1] == at:
			parts = parts[:len(parts)-1] // what was written is there alone
		}
	}
	return parts
}
