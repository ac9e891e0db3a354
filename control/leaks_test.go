package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/keys"
)

func (b *bench) leak(user string) LeakReport {
	b.t.Helper()
	r, err := b.Leak(context.Background(), user)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// leakFound has a finding about a user's secret, as the detectors make it, and returns its incident.
func (b *bench) leakFound(detector string, key keys.ID, user string) IncidentInfo {
	b.t.Helper()
	n := threat.Note{Detector: detector, Subject: "key " + string(key), Key: string(key), User: user, Severity: threat.High,
		First: b.clock(), Last: b.clock(), Count: 1, Evidence: "seen", Action: "for a person to judge"}
	if err := b.NoteIncidents(context.Background(), []threat.Note{n}); err != nil {
		b.t.Fatal(err)
	}
	for _, i := range b.incidents(IncidentOpen) {
		if i.Key == string(key) {
			info, err := b.Incident(context.Background(), i.ID)
			if err != nil {
				b.t.Fatal(err)
			}
			return info
		}
	}
	b.t.Fatalf("there is no incident about key %s", key)
	return IncidentInfo{}
}

// TestALeakIsSplit: each holder has a secret of his own with what the leaked user had; that works for a while, and is a tripwire then.
func TestALeakIsSplit(t *testing.T) {
	b := newBench(t)
	expires := b.clock().Add(90 * day)
	b.apply(AddUser{Name: "family", Level: access.ReadOnly, Expires: expires, Quota: Quota{5 << 30, "month"}, MaxConnections: 7, MaxAddresses: 3,
		Domain: "www.example.com", Note: "the Smiths"}, Options{})
	b.apply(SetUser{Name: "family", Disabled: new(true)}, Options{})
	b.apply(SetUser{Name: "family", Disabled: new(false)}, Options{})
	old := b.active("family")
	incident := b.leakFound("key_fanout", old.ID(), "family")
	r := b.apply(SplitLeak{User: "family", Holders: []string{"anna", "ben", "family"}, Incident: incident.ID}, Options{Reason: "in a channel"})
	if r.Affected != 3 || len(r.Links) != 3 || r.Leak == nil || r.Leak.User != "family" || r.Leak.Key != old.ID() || len(r.Leak.Holders) != 3 {
		t.Fatalf("%+v", r)
	}
	if old.State() != keys.Retiring {
		t.Errorf("the leaked secret is %v", old.State())
	}
	ids := map[keys.ID]bool{old.ID(): true}
	for _, name := range []string{"anna", "ben", "family"} {
		u := b.user(name)
		if ids[u.Key] || u.Key == "" {
			t.Errorf("%s has the key %s of somebody else", name, u.Key)
		}
		ids[u.Key] = true
		if u.Level != access.ReadOnly || u.Expires == nil || !u.Expires.Equal(expires) || u.Quota == nil || u.Quota.Bytes != 5<<30 || u.MaxConnections != 7 ||
			u.MaxAddresses != 3 || u.Domain != "www.example.com" || u.Note != "the Smiths" || u.Disabled {
			t.Errorf("%s: %+v", name, u)
		}
		if !slices.ContainsFunc(r.Links, func(l Link) bool { return l.User == name }) {
			t.Errorf("no link of %s is handed out", name)
		}
	}
	if r.Incident == nil || r.Incident.State != IncidentContained {
		t.Errorf("incident %+v", r.Incident)
	}
	after, err := b.Incident(context.Background(), incident.ID)
	if last := after.Timeline[len(after.Timeline)-1]; err != nil || !strings.Contains(last.What, "anna, ben, family") || !strings.Contains(last.What, "in a channel") || last.By != "uid 0" {
		t.Errorf("%+v, %v", after.Timeline, err)
	}
	rows, err := b.AuditTail(context.Background(), operator, 1, 0)
	if err != nil || rows[0].Action != "leak.split" || rows[0].Object != "user family" || rows[0].Reason != "in a channel" || !strings.Contains(fmt.Sprint(rows[0].Details), "anna ben family") {
		t.Errorf("%+v, %v", rows, err)
	}
	b.pass(day - time.Minute)
	if old.State() != keys.Retiring {
		t.Errorf("within the overlap the leaked secret is %v", old.State())
	}
	b.pass(time.Minute)
	set := b.live.Load().Keys
	if i, known := set.ByID(old.ID()); old.State() != keys.Revoked || !known || i < set.Accepted() {
		t.Errorf("after the overlap the leaked secret is %v, and watched: %v", old.State(), known)
	}
	b.restart()
	if leaks, next, err := b.Leaks(context.Background(), LeakFilter{}); err != nil || next != 0 || len(leaks) != 1 || leaks[0].KeyState != "revoked" || len(leaks[0].Holders) != 3 {
		t.Errorf("after a restart: %+v, %v", leaks, err)
	}
}

// TestALeakIsSplitAtOnce: with Now the leaked secret, and what else the user had, is refused when Apply returns.
func TestALeakIsSplitAtOnce(t *testing.T) {
	b := newBench(t)
	first := b.add("family")
	b.apply(RotateKeys{User: "family"}, Options{})
	second := b.active("family")
	b.apply(RotateKeys{User: "family", At: b.clock().Add(day)}, Options{})
	lease, _ := second.Acquire()
	would := b.apply(SplitLeak{User: "family", Count: 2, Now: true}, Options{Reason: "sold", DryRun: true})
	if would.Ended != 1 || !would.DryRun || len(would.Links) != 0 || !strings.Contains(would.Summary, "cuts 1 session off") {
		t.Errorf("a dry run: %+v", would)
	}
	if users, _, _ := b.Users(context.Background(), UserFilter{}); len(users) != 2 || second.State() != keys.Active {
		t.Fatalf("a dry run leaves %d users and a key that is %v", len(users), second.State())
	}
	lease.Release()
	b.add("family-1")
	r := b.apply(SplitLeak{User: "family", Count: 2, Now: true}, Options{Reason: "sold"})
	if first.State() != keys.Revoked || second.State() != keys.Revoked {
		t.Errorf("the old ones are %v and %v", first.State(), second.State())
	}
	if _, ok := second.Acquire(); ok {
		t.Error("the leaked secret is accepted")
	}
	if u := b.user("family"); u.Key != "" || u.Rotates != nil {
		t.Errorf("the leaked user: %+v", u)
	}
	var names []string
	for _, h := range r.Leak.Holders {
		names = append(names, h.User)
	}
	if strings.Join(names, " ") != "family-2 family-3" {
		t.Errorf("holders %v", names)
	}
	b.pass(2 * day)
	if u := b.user("family"); u.Key != "" {
		t.Errorf("later the leaked user has the key %s", u.Key)
	}
}

// TestASplitThatIsRefusedChangesNothing.
func TestASplitThatIsRefusedChangesNothing(t *testing.T) {
	b := newBench(t)
	b.mustLoad(Declared{"filed", secretOf(t, "")})
	key := b.add("family")
	b.add("anna")
	b.add("carl")
	about := b.leakFound("key_fanout", b.active("anna").ID(), "anna")
	closed := b.leakFound("key_fanout", key.ID(), "family")
	b.apply(MoveIncident{ID: closed.ID, To: IncidentResolved}, Options{})
	long := make([]string, MaxHolders+1)
	for i := range long {
		long[i] = fmt.Sprint("h", i)
	}
	why := Options{Reason: "it leaked"}
	before := b.store.Revision()
	for name, c := range map[string]struct {
		kind Kind
		c    SplitLeak
		o    Options
		says string
	}{
		"no reason":             {Invalid, SplitLeak{User: "family", Count: 2}, Options{}, "reason"},
		"nobody":                {NotFound, SplitLeak{User: "nobody", Count: 2}, why, "nobody"},
		"no holders":            {Invalid, SplitLeak{User: "family"}, why, "name the holders"},
		"holders both ways":     {Invalid, SplitLeak{User: "family", Count: 2, Holders: []string{"x"}}, why, "name the holders"},
		"fewer than none":       {Invalid, SplitLeak{User: "family", Count: -1}, why, "holders"},
		"too many":              {Invalid, SplitLeak{User: "family", Holders: long}, why, "101 holders"},
		"too many by count":     {Invalid, SplitLeak{User: "family", Count: MaxHolders + 1}, why, "101 holders"},
		"a name that is none":   {Invalid, SplitLeak{User: "family", Holders: []string{"x", "y z"}}, why, "y z"},
		"a name twice":          {Invalid, SplitLeak{User: "family", Holders: []string{"x", "x"}}, why, "twice"},
		"names that are taken":  {Exists, SplitLeak{User: "family", Holders: []string{"x", "carl", "anna"}}, why, "carl, anna"},
		"overlap and now":       {Invalid, SplitLeak{User: "family", Count: 2, Now: true, Overlap: new(Duration(day))}, why, "exclude"},
		"no overlap":            {Invalid, SplitLeak{User: "family", Count: 2, Overlap: new(Duration(0))}, why, "overlap"},
		"too long an overlap":   {Invalid, SplitLeak{User: "family", Count: 2, Overlap: new(Duration(91 * day))}, why, "overlap"},
		"a user of the file":    {Refused, SplitLeak{User: "filed", Count: 2}, why, "configuration file"},
		"itself, of the file":   {Refused, SplitLeak{User: "filed", Holders: []string{"filed"}, Now: true}, why, "configuration file"},
		"another's incident":    {Invalid, SplitLeak{User: "family", Count: 2, Incident: about.ID}, why, "no secret of user family"},
		"an incident of before": {Refused, SplitLeak{User: "family", Count: 2, Incident: closed.ID}, why, "resolved already"},
		"no such incident":      {NotFound, SplitLeak{User: "family", Count: 2, Incident: "i0"}, why, "i0"},
		"a stale revision":      {Stale, SplitLeak{User: "family", Count: 2}, Options{Reason: "x", IfRevision: 1}, "revision"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := b.refuses(c.kind, c.c, c.o); !strings.Contains(e.Text, c.says) {
				t.Errorf("it says %q", e.Text)
			}
		})
	}
	if _, err := b.Apply(context.Background(), Actor{Name: "uid 7", Level: access.Standard}, SplitLeak{User: "family", Count: 2}, why); err == nil {
		t.Error("somebody without the level may split")
	}
	users, _, err := b.Users(context.Background(), UserFilter{})
	if err != nil || len(users) != 4 || key.State() != keys.Active {
		t.Errorf("%d users, %v; the key is %v; revision %d, before %d", len(users), err, key.State(), b.store.Revision(), before)
	}
	// Half way: the links of the third one cannot be made.
	made := 0
	whole := b.parts.Links
	b.parts.Links = func(user string, secret keys.Secret) ([]Link, error) {
		if made++; made == 3 {
			return nil, errors.New("no")
		}
		return whole(user, secret)
	}
	if _, err := b.Apply(context.Background(), operator, SplitLeak{User: "family", Count: 4, Now: true}, why); err == nil {
		t.Fatal("it worked")
	}
	b.parts.Links = whole
	b.restart()
	if users, _, err = b.Users(context.Background(), UserFilter{}); err != nil || len(users) != 4 || b.user("family").Key != key.ID() || len(b.leak("family").Splits) != 0 {
		t.Errorf("after half a split: %d users, %v", len(users), err)
	}
}

