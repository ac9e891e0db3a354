package audit

import (
	"fmt"
	"strings"
	"time"
)

// Where ordinary days end. Shares of few connections say nothing, so there must be
// some first.
const (
	enough        = 1000 // connections, or handshakes
	manyRefused   = 0.20
	manyFailed    = 0.80
	manyHalfOpen  = 0.80
	fullTable     = 0.90
	busyNetwork   = 0.20
	longOverload  = 5 * time.Minute
	shortestKnown = time.Hour
)

var loadChecks = []Check{
	{"dos.refused", "limits refuse a large share of connections", DoS, Medium, Baseline, of(View.Load, refusedShare)},
	{"dos.denied", "connections were closed to keep within memory", DoS, High, Baseline, of(View.Load, deniedAny)},
	{"dos.failed", "most handshakes lead to nothing", DoS, Low, Baseline, of(View.Load, failedShare)},
	{"dos.halfopen", "handshakes came near to their bound", DoS, Medium, Baseline, of(View.Load, halfOpenRatio)},
	{"dos.overload", "connections were shed for minutes", DoS, High, Baseline, of(View.Load, overloadMinutes)},
	{"dos.tables", "a table of fixed size is full", DoS, Low, Baseline, of(View.Load, tablesFull)},
	{"dos.network", "one network makes most of the handshakes", DoS, Medium, Baseline, of(View.Load, oneNetwork)},
}

// known is a finding unless the node runs too short to tell.
func known(f *LoadFacts, found []Finding) []Finding {
	if f.Window >= shortestKnown || len(found) > 0 {
		return found
	}
	err := fmt.Errorf("the node runs for %v; an hour is needed to tell", f.Window.Round(time.Second))
	return []Finding{{Unknown: true, Severity: Low, Subject: "the last day", Evidence: err.Error(), Remedy: "mtguard audit run --only dos, later"}}
}

func refusedShare(f *LoadFacts, _ time.Time) []Finding {
	return known(f, single(f.Refused.Whole >= enough && f.Refused.Of() > manyRefused, Finding{
		Subject: "limits", Evidence: fmt.Sprintf("%s of %d connections", percent(f.Refused), f.Refused.Whole), Remedy: "mtguard rollout status",
	}))
}

func deniedAny(f *LoadFacts, _ time.Time) []Finding {
	return known(f, single(f.Denied.Part > 0, Finding{
		Subject: "memory bounds", Evidence: fmt.Sprintf("%d of %d connections", f.Denied.Part, f.Denied.Whole),
		Remedy: "raise proxy.max_connections, or enforce rate.accept: mtguard policy mode rate.accept enforce --reason flood",
	}))
}

func failedShare(f *LoadFacts, _ time.Time) []Finding {
	return known(f, single(f.Failed.Whole >= enough && f.Failed.Of() > manyFailed || f.Budget > 0, Finding{
		Subject: "handshakes", Evidence: fmt.Sprintf("%s of %d failed, %d of them for too many secrets to try", percent(f.Failed), f.Failed.Whole, f.Budget),
		Remedy: "mtguard policy mode rate.failures enforce --reason guessing",
	}))
}

func halfOpenRatio(f *LoadFacts, _ time.Time) []Finding {
	return known(f, single(f.HalfOpen.Of() > manyHalfOpen, Finding{
		Subject: "handshakes at once", Evidence: fmt.Sprintf("%d of %d", f.HalfOpen.Part, f.HalfOpen.Whole), Remedy: "raise limits.half_open, or lower proxy.handshake_timeout",
	}))
}

func overloadMinutes(f *LoadFacts, _ time.Time) []Finding {
	return known(f, single(f.Overloaded >= longOverload, Finding{
		Subject: "memory and descriptors", Evidence: fmt.Sprintf("short for %v of the last %v", f.Overloaded.Round(time.Minute), f.Window.Round(time.Minute)),
		Remedy: "more memory, or a higher open-file limit; mtguard policy mode overload.level enforce --reason overload",
	}))
}

func tablesFull(f *LoadFacts, _ time.Time) []Finding {
	return known(f, each(f.Tables, func(t Fill) (Finding, bool) {
		return Finding{Subject: t.Name, Evidence: fmt.Sprintf("%d of %d places", t.Part, t.Whole), Remedy: "mtguard limit check ADDR, for those who complain"}, t.Of() > fullTable
	}))
}

func oneNetwork(f *LoadFacts, _ time.Time) []Finding {
	if f.NoNetworks != nil {
		return []Finding{{Unknown: true, Severity: Low, Subject: "networks of clients", Evidence: f.NoNetworks.Error(), Remedy: `log.address = "truncate" in the configuration`}}
	}
	return single(f.BusiestShare.Whole >= enough && f.BusiestShare.Of() > busyNetwork, Finding{
		Subject: "network " + f.Busiest, Evidence: fmt.Sprintf("%s of %d handshakes", percent(f.BusiestShare), f.BusiestShare.Whole), Remedy: "mtguard access check " + strings.SplitN(f.Busiest, "/", 2)[0],
	})
}
