package audit

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const day = 24 * time.Hour

// Checks are all checks, in the order in which they are asked: those first that look
// at what is in memory.
func Checks() []Check {
	return slices.Concat(policyChecks, keyChecks, useChecks, loadChecks, careChecks, hostChecks, siteChecks)
}

// of makes a check's Run of a function of one kind of facts. Facts that are not to be
// had make it unknown.
func of[T any](facts func(View, context.Context) (*T, error), find func(*T, time.Time) []Finding) func(context.Context, View) []Finding {
	return func(ctx context.Context, v View) []Finding {
		f, err := facts(v, ctx)
		if err != nil {
			return []Finding{Unknown("the check", err, "see the node's log")}
		}
		return find(f, v.Now())
	}
}

// each makes findings of those of a list that are wrong.
func each[T any](list []T, find func(T) (Finding, bool)) (found []Finding) {
	for _, one := range list {
		if f, wrong := find(one); wrong {
			found = append(found, f)
		}
	}
	return found
}

// single is a finding or none.
func single(wrong bool, f Finding) []Finding {
	if !wrong {
		return nil
	}
	return []Finding{f}
}

// older reports whether something is longer ago than a span. What never was is not.
func older(at, now time.Time, span time.Duration) bool { return !at.IsZero() && now.Sub(at) > span }

// ago is a length of time in whole days, or hours where it is short.
func ago(d time.Duration) string {
	if d < 2*day {
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d d", int(d/day))
}

// date is a day for evidence.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// percent is a share for evidence.
func percent(s Share) string { return fmt.Sprintf("%.1f%%", 100*s.Of()) }
