package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/mtproto"
	"mtguard/node/links"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
)

// compile turns a file into its part of the snapshots that connections meet:
// everything but the keys, which the control plane adds.
func (n *Node) compile(file *config.File) (*policy.Snapshot, error) {
	rate, err := ratelimit.ParseLimit(file.Limits.NewPerPrefix)
	if err != nil {
		return nil, fmt.Errorf("limits.new_per_prefix: %w", err)
	}
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
			MaxConnections:        n.affordable(file.Proxy.MaxConnections),
			HalfOpen:              file.Limits.HalfOpen,
			ConnectionsPerAddress: file.Limits.ConnectionsPerAddress,
			NewPerPrefix:          rate,
		},
		Seed:              n.seed,
		DCs:               dcs,
		ServerNames:       make(map[string]struct{}),
		Skew:              file.Proxy.ClockSkew,
		PassThrough:       file.Upstream.PassThrough,
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
	if s.Controls, err = controls(file.Policy.Controls); err != nil {
		return nil, err
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

// controls reads modes: "off", "monitor", "enforce", "enforce 10%".
func controls(modes map[string]string) (map[string]policy.Control, error) {
	all := make(map[string]policy.Control, len(modes))
	for name, text := range modes {
		word, share, partly := strings.Cut(text, " ")
		mode, err := policy.ParseMode(word)
		control := policy.Control{Mode: mode}
		if err == nil && partly {
			control.Percent, err = strconv.Atoi(strings.TrimSuffix(share, "%"))
		}
		if err != nil {
			return nil, fmt.Errorf("policy.controls.%s: %w", name, err)
		}
		all[name] = control
	}
	return all, nil
}
