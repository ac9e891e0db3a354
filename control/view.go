package control

import (
	"time"

	"mtguard/control/store"
	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/keys"
)

// Link is one link of one user. It holds the secret.
type Link struct {
	User   string `json:"user"`
	Kind   string `json:"kind"` // faketls, secure or classic
	Secret string `json:"secret"`
	TG     string `json:"tg"`
	HTTPS  string `json:"https"`
}

// UserInfo is a user as commands and the API show it. Times that are not set are
// left out.
type UserInfo struct {
	Name           string         `json:"name"`
	Source         string         `json:"source" doc:"admin, file (declared in the configuration) or default"`
	State          string         `json:"state" doc:"ok, or why the user is not served: disabled, expired, no_access, over_quota"`
	Level          access.Level   `json:"level"`
	Disabled       bool           `json:"disabled"`
	Created        time.Time      `json:"created"`
	Expires        *time.Time     `json:"expires,omitempty"`
	Quota          *Quota         `json:"quota,omitempty"`
	QuotaUsed      int64          `json:"quota_used,omitempty" doc:"bytes in the present day or month (UTC)"`
	MaxConnections int            `json:"max_connections,omitempty"`
	MaxAddresses   int            `json:"max_addresses,omitempty"`
	Domain         string         `json:"domain,omitempty"`
	Note           string         `json:"note,omitempty"`
	Connections    int            `json:"connections" doc:"open now"`
	Addresses      int            `json:"addresses" doc:"of these connections"`
	Up             int64          `json:"up" doc:"bytes from the user, ever"`
	Down           int64          `json:"down" doc:"bytes to the user, ever"`
	Sessions       int64          `json:"sessions" doc:"ever"`
	Transports     []TransportUse `json:"transports,omitempty" doc:"what the user has come by since the node started, also where that was refused; the newest transport first"`
	Key            keys.ID        `json:"key,omitempty" doc:"the active key"`
	Generation     int            `json:"generation,omitempty"`
	Retiring       int            `json:"retiring,omitempty" doc:"older keys that still work"`
	Rotates        *time.Time     `json:"rotates,omitempty"`
	Page           bool           `json:"page" doc:"has a page of its own"`
	PageViews      int64          `json:"page_views,omitempty"`
	Revision       store.Revision `json:"revision"`
}

// TransportUse is how often a user came by a transport, and when it ends.
type TransportUse struct {
	Transport string     `json:"transport" doc:"faketls, secure or classic"`
	Came      int64      `json:"came" doc:"connections"`
	Last      *time.Time `json:"last,omitempty"`
	Until     *time.Time `json:"until,omitempty" doc:"when the policy ends it"`
}

// transportsOf is what a user has come by; the transports that were not used are
// left out.
func (p *Plane) transportsOf(u *user) (all []TransportUse) {
	limits := &p.parts.Live.Load().Limits
	used := u.account.Transports()
	for t := mtproto.FakeTLS; t >= mtproto.Classic; t-- {
		if n := used[t].Sessions; n > 0 {
			all = append(all, TransportUse{Transport: t.String(), Came: n, Last: maybe(used[t].Last), Until: maybe(limits.TransportUntil[t])})
		}
	}
	return all
}

// KeyInfo is a key as commands and the API show it: never the material.
type KeyInfo struct {
	ID         keys.ID        `json:"id"`
	Purpose    string         `json:"purpose" doc:"user (a user's secret), seal (for mtguard seal), store (what is sealed in the store), master"`
	User       string         `json:"user,omitempty"`
	Generation int            `json:"generation,omitempty"`
	State      string         `json:"state" doc:"pending, active, retiring, retired, expired or revoked"`
	Reason     string         `json:"reason,omitempty"`
	Source     string         `json:"source,omitempty" doc:"generated, imported or file"`
	Suite      string         `json:"suite,omitempty" doc:"of a key for mtguard seal that was made for one; left out: what the policy prefers"`
	Created    *time.Time     `json:"created,omitempty"`
	NotBefore  *time.Time     `json:"not_before,omitempty" doc:"of a pending key: when it takes over"`
	Activated  *time.Time     `json:"activated,omitempty"`
	RetireBy   *time.Time     `json:"retire_by,omitempty" doc:"of a retiring key: until when it works; of a pending one: until when the one before it will"`
	NotAfter   *time.Time     `json:"not_after,omitempty"`
	Ended      *time.Time     `json:"ended,omitempty"`
	FirstUsed  *time.Time     `json:"first_used,omitempty"`
	LastUsed   *time.Time     `json:"last_used,omitempty"`
	Sessions   int            `json:"sessions" doc:"live now"`
	Addresses  int            `json:"addresses" doc:"that used it; of a retiring key since it retires"`
	MoreThan   bool           `json:"more_than,omitempty" doc:"addresses is a lower bound"`
	NotOnNew   *int           `json:"not_on_new,omitempty" doc:"of a retiring key: those of them not seen with the active one yet"`
	Tripped    int            `json:"tripped,omitempty" doc:"of a revoked key: addresses that tried to use it since"`
	LastTrip   *time.Time     `json:"last_trip,omitempty"`
	Erased     bool           `json:"erased" doc:"its bytes are gone"`
	Revision   store.Revision `json:"revision"`
}

