package policy

import (
	"maps"
	"slices"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/ratelimit"
)

// Schema is the version of the document that this program reads and writes. Every document begins with it.
const Schema = 1

// Document is a policy as people write it: a preset, and what differs from it. Its values are always complete, those of the preset where the
// text said nothing. Make one with Parse or New; a zero Document is not valid. A Document is a plain value without locks.
//
// The comments below name each key, its unit, and what zero means. Values of the presets stand in examples/policy.
type Document struct {
	// Preset is "personal", "community" or "organisation"; empty when the text names none, which means personal.
	Preset string

	Encryption     Encryption
	Authentication Authentication
	Rates          Rates
	Connections    Connections
	Bandwidth      Bandwidth
	Geography      Geography
	Protocol       Protocol
	Relay          Relay
	Threat         Threat
	Rollout        Rollout

	// Controls is [controls."NAME"], how each control is rolled out. A control that is not here is in Monitor.
	Controls map[string]ControlPolicy

	name  string         // of the text
	given map[string]int // the line of each path that the text, or Set, gave a value; 0 when it has none

	lowered map[string]bool // the paths whose values are of settle
}

// Encryption is [encryption]: what the wire must look like. Control encryption.required.
type Encryption struct {
	// Transports (transports) are those allowed: "faketls", "secure", "classic". At least one. The node must serve them besides.
	Transports []mtproto.Transport
	// Until ([encryption.until]) is when an allowed transport ends, by mtproto.Transport: a date (0 h UTC) or a date and time. Zero, written
	// "never", is no end. It is how old links are retired: who still uses them is known before the day.
	Until [mtproto.FakeTLS + 1]time.Time
	// Suites (suites) are the cipher suites that this node seals with, the preferred one first. At least one. They have no control.
	Suites []aead.Suite
}

// Authentication is [authentication]: how sure we want to be of whom. Control auth.strength, but for TokenLife, which has none.
type Authentication struct {
	// MaxSecretAge (max_secret_age) is how old a user's secret may be, 1 hour to 10 years. 0: of any age.
	MaxSecretAge time.Duration
	// AllowImported (allow_imported) accepts secrets that were made elsewhere.
	AllowImported bool
	// TokenLife (token_life) is how long an administrator's token may live, 1 minute to 1 year.
	TokenLife time.Duration
}

// Rates is [rates]: events per time of one IPv4 address or IPv6 /64. "20/s burst 60"; "0" is no bound.
type Rates struct {
	// NewPerPrefix (new_per_prefix) bounds new connections. Control rate.accept.
	NewPerPrefix ratelimit.Limit
	// HandshakeFailures (handshake_failures) bounds failed handshakes; success refunds. Control rate.failures.
	HandshakeFailures ratelimit.Limit
}

// Connections is [connections]: connections open at once. 0 is no bound. One Telegram app opens up to eight. PerAddress is at most PerPrefix,
// PerKey and ReadOnly at most PerUser: the preset's are lowered to that, those that were given are refused above it.
type Connections struct {
	// PerAddress (per_address) is for one IPv4 address or IPv6 /64. Control conns.addr.
	PerAddress int
	// PerPrefix (per_prefix) is for one IPv4 /24 or IPv6 /48. Control conns.prefix.
	PerPrefix int
	// PerUser (per_user) and ReadOnly (read_only), which is for a user of level read_only, are for one user. Control conns.user.
	PerUser, ReadOnly int
	// PerKey (per_key) is for one secret of a user. Control conns.key.
	PerKey int
	// AddressesPerUser (addresses_per_user) bounds not connections but the addresses they come from. Control addrs.user.
	AddressesPerUser int
}

// Bandwidth is [bandwidth]: bytes per second. "8KiB/s burst 256KiB"; "0" is no bound. Control bytes.user.
type Bandwidth struct {
	// PerUser (per_user) is what one user may send, and as much again receive.
	PerUser ByteRate
	// Level ([bandwidth.level]) is the same for users of a level, by access.Level. For read_only it holds the upload alone. None has no entry.
	Level [access.Superuser + 1]ByteRate
}

// Geography is [geography]: countries ("country:DE") and AS numbers ("asn:64500"). Control geo.country.
type Geography struct {
	// Block (block) are those refused.
	Block []access.Match
	// Allow (allow), if there are any, are the only ones not refused. An AS number counts before a country.
	Allow []access.Match
	// DenyUnknown (unknown = "deny") refuses addresses of which no country is known; otherwise unknown = "allow".
	DenyUnknown bool
}

