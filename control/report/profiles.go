package report

import (
	"slices"

	"mtguard/security/policy"
)

// Item is one requirement of a profile: what must hold, and which checks and controls
// say whether it does. Checks are met when they find nothing, controls when they are
// enforced for all. One with Never is not applicable, for that reason.
type Item struct {
	ID, Title string
	Source    string // the section of the standard
	Checks    []string
	Controls  []string
	Never     string
}

// Profiles are the names of the profiles.
func Profiles() []string { return []string{"baseline", "asvs", "host"} }

// ProfileTitle is the title of a profile.
func ProfileTitle(name string) string {
	return map[string]string{
		"baseline": "mtguard's own baseline",
		"asvs":     "the parts of OWASP ASVS 5.0 that a proxy can answer",
		"host":     "a host in the manner of the CIS benchmarks",
	}[name]
}

// Items are the requirements of a profile, nil of one that there is not. Sections are
// named, their requirements are said in words of our own.
func Items(profile string) []Item {
	return slices.Clone(map[string][]Item{"baseline": baseline, "asvs": asvs, "host": host}[profile])
}

var baseline = []Item{
	{ID: "B-1", Title: "What connections meet is what the policy says", Checks: []string{"policy.drift", "policy.behind", "policy.reload"}},
	{ID: "B-2", Title: "Controls are taken from watching to enforcing, and none is off", Checks: []string{"policy.monitor", "policy.off"}},
	{ID: "B-3", Title: "Enforcement is not suspended", Checks: []string{"policy.glass"}},
	{ID: "B-4", Title: "Exceptions have an owner, an end and a use", Checks: []string{"policy.exception.expired", "policy.exception.owner", "policy.exception.unused"}},
	{ID: "B-5", Title: "Only transports are served that look like a web site", Checks: []string{"policy.transport"}, Controls: []string{policy.EncryptionRequired, policy.TransportMin}},
	{ID: "B-6", Title: "Users' secrets rotate in time and end when they should", Checks: []string{"keys.rotation", "keys.expired", "keys.retiring", "keys.schedule"}},
	{ID: "B-7", Title: "Secrets are kept where they belong, and only those that are used", Checks: []string{"keys.unused", "keys.inline"}, Controls: []string{policy.AuthStrength}},
	{ID: "B-8", Title: "Keys of the node's own are young enough and not worn out", Checks: []string{"keys.master", "keys.store", "keys.aead", "keys.certificate"}},
	{ID: "B-9", Title: "A secret is used by whom it was given to", Checks: []string{"access.addresses", "access.networks", "access.asns", "access.countries", "access.dormant", "access.revoked"}, Controls: []string{policy.AddrsUser}},
	{ID: "B-10", Title: "Rules of access hold", Controls: []string{policy.AccessLevel, policy.AccessPattern, policy.GeoCountry}},
	{ID: "B-11", Title: "New connections and guesses are bounded", Checks: []string{"dos.failed", "dos.network"}, Controls: []string{policy.RateAccept, policy.RateFailures}},
	{ID: "B-12", Title: "Connections are bounded", Checks: []string{"dos.refused"}, Controls: []string{policy.ConnsAddr, policy.ConnsPrefix, policy.ConnsUser, policy.ConnsKey}},
	{ID: "B-13", Title: "A flood does not take the node down", Checks: []string{"dos.denied", "dos.halfopen", "dos.overload", "dos.tables"}, Controls: []string{policy.ConnsTotal, policy.HalfOpen, policy.OverloadLevel}},
	{ID: "B-14", Title: "Attacks are answered", Controls: []string{policy.ThreatBlock}},
	{ID: "B-15", Title: "There is a backup of late", Checks: []string{"care.backup"}},
	{ID: "B-16", Title: "The audit log is whole and signed", Checks: []string{"care.auditlog", "care.unsigned"}},
	{ID: "B-17", Title: "The host keeps the node's secrets and gives it what it needs", Checks: []string{"host.files", "host.root", "host.capabilities", "host.cores", "host.descriptors", "host.disk", "host.clock", "host.metrics", "host.address"}},
	{ID: "B-18", Title: "Strangers see a cover site that fits", Checks: []string{"site.cover", "site.reach", "site.group", "site.flight", "site.name"}},
	{ID: "B-19", Title: "Telegram can be reached", Checks: []string{"site.telegram"}},
	{ID: "B-20", Title: "No module with a known vulnerability is in use", Checks: []string{"care.vulnerable"}},
}

