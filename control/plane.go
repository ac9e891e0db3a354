// Package control holds what is wanted of a node (users, their secrets, how
// those rotate) and keeps the node in step with it.
//
// There is one way to change anything: a [Change] given to [Plane.Apply], whoever
// asks, a person at the command line or the schedule. Apply authorises,
// validates, commits and writes the audit row in one transaction. There is one
// way from the store to the data path: catchUp reads what is new, brings the
// keys' states and the users' accounts in line, publishes a snapshot through
// policy.Live, and ends the sessions that may not go on. Apply returns when that
// has happened, so whoever was told "revoked" can rely on it.
//
//	plane, err := control.New(ctx, control.Parts{Store: s, Vault: v, Live: &live, Sessions: &sessions, …})
//	err = plane.Load(ctx, control.File{…}) // from the configuration file, again at each reload
//	go plane.Run(ctx)                      // time: expiry, rotation, quotas, usage, checkpoints
//	result, err := plane.Apply(ctx, actor, control.AddUser{…}, control.Options{})
//
// Who owns what: the store owns everything that must survive; mu guards the
// model, which is the store's users and keys as the data path meets them. All
// methods may be called concurrently. The only goroutines are the caller's of Run
// and one that Run waits for.
package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/audit"
	"mtguard/control/preview"
	"mtguard/control/store"
	"mtguard/proxy/auth"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/security/vault"
	"mtguard/telemetry/live"
)

// Parts is what a Plane is made of. All but PageURL and Now are required.
type Parts struct {
	Store    *store.Store
	Vault    *vault.Vault // what the store seals with
	Master   Master
	Live     *policy.Live
	Sessions *auth.Sessions
	Log      *slog.Logger
	Dir      string // where copies of the store may stand for a moment
	Version  string // of this program
	// Links makes a user's links of a secret.
	Links func(user string, secret keys.Secret) ([]Link, error)
	// PageURL is the address of a page; "" while pages are off.
	PageURL func(token string) string
	// Node tells what only the node knows of its own status.
	Node func(*Status)
	// Decisions adds to a control what it has decided; nil: nobody counts.
	Decisions func(*ControlInfo)
	// Limits says where an address is with the limits that are counted by address;
	// nil: nobody counts. It sets neither Mode nor Exception.
	Limits func(addr netip.Addr, now time.Time) []LimitInfo
	// Denied, unless nil, is told who asked for a change that his level does not
	// allow, and for which. It must not block.
	Denied func(by Actor, action string)
	// Threat is what watches for attacks; nil: nobody does.
	Threat Threat
	// Regular reports whether the data path would let somebody in from a prefix that an automatic block shuts out, since he came from there
	// lately; nil: it would not.
	Regular func(prefix netip.Prefix, now time.Time) bool
	// Records are the connections of the time since then; nil: none are kept.
	Records func(since time.Time) iter.Seq[preview.Record]
	// Watch looks after the node's cryptography; nil: nobody does.
	Watch Watch
	// Numbers are the node's metrics; nil: there are none.
	Numbers Numbers
	// Alerts are the node's receivers and what they are told; nil: there are none.
	Alerts Alerts
	// Incident is told of incidents that begin, that become worse and that somebody moved, once that is in the store; nil: nobody is.
	Incident func(context.Context, IncidentInfo)
	// Events is where viewers of what happens look; nil: there is nothing to see.
	Events *live.Hub
	// Around is what audits see that only the node knows; what is nil there is unknown.
	Around Around
	// AuditAfter is how long after its start the node audits itself at the earliest; 0
	// is audit.Grace.
	AuditAfter time.Duration
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
}

// Plane is the control plane of one node.
type Plane struct {
	parts   Parts
	store   *store.Store
	log     *slog.Logger
	started time.Time
	run     string // names this process in the usage table
	signer  note.Signer
	origin  string // public half of signer

	// Held while keysets change, from the first look at them until the vault and
	// the master key follow; and while a copy of the store is taken together with
	// the key it is sealed under. Taken before anything of the store's.
	keysets sync.Mutex
	// Read-held by whoever reads what is sealed, from before he looks at the store:
	// what he sees may be under a key that is to be destroyed.
	reading sync.RWMutex
	// Read-held by Apply until its change is in force, so that the watch does not
	// compile it first and take the count of ended sessions away.
	applying    sync.RWMutex
	listing     sync.Mutex // held while a list is read and put in force
	signing     sync.Mutex // held by checkpoint; guards signed
	signed      signedState
	audits      auditing
	blocking    sync.Mutex // held by Blocked; guards blocked. Taken before mu
	blocked     blockedState
	credentials credentials
	refusals    refusals
	tally       tally // what Families shows

	mu            sync.Mutex // guards what follows
	base          policy.Snapshot
	loaded        bool // base is set
	compiled      store.Revision
	serial        uint64
	users         map[int64]*user
	names         map[string]*user   // those that are not removed
	pages         map[[32]byte]*user // with an open page
	views         map[int64]int64    // of pages, by user, not in the store yet
	rules         map[string]store.Rule
	listRows      map[string]store.List
	lists         map[string]*access.List // those that were read
	exceptionRows map[string]store.Exception
	exceptions    *policy.Exceptions
	counted       map[string]int64 // hits of exceptions that the store has
	policy        store.PolicyRevision
	glass         time.Time
	trials        []trial
	regradeAt     time.Time // when a rule, an exception or the broken glass ends next
	fileLayer     policy.Layer
	effective     *policy.Effective
	bulletinKey   string
	stages        map[string]*stage // by control
	geo           *access.Geo
	trusted       []netip.Prefix
	twoPerson     []string
	table         *access.Table
	forgotten     []keys.ID // whose sightings begin anew, and those in the store have to go
	sealKeys      []store.Key
	ring          *keys.Ring
	schedule      Schedule
	pseudo        [32]byte     // key of the pseudonyms of addresses
	latest        usage.Latest // of all keys
	due           time.Time
	clock         clock
	held          string
	flushed       flushState
	bundlesAt     time.Time    // when bundles were looked for; of Run's goroutine
	blocksWait    atomic.Bool  // automatic blocks may wait for their audit row
	refusedBlocks atomic.Int64 // Unix time of the last audit row of automatic blocks that were refused
	automaticAt   time.Time    // when automatic rules were swept; of Run's goroutine
	folded        int          // day of the last fold; of Run's goroutine
}