// Protocol is [protocol]: how new the client's protocol must be. Control transport.min.
type Protocol struct {
	// MinTransport (min_transport) is the least transport: "classic" (any), "secure" or "faketls".
	MinTransport mtproto.Transport
	// RequireKeyShare (require_key_share) wants a hybrid (post-quantum) key share in fake-TLS hellos. Apps before 2025 have none.
	RequireKeyShare bool
}

// Relay is [relay].
type Relay struct {
	// Passthrough (passthrough) chooses the keys towards Telegram so that downloads need no cipher here. It saves a third of a second of CPU per
	// gigabyte; whoever sees both legs can match them.
	Passthrough bool
}

// Threat is [threat]: how far the node goes by itself against attackers. Control threat.block.
type Threat struct {
	// BlocksPerMinute (blocks_per_minute) bounds new blocks; what is beyond waits for a person. 0: no blocks.
	BlocksPerMinute int
	// LongestBlock (longest_block) is how long the longest block holds, 10 minutes to 7 days. The first one holds for 10 minutes. 0: no blocks.
	LongestBlock time.Duration
}

// Rollout is [rollout]: what must be seen before a control goes one step up, and when it falls back by itself.
type Rollout struct {
	// GateTime (gate_time) and GateDecisions (gate_decisions) are how long, and for how many decisions, a control must have been in its
	// present stage. 0: at once.
	GateTime      time.Duration
	GateDecisions int
	// GateRefused (gate_refused) is the most that it may have refused, or would have, of the decisions on known users.
	GateRefused Share
	// StepBack (step_back) is by how much known users may fail more often where the control is enforced than where it is not. 0: never step back.
	StepBack Share
}

// Share is a part of a whole in hundredths of a percent: 50 is "0.5%".
type Share int

// ControlPolicy is one [controls."NAME"].
type ControlPolicy struct {
	// Control is mode and percent. percent goes with mode = "enforce".
	Control
	// Candidate ([controls."NAME".candidate]) holds other values for keys of the control, without their section and as the document writes
	// them: "new_per_prefix": `"10/s"`. The control is asked by them too, and what they refuse is only reported.
	Candidate map[string]string
}

// New returns the document of a preset without differences; an unknown name, or none, is personal.
func New(preset string) *Document {
	d := presetOf(preset)
	d.Preset = preset
	return d
}

// Clone returns a copy that shares nothing with d.
func (d *Document) Clone() *Document {
	c := *d
	c.Encryption.Transports = slices.Clone(d.Encryption.Transports)
	c.Encryption.Suites = slices.Clone(d.Encryption.Suites)
	c.Geography.Block = slices.Clone(d.Geography.Block)
	c.Geography.Allow = slices.Clone(d.Geography.Allow)
	c.Controls = maps.Clone(d.Controls)
	for name, control := range c.Controls {
		control.Candidate = maps.Clone(control.Candidate)
		c.Controls[name] = control
	}
	c.given, c.lowered = maps.Clone(d.given), maps.Clone(d.lowered)
	return &c
}

// Control returns how a control is rolled out: Monitor when the document does not name it.
func (d *Document) Control(name string) ControlPolicy {
	if c, ok := d.Controls[name]; ok {
		return c
	}
	return ControlPolicy{Control: Control{Mode: Monitor}}
}

// Says returns how the document itself rolls a control out, and whether it says so: otherwise that is for a layer below it, or the preset.
func (d *Document) Says(name string) (Control, bool) {
	_, given := d.given[controlPath(name)]
	c := d.Control(name).Control
	return c, given || c != Control{Mode: Monitor}
}

// SetControl says how a control is rolled out, and keeps its candidate.
func (d *Document) SetControl(name string, c Control) {
	p := d.Control(name)
	p.Control = c
	d.setControl(name, p)
	d.mark(controlPath(name), 0)
}

func (d *Document) setControl(name string, p ControlPolicy) {
	if d.Controls == nil {
		d.Controls = make(map[string]ControlPolicy)
	}
	d.Controls[name] = p
}

func (d *Document) mark(path string, line int) {
	if d.given == nil {
		d.given = make(map[string]int)
	}
	d.given[path] = line
}