var asvs = []Item{
	{ID: "A-2.4", Source: "ASVS 5.0 V2.4 Anti-automation", Title: "Excessive calls by machines are slowed or refused", Checks: []string{"dos.refused", "dos.network"}, Controls: []string{policy.RateAccept, policy.ConnsAddr, policy.ConnsPrefix}},
	{ID: "A-3", Source: "ASVS 5.0 V3 Web Frontend Security", Title: "Browsers are told to keep pages apart", Never: "the proxy has no web front end but the pages of recipients, which carry no script and no session"},
	{ID: "A-5", Source: "ASVS 5.0 V5 File Handling", Title: "Files of users are taken in safely", Never: "nothing takes files of users"},
	{ID: "A-6.2", Source: "ASVS 5.0 V6.2 Password Security", Title: "Passwords are strong and are kept as hashes", Never: "there are no passwords: secrets are drawn by the node and sealed"},
	{ID: "A-6.3", Source: "ASVS 5.0 V6.3 General Authentication Security", Title: "Guessing secrets is hindered, and leaked ones are noticed", Checks: []string{"dos.failed", "access.revoked", "access.dormant"}, Controls: []string{policy.RateFailures, policy.ThreatBlock}},
	{ID: "A-6.5", Source: "ASVS 5.0 V6.5 General Multi-factor Authentication Requirements", Title: "More than one factor is asked for", Never: "Telegram's proxy protocol knows one secret and nothing else"},
	{ID: "A-7.4", Source: "ASVS 5.0 V7.4 Session Termination", Title: "What may not go on ends: expired, retired and revoked secrets", Checks: []string{"keys.expired", "keys.retiring"}},
	{ID: "A-8.2", Source: "ASVS 5.0 V8.2 General Authorization Design", Title: "What may be done follows from levels that are enforced", Controls: []string{policy.AccessLevel, policy.ConnsUser}},
	{ID: "A-8.3", Source: "ASVS 5.0 V8.3 Operation Level Authorization", Title: "A change of what is allowed is in force at once, everywhere", Checks: []string{"policy.drift", "policy.behind"}},
	{ID: "A-8.4", Source: "ASVS 5.0 V8.4 Other Authorization Considerations", Title: "Where somebody comes from and how he behaves count", Checks: []string{"access.countries", "access.networks"}, Controls: []string{policy.GeoCountry, policy.AccessPattern}},
	{ID: "A-10", Source: "ASVS 5.0 V10 OAuth and OIDC", Title: "Delegated sign-in is done by the book", Never: "nobody signs in by another service"},
	{ID: "A-11.1", Source: "ASVS 5.0 V11.1 Cryptographic Inventory and Documentation", Title: "Keys have a life that is written down and kept", Checks: []string{"keys.rotation", "keys.schedule", "keys.master", "keys.store"}},
	{ID: "A-11.3", Source: "ASVS 5.0 V11.3 Encryption Algorithms", Title: "A key seals no more than its cipher bears", Checks: []string{"keys.aead"}},
	{ID: "A-12.1", Source: "ASVS 5.0 V12.1 General TLS Security Guidance", Title: "Old transports are refused", Checks: []string{"policy.transport"}, Controls: []string{policy.EncryptionRequired, policy.TransportMin}},
	{ID: "A-12.2", Source: "ASVS 5.0 V12.2 HTTPS Communication with External Facing Services", Title: "Certificates are valid, and what is shown outside speaks TLS 1.3", Checks: []string{"keys.certificate", "site.reach"}},
	{ID: "A-13.1", Source: "ASVS 5.0 V13.1 Configuration Documentation", Title: "Limits and what happens at them are set", Checks: []string{"dos.denied", "dos.overload", "host.descriptors"}, Controls: []string{policy.ConnsTotal, policy.HalfOpen, policy.OverloadLevel}},
	{ID: "A-13.2", Source: "ASVS 5.0 V13.2 Backend Communication Configuration", Title: "The process may do what it needs and nothing else", Checks: []string{"host.root", "host.capabilities"}},
	{ID: "A-13.3", Source: "ASVS 5.0 V13.3 Secret Management", Title: "Secrets are not in configuration files, and nobody else can read them", Checks: []string{"keys.inline", "host.files", "host.cores"}},
	{ID: "A-13.4", Source: "ASVS 5.0 V13.4 Unintended Information Leakage", Title: "Numbers of operation are not shown to strangers", Checks: []string{"host.metrics"}},
	{ID: "A-16.1", Source: "ASVS 5.0 V16.1 Security Logging Documentation", Title: "What is suspended or excepted has somebody who answers for it", Checks: []string{"policy.glass", "policy.exception.owner"}},
	{ID: "A-16.2", Source: "ASVS 5.0 V16.2 General Logging", Title: "Times in logs come from a clock that is kept right", Checks: []string{"host.clock"}},
	{ID: "A-16.4", Source: "ASVS 5.0 V16.4 Log Protection", Title: "Logs cannot be changed unseen", Checks: []string{"care.auditlog", "care.unsigned"}},
	{ID: "A-17", Source: "ASVS 5.0 V17 WebRTC", Title: "Media servers are safe", Never: "there is no WebRTC"},
}

var host = []Item{
	{ID: "H-1", Source: "file permissions", Title: "Files of the node are its own alone", Checks: []string{"host.files"}},
	{ID: "H-2", Source: "accounts", Title: "The node does not run as root", Checks: []string{"host.root"}},
	{ID: "H-3", Source: "process hardening", Title: "The process has no capability beyond its need", Checks: []string{"host.capabilities"}},
	{ID: "H-4", Source: "process hardening", Title: "No memory is written to disk by a crash", Checks: []string{"host.cores"}},
	{ID: "H-5", Source: "resource limits", Title: "There are descriptors for all connections", Checks: []string{"host.descriptors"}},
	{ID: "H-6", Source: "file systems", Title: "The disk of the state directory has room", Checks: []string{"host.disk"}},
	{ID: "H-7", Source: "time synchronisation", Title: "The clock is kept right", Checks: []string{"host.clock"}},
	{ID: "H-8", Source: "network services", Title: "Metrics are not open to other machines", Checks: []string{"host.metrics"}},
	{ID: "H-9", Source: "network configuration", Title: "Links lead to this machine", Checks: []string{"host.address"}},
	{ID: "H-10", Source: "logging and auditing", Title: "The audit log is whole and signed", Checks: []string{"care.auditlog", "care.unsigned"}},
	{ID: "H-11", Source: "backup", Title: "There is a backup of late", Checks: []string{"care.backup"}},
	{ID: "H-12", Source: "packet filter", Title: "The kernel drops whom the node blocks", Never: "the packet filter is another process's, of which this node keeps no record: look at mtguard fw status"},
}
