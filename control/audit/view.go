package audit

import (
	"context"
	"io/fs"
	"net/netip"
	"time"
)

// View is what checks see of a node. Each method returns one kind of facts, or why
// they are not to be had; checks then are unknown. A run of an Auditor asks each at
// most once. The facts belong to the run: the view does not change them later, and
// checks change nothing in them.
type View interface {
	Now() time.Time
	Keys(ctx context.Context) (*KeyFacts, error)
	Use(ctx context.Context) (*UseFacts, error)
	Load(ctx context.Context) (*LoadFacts, error)
	Policy(ctx context.Context) (*PolicyFacts, error)
	Host(ctx context.Context) (*HostFacts, error)
	Site(ctx context.Context) (*SiteFacts, error)
	Care(ctx context.Context) (*CareFacts, error)
}

// Secret is one key of a user that still works, or that is watched.
type Secret struct {
	ID    string
	User  string
	State string // pending, active, retiring, revoked
	// Source is generated, imported or file; Inline says that it stands in the
	// configuration itself and not in a file of its own.
	Source string
	Inline bool
	// Times; zero is never, or no bound.
	Created, Activated, RetireBy, NotAfter, LastUsed time.Time
	// Served says that the user may connect at present.
	Served bool
}

// SealKey is a key that blobs are sealed with.
type SealKey struct {
	ID, Suite, State string
	Created          time.Time
	Sealed           int64 // blobs, by the audit log
}

// Certificate is a certificate of the node's own.
type Certificate struct {
	Name     string // of what it is for
	Path     string
	NotAfter time.Time
	Err      error // it could not be read
}

// KeyFacts are about keys of every kind.
type KeyFacts struct {
	Secrets      []Secret // in the order of users and generations
	Sealing      []SealKey
	Certificates []Certificate
	// RotateEvery is the schedule's, 0 while nothing rotates; MaxAge what the policy
	// says that a secret may be old, 0 for any age.
	RotateEvery, MaxAge time.Duration
	// MasterSince and StoreSince are since when the master key and the store's key are
	// in use; zero when nobody knows.
	MasterSince, StoreSince time.Time
}

// KeyUse is how one secret was used lately.
type KeyUse struct {
	ID, User string
	// Addresses that used it in the last day; AtLeast says that there were more.
	Addresses int
	AtLeast   bool
	// Networks, ASNs and Countries of the last day's connections; Burst is the most
	// countries within one hour. They count only where UseFacts says that they are known.
	Networks, ASNs, Countries, Burst int
	// Tripped are addresses that tried it in the last week after it was revoked.
	Tripped  int
	LastTrip time.Time
	// Woke says that it was used in the last day after at least Slept without.
	Woke  bool
	Slept time.Duration
}

// UseFacts are about who used what.
type UseFacts struct {
	Keys []KeyUse // those that were used
	// Why networks, AS numbers and countries are not known; nil when they are.
	NoNetworks, NoASNs, NoCountries error
}

// Share is a part of a whole.
type Share struct{ Part, Whole int64 }

// Of is the share as a number from 0 to 1; 0 of nothing.
func (s Share) Of() float64 {
	if s.Whole <= 0 {
		return 0
	}
	return float64(s.Part) / float64(s.Whole)
}

// Fill is a table of fixed size and the most that stood in it.
type Fill struct {
	Name string
	Share
}

// LoadFacts are about the last day of traffic, as far as this process ran.
type LoadFacts struct {
	Window     time.Duration // how much of the day is known
	Refused    Share         // connections that a limit refused, of all that ended
	Denied     Share         // that a memory bound closed at once, of all that ended
	Failed     Share         // handshakes that did not become a session, of all
	Budget     int64         // handshakes given up because too many secrets were to be tried
	HalfOpen   Share         // the most handshakes at once, of the bound
	Overloaded time.Duration // how long connections were shed
	Tables     []Fill
	// Busiest is the network that most handshakes came from, and its share of all
	// whose network is known.
	Busiest      string
	BusiestShare Share
	NoNetworks   error // why it is not known; nil when it is
}

// Control is how one control is rolled out.
type Control struct {
	Name               string
	Declared           string // by the policy: "off", "monitor", "enforce 10%"
	Effective          string // as connections meet it
	Since              time.Time
	Decided, WouldHave uint64 // in this process
	Memory             bool   // a memory bound, which has no mode
}

// Exception spares somebody controls.
type Exception struct {
	ID, Owner, Reason string
	Created, Until    time.Time
	Hits              int64
	LastHit           time.Time // zero: none in this process
}

