package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
)

// setting is one value of one document.
type setting interface {
	// read takes a value of the text. It returns the rest of the sentence "KEY …" and a hint when that is not possible.
	read(v *value) (problem, hint string)
	// check refuses what lies out of range, in the same form.
	check() (problem, hint string)
	// text is the value as the document writes it. Equal values have equal texts.
	text() string
	// looser reports whether this value admits something that the other, of the same kind, does not.
	looser(than setting) bool
	// take copies the value of the other, which is of the same kind.
	take(other setting)
}

// field is a setting with its place.
type field struct {
	path    string // without quotes around a control's name
	control string // the control whose value it is, or ""
	setting
}

// section is the path without the last part, key the path without the first.
func (f field) section() string { return f.path[:strings.LastIndexByte(f.path, '.')] }
func (f field) key() string     { return f.path[strings.IndexByte(f.path, '.')+1:] }

const century = 100 * 366 * day

// maxCount bounds every number of connections, addresses or decisions.
const maxCount = 1_000_000_000

// values are the settings of d outside [controls], in the order in which they are written. This list is what a document may say: parsing,
// writing, comparing and merging all go through it.
func (d *Document) values() []field {
	count := func(p *int) setting { return count{p} }
	return []field{
		{"encryption.transports", EncryptionRequired, transports{&d.Encryption.Transports}},
		{"encryption.suites", "", suites{&d.Encryption.Suites}},
		{"encryption.until.faketls", EncryptionRequired, end{&d.Encryption.Until[mtproto.FakeTLS]}},
		{"encryption.until.secure", EncryptionRequired, end{&d.Encryption.Until[mtproto.Secure]}},
		{"encryption.until.classic", EncryptionRequired, end{&d.Encryption.Until[mtproto.Classic]}},
		{"authentication.max_secret_age", AuthStrength, span{p: &d.Authentication.MaxSecretAge, low: time.Hour, high: 3660 * day, zero: unbounded}},
		{"authentication.allow_imported", AuthStrength, yesNo{&d.Authentication.AllowImported, true}},
		{"authentication.token_life", "", span{p: &d.Authentication.TokenLife, low: time.Minute, high: 366 * day}},
		{"rates.new_per_prefix", RateAccept, rate{&d.Rates.NewPerPrefix}},
		{"rates.handshake_failures", RateFailures, rate{&d.Rates.HandshakeFailures}},
		{"connections.per_address", ConnsAddr, count(&d.Connections.PerAddress)},
		{"connections.per_prefix", ConnsPrefix, count(&d.Connections.PerPrefix)},
		{"connections.per_user", ConnsUser, count(&d.Connections.PerUser)},
		{"connections.read_only", ConnsUser, count(&d.Connections.ReadOnly)},
		{"connections.per_key", ConnsKey, count(&d.Connections.PerKey)},
		{"connections.addresses_per_user", AddrsUser, count(&d.Connections.AddressesPerUser)},
		{"bandwidth.per_user", BytesUser, byteRate{&d.Bandwidth.PerUser}},
		{"bandwidth.level.read_only", BytesUser, byteRate{&d.Bandwidth.Level[access.ReadOnly]}},
		{"bandwidth.level.standard", BytesUser, byteRate{&d.Bandwidth.Level[access.Standard]}},
		{"bandwidth.level.admin", BytesUser, byteRate{&d.Bandwidth.Level[access.Admin]}},
		{"bandwidth.level.superuser", BytesUser, byteRate{&d.Bandwidth.Level[access.Superuser]}},
		{"geography.block", GeoCountry, places{&d.Geography.Block, false}},
		{"geography.allow", GeoCountry, places{&d.Geography.Allow, true}},
		{"geography.unknown", GeoCountry, unknown{&d.Geography.DenyUnknown}},
		{"protocol.min_transport", TransportMin, least{&d.Protocol.MinTransport}},
		{"protocol.require_key_share", TransportMin, yesNo{&d.Protocol.RequireKeyShare, false}},
		{"relay.passthrough", "", yesNo{&d.Relay.Passthrough, true}},
		{"threat.blocks_per_minute", ThreatBlock, atLeast{&d.Threat.BlocksPerMinute}},
		{"threat.longest_block", ThreatBlock, span{p: &d.Threat.LongestBlock, low: 10 * time.Minute, high: 7 * day, zero: strictless}},
		{"rollout.gate_time", "", span{p: &d.Rollout.GateTime, high: century, zero: strictless}},
		{"rollout.gate_decisions", "", atLeast{&d.Rollout.GateDecisions}},
		{"rollout.gate_refused", "", share{&d.Rollout.GateRefused, false}},
		{"rollout.step_back", "", share{&d.Rollout.StepBack, true}},
	}
}

