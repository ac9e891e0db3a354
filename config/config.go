// Package config reads mtguard.toml, the file that says how a node runs, and
// nothing else: it opens no listener, parses no secret and builds nothing.
//
// A program calls Load once at start and again on every reload:
//
//	file, err := config.Load(path)         // file, then MTGUARD__… variables
//	file.Set("--listen", "proxy.listen", addrs...) // flags, which win
//	err = file.Validate()
//	err = file.LoadSecrets(parse)          // secret files and secret syntax
//
// Every error is an *Error that lists all problems found at once, each with
// its place, so that an operator repairs a file in one go. The texts never
// contain a secret: places that hold one are masked.
//
// The comments of the exported fields below are the reference: doc/config.md
// and examples/mtguard.toml are generated from them.
//
// A *File is a plain value without locks: one goroutine fills it, afterwards
// any number may read it.
package config

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// maxFileSize bounds what Load takes into memory. Ten thousand users need
// about a tenth of it.
const maxFileSize = 16 << 20

// File is one configuration with all defaults filled in.
type File struct {
	Proxy    Proxy    `toml:"proxy"`
	Cover    Cover    `toml:"cover"`
	Users    []User   `toml:"user"`
	Upstream Upstream `toml:"upstream"`
	Limits   Limits   `toml:"limits"`
	Policy   Policy   `toml:"policy"`
	Access   Access   `toml:"access"`
	Metrics  Metrics  `toml:"metrics"`
	State    State    `toml:"state"`
	Admin    Admin    `toml:"admin"`
	Pages    Pages    `toml:"pages"`
	Advisory Advisory `toml:"advisory"`
	Log      Log      `toml:"log"`
	Alerts   []Alert  `toml:"alert"`
	Alerting Alerting `toml:"alerting"`

	// A pointer, so that fmt never walks into the text of the file.
	src *source
}

// Proxy says where clients are served and how patient the node is with them.
type Proxy struct {
	// Listen holds the addresses clients connect to. An empty host means every
	// address of the machine, port 0 a port of the system's choice.
	// Reload: no, restart.
	Listen []string `toml:"listen"`

	// PublicAddress is the host that links carry: a name, an address, or either
	// with a port when something in front of the node listens on another one.
	// "auto" takes the host of the first listen address, or the address this
	// machine uses towards the internet when that host is empty. A name lets
	// you move to another machine without new links.
	// Reload: yes.
	PublicAddress string `toml:"public_address"`

	// Transports lists what clients may speak: faketls (ee… links), secure
	// (dd… links), classic (plain links). All of them share the listen addresses.
	// Reload: yes, for new connections.
	Transports []string `toml:"transports"`

	// MaxConnections is the number of client connections open at once; the node
	// closes further ones unheard. It bounds memory, so it is always enforced.
	// Range: 1 to 4_194_304.
	// Reload: yes.
	MaxConnections int `toml:"max_connections"`

	// HandshakeTimeout is how long a client may take to prove that it knows a
	// secret. Range: 1s to 5m.
	// Reload: yes, for new connections.
	HandshakeTimeout time.Duration `toml:"handshake_timeout"`

	// IdleTimeout closes a connection on which no byte moved in either direction
	// for so long. Range: 10s to 1d.
	// Reload: yes, for new connections.
	IdleTimeout time.Duration `toml:"idle_timeout"`

	// DrainTimeout is how long open connections may finish after the node was told
	// to stop. Zero closes them at once. Range: 0s to 1h.
	// Reload: yes.
	DrainTimeout time.Duration `toml:"drain_timeout"`

	// ProxyProtocolFrom lists prefixes (or single addresses) of your own balancers,
	// whose PROXY protocol header is required and believed. Empty: nobody's is.
	// Reload: yes, for new connections.
	ProxyProtocolFrom []netip.Prefix `toml:"proxy_protocol_from" example:"[\"10.0.0.0/8\"]"`

	// ClockSkew is how far a client's clock may differ from ours in a fake-TLS
	// hello. The strict value is "2m"; phones with a wrong clock need more.
	// Replays are refused whatever it is. Range: 10s to 1h.
	// Reload: yes, for new connections.
	ClockSkew time.Duration `toml:"clock_skew"`

	// Engine chooses what moves the bytes of authenticated connections: loop (event
	// loops, Linux only), goroutine (two goroutines for a connection), or auto
	// (loop where it exists).
	// Reload: no, restart.
	Engine string `toml:"engine"`
}

