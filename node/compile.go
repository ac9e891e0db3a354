package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/mtproto"
	"mtguard/node/links"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
)

// compile turns a file into its part of the snapshots that connections meet:
// everything but the keys, which the control plane adds.
func (n *Node) compile(file *config.File) (*policy.Snapshot, error) {
	dcs, err := dcTable(file.Upstream.DC)
	if err != nil {
		return nil, err
	}
	prefer, err := policy.ParsePrefer(file.Upstream.Prefer)
	if err != nil {
		return nil, fmt.Errorf("upstream.prefer: %w", err)
	}
	s := &policy.Snapshot{
		Limits: policy.Limits{
			MaxConnections: n.affordable(file.Proxy.MaxConnections),
			HalfOpen:       file.Limits.HalfOpen,
		},
		Seed:              n.seed,
		DCs:               dcs,
		ServerNames:       make(map[string]struct{}),
		Skew:              file.Proxy.ClockSkew,
		Handshake:         file.Proxy.HandshakeTimeout,
		Idle:              file.Proxy.IdleTimeout,
		ProxyProtocolFrom: file.Proxy.ProxyProtocolFrom,
		Cover: policy.Cover{
			Address:        file.Cover.FallBackTo,
			ProxyProtocol:  file.Cover.ProxyProtocol,
			ConnectTimeout: file.Cover.ConnectTimeout,
			MaxConnections: file.Cover.MaxConnections,
		},
		Upstream: policy.Upstream{Prefer: prefer, SOCKS5: file.Upstream.Socks5, ConnectTimeout: file.Upstream.ConnectTimeout},
	}
	for _, name := range file.Proxy.Transports {
		t, err := mtproto.ParseTransport(name)
		if err != nil {
			return nil, fmt.Errorf("proxy.transports: %w", err)
		}
		s.Transports[t] = true
	}
	for _, name := range file.Cover.Domains {
		s.ServerNames[name] = struct{}{}
	}
	if len(file.Cover.Domains) > 0 {
		s.Cover.Name = file.Cover.Domains[0]
	}
	return s, nil
}

// declared are the users of the file, with their secrets, which are read into
// file.
func declared(file *config.File) ([]control.Declared, error) {
	if err := file.LoadSecrets(links.Inspect); err != nil {
		return nil, err
	}
	list := make([]control.Declared, len(file.Users))
	for i, u := range file.Users {
		secret, err := keys.ParseSecret(u.Secret.Reveal())
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		list[i] = control.Declared{Name: u.Name, Secret: secret}
	}
	return list, nil
}

// formerSecret is the secret that an older version kept in a file of its own for
// the user that nobody declared; the zero Secret when there is none.
func formerSecret(dir *statedir.Dir) (keys.Secret, error) {
	text, err := dir.ReadDefaultSecret()
	if errors.Is(err, fs.ErrNotExist) {
		return keys.Secret{}, nil
	}
	if err != nil {
		return keys.Secret{}, err
	}
	secret, err := keys.ParseSecret(text)
	if err != nil {
		return keys.Secret{}, fmt.Errorf("default secret: %w", err)
	}
	return secret, nil
}

func dcTable(override map[string][]string) (*mtproto.DCTable, error) {
	table := make(map[mtproto.DC][]netip.AddrPort, len(override))
	for name, addrs := range override {
		id, err := strconv.ParseInt(name, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("upstream.dc.%s: %w", name, err)
		}
		for _, text := range addrs {
			addr, err := netip.ParseAddrPort(text)
			if err != nil {
				return nil, fmt.Errorf("upstream.dc.%s: %w", name, err)
			}
			table[mtproto.DC(id)] = append(table[mtproto.DC(id)], addr)
		}
	}
	return mtproto.NewDCTable(table), nil
}

// layer is what the file says of policy. It lies over the preset and below the
// policy that commands set.
func layer(file *config.File) (policy.Layer, error) {
	d := policy.New("")
	type value struct{ key, path, text string }
	values := []value{
		{"limits.connections_per_address", "connections.per_address", strconv.Itoa(file.Limits.ConnectionsPerAddress)},
		{"limits.new_per_prefix", "rates.new_per_prefix", strconv.Quote(file.Limits.NewPerPrefix)},
		{"upstream.pass_through", "relay.passthrough", strconv.FormatBool(file.Upstream.PassThrough)},
	}
	for _, name := range slices.Sorted(maps.Keys(file.Policy.Controls)) {
		key := "policy.controls." + name
		values = append(values, value{key, "controls." + name, file.Policy.Controls[name]})
	}
	for _, v := range values {
		if !file.Explicit(v.key) {
			continue
		}
		if err := d.Set(v.path, v.text, 0); err != nil {
			return policy.Layer{}, fmt.Errorf("%s: %w", v.key, err)
		}
	}
	origin := "the configuration"
	if file.Path() != "" {
		origin = filepath.Base(file.Path())
	}
	return policy.Layer{Origin: origin, Document: d}, nil
}

// geo reads the files that tell where addresses are; nil when there are none.
func geo(file *config.File) (*access.Geo, error) {
	var all *access.Geo
	for _, path := range []string{file.Access.CountryDB, file.Access.ASNDB} {
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		one, err := access.LoadGeo(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = all.Join(one)
	}
	return all, nil
}
