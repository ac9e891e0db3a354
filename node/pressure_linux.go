package node

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"
)

// resident is the memory of the process in bytes, 0 where the system does not say.
func resident() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize())
}

// diskUsed is the share of a path's file system that is used, as df tells it to
// others than root; 0 where the system does not say.
func diskUsed(path string) float64 {
	var fs syscall.Statfs_t
	if syscall.Statfs(path, &fs) != nil || fs.Blocks == 0 {
		return 0
	}
	used := float64(fs.Blocks - fs.Bfree)
	return used / (used + float64(fs.Bavail))
}

// memoryLimit is what the process may have: that of its control group, or else of
// the machine. Where neither is known nothing is ever too much.
func memoryLimit() float64 {
	limit := math.Inf(1)
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if data, err := os.ReadFile(path); err == nil {
			if n, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64); err == nil && n > 0 {
				limit = min(limit, float64(n))
			}
		}
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		limit = min(limit, float64(uint64(info.Totalram)*uint64(info.Unit)))
	}
	return limit
}
