package audit

import (
	"fmt"
	"time"
)

const (
	oldBackup   = 7 * day
	unsignedRow = 2000 // a checkpoint is signed every thousand
	youngStore  = 7 * day
)

var careChecks = []Check{
	{"care.backup", "there is no backup of late", Host, Medium, Baseline, of(View.Care, backupIsOld)},
	{"care.auditlog", "the audit log does not hold", Policy, Critical, Baseline, of(View.Care, logDoesNotHold)},
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