// TestThreeSecretsThatWorkAreTooManyToSplit, as they are to rotate, until the oldest is ended.
func TestThreeSecretsThatWorkAreTooManyToSplit(t *testing.T) {
	b := newBench(t)
	oldest := b.add("family")
	b.apply(RotateKeys{User: "family"}, Options{})
	b.apply(RotateKeys{User: "family"}, Options{})
	c := SplitLeak{User: "family", Count: 1, Overlap: new(Duration(time.Hour))}
	b.refuses(Refused, c, Options{Reason: "x"})
	b.apply(c, Options{Reason: "x", Force: true})
	if oldest.State() != keys.Retired {
		t.Errorf("the oldest is %v", oldest.State())
	}
	b.pass(time.Hour)
	for _, k := range b.live.Load().Keys.KeysOf("family") {
		if k.State() != keys.Revoked {
			t.Errorf("after the overlap a secret is %v", k.State())
		}
	}
}

// TestARepeatedSplitIsNone: the links are not in what is remembered.
func TestARepeatedSplitIsNone(t *testing.T) {
	b := newBench(t)
	b.add("family")
	c, o := SplitLeak{User: "family", Count: 2}, Options{Reason: "x", IdempotencyKey: "k"}
	b.apply(c, o)
	if r := b.apply(c, o); !r.Repeated || len(r.Links) != 0 || r.Leak == nil || len(r.Leak.Holders) != 2 {
		t.Errorf("%+v", r)
	}
	if users, _, _ := b.Users(context.Background(), UserFilter{}); len(users) != 4 { // with the one of the start
		t.Errorf("%d users", len(users))
	}
	b.refuses(Invalid, SplitLeak{User: "family", Count: 3}, o)
}