// Cover says what everybody without a secret sees.
type Cover struct {
	// Domains lists the server names accepted in fake-TLS hellos. The first is part
	// of every fake-TLS link, so changing it needs new links; keep the old name
	// further down the list until they have spread. Choose a real site that could
	// stand on your machine. Each is a lower-case host name of 4 to 182 bytes.
	// Reload: yes.
	Domains []string `toml:"domains"`

	// FallBackTo is the real site, as host:port, to which everybody is connected
	// who cannot prove to know a secret. When it is left out and domains is given, it
	// is the first domain at port 443. Empty: such connections are read and
	// thrown away until a random deadline, which a prober can tell from a web site.
	// Reload: yes, for new connections.
	FallBackTo string `toml:"fall_back_to"`

	// ProxyProtocol sends a PROXY protocol version 2 header to the cover site, so that
	// it sees visitors' addresses. Only for a site of your own that expects it.
	// Reload: yes, for new connections.
	ProxyProtocol bool `toml:"proxy_protocol"`

	// ConnectTimeout is how long a connection to the cover site may take to be set
	// up. Range: 100ms to 1m.
	// Reload: yes, for new connections.
	ConnectTimeout time.Duration `toml:"connect_timeout"`

	// MaxConnections is the number of strangers connected to the cover site at once;
	// further ones are read and thrown away until a random deadline.
	// Range: 1 to 1_048_576.
	// Reload: yes.
	MaxConnections int `toml:"max_connections"`
}

// User is somebody with a link. Without any, the node makes one user named
// "default" and keeps its secret in the state directory.
type User struct {
	// Name appears in logs, metrics and `mtguard link NAME`: 1 to 64 letters, digits,
	// dots, dashes or underscores, each name once. It is required.
	// Reload: yes.
	Name string `toml:"name" example:"\"alice\""`

	// Secret is the user's secret: 32 hex digits (`mtguard generate-secret` makes
	// them), or the forms links carry: dd…, ee…domain, or base64 of either. The same
	// secret serves every transport. The file must then be readable by its owner only.
	// Reload: yes; sessions of a secret that is gone are ended.
	Secret Secret `toml:"secret" example:"\"7c1f0d93a55be24486f2b1093cd86e5a\""`

	// SecretFile is a file that holds the secret instead, readable by its owner only.
	// A relative path starts at the directory of the configuration file. Give either
	// secret or secret_file.
	// Reload: yes, the file is read again.
	SecretFile string `toml:"secret_file" example:"\"alice.secret\""`
}

// Upstream says how Telegram's data centres are reached.
type Upstream struct {
	// Prefer chooses the family of addresses tried first: ipv4 or ipv6; only-ipv4 and
	// only-ipv6 leave the other family out.
	// Reload: yes, for new connections.
	Prefer string `toml:"prefer"`

	// Socks5 is the host:port of a SOCKS5 proxy, without a password, through which
	// Telegram is reached. Empty: directly.
	// Reload: yes, for new connections.
	Socks5 string `toml:"socks5" example:"\"127.0.0.1:1080\""`

	// PassThrough chooses the keys towards Telegram so that downloads need no cipher here,
	// which saves about a third of a second of CPU per gigabyte and half of the cipher
	// memory. The price: both legs carry identical ciphertext, so whoever sees both can
	// match them without timing analysis; and the start of the leg to Telegram carries
	// that key in clear, so whoever sees that leg can strip the obfuscation (not Telegram's own
	// encryption) from the client's download too.
	// Reload: yes, for new connections.
	PassThrough bool `toml:"pass_through"`

	// ConnectTimeout is how long one address of a data centre may take to answer before
	// the next is tried. Range: 100ms to 1m.
	// Reload: yes, for new connections.
	ConnectTimeout time.Duration `toml:"connect_timeout"`

	// DC replaces the built-in addresses of a data centre. The key is the number clients
	// ask for: 1 to 5, 203, 10001 to 10003 (test), or any of these negative (media).
	// A media number without an entry uses its positive twin.
	// Reload: yes, for new connections.
	DC map[string][]string `toml:"dc" example:"2 = [\"149.154.167.51:443\"]"`
}

