package node

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control/audit"
	"mtguard/node/links"
)

// auditHost is the machine and this process.
func (n *Node) auditHost(ctx context.Context) (*audit.HostFacts, error) {
	file := n.File()
	f := hostFacts(file, n.dir.Path())
	if _, master := n.state.master.Current(); filepath.IsAbs(master) {
		f.Files = append(f.Files, look("master key", master, 0o600, true))
	}
	if socket := n.AdminSocket(); socket != "" {
		f.Files = append(f.Files, look("admin socket", socket, 0o660, false))
	}
	if n.metrics != nil && reachable(n.MetricsAt().Addr()) {
		f.MetricsExposed = n.MetricsAt().String()
	}
	at, err := n.Locate()
	publicFacts(ctx, f, at, err, n.options.Lookup)
	return f, nil
}

// Doctor asks what can be asked of a machine without a running node: the profile "host"
// of the audits, of the configuration and of what dir, the state directory, has. What
// only a process of the node can tell is told of this one.
func Doctor(ctx context.Context, file *config.File) (audit.Report, error) {
	auditor := &audit.Auditor{View: machine{file: file}}
	return auditor.Run(ctx, audit.Selection{Profile: audit.Machine})
}

// machine is a view of a host on which no node is asked.
type machine struct{ file *config.File }

var errNoNode = errors.New("only a running node tells")

func (machine) Now() time.Time                                           { return time.Now() }
func (machine) Keys(context.Context) (*audit.KeyFacts, error)            { return nil, errNoNode }
func (machine) Use(context.Context) (*audit.UseFacts, error)             { return nil, errNoNode }
func (machine) Load(context.Context) (*audit.LoadFacts, error)           { return nil, errNoNode }
func (machine) Policy(context.Context) (*audit.PolicyFacts, error)       { return nil, errNoNode }
func (machine) Site(context.Context) (*audit.SiteFacts, error)           { return nil, errNoNode }
func (machine) Care(context.Context) (*audit.CareFacts, error)           { return nil, errNoNode }
func (m machine) Host(ctx context.Context) (f *audit.HostFacts, e error) { return m.host(ctx), nil }

func (m machine) host(ctx context.Context) *audit.HostFacts {
	dir, err := statedir.Find(m.file.State.Dir, m.file.Explicit("state.dir"))
	var f *audit.HostFacts
	if err != nil {
		f = hostFacts(m.file, "")
		f.NoDisk = err
	} else {
		f = hostFacts(m.file, dir.Path())
		// Root looks after a node that is another user's.
		if state := look("", dir.Path(), 0, false); f.UID == 0 && state.Err == nil && state.Owner > 0 {
			f.UID, f.Capabilities, f.NoCapabilities = state.Owner, nil, errors.New("this process is root's, and the node's is not: "+errNoNode.Error())
		}
	}
	if listen := m.file.Metrics.Listen; listen != "" {
		if at, err := net.ResolveTCPAddr("tcp", listen); err == nil && reachable(at.AddrPort().Addr()) {
			f.MetricsExposed = listen
		}
	}
	at, err := links.Locate(m.file.Proxy.PublicAddress, m.file.Proxy.Listen)
	publicFacts(ctx, f, at, err, nil)
	return f
}

// hostFacts are those that need no node. dir is the state directory, "" for none.
func hostFacts(file *config.File, dir string) *audit.HostFacts {
	f := &audit.HostFacts{UID: os.Geteuid(), MaxConnections: file.Proxy.MaxConnections, OwnAddresses: ownAddresses(), DiskPath: dir}
	readProcess(f)
	readClock(f)
	if dir != "" {
		readDisk(f)
		f.Files = append(f.Files, look("state directory", dir, 0o700, true))
		for _, name := range []string{storeName, storeName + "-wal", recordsName} {
			if x := look("state file", filepath.Join(dir, name), 0o600, true); !errors.Is(x.Err, fs.ErrNotExist) {
				f.Files = append(f.Files, x)
			}
		}
	}
	if path := file.Path(); path != "" {
		most := fs.FileMode(0o644)
		for _, inline := range inlineUsers(file) {
			if inline {
				most = 0o600
			}
		}
		f.Files = append(f.Files, owned(look("configuration", path, most, most == 0o600)))
	}
	for _, u := range file.Users {
		if u.SecretFile != "" {
			path := u.SecretFile
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(file.Path()), path)
			}
			f.Files = append(f.Files, owned(look("secret of "+u.Name, path, 0o600, true)))
		}
	}
	if path := file.Pages.KeyFile; path != "" {
		f.Files = append(f.Files, owned(look("key of the pages", path, 0o640, true)))
	}
	return f
}

// owned is for files that an administrator keeps: whose they are is his business.
func owned(f audit.File) audit.File {
	f.Owner = 0
	return f
}

// look is one file as it is.
func look(what, path string, most fs.FileMode, secret bool) audit.File {
	f := audit.File{What: what, Path: path, Most: most, Secret: secret, Owner: -1}
	info, err := os.Stat(path)
	if err != nil {
		f.Err = err
		return f
	}
	f.Mode = info.Mode()
	f.Owner = ownerOf(info)
	return f
}

// reachable reports whether a listener at an address may be met from machines that are
// neither this one nor of a private network.
func reachable(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsValid() || a.IsUnspecified() || a.IsGlobalUnicast() && !a.IsPrivate()
}

// ownAddresses are those of this machine's interfaces.
func ownAddresses() (all []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr().Unmap().WithZone(""))
		}
	}
	return all
}

// publicFacts adds where links lead.
func publicFacts(ctx context.Context, f *audit.HostFacts, at links.Address, err error, lookup Lookup) {
	if err != nil {
		return
	}
	f.PublicHost = at.Host
	f.PublicAddresses, f.NoPublic = lookupHost(ctx, at.Host, lookup)
}

// Lookup asks a name server for the addresses of a host.
type Lookup = func(ctx context.Context, host string) ([]netip.Addr, error)

// lookupHost asks, nil for the usual name server, unless the host is an address. A name
// that does not exist has no address and is no error.
func lookupHost(ctx context.Context, host string, ask Lookup) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	if ask == nil {
		ask = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	list, err := ask(ctx, host)
	if none, ok := errors.AsType[*net.DNSError](err); ok && none.IsNotFound {
		return nil, nil
	}
	for i := range list {
		list[i] = list[i].Unmap()
	}
	return list, err
}
