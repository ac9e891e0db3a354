package audit

import (
	"fmt"
	"time"
)

const (
	rotationAge  = 180 * day // of a secret while nothing says how old one may be
	unusedAge    = 30 * day
	masterAge    = 365 * day
	storeKeyAge  = 365 * day
	certificate  = 21 * day // what is left of one whose renewal should have happened
	overdueGrace = time.Hour
	// shortNonces is how many blobs a key of AES-GCM seals at most, as if its nonces
	// of 96 bits were drawn: NIST SP 800-38D, 8.3, takes 2^32 as the end. Blobs of
	// ours derive a key each, so this is a margin of a margin.
	shortNonces = 1 << 30
)

var keyChecks = []Check{
	{"keys.rotation", "a secret is older than it may be", Keys, Medium, Baseline, of(View.Keys, secretsPastRotation)},
	{"keys.expired", "a secret works beyond its end", Keys, High, Baseline, of(View.Keys, secretsPastEnd)},
	{"keys.retiring", "an old secret works beyond its overlap", Keys, High, Baseline, of(View.Keys, secretsPastOverlap)},
	{"keys.unused", "a secret was never used", Keys, Low, Baseline, of(View.Keys, secretsNeverUsed)},
	{"keys.inline", "a secret stands in the configuration file", Keys, Low, Baseline, of(View.Keys, secretsInline)},
	{"keys.schedule", "secrets do not rotate by themselves", Keys, Low, Baseline, of(View.Keys, noSchedule)},
	{"keys.master", "the master key is old", Keys, Medium, Baseline, of(View.Keys, masterIsOld)},
	{"keys.store", "the store's key is old", Keys, Low, Baseline, of(View.Keys, storeKeyIsOld)},
	{"keys.aead", "a key for sealing has sealed very much", Keys, High, Baseline, of(View.Keys, sealedTooMuch)},
	{"keys.certificate", "a certificate ends soon", Keys, High, Baseline, of(View.Keys, certificateEnds)},
}

func works(s Secret) bool { return s.State == "active" || s.State == "retiring" }

func secretsPastRotation(f *KeyFacts, now time.Time) []Finding {
	most, says := f.MaxAge, "authentication.max_secret_age of the policy"
	if most == 0 && f.RotateEvery > 0 {
		most, says = f.RotateEvery+day, "the schedule" // a day for its window
	}
	if most == 0 {
		most, says = rotationAge, "what is usual"
	}
	return each(f.Secrets, func(s Secret) (Finding, bool) {
		born := s.Activated
		if born.IsZero() {
			born = s.Created
		}
		return Finding{
			Subject:  "key " + s.ID + " of " + s.User,
			Evidence: fmt.Sprintf("in use since %s, for %s; the most is %s, by %s", date(born), ago(now.Sub(born)), ago(most), says),
			Remedy:   rotateCommand(s),
		}, s.State == "active" && older(born, now, most)
	})
}

// rotateCommand gives a user another secret; one of the file is the file's.
func rotateCommand(s Secret) string {
	if s.Source == "file" {
		return "change the secret of " + s.User + " in the configuration: mtguard generate-secret"
	}
	return "mtguard user rotate " + s.User
}

func secretsPastEnd(f *KeyFacts, now time.Time) []Finding {
	return each(f.Secrets, func(s Secret) (Finding, bool) {
		return Finding{
			Subject: "key " + s.ID + " of " + s.User, Evidence: "it should have ended on " + date(s.NotAfter) + " and is " + s.State,
			Remedy: "mtguard key revoke " + s.ID + " --reason expired",
		}, works(s) && older(s.NotAfter, now, overdueGrace)
	})
}

func secretsPastOverlap(f *KeyFacts, now time.Time) []Finding {
	return each(f.Secrets, func(s Secret) (Finding, bool) {
		return Finding{
			Subject: "key " + s.ID + " of " + s.User, Evidence: "its overlap ended on " + date(s.RetireBy) + " and it still works",
			Remedy: "mtguard key revoke " + s.ID + " --reason \"overlap is over\"",
		}, s.State == "retiring" && older(s.RetireBy, now, overdueGrace)
	})
}

func secretsNeverUsed(f *KeyFacts, now time.Time) []Finding {
	return each(f.Secrets, func(s Secret) (Finding, bool) {
		return Finding{
			Subject: "key " + s.ID + " of " + s.User, Evidence: "made on " + date(s.Created) + " and not used since",
			Remedy: "mtguard user disable " + s.User,
		}, s.State == "active" && s.Served && s.LastUsed.IsZero() && older(s.Created, now, unusedAge)
	})
}

func secretsInline(f *KeyFacts, _ time.Time) []Finding {
	return each(f.Secrets, func(s Secret) (Finding, bool) {
		return Finding{
			Subject: "user " + s.User, Evidence: "copies and backups of the file hold the secret",
			Remedy: "put it into a file of its own and name that in secret_file, or make the user with mtguard user add",
		}, s.Inline && works(s)
	})
}

func noSchedule(f *KeyFacts, _ time.Time) []Finding {
	managed := false
	for _, s := range f.Secrets {
		managed = managed || works(s) && s.Source != "file"
	}
	return single(managed && f.RotateEvery == 0, Finding{
		Subject: "the schedule", Evidence: "key schedule says never", Remedy: "mtguard key schedule --every 90d --overlap 14d",
	})
}

func masterIsOld(f *KeyFacts, now time.Time) []Finding {
	if f.MasterSince.IsZero() {
		return []Finding{Unknown("master key", errUnknownAge, "mtguard key rotate --master")}
	}
	return single(older(f.MasterSince, now, masterAge), Finding{
		Subject: "master key", Evidence: "in use since " + date(f.MasterSince), Remedy: "mtguard key rotate --master",
	})
}

func storeKeyIsOld(f *KeyFacts, now time.Time) []Finding {
	if f.StoreSince.IsZero() {
		return []Finding{Unknown("store's key", errUnknownAge, "mtguard key rotate --store")}
	}
	return single(older(f.StoreSince, now, storeKeyAge), Finding{
		Subject: "store's key", Evidence: "in use since " + date(f.StoreSince), Remedy: "mtguard key rotate --store",
	})
}

var errUnknownAge = fmt.Errorf("nothing tells since when it is in use")

func sealedTooMuch(f *KeyFacts, _ time.Time) []Finding {
	return each(f.Sealing, func(k SealKey) (Finding, bool) {
		return Finding{
			Subject: "key " + k.ID, Evidence: fmt.Sprintf("it has sealed %d blobs", k.Sealed), Remedy: "mtguard key rotate --seal",
		}, k.State == "active" && k.Sealed > shortNonces
	})
}

func certificateEnds(f *KeyFacts, now time.Time) []Finding {
	return each(f.Certificates, func(c Certificate) (Finding, bool) {
		if c.Err != nil {
			return Unknown("certificate of "+c.Name, c.Err, "make "+c.Path+" readable for the node"), true
		}
		left := c.NotAfter.Sub(now)
		f := Finding{
			Subject: "certificate of " + c.Name, Evidence: fmt.Sprintf("%s ends on %s", c.Path, date(c.NotAfter)),
			Remedy: "renew " + c.Path,
		}
		if left <= 0 {
			f.Severity = Critical
		}
		return f, left < certificate
	})
}