// KeyEvent is one step in the life of a key.
type KeyEvent struct {
	Time   time.Time `json:"time"`
	Key    keys.ID   `json:"key"`
	User   string    `json:"user,omitempty"`
	From   string    `json:"from,omitempty"`
	To     string    `json:"to"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	Cursor int64     `json:"cursor"`
}

// Schedule says how users' secrets rotate by themselves.
type Schedule struct {
	Every    Duration `json:"every" doc:"0s: never"`
	Overlap  Duration `json:"overlap" doc:"how long the old secret works beside the new one"`
	Window   Duration `json:"window" doc:"the rotations of all users are spread over so long"`
	Announce Duration `json:"announce" doc:"how long before it takes over the new secret is made"`
	Idle     Duration `json:"idle" doc:"an old secret ends early when unused for so long and the new one is in use; 0s: never"`
	Tripwire Duration `json:"tripwire" doc:"how long a revoked secret is watched for"`
}

// Status is the node at a glance.
type Status struct {
	Version      string         `json:"version"`
	Started      time.Time      `json:"started"`
	Now          time.Time      `json:"now"`
	Listening    []string       `json:"listening"`
	Draining     bool           `json:"draining"`
	Dashboard    string         `json:"dashboard,omitempty" doc:"where browsers find it; left out: it is off"`
	Demo         bool           `json:"demo,omitempty" doc:"mtguard demo: users, clients and attackers are simulated"`
	Users        int            `json:"users"`
	Serving      int            `json:"serving" doc:"users that may connect now"`
	Connections  int64          `json:"connections"`
	Sessions     int64          `json:"sessions"`
	KeysActive   int            `json:"keys_active"`
	KeysPending  int            `json:"keys_pending"`
	KeysRetiring int            `json:"keys_retiring"`
	KeysRevoked  int            `json:"keys_revoked" doc:"watched as tripwires"`
	Tripped      int64          `json:"tripped" doc:"handshakes with a revoked secret since the start"`
	NextRotation *time.Time     `json:"next_rotation,omitempty"`
	Schedule     Schedule       `json:"schedule"`
	AuditRows    int64          `json:"audit_rows"`
	AuditSigned  int64          `json:"audit_signed" doc:"rows that a signed checkpoint covers"`
	Revision     store.Revision `json:"revision"`
	ClockHeld    string         `json:"clock_held,omitempty" doc:"why nothing is done by time at present: the clock jumped"`
	Glass        *time.Time     `json:"glass,omitempty" doc:"it is broken: until then nothing is enforced that can be switched"`
	LastBackup   *time.Time     `json:"last_backup,omitempty"`
	Audit        *AuditBrief    `json:"audit,omitempty" doc:"left out before the first one"`
	Enforcing    int            `json:"enforcing" doc:"controls in mode enforce, also for a share; not those that bound memory"`
	Monitoring   int            `json:"monitoring" doc:"controls in mode monitor"`
	Trials       []TrialInfo    `json:"trials,omitempty" doc:"changes of the policy that revert by themselves unless somebody keeps them"`
	Viewers      int            `json:"viewers" doc:"who look at events at present"`
	Incidents    int            `json:"incidents" doc:"that are not closed"`
	Gravest      string         `json:"gravest,omitempty" doc:"severity of the gravest of them"`
	MasterKey    string         `json:"master_key" doc:"where it came from, and its id"`
	Crypto       CryptoStatus   `json:"crypto"`
	ConfigError  string         `json:"config_error,omitempty" doc:"the last reload was refused"`
}