// fields are all settings of d: the values, then for each control its rollout and its candidate.
func (d *Document) fields() []field {
	all := d.values()
	for _, name := range rollable() {
		all = append(all,
			field{controlPath(name), name, rollout{d, name}},
			field{candidatePath(name), name, candidate{d, name}})
	}
	return all
}

func controlPath(name string) string   { return "controls." + name }
func candidatePath(name string) string { return controlPath(name) + ".candidate" }

// candidates are the settings that a control can have a candidate for. Delays cannot be tried out without delaying, and the rules of
// geography are asked together with all other rules on addresses. Attacks are answered, not counted.
func (d *Document) candidates(control string) []field {
	if control == BytesUser || control == GeoCountry || control == ThreatBlock {
		return nil
	}
	return slices.DeleteFunc(d.values(), func(f field) bool { return f.control != control })
}

// rollout is mode and percent of one control.
type rollout struct {
	d    *Document
	name string
}

func (r rollout) read(*value) (problem, hint string) { return "has the keys mode and percent", "" }
func (r rollout) text() string                       { return r.d.Control(r.name).Control.String() }
func (r rollout) take(other setting) {
	p := r.d.Control(r.name)
	p.Control = other.(rollout).control()
	r.d.setControl(r.name, p)
}
func (r rollout) control() Control { return r.d.Control(r.name).Control }
func (r rollout) looser(than setting) bool {
	return r.control().strictness() < than.(rollout).control().strictness()
}
func (r rollout) check() (problem, hint string) {
	switch c := r.control(); {
	case int(c.Mode) >= len(modeNames):
		return "has a mode that is none", "off, monitor or enforce"
	case c.Percent < 0 || c.Percent > 100:
		return "has a percentage that is none", "1 to 100"
	case c.Percent > 0 && c.Mode != Enforce:
		return "has a percentage without mode = \"enforce\"", "in the other modes all are treated alike"
	}
	return "", ""
}

// candidate is the candidate of one control. It refuses nobody, so it never loosens anything.
type candidate struct {
	d    *Document
	name string
}

func (c candidate) read(*value) (problem, hint string) { return "must be a section", "" }
func (c candidate) looser(setting) bool                { return false }
func (c candidate) take(other setting) {
	p := c.d.Control(c.name)
	from := other.(candidate)
	p.Candidate = maps.Clone(from.d.Control(from.name).Candidate)
	c.d.setControl(c.name, p)
}

// text is an inline table in the order of the settings.
func (c candidate) text() string {
	values := c.d.Control(c.name).Candidate
	var parts []string
	for _, f := range c.d.candidates(c.name) {
		if text, ok := values[f.key()]; ok {
			parts = append(parts, f.key()+" = "+text)
		}
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func (c candidate) check() (problem, hint string) {
	p := c.d.Control(c.name)
	if len(p.Candidate) == 0 {
		return "", ""
	}
	known := c.d.candidates(c.name)
	if len(known) == 0 {
		return "cannot have a candidate", "there is nothing to compare: remove it"
	}
	if p.Mode == Off {
		return "would never be asked", "the control is off: give it mode = \"monitor\""
	}
	for key := range p.Candidate {
		if !slices.ContainsFunc(known, func(f field) bool { return f.key() == key }) {
			return "has the unknown key " + quote(key), "known: " + strings.Join(keysOf(known), ", ")
		}
	}
	with := c.d.Clone()
	if path, problem, hint := with.try(c.name); problem != "" {
		return "cannot be tried: " + path + " " + problem, hint
	}
	return "", ""
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key()
	}
	return keys
}