// Limits bounds what one client, and all of them before they have proved
// anything, may take.
type Limits struct {
	// ConnectionsPerAddress is the number of connections open at once from one client
	// address (IPv6: from one /64). Mobile carriers put thousands of people behind one
	// address, and one Telegram app opens about eight connections. Control: conns.addr.
	// Range: 1 to 4_194_304.
	// Reload: yes.
	ConnectionsPerAddress int `toml:"connections_per_address"`

	// NewPerPrefix is the rate of new connections from one address (IPv6: from one /64
	// and from its /48), as a number per s, m or h, and how many may come at once: "20/s"
	// means "20/s burst 20". Control: rate.accept.
	// Reload: yes.
	NewPerPrefix string `toml:"new_per_prefix"`

	// HalfOpen is the number of connections at once that have not proved anything yet.
	// It bounds memory, so it is always enforced. Range: 1 to 1_048_576, and not above
	// proxy.max_connections, to which the default is lowered.
	// Reload: yes.
	HalfOpen int `toml:"half_open"`
}

// Policy says which limits act and which only report.
type Policy struct {
	// Controls gives a control its mode: off, monitor (report what would have been refused,
	// refuse nothing), enforce, or "enforce 10%" for a tenth of all clients, always the
	// same ones. Known: access.level, access.pattern, addrs.user, auth.strength, bytes.user, conns.addr,
	// conns.key, conns.prefix, conns.user, encryption.required, geo.country, overload.level, rate.accept, rate.failures,
	// threat.block, transport.min. A control left out is in monitor. What `mtguard policy` sets goes over it.
	// Bounds of memory (conns.total, conns.half_open) are always enforced and have no mode.
	// Reload: yes.
	Controls map[string]string `toml:"controls" example:"\"rate.accept\" = \"enforce 10%\""`
}

// Access says what the node knows of addresses. Rules on them are made by `mtguard access`.
type Access struct {
	// Trusted lists prefixes (or single addresses) of your own: whatever is done automatically leaves
	// them alone, and management is allowed from there.
	// Reload: yes.
	Trusted []netip.Prefix `toml:"trusted" example:"[\"192.0.2.10\"]"`

	// CountryDB is a file in MaxMind's format that tells the country of an address, which rules on
	// countries need. Empty: there is none, and every country is unknown.
	// Reload: yes, the file is read again.
	CountryDB string `toml:"country_db" example:"\"/usr/share/GeoIP/GeoLite2-Country.mmdb\""`

	// ASNDB is such a file that tells the AS number, where country_db does not.
	// Reload: yes, the file is read again.
	ASNDB string `toml:"asn_db" example:"\"/usr/share/GeoIP/GeoLite2-ASN.mmdb\""`
}

// Metrics says where the node is watched.
type Metrics struct {
	// Listen is the address of /metrics, /livez and /readyz. It has no password: keep it on
	// loopback or a private network. Empty turns it off.
	// Reload: no, restart.
	Listen string `toml:"listen"`
}

// State says where the node keeps what must survive a restart.
type State struct {
	// Dir is created with mode 0700. When the default cannot be written, a
	// directory of the user's own is taken and the log says so; a directory given here or
	// by --state-dir is never replaced.
	// Reload: no, restart.
	Dir string `toml:"dir"`

	// MasterKeyFile is a file with the key-encryption key, under which everything secret in the
	// state directory is sealed, readable by its owner only. Empty: the systemd credential
	// "master.key" if there is one, else the file master.key in the state directory, which is
	// made at the first start. Without the key the store cannot be opened: keep a copy elsewhere.
	// Reload: no, restart.
	MasterKeyFile string `toml:"master_key_file" example:"\"/etc/mtguard/master.key\""`
}

