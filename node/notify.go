package node

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells systemd what state we are in (sd_notify(3)). Without systemd it
// does nothing.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if name[0] == '@' { // an abstract socket
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return // systemd is gone: nobody is left to tell
	}
	defer c.Close()
	c.Write([]byte(state))
}

// watchdog tells systemd that we are alive, twice as often as it asks for,
// until ctx ends.
func watchdog(ctx context.Context) {
	µs, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || µs <= 0 {
		return
	}
	tick := time.NewTicker(time.Duration(µs) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			notify("WATCHDOG=1")
		}
	}
}