// PolicyFacts are about what is enforced.
type PolicyFacts struct {
	Controls    []Control
	Exceptions  []Exception
	GlassUntil  time.Time // zero: not broken
	Transports  []string  // that are served
	Started     time.Time // of this process
	ConfigError string    // of the last reload, "" when it was good
	// Behind says that the store has a state that is not in force, since when it is seen.
	Behind bool
}

// File is a file or directory of the node.
type File struct {
	What, Path string
	Mode       fs.FileMode
	Owner      int         // -1: not known
	Most       fs.FileMode // permissions that it may have at most
	Secret     bool        // it holds what nobody else may read
	Err        error       // it could not be looked at
}

// HostFacts are about the machine and the process.
type HostFacts struct {
	Files []File
	UID   int // of the process; -1: not known
	// Capabilities are the names of those in effect beside CAP_NET_BIND_SERVICE.
	Capabilities    []string
	NoCapabilities  error // why they are not known; nil when they are
	CoreLimit       uint64
	NoCoreLimit     error
	OpenFiles       uint64 // that the process may have
	NoOpenFiles     error
	MaxConnections  int // as configured
	DiskFree        Share
	DiskPath        string
	NoDisk          error
	ClockSynced     bool
	ClockError      time.Duration // the most that the kernel thinks it is off
	NoClock         error
	ClockHeld       string // why nothing is done by time; "" when it is
	MetricsExposed  string // the metrics listener, when others than this machine may reach it
	PublicHost      string // of links
	PublicAddresses []netip.Addr
	NoPublic        error // why these are not known; nil when they are
	OwnAddresses    []netip.Addr
}

// DC is a data centre as this process met it in the last day.
type DC struct {
	Name       string
	OK, Failed int64
}

// SiteFacts are about the cover site and the way to Telegram.
type SiteFacts struct {
	FakeTLS bool   // such links are served, so a site is needed
	Address string // of the cover site; "" for none
	Name    string
	// Measured is when it was looked at last with success, Tried when at all.
	Measured, Tried time.Time
	Err             error  // of the last look
	Group           string // of the key exchange it chose
	Hybrid          bool   // that is a post-quantum one
	Flight          int    // bytes of its first flight
	// Names are the addresses of the server name in the links, Own those of this host.
	Names, Own []netip.Addr
	NoNames    error
	DCs        []DC
}

// CareFacts are about backups and records.
type CareFacts struct {
	LastBackup time.Time // zero: never
	Rows       int64     // of the audit log
	Signed     int64     // of these under a checkpoint
	LogProblem string    // what is wrong with the log; "" when its chain holds
	FirstRow   time.Time // when the store began
	Unverified error     // why the log could not be verified
	// Of the last check of the program for known vulnerabilities: those whose code is in it, when it was, and why nothing is known.
	Vulnerable []Vulnerable
	Scanned    time.Time
	Unscanned  error
}

// Vulnerable is a known vulnerability whose code is in the program.
type Vulnerable struct{ Module, Version, ID, Summary, Fixed string }

// memo asks a view for each kind of facts once.
type memo struct {
	View
	keys   once[KeyFacts]
	use    once[UseFacts]
	load   once[LoadFacts]
	policy once[PolicyFacts]
	host   once[HostFacts]
	site   once[SiteFacts]
	care   once[CareFacts]
}

type once[T any] struct {
	done  bool
	value *T
	err   error
}

func (o *once[T]) get(ctx context.Context, ask func(context.Context) (*T, error)) (*T, error) {
	if !o.done {
		o.value, o.err = ask(ctx)
		o.done = true
	}
	return o.value, o.err
}

func (m *memo) Keys(ctx context.Context) (*KeyFacts, error)  { return m.keys.get(ctx, m.View.Keys) }
func (m *memo) Use(ctx context.Context) (*UseFacts, error)   { return m.use.get(ctx, m.View.Use) }
func (m *memo) Load(ctx context.Context) (*LoadFacts, error) { return m.load.get(ctx, m.View.Load) }
func (m *memo) Policy(ctx context.Context) (*PolicyFacts, error) {
	return m.policy.get(ctx, m.View.Policy)
}
func (m *memo) Host(ctx context.Context) (*HostFacts, error) { return m.host.get(ctx, m.View.Host) }
func (m *memo) Site(ctx context.Context) (*SiteFacts, error) { return m.site.get(ctx, m.View.Site) }
func (m *memo) Care(ctx context.Context) (*CareFacts, error) { return m.care.get(ctx, m.View.Care) }
