package stats

import "time"

// AuditFindings returns the family of what audits found. counts is by severity; its keys are low, medium, high, critical and unknown.
func AuditFindings(counts func() map[string]int) Family {
	return Family{
		Name: "audit_findings", Help: "Findings of audits that are not fixed and whose risk nobody accepted; unknown are checks that could not be made.",
		Labels: []string{"severity"},
		Collect: func(emit func(float64, ...string)) {
			for severity, n := range counts() {
				emit(float64(n), severity)
			}
		},
	}
}

// AuditLastSuccess returns the family of when the last audit came to its end; nothing before the first.
func AuditLastSuccess(last func() time.Time) Family {
	return Family{
		Name: "audit_last_success_timestamp_seconds", Help: "When an audit of all checks last came to its end.",
		Collect: func(emit func(float64, ...string)) {
			if at := last(); !at.IsZero() {
				emit(time.Duration(at.UnixNano()).Seconds())
			}
		},
	}
}
