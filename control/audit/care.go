package audit

import (
	"fmt"
	"time"
)

const (
	oldBackup   = 7 * day
	unsignedRow = 2000 // a checkpoint is signed every thousand
	youngStore  = 7 * day
	oldScan     = 31 * day
)

var careChecks = []Check{
	{"care.backup", "there is no backup of late", Host, Medium, Baseline, of(View.Care, backupIsOld)},
	{"care.auditlog", "the audit log does not hold", Policy, Critical, Baseline, of(View.Care, logDoesNotHold)},
	{"care.vulnerable", "code with a known vulnerability is in the program", Host, High, Baseline, of(View.Care, vulnerable)},
	{"care.unsigned", "rows of the audit log are not signed", Policy, Medium, Baseline, of(View.Care, rowsUnsigned)},
}

func backupIsOld(f *CareFacts, now time.Time) []Finding {
	wrong := Finding{Subject: "backup", Evidence: "there was never one", Remedy: "mtguard backup create -o FILE"}
	if f.LastBackup.IsZero() {
		if f.FirstRow.IsZero() {
			return []Finding{Unknown("backup", fmt.Errorf("nothing tells how old the store is"), wrong.Remedy)}
		}
		return single(older(f.FirstRow, now, youngStore), wrong)
	}
	wrong.Evidence = "the last one is of " + date(f.LastBackup)
	return single(older(f.LastBackup, now, oldBackup), wrong)
}

func logDoesNotHold(f *CareFacts, _ time.Time) []Finding {
	if f.Unverified != nil {
		return []Finding{Unknown("audit log", f.Unverified, "mtguard auditlog verify")}
	}
	return single(f.LogProblem != "", Finding{Subject: "audit log", Evidence: f.LogProblem, Remedy: "mtguard auditlog verify; restore a backup of before"})
}

func rowsUnsigned(f *CareFacts, _ time.Time) []Finding {
	return single(f.Rows-f.Signed > unsignedRow, Finding{Subject: "audit log", Evidence: fmt.Sprintf("%d of %d rows", f.Rows-f.Signed, f.Rows), Remedy: "see the node's log"})
}

func vulnerable(f *CareFacts, now time.Time) []Finding {
	const remedy = "name a source in [advisory], and the node looks every day; mtguard crypto status"
	switch {
	case f.Unscanned != nil:
		return []Finding{Unknown("program", f.Unscanned, remedy)}
	case older(f.Scanned, now, oldScan):
		return []Finding{Unknown("program", fmt.Errorf("it was last looked at on %s", date(f.Scanned)), remedy)}
	}
	return each(f.Vulnerable, func(x Vulnerable) (Finding, bool) {
		found := Finding{Subject: x.Module + " " + x.ID, Evidence: x.Version + ", and its code is in the program", Remedy: "no version mends it yet: mtguard crypto check says more"}
		if x.Summary != "" {
			found.Evidence += ": " + x.Summary
		}
		if x.Fixed != "" {
			found.Remedy = "update mtguard to a build with " + x.Module + " " + x.Fixed + ": mtguard update check"
		}
		return found, true
	})
}
