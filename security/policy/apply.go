package policy

import (
	"fmt"
	"maps"
	"slices"

	"mtguard/mtproto"
	"mtguard/security/access"
)

// Limits returns the numbers of the controls. The memory bounds are not the policy's: they are 0.
func (d *Document) Limits() Limits {
	l := Limits{
		ConnectionsPerAddress: d.Connections.PerAddress,
		ConnectionsPerPrefix:  d.Connections.PerPrefix,
		ConnectionsPerUser:    d.Connections.PerUser,
		ConnectionsPerKey:     d.Connections.PerKey,
		ConnectionsReadOnly:   d.Connections.ReadOnly,
		AddressesPerUser:      d.Connections.AddressesPerUser,
		NewPerPrefix:          d.Rates.NewPerPrefix,
		HandshakeFailures:     d.Rates.HandshakeFailures,
		BytesPerUser:          d.Bandwidth.PerUser,
		BytesPerLevel:         d.Bandwidth.Level,
		TransportUntil:        d.Encryption.Until,
		MinTransport:          d.Protocol.MinTransport,
		RequireKeyShare:       d.Protocol.RequireKeyShare,
		MaxSecretAge:          d.Authentication.MaxSecretAge,
		RefuseImported:        !d.Authentication.AllowImported,
		BlocksPerMinute:       d.Threat.BlocksPerMinute,
		LongestBlock:          d.Threat.LongestBlock,
	}
	for t := mtproto.Classic; t <= mtproto.FakeTLS; t++ {
		l.Barred[t] = !slices.Contains(d.Encryption.Transports, t)
	}
	return l
}

// WithCandidate returns the document as it would be with the candidate of a control in force, or nil when it has none.
func (d *Document) WithCandidate(control string) (*Document, error) {
	p := d.Control(control)
	if len(p.Candidate) == 0 {
		return nil, nil
	}
	with := d.Clone()
	if path, problem, _ := with.try(control); problem != "" {
		return nil, fmt.Errorf("candidate of %s: %s %s", control, path, problem)
	}
	p.Candidate = nil
	with.setControl(control, p)
	return with, nil
}

// Apply puts the document into a snapshot that is not published yet: Limits but for the memory bounds, Controls, Candidates and PassThrough.
// What lies in other papers (Access, Exceptions, Glass, Transports) it leaves alone; see GeoRules. An invalid document changes nothing.
func (d *Document) Apply(s *Snapshot) error {
	if err := d.Validate(); err != nil {
		return err
	}
	keep := func(l Limits) Limits {
		l.MaxConnections, l.HalfOpen = s.Limits.MaxConnections, s.Limits.HalfOpen
		return l
	}
	controls, candidates := make(map[string]Control, len(d.Controls)), make(map[string]*Limits)
	for _, name := range slices.Sorted(maps.Keys(d.Controls)) {
		controls[name] = d.Controls[name].Control
		with, err := d.WithCandidate(name)
		if err != nil {
			return err
		}
		if with != nil {
			l := keep(with.Limits())
			candidates[name] = &l
		}
	}
	s.Limits, s.Controls, s.Candidates, s.PassThrough = keep(d.Limits()), controls, candidates, d.Relay.Passthrough
	return nil
}

// GeoRules returns [geography] as rules for access.Compile, where those allowed have the given ceiling. Their IDs begin with "policy:".
func (d *Document) GeoRules(ceiling access.Level) []access.Rule {
	var rules []access.Rule
	named := make(map[access.Match]bool)
	add := func(m access.Match, l access.Level, reason string) {
		named[m] = true
		rules = append(rules, access.Rule{ID: "policy:" + m.String(), Match: m, Level: l, Reason: reason, By: "policy"})
	}
	for _, m := range d.Geography.Block {
		add(m, access.None, "geography.block")
	}
	for _, m := range d.Geography.Allow {
		add(m, ceiling, "geography.allow")
	}
	unknown := countryMatch(access.UnknownCountry)
	if d.Geography.DenyUnknown {
		add(unknown, access.None, "geography.unknown")
	}
	if len(d.Geography.Allow) == 0 {
		return rules
	}
	// There is no rule for all other countries, but there are only so many codes.
	for first := byte('A'); first <= 'Z'; first++ {
		for second := byte('A'); second <= 'Z'; second++ {
			if m := countryMatch(string([]byte{first, second})); !m.IsZero() && !named[m] {
				add(m, access.None, "not in geography.allow")
			}
		}
	}
	return rules
}

func countryMatch(code string) access.Match {
	m, err := access.ParseMatch("country:" + code)
	if err != nil {
		return access.Match{} // no code of the standard
	}
	return m
}
