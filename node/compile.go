package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/mtproto"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
)

// DefaultUser is who the node serves when the file names nobody.
const DefaultUser = "default"

// compile turns a file into the snapshot that connections meet. It changes
// file only by filling the secrets in.
func (n *Node) compile(file *config.File) (*policy.Snapshot, error) {
	if err := FillSecrets(file, n.dir, true); err != nil {
		return nil, err
	}
	set, err := keySet(file.Users)
	if err != nil {
		return nil, err
	}
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
		Keys:              set,
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
	n.stamp(s)
	return s, nil
}

// stamp gives the snapshot its number, and the seed of the one before it.
func (n *Node) stamp(s *policy.Snapshot) {
	n.revision++
	s.Revision = n.revision
	if old := n.live.Load(); old != nil {
		s.Seed = old.Seed
	} else {
		rand.Read(s.Seed[:])
	}
}

// FillSecrets reads the users' secrets into file and checks them. Where the
// file names nobody, DefaultUser stands in, with a secret that is kept in dir
// and made there, if create is set, when there is none.
func FillSecrets(file *config.File, dir *statedir.Dir, create bool) error {
	if len(file.Users) == 0 {
		text, err := defaultSecret(dir, create)
		if err != nil {
			return err
		}
		file.Users = []config.User{{Name: DefaultUser, Secret: config.NewSecret(text)}}
	}
	return file.LoadSecrets(ParseSecret)
}

func defaultSecret(dir *statedir.Dir, create bool) (string, error) {
	if !create {
		text, err := dir.ReadDefaultSecret()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no user yet: `mtguard run` makes one, or add [[user]] to the configuration (%w)", err)
		}
		return text, err
	}
	return dir.DefaultSecret(func() (string, error) {
		s, err := keys.NewSecret(rand.Reader, "")
		if err != nil {
			return "", err
		}
		return s.Encode(mtproto.Classic, ""), nil
	})
}

// ParseSecret is what the configuration asks about a secret.
func ParseSecret(text string) (config.SecretInfo, error) {
	s, err := keys.ParseSecret(text)
	if err != nil {
		return config.SecretInfo{}, err
	}
	return config.SecretInfo{Domain: s.Domain(), ID: string(s.ID())}, nil
}

func keySet(users []config.User) (*keys.Set, error) {
	list := make([]*keys.Key, len(users))
	for i, u := range users {
		secret, err := keys.ParseSecret(u.Secret.Reveal())
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		list[i] = keys.NewKey(u.Name, secret)
	}
	return keys.NewSet(list)
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
