package policy

import (
	"slices"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/ratelimit"
)

// defaultPreset is that of a document that names none.
const defaultPreset = "personal"

const day = 24 * time.Hour

// Presets returns the names of the presets: a node for oneself and friends, one for a public of thousands, and one for an organisation that
// knows each of its users. In all of them every control starts in Monitor: they differ in what the controls would refuse.
func Presets() []string { return []string{defaultPreset, "community", "organisation"} }

func isPreset(name string) bool { return slices.Contains(Presets(), name) }

// presetOf returns a fresh document with a preset's values, and no name of its own.
func presetOf(name string) *Document {
	d := personal()
	switch name {
	case "community":
		d.community()
	case "organisation":
		d.organisation()
	}
	return d
}

// personal is for few users, who are known and have apps of every age. It refuses only what no person does.
func personal() *Document {
	d := &Document{
		Encryption: Encryption{
			Transports: []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure, mtproto.Classic},
			Suites:     []aead.Suite{aead.XChaCha20Poly1305, aead.AES256GCM, aead.ChaCha20Poly1305, aead.AES128GCM},
		},
		Authentication: Authentication{AllowImported: true, TokenLife: 30 * day},
		Rates: Rates{
			NewPerPrefix: ratelimit.Limit{Events: 20, Per: time.Second, Burst: 20},
			// Every app that still has an old link fails with each of its eight connections, and tries again.
			HandshakeFailures: ratelimit.Limit{Events: 60, Per: time.Minute, Burst: 120},
		},
		Connections: Connections{
			PerAddress: 256, PerPrefix: 1024, // carriers put thousands of people behind one address
			PerUser: 128, PerKey: 128, ReadOnly: 8, // eight for each app
			AddressesPerUser: 16,
		},
		Protocol: Protocol{MinTransport: mtproto.Classic},
		Relay:    Relay{Passthrough: true},
		Threat:   Threat{BlocksPerMinute: 100, LongestBlock: 7 * day},
		Rollout:  Rollout{GateTime: day, GateDecisions: 1000, GateRefused: 50, StepBack: 200},
		Controls: map[string]ControlPolicy{},
	}
	d.Bandwidth.Level[access.ReadOnly] = ByteRate{PerSecond: 8 << 10, Burst: 256 << 10}
	return d
}

// community is for many users whom nobody knows, among them some who share their link with a crowd.
func (d *Document) community() {
	d.Encryption.Transports = []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure}
	d.Authentication.MaxSecretAge = 365 * day
	d.Authentication.TokenLife = 7 * day
	d.Rates.NewPerPrefix = ratelimit.Limit{Events: 40, Per: time.Second, Burst: 120}
	d.Connections = Connections{PerAddress: 512, PerPrefix: 4096, PerUser: 64, PerKey: 64, ReadOnly: 8, AddressesPerUser: 8}
	d.Bandwidth.PerUser = ByteRate{PerSecond: 8 << 20, Burst: 128 << 20}
	d.Threat.BlocksPerMinute = 1000
}

// organisation is for users with a name and apps that are kept up to date.
func (d *Document) organisation() {
	d.Encryption.Transports = []mtproto.Transport{mtproto.FakeTLS}
	d.Encryption.Suites = []aead.Suite{aead.XChaCha20Poly1305, aead.AES256GCM, aead.ChaCha20Poly1305}
	d.Authentication = Authentication{MaxSecretAge: 90 * day, TokenLife: 12 * time.Hour}
	d.Rates.HandshakeFailures = ratelimit.Limit{Events: 30, Per: time.Minute, Burst: 60}
	d.Connections = Connections{PerAddress: 512, PerPrefix: 2048, PerUser: 48, PerKey: 48, ReadOnly: 8, AddressesPerUser: 8}
	d.Protocol.MinTransport = mtproto.FakeTLS
	d.Relay.Passthrough = false
	d.Rollout.GateTime = 3 * day
}