// TestTheNextLeakTellsWhoseItIs: finding, incident and report name the holder and where his secret came from; splitting again keeps the chain.
func TestTheNextLeakTellsWhoseItIs(t *testing.T) {
	b := newBench(t)
	root := b.add("family").ID()
	b.apply(SplitLeak{User: "family", Holders: []string{"anna", "ben"}, Now: true}, Options{Reason: "a channel"})
	anna := b.active("anna").ID()
	n := b.leakFound("key_fanout", anna, "anna")
	if len(n.Lineage) != 1 || n.Lineage[0].User != "anna" || n.Lineage[0].From != "family" || n.Lineage[0].FromKey != root || n.Lineage[0].By != "uid 0" ||
		!strings.Contains(n.Timeline[0].What, "user anna got this secret in the place of family's, "+string(root)) {
		t.Errorf("%+v", n)
	}
	holders := b.leak("family").Splits[0].Holders
	if len(holders) != 2 || holders[0].User != "anna" || len(holders[0].Incidents) != 1 || holders[0].Incidents[0] != n.ID || len(holders[1].Incidents) != 0 {
		t.Errorf("of whom anna leaks: %+v", holders)
	}
	b.apply(SplitLeak{User: "anna", Holders: []string{"anna", "anna-laptop"}, Now: true, Incident: n.ID}, Options{Reason: "again"})
	b.active("anna-laptop").Trips()
	next := b.leakFound("key_fanout", b.active("anna-laptop").ID(), "anna-laptop")
	if len(next.Lineage) != 2 || next.Lineage[0].From != "anna" || next.Lineage[1].From != "family" || !strings.Contains(LineageText(next.Lineage), "which came from family") {
		t.Errorf("the chain: %+v", next.Lineage)
	}
	if own := b.leak("anna"); len(own.Lineage) != 1 || own.Lineage[0].From != "family" || len(own.Splits) != 1 || len(own.Incidents) != 1 {
		t.Errorf("who kept the name: %+v", own)
	}
	// A revoked secret of a holder that is used again.
	laptop := b.active("anna-laptop")
	b.apply(RevokeKey{ID: laptop.ID(), Replace: true}, Options{Reason: "it goes on"})
	laptop.Trips().See(home, b.clock())
	trip := b.leakFound("tripwire", laptop.ID(), "anna-laptop")
	if len(trip.Lineage) != 2 {
		t.Errorf("of a tripwire: %+v", trip.Lineage)
	}
	var tripped HolderInfo
	for _, h := range b.leak("anna").Splits[0].Holders {
		if h.User == "anna-laptop" {
			tripped = h
		}
	}
	if tripped.Tripped != 1 || len(tripped.Incidents) != 2 {
		t.Errorf("%+v", tripped)
	}
	b.parts.Threat = foundAbout{{Detector: "tripwire", Key: string(laptop.ID()), User: "anna-laptop"}, {Detector: "key_fanout", Key: "00", User: "nobody"}, {Detector: "replay"}}
	found, err := b.ThreatFindings(context.Background(), 9)
	if err != nil || !strings.Contains(found[0].Lineage, "anna's") || found[1].Lineage != "" || found[2].Lineage != "" {
		t.Errorf("findings %+v, %v", found, err)
	}
	b.apply(RemoveUser{Name: "anna-laptop"}, Options{Reason: "enough"})
	if h := b.leak("anna").Splits[0].Holders[1]; !h.Gone || len(h.Incidents) != 0 {
		t.Errorf("a holder who was removed: %+v", h)
	}
	if _, err := b.Leak(context.Background(), "anna-laptop"); err == nil {
		t.Error("nobody is shown")
	}
}

// foundAbout is an engine that found something.
type foundAbout []threat.Finding

func (foundAbout) Status() threat.Standing              { return threat.Standing{} }
func (f foundAbout) Findings(most int) []threat.Finding { return slices.Clone(f) }

// TestLeaksAreListedInPages.
func TestLeaksAreListedInPages(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		name := fmt.Sprint("u", i)
		b.add(name)
		b.apply(SplitLeak{User: name, Count: 1}, Options{Reason: "x"})
	}
	var got []string
	for f := (LeakFilter{Limit: 2}); ; {
		items, next, err := b.Leaks(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range items {
			got = append(got, l.User)
		}
		if f.After = next; next == 0 {
			break
		}
	}
	if strings.Join(got, " ") != "u4 u3 u2 u1 u0" {
		t.Errorf("%v", got)
	}
}
