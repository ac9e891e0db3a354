package audit

import (
	"fmt"
	"time"
)

// What one secret is used from by one person and those near to him. Phones change
// their address all day, so addresses count least.
const (
	manyAddresses = 64
	manyNetworks  = 25
	manyASNs      = 10
	manyCountries = 3 // within an hour
	sleep         = 30 * day
)

var useChecks = []Check{
	{"access.addresses", "one secret is used from many addresses", Access, Medium, Baseline, of(View.Use, fromManyAddresses)},
	{"access.networks", "one secret is used from many networks", Access, High, Baseline, of(View.Use, fromManyNetworks)},
	{"access.asns", "one secret is used from many providers", Access, High, Baseline, of(View.Use, fromManyASNs)},
	{"access.countries", "one secret is used from several countries within an hour", Access, High, Baseline, of(View.Use, fromManyCountries)},
	{"access.dormant", "a secret that slept is in use", Access, Medium, Baseline, of(View.Use, dormantWoke)},
	{"access.revoked", "a revoked secret is tried", Access, High, Baseline, of(View.Use, revokedTried)},
}

// splits is what is done about a link that went further than it should.
func splits(u KeyUse) string { return "mtguard user rotate " + u.User }

func used(u KeyUse) string { return "key " + u.ID + " of " + u.User }

func fromManyAddresses(f *UseFacts, _ time.Time) []Finding {
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		more := ""
		if u.AtLeast {
			more = "at least "
		}
		return Finding{Subject: used(u), Evidence: fmt.Sprintf("%s%d addresses in a day; %d are usual", more, u.Addresses, manyAddresses), Remedy: splits(u)},
			u.Addresses > manyAddresses
	})
}

func fromManyNetworks(f *UseFacts, _ time.Time) []Finding {
	if f.NoNetworks != nil {
		return []Finding{{Unknown: true, Severity: Low, Subject: "networks of clients", Evidence: f.NoNetworks.Error(), Remedy: `log.address = "truncate" in the configuration`}}
	}
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		return Finding{Subject: used(u), Evidence: fmt.Sprintf("%d networks in a day; %d are usual", u.Networks, manyNetworks), Remedy: splits(u)}, u.Networks > manyNetworks
	})
}

func fromManyASNs(f *UseFacts, _ time.Time) []Finding {
	if f.NoASNs != nil {
		return []Finding{{Unknown: true, Severity: Low, Subject: "providers of clients", Evidence: f.NoASNs.Error(), Remedy: "name a file in access.asn_db of the configuration"}}
	}
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		return Finding{Subject: used(u), Evidence: fmt.Sprintf("%d AS numbers in a day; %d are usual", u.ASNs, manyASNs), Remedy: splits(u)}, u.ASNs > manyASNs
	})
}

func fromManyCountries(f *UseFacts, _ time.Time) []Finding {
	if f.NoCountries != nil {
		return []Finding{{Unknown: true, Severity: Low, Subject: "countries of clients", Evidence: f.NoCountries.Error(), Remedy: "name a file in access.country_db of the configuration"}}
	}
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		return Finding{Subject: used(u), Evidence: fmt.Sprintf("%d countries within an hour, %d in a day", u.Burst, u.Countries), Remedy: splits(u)}, u.Burst >= manyCountries
	})
}

func dormantWoke(f *UseFacts, _ time.Time) []Finding {
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		return Finding{Subject: "user " + u.User, Evidence: "in use since yesterday, after at least " + ago(u.Slept) + " without", Remedy: splits(u)}, u.Woke && u.Slept >= sleep
	})
}

func revokedTried(f *UseFacts, now time.Time) []Finding {
	return each(f.Keys, func(u KeyUse) (Finding, bool) {
		return Finding{
			Subject: used(u), Evidence: fmt.Sprintf("tried from %d addresses in a week, the last time %s ago", u.Tripped, ago(now.Sub(u.LastTrip))),
			Remedy: "mtguard key show " + u.ID + ", and tell " + u.User + " that the old link is known to others",
		}, u.Tripped > 0
	})
}