// Pages says where the people who were given a page see their link. A page shows the newest link
// of its user, so that a new secret needs no new message to anybody.
type Pages struct {
	// Listen is the address of the pages. Empty turns them off. Anything but loopback needs
	// a certificate, unless something in front of the node speaks TLS and this is its private side.
	// Reload: no, restart.
	Listen string `toml:"listen" example:"\"127.0.0.1:8381\""`

	// URL is what the address of a page begins with, as people see it. It is required when
	// listen is set. Unknown addresses below it show what the cover site shows.
	// Reload: yes.
	URL string `toml:"url" example:"\"https://links.example.com\""`

	// CertFile holds the certificate chain in PEM, key_file its key; both are read again when they
	// change. Empty: no TLS here.
	// Reload: no, restart.
	CertFile string `toml:"cert_file" example:"\"/etc/mtguard/links.pem\""`

	// KeyFile belongs to cert_file.
	// Reload: no, restart.
	KeyFile string `toml:"key_file" example:"\"/etc/mtguard/links.key\""`

	// Note is a line of your own on every page, such as whom to ask.
	// Reload: yes.
	Note string `toml:"note" example:"\"Questions? Ask Nadia.\""`
}

// Advisory says where the node asks whether anything in it has to be replaced. It asks nobody unless one
// of these is set, and never installs anything. Each is an https address, or an absolute path for an answer that
// you bring over yourself; `mtguard crypto status` shows what came of it.
type Advisory struct {
	// Every is how often they are asked, at a moment of its own each time. Range: 1h to 30d.
	// Reload: yes.
	Every time.Duration `toml:"every"`

	// Vulnerabilities is the Go vulnerability database, or a directory with a copy of it or with
	// files in the OSV format. Empty: not asked.
	// Reload: yes.
	Vulnerabilities string `toml:"vulnerabilities" example:"\"https://vuln.go.dev\""`

	// Checksums is the Go checksum database, a module proxy's copy of it, or a directory that
	// `mtguard crypto verify --record` has written. Empty: not asked.
	// Reload: yes.
	Checksums string `toml:"checksums" example:"\"https://sum.golang.org\""`

	// Releases is the publisher's list of releases; its signature is beside it, with .minisig at
	// the end. It needs release_key. Empty: not asked.
	// Reload: yes.
	Releases string `toml:"releases" example:"\"https://releases.example.com/mtguard/releases.json\""`

	// ReleaseKey is the publisher's public key as minisign prints it: 56 characters.
	// Reload: yes.
	ReleaseKey string `toml:"release_key" example:"\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\""`

	// Bulletin is a signed list of cipher suites that are to be used no more. It can only
	// tighten what `mtguard policy` allows. It needs bulletin_key. Empty: not asked.
	// Reload: yes.
	Bulletin string `toml:"bulletin" example:"\"https://releases.example.com/mtguard/bulletin\""`

	// BulletinKey verifies bulletins, also those that `mtguard crypto bulletin take` brings: the public
	// key as golang.org/x/mod/sumdb/note writes it.
	// Reload: yes.
	BulletinKey string `toml:"bulletin_key" example:"\"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\""`
}

// Log says what is written to standard error.
type Log struct {
	// Level is the least important level written: debug, info, warn or error.
	// Reload: no, restart.
	Level string `toml:"level"`

	// Format is text, json, or auto: text on a terminal, else json.
	// Reload: no, restart.
	Format string `toml:"format"`

	// Address says how client addresses appear in logs and events: full, truncate (/24 for
	// IPv4, /48 for IPv6), or hash (a keyed hash that changes with every start).
	// Reload: no, restart.
	Address string `toml:"address"`
}

// DefaultStateDir is the state directory used when none is named.
const DefaultStateDir = "/var/lib/mtguard"

// DefaultPath is where commands look for a file when none is named.
const DefaultPath = "/etc/mtguard/mtguard.toml"

