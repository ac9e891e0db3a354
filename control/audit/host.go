package audit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	lowDisk     = 0.15
	ownFiles    = 64 // descriptors that no connection has
	perClient   = 2  // descriptors of a session: to the client and to Telegram
	mostDrift   = 5 * time.Second
	worldAccess = 0o007
)

var hostChecks = []Check{
	{"host.files", "a file of the node is open to others", Host, High, Machine, of(View.Host, filesOpen)},
	{"host.root", "the node runs as root", Host, Medium, Machine, of(View.Host, runsAsRoot)},
	{"host.capabilities", "the process may do more than it needs", Host, Medium, Machine, of(View.Host, capabilities)},
	{"host.cores", "a crash would write memory to disk", Host, Medium, Machine, of(View.Host, coreDumps)},
	{"host.descriptors", "there are too few descriptors", Host, Medium, Machine, of(View.Host, descriptors)},
	{"host.disk", "the disk is nearly full", Host, High, Machine, of(View.Host, diskFull)},
	{"host.clock", "the clock is not kept right", Host, Medium, Machine, of(View.Host, clockDrifts)},
	{"host.metrics", "metrics can be read from other machines", Host, Low, Machine, of(View.Host, metricsOpen)},
	{"host.address", "links lead to another machine", Host, High, Machine, of(View.Host, addressElsewhere)},
}

func filesOpen(f *HostFacts, _ time.Time) []Finding {
	return each(f.Files, func(x File) (Finding, bool) {
		subject := x.What + " " + x.Path
		if x.Err != nil {
			return Unknown(subject, x.Err, "run it as the node's user: sudo -u mtguard mtguard doctor"), true
		}
		most := fmt.Sprintf("%04o", x.Most.Perm())
		found := Finding{Subject: subject, Evidence: fmt.Sprintf("mode %04o; %s is enough", x.Mode.Perm(), most), Remedy: "chmod " + most + " " + quoted(x.Path)}
		if x.Secret && x.Mode.Perm()&worldAccess != 0 {
			found.Severity = Critical
		}
		if x.Mode.Perm()&^x.Most.Perm() != 0 {
			return found, true
		}
		if x.Owner > 0 && f.UID > 0 && x.Owner != f.UID {
			found.Evidence = fmt.Sprintf("it belongs to uid %d, and the node is uid %d", x.Owner, f.UID)
			found.Remedy = fmt.Sprintf("chown %d %s", f.UID, quoted(x.Path))
			return found, true
		}
		return Finding{}, false
	})
}

// quoted is a path as a shell takes it for one word.
func quoted(path string) string {
	plain := func(r rune) bool {
		return r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@%", r))
	}
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func runsAsRoot(f *HostFacts, _ time.Time) []Finding {
	if f.UID < 0 {
		return []Finding{Unknown("process", errNotOnThisSystem, "")}
	}
	return single(f.UID == 0, Finding{Subject: "process", Evidence: "uid 0", Remedy: "a user of its own, and AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"})
}

var errNotOnThisSystem = fmt.Errorf("this system does not tell")

func capabilities(f *HostFacts, _ time.Time) []Finding {
	if f.NoCapabilities != nil {
		return []Finding{Unknown("process", f.NoCapabilities, "")}
	}
	return single(len(f.Capabilities) > 0, Finding{
		Subject: "process", Evidence: "in effect: " + strings.Join(f.Capabilities, " "), Remedy: "CapabilityBoundingSet=CAP_NET_BIND_SERVICE in the unit",
	})
}

func coreDumps(f *HostFacts, _ time.Time) []Finding {
	if f.NoCoreLimit != nil {
		return []Finding{Unknown("core dumps", f.NoCoreLimit, "")}
	}
	return single(f.CoreLimit > 0, Finding{Subject: "core dumps", Evidence: "the limit is not 0, and secrets are in memory", Remedy: "LimitCORE=0 in the unit, or ulimit -c 0"})
}

func descriptors(f *HostFacts, _ time.Time) []Finding {
	if f.NoOpenFiles != nil {
		return []Finding{Unknown("open files", f.NoOpenFiles, "")}
	}
	want := uint64(f.MaxConnections)*perClient + ownFiles
	return single(f.OpenFiles < want, Finding{
		Subject: "open files", Evidence: fmt.Sprintf("the limit is %d; %d connections take %d", f.OpenFiles, f.MaxConnections, want),
		Remedy: fmt.Sprintf("LimitNOFILE=%d in the unit, or lower proxy.max_connections", want),
	})
}

func diskFull(f *HostFacts, _ time.Time) []Finding {
	if f.NoDisk != nil {
		return []Finding{Unknown("disk", f.NoDisk, "")}
	}
	return single(f.DiskFree.Of() < lowDisk, Finding{
		Subject: "disk of " + f.DiskPath, Evidence: percent(f.DiskFree) + " is free", Remedy: "make room: without any, nothing can be revoked",
	})
}

func clockDrifts(f *HostFacts, _ time.Time) []Finding {
	if f.ClockHeld != "" {
		return []Finding{{Severity: High, Subject: "clock", Evidence: f.ClockHeld, Remedy: "timedatectl status"}}
	}
	if f.NoClock != nil {
		return []Finding{Unknown("clock", f.NoClock, "timedatectl status")}
	}
	switch {
	case !f.ClockSynced:
		return []Finding{{Subject: "clock", Evidence: "the kernel knows of nothing that keeps it right", Remedy: "timedatectl set-ntp true"}}
	case f.ClockError > mostDrift:
		return []Finding{{Subject: "clock", Evidence: fmt.Sprintf("it may be off by %v", f.ClockError.Round(time.Millisecond)), Remedy: "timedatectl timesync-status"}}
	}
	return nil
}

func metricsOpen(f *HostFacts, _ time.Time) []Finding {
	return single(f.MetricsExposed != "", Finding{Subject: "metrics", Evidence: "they listen on " + f.MetricsExposed + " and have no password", Remedy: `metrics.listen = "127.0.0.1:9380"`})
}

// addressElsewhere holds where links lead against where this machine is. Behind a
// translation of addresses neither is the other, which cannot be told from here.
func addressElsewhere(f *HostFacts, _ time.Time) []Finding {
	subject := "public address " + f.PublicHost
	switch {
	case f.PublicHost == "":
		return []Finding{Unknown("public address", fmt.Errorf("no address of this machine is known"), "proxy.public_address in the configuration")}
	case f.NoPublic != nil:
		return []Finding{Unknown(subject, f.NoPublic, "dig "+f.PublicHost)}
	case len(f.PublicAddresses) == 0:
		return []Finding{{Subject: subject, Evidence: "the name has no address", Remedy: "add the name to DNS, or change proxy.public_address"}}
	case overlap(f.PublicAddresses, f.OwnAddresses):
		return nil
	case !slices.ContainsFunc(f.OwnAddresses, routed):
		return []Finding{{Unknown: true, Severity: Low, Subject: subject, Evidence: "this machine has private addresses only: something in front of it translates them", Remedy: "look from outside: nc -vz " + f.PublicHost + " 443"}}
	}
	return []Finding{{Subject: subject, Evidence: fmt.Sprintf("it leads to %v, this machine has %v", f.PublicAddresses, f.OwnAddresses), Remedy: "change DNS or proxy.public_address"}}
}

func overlap(a, b []netip.Addr) bool {
	return slices.ContainsFunc(a, func(x netip.Addr) bool { return slices.Contains(b, x) })
}

// routed reports whether an address may be one that the internet knows.
func routed(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, of carriers' translators