// New reads the store and makes what it lacks. Nothing is served before Load.
func New(ctx context.Context, parts Parts) (*Plane, error) {
	if parts.Now == nil {
		parts.Now = time.Now
	}
	if parts.PageURL == nil {
		parts.PageURL = func(string) string { return "" }
	}
	if parts.Limits == nil {
		parts.Limits = func(netip.Addr, time.Time) []LimitInfo { return nil }
	}
	if parts.Decisions == nil {
		parts.Decisions = func(*ControlInfo) {}
	}
	if parts.AuditAfter == 0 {
		parts.AuditAfter = audit.Grace
	}
	if parts.Node == nil {
		parts.Node = func(*Status) {}
	}
	var run [8]byte
	rand.Read(run[:])
	p := &Plane{
		parts: parts, store: parts.Store, log: parts.Log, started: parts.Now(), run: hex.EncodeToString(run[:]),
		users: make(map[int64]*user), names: make(map[string]*user), pages: make(map[[32]byte]*user), views: make(map[int64]int64),
		rules: make(map[string]store.Rule), listRows: make(map[string]store.List), lists: make(map[string]*access.List),
		exceptionRows: make(map[string]store.Exception), counted: make(map[string]int64), stages: make(map[string]*stage), ring: keys.NewRing(), schedule: defaultSchedule,
	}
	p.blocksWait.Store(true) // some may of the process before
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.finishRewrap(ctx); err != nil { // nobody else is here yet
		return nil, err
	}
	p.sweepCopies()
	if _, err := p.follow(ctx, p.store.Revision()+1); err != nil {
		return nil, err
	}
	return p, errors.Join(p.readUsage(ctx), p.readAudits(ctx), p.readCredentials(ctx))
}

// Names of the settings.
const (
	settingSchedule  = "schedule"
	settingPseudonym = "pseudonym.key" // sealed
	settingSigner    = "audit.key"     // sealed
	settingVerifier  = "audit.verifier"
	settingRewrap    = "rewrap" // there while a rewrap is under way
	settingBackup    = "backup.last"
)

// prepare reads the keys that the plane itself needs, and makes them the first
// time.
func (p *Plane) prepare(ctx context.Context) error {
	var signer []byte
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		if err := errors.Join(tx.EndRuns(p.run), p.keepFileModes(tx)); err != nil {
			return err
		}
		var err error
		if err = secretSetting(tx, settingPseudonym, p.pseudo[:]); err != nil {
			return err
		}
		if signer, err = tx.SecretSetting(settingSigner); err == nil || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		var name [4]byte
		rand.Read(name[:])
		private, public, err := note.GenerateKey(rand.Reader, "mtguard-"+hex.EncodeToString(name[:]))
		if err != nil {
			return err
		}
		signer = []byte(private)
		if err = tx.PutSetting(settingVerifier, []byte(public)); err != nil {
			return err
		}
		return tx.PutSecretSetting(settingSigner, signer)
	})
	if err != nil {
		return err
	}
	if p.signer, err = note.NewSigner(string(signer)); err != nil {
		return errors.New("the audit log's key in the store is broken")
	}
	return p.view(ctx, func(tx *store.Tx) error {
		public, err := tx.Setting(settingVerifier)
		p.origin = string(public)
		return err
	})
}

// secretSetting reads a sealed setting of fixed size into b, or fills b with
// random bytes and keeps them.
func secretSetting(tx *store.Tx, name string, b []byte) error {
	kept, err := tx.SecretSetting(name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		rand.Read(b)
		return tx.PutSecretSetting(name, b)
	case err != nil:
		return err
	case len(kept) != len(b):
		return fmt.Errorf("setting %s in the store is broken", name)
	}
	copy(b, kept)
	return nil
}

// Run follows the store and does what is due by time until ctx ends, and then
// writes down what the users have used. Every step is small; a failing one is
// logged and tried again.
func (p *Plane) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { p.watch(ctx) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			p.parts.Sessions.Meter()
			p.report("usage", p.flush(last))
			p.report("credentials", p.sweepCredentials(last, p.parts.Now(), true))
			p.report("audit", p.auditRefusals(last, p.parts.Now(), true))
			p.report("checkpoint", p.checkpoint(last, true))
			return
		case <-tick.C:
			p.tick(ctx)
		}
	}
}

// watch compiles whatever changes the store. Apply does not wait for it: it
// compiles its own change, so that it can say that it is in force.
func (p *Plane) watch(ctx context.Context) {
	for revision, err := range p.store.Watch(ctx, 0) {
		if err == nil {
			p.applying.Lock()
			_, err = p.follow(ctx, revision)
			p.applying.Unlock()
		}
		p.report("watch", err)
	}
}

// view reads the store, sealed values too. It is for what is over soon.
func (p *Plane) view(ctx context.Context, fn func(*store.Tx) error) error {
	p.reading.RLock()
	defer p.reading.RUnlock()
	return p.store.View(ctx, fn)
}

func (p *Plane) report(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		p.log.Error("control plane", "step", what, "error", err)
	}
}
