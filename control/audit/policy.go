package audit

import (
	"fmt"
	"slices"
	"time"
)

const (
	longMonitor  = 30 * day
	longUnhit    = 30 * day
	classicLinks = "classic"
	paddedLinks  = "secure"
	monitorMode  = "monitor"
)

var policyChecks = []Check{
	{"policy.drift", "a control is not as the policy says", Policy, Critical, Baseline, of(View.Policy, drift)},
	{"policy.behind", "the data path is behind the store", Policy, High, Baseline, of(View.Policy, behind)},
	{"policy.reload", "the last reload was refused", Policy, Medium, Baseline, of(View.Policy, reloadRefused)},
	{"policy.monitor", "a control was watched for long and not enforced", Policy, Medium, Baseline, of(View.Policy, stuckInMonitor)},
	{"policy.off", "a control is off", Policy, Low, Baseline, of(View.Policy, controlsOff)},
	{"policy.exception.expired", "an exception is over and still there", Policy, Low, Baseline, of(View.Policy, exceptionsOver)},
	{"policy.exception.owner", "an exception has no owner", Policy, Medium, Baseline, of(View.Policy, exceptionsWithoutOwner)},
	{"policy.exception.unused", "an exception spares nobody", Policy, Low, Baseline, of(View.Policy, exceptionsUnused)},
	{"policy.glass", "the glass is broken: nothing is enforced", Policy, High, Baseline, of(View.Policy, glassBroken)},
	{"policy.transport", "links are served that a censor can tell from a web site", Policy, Medium, Baseline, of(View.Policy, oldTransports)},
}

func drift(f *PolicyFacts, _ time.Time) []Finding {
	return each(f.Controls, func(c Control) (Finding, bool) {
		return Finding{Subject: "control " + c.Name, Evidence: "the policy says " + c.Declared + ", connections meet " + c.Effective, Remedy: "systemctl restart mtguard"},
			!c.Memory && c.Declared != c.Effective
	})
}

func behind(f *PolicyFacts, _ time.Time) []Finding {
	return single(f.Behind, Finding{Subject: "the data path", Evidence: "the store has a change that is not in force", Remedy: "see the node's log; systemctl restart mtguard"})
}

func reloadRefused(f *PolicyFacts, _ time.Time) []Finding {
	return single(f.ConfigError != "", Finding{Subject: "the configuration", Evidence: f.ConfigError, Remedy: "mtguard config check"})
}

func stuckInMonitor(f *PolicyFacts, now time.Time) []Finding {
	return each(f.Controls, func(c Control) (Finding, bool) {
		return Finding{
			Subject:  "control " + c.Name,
			Evidence: fmt.Sprintf("in monitor since %s; of %d decisions it would have refused %d", date(c.Since), c.Decided, c.WouldHave),
			Remedy:   "mtguard rollout next " + c.Name + " --reason \"watched long enough\"",
		}, !c.Memory && c.Declared == monitorMode && older(c.Since, now, longMonitor)
	})
}

func controlsOff(f *PolicyFacts, _ time.Time) []Finding {
	return each(f.Controls, func(c Control) (Finding, bool) {
		return Finding{Subject: "control " + c.Name, Evidence: "it judges nothing and counts nothing", Remedy: "mtguard policy mode " + c.Name + " monitor"}, c.Declared == "off"
	})
}

func exceptionsOver(f *PolicyFacts, now time.Time) []Finding {
	return each(f.Exceptions, func(e Exception) (Finding, bool) {
		return Finding{Subject: "exception " + e.ID, Evidence: "it ended on " + date(e.Until), Remedy: "mtguard policy unexcept " + e.ID}, older(e.Until, now, 0)
	})
}

func exceptionsWithoutOwner(f *PolicyFacts, now time.Time) []Finding {
	return each(f.Exceptions, func(e Exception) (Finding, bool) {
		return Finding{Subject: "exception " + e.ID, Evidence: "nobody answers for it", Remedy: "mtguard policy unexcept " + e.ID + ", and make it anew"},
			e.Owner == "" && !older(e.Until, now, 0)
	})
}

func exceptionsUnused(f *PolicyFacts, now time.Time) []Finding {
	return each(f.Exceptions, func(e Exception) (Finding, bool) {
		idle := e.Created
		switch {
		case !e.LastHit.IsZero():
			idle = e.LastHit
		case e.Hits > 0: // by an earlier process: nothing is known of when
			idle = f.Started
		}
		return Finding{Subject: "exception " + e.ID, Evidence: fmt.Sprintf("made on %s; spared somebody %d times, not since %s", date(e.Created), e.Hits, date(idle)),
			Remedy: "mtguard policy unexcept " + e.ID}, older(idle, now, longUnhit) && !older(e.Until, now, 0)
	})
}

func glassBroken(f *PolicyFacts, now time.Time) []Finding {
	return single(f.GlassUntil.After(now), Finding{
		Subject: "the policy", Evidence: "until " + f.GlassUntil.UTC().Format(time.RFC3339), Remedy: "mtguard policy break-glass --end",
	})
}

func oldTransports(f *PolicyFacts, _ time.Time) []Finding {
	return each(f.Transports, func(name string) (Finding, bool) {
		found := Finding{Subject: "transport " + name, Evidence: "its first bytes are no TLS", Remedy: "take " + name + ` out of proxy.transports; to know first who is hit: [encryption.until] of the policy`}
		if name == paddedLinks {
			found.Severity = Low
		}
		return found, slices.Contains([]string{classicLinks, paddedLinks}, name)
	})
}
