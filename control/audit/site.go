package audit

import (
	"fmt"
	"time"
)

const (
	oldMeasurement = 6 * time.Hour // the node looks every hour
	smallFlight    = 1000          // bytes: a certificate of any authority is longer
	largeFlight    = 14_000        // more than ten packets: a proxy's answer of that length is rare
	enoughDials    = 5
	badDials       = 0.5
)

var siteChecks = []Check{
	{"site.cover", "there is no cover site", Host, High, Baseline, of(View.Site, noCover)},
	{"site.reach", "the cover site cannot be reached by TLS 1.3", Host, High, Baseline, of(View.Site, coverOutOfReach)},
	{"site.group", "the cover site does not take the key exchange that clients offer", Host, Low, Baseline, of(View.Site, coverGroup)},
	{"site.flight", "the cover site's handshake has an unusual size", Host, Low, Baseline, of(View.Site, coverFlight)},
	{"site.name", "the name in links does not lead here", Host, Medium, Baseline, of(View.Site, nameElsewhere)},
	{"site.telegram", "a data centre of Telegram is out of reach", Host, High, Baseline, of(View.Site, dcsOutOfReach)},
}

func noCover(f *SiteFacts, _ time.Time) []Finding {
	return single(f.FakeTLS && f.Address == "", Finding{
		Subject: "cover site", Evidence: "strangers are read and never answered, which a prober can tell from a web site", Remedy: "cover.fall_back_to in the configuration",
	})
}

// covered runs find where there is a site that was measured.
func covered(f *SiteFacts, find func() []Finding) []Finding {
	switch {
	case !f.FakeTLS || f.Address == "":
		return nil
	case f.Tried.IsZero():
		return []Finding{Unknown("cover site "+f.Address, fmt.Errorf("it was not looked at yet"), "mtguard audit run --only site.reach, in a minute")}
	case f.Measured.IsZero():
		return []Finding{Unknown("cover site "+f.Address, fmt.Errorf("it was never measured: %w", f.Err), "see site.reach")}
	}
	return find()
}

func coverOutOfReach(f *SiteFacts, now time.Time) []Finding {
	if !f.FakeTLS || f.Address == "" {
		return nil
	}
	wrong := Finding{Subject: "cover site " + f.Address, Remedy: "openssl s_client -tls1_3 -connect " + f.Address + " -servername " + f.Name}
	switch {
	case f.Err != nil:
		wrong.Evidence = f.Err.Error()
		return []Finding{wrong}
	case f.Tried.IsZero():
		return []Finding{Unknown(wrong.Subject, fmt.Errorf("it was not looked at yet"), "mtguard audit run --only site.reach, in a minute")}
	case older(f.Measured, now, oldMeasurement):
		wrong.Evidence = "last measured " + ago(now.Sub(f.Measured)) + " ago"
		return []Finding{wrong}
	}
	return nil
}

func coverGroup(f *SiteFacts, _ time.Time) []Finding {
	return covered(f, func() []Finding {
		return single(!f.Hybrid, Finding{
			Subject: "cover site " + f.Address, Evidence: "it chose " + f.Group + "; clients offer X25519MLKEM768 first, and most large sites take it",
			Remedy: "a site whose server is newer, or a newer server",
		})
	})
}

func coverFlight(f *SiteFacts, _ time.Time) []Finding {
	return covered(f, func() []Finding {
		return single(f.Flight < smallFlight || f.Flight > largeFlight, Finding{
			Subject: "cover site " + f.Address, Evidence: fmt.Sprintf("%d bytes; %d to %d are usual", f.Flight, smallFlight, largeFlight), Remedy: "another site, or another certificate",
		})
	})
}

func nameElsewhere(f *SiteFacts, _ time.Time) []Finding {
	if !f.FakeTLS || f.Name == "" {
		return nil
	}
	subject := "server name " + f.Name
	if f.NoNames != nil {
		return []Finding{Unknown(subject, f.NoNames, "dig "+f.Name)}
	}
	return single(!overlap(f.Names, f.Own), Finding{
		Subject: subject, Evidence: fmt.Sprintf("DNS says %v, this machine is %v; a censor can ask too", f.Names, f.Own), Remedy: "a name of your own that points here in cover.domains",
	})
}

func dcsOutOfReach(f *SiteFacts, _ time.Time) []Finding {
	return each(f.DCs, func(d DC) (Finding, bool) {
		all := Share{d.Failed, d.OK + d.Failed}
		return Finding{
			Subject: "data centre " + d.Name, Evidence: fmt.Sprintf("%d of %d attempts failed in a day", d.Failed, all.Whole), Remedy: "look at the way to Telegram: upstream.prefer, upstream.socks5",
		}, all.Whole >= enoughDials && all.Of() > badDials
	})
}
