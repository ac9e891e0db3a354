package control

import (
	"errors"

	"mtguard/control/advisory"
	"mtguard/control/audit"
)

// scan adds what the last check of the program for known vulnerabilities has found.
func (v *auditView) scan(f *audit.CareFacts) {
	var c CryptoInfo
	if v.p.parts.Watch != nil {
		v.p.parts.Watch.Standing(&c)
	}
	if c.Last == nil || c.Last.Scan == nil || c.Last.Scan.Stale {
		f.Unscanned = errors.New("nobody has looked for known vulnerabilities since the node started, with data of the last month")
		return
	}
	f.Scanned = c.Last.Time
	for _, m := range c.Last.Scan.Modules {
		for _, x := range m.Vulnerabilities {
			if x.Class == advisory.Reachable {
				f.Vulnerable = append(f.Vulnerable, audit.Vulnerable{Module: m.Path, Version: m.Version, ID: x.ID, Summary: x.Summary, Fixed: x.Fixed})
			}
		}
	}
}