// Default returns the configuration of a node without any file: a working,
// safe proxy. The caller owns the result.
func Default() *File {
	return &File{
		Proxy: Proxy{
			Listen:            []string{":443"},
			PublicAddress:     "auto",
			Transports:        []string{"faketls"},
			MaxConnections:    32_768,
			HandshakeTimeout:  10 * time.Second,
			IdleTimeout:       10 * time.Minute,
			DrainTimeout:      30 * time.Second,
			ProxyProtocolFrom: []netip.Prefix{},
			ClockSkew:         10 * time.Minute,
			Engine:            "auto",
		},
		Cover: Cover{
			Domains:        []string{"www.example.com"},
			FallBackTo:     "www.example.com:443",
			ConnectTimeout: 5 * time.Second,
			MaxConnections: 4_096,
		},
		Upstream: Upstream{
			Prefer:         "ipv4",
			PassThrough:    true,
			ConnectTimeout: 5 * time.Second,
			DC:             map[string][]string{},
		},
		Limits: Limits{
			ConnectionsPerAddress: 256,
			NewPerPrefix:          "20/s",
			HalfOpen:              4_096,
		},
		Policy:   Policy{Controls: map[string]string{}},
		Access:   Access{Trusted: []netip.Prefix{}},
		Metrics:  Metrics{Listen: "127.0.0.1:9380"},
		State:    State{Dir: DefaultStateDir},
		Admin:    Admin{Socket: "auto", Listen: "127.0.0.1:8380", Hosts: []string{}, TwoPerson: []string{}},
		Advisory: Advisory{Every: 24 * time.Hour},
		Log:      Log{Level: "info", Format: "auto", Address: "truncate"},
		Alerting: Alerting{Thresholds: map[string]string{}},
		src:      newSource("", nil),
	}
}

// Load reads the file at path, lays the process's MTGUARD__… variables over it
// and validates the result. An empty path means no file: the defaults and the
// variables. Problems with the content are an *Error; a file that cannot be
// read is the error of the operating system.
func Load(path string) (*File, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = readBounded(path); err != nil {
			return nil, err
		}
	}
	f, problems := decode(path, data)
	problems = append(problems, f.applyEnvironment(os.Environ())...)
	f.settle()
	if err := f.report(append(problems, f.check()...)); err != nil {
		return nil, err
	}
	return f, nil
}

// Parse reads a configuration from memory and validates it; name stands for it
// in error texts. The environment is not looked at. A failure is an *Error.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > maxFileSize {
		return nil, &Error{Problems: []Problem{{Origin: name, Message: "larger than 16 MiB"}}}
	}
	f, problems := decode(name, data)
	f.settle()
	if err := f.report(append(problems, f.check()...)); err != nil {
		return nil, err
	}
	return f, nil
}

// Validate checks values against their ranges and against one another. Load and
// Parse have done so already; call it again after Set. A failure is an *Error.
func (f *File) Validate() error {
	f.settle()
	return f.report(f.check())
}

// Path returns the name Load or Parse was given, "" for none.
func (f *File) Path() string { return f.source().name }

// Explicit reports whether somebody chose the value of key ("state.dir"): a flag,
// a variable, or a line of the file. A line that repeats the default of
// state.dir, as a copied example does, is no choice.
func (f *File) Explicit(key string) bool {
	if f.source().override[key] != "" {
		return true
	}
	if key == "state.dir" && f.State.Dir == DefaultStateDir {
		return false
	}
	_, ok := f.source().values[key]
	return ok
}

// settle fills in the defaults that follow from other values.
func (f *File) settle() {
	if f.Explicit("cover.domains") && !f.Explicit("cover.fall_back_to") && len(f.Cover.Domains) > 0 && isHostName(f.Cover.Domains[0]) {
		f.Cover.FallBackTo = f.Cover.Domains[0] + ":443"
	}
	if !f.Explicit("limits.half_open") {
		f.Limits.HalfOpen = min(f.Limits.HalfOpen, max(1, f.Proxy.MaxConnections))
	}
}

// source never returns nil, so that a File made by hand works too.
func (f *File) source() *source {
	if f.src == nil {
		f.src = newSource("", nil)
	}
	return f.src
}

func readBounded(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe nobody writes to must not hold us
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("no regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("larger than 16 MiB")}
	}
	return data, nil
}
