package node

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// reloading is the state that systemd wants to hear at the start of a reload,
// with the monotonic time that tells it from an older one.
func reloading() string {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10)
}
