package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/control/audit"
	"mtguard/control/preview"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// Around is what audits see that only the node knows. Keys and Policy add to what the
// plane has said. A nil function knows nothing, and what is to be told by it is unknown.
type Around struct {
	Keys   func(*audit.KeyFacts)
	Policy func(*audit.PolicyFacts)
	Load   func(ctx context.Context) (*audit.LoadFacts, error)
	Host   func(ctx context.Context) (*audit.HostFacts, error)
	Site   func(ctx context.Context) (*audit.SiteFacts, error)
}

// auditView is a node as one audit sees it.
type auditView struct {
	p       *Plane
	scanned *recent // connections of the last day, once they were read
	log     *logFacts
}

var errNobodyTells = errors.New("nothing here tells it")

func (v *auditView) Now() time.Time { return v.p.parts.Now() }

func (v *auditView) Host(ctx context.Context) (*audit.HostFacts, error) {
	if v.p.parts.Around.Host == nil {
		return nil, errNobodyTells
	}
	f, err := v.p.parts.Around.Host(ctx)
	if err == nil {
		v.p.mu.Lock()
		f.ClockHeld = v.p.held
		v.p.mu.Unlock()
	}
	return f, err
}

func (v *auditView) Site(ctx context.Context) (*audit.SiteFacts, error) {
	if v.p.parts.Around.Site == nil {
		return nil, errNobodyTells
	}
	return v.p.parts.Around.Site(ctx)
}

func (v *auditView) Load(ctx context.Context) (*audit.LoadFacts, error) {
	if v.p.parts.Around.Load == nil {
		return nil, errNobodyTells
	}
	f, err := v.p.parts.Around.Load(ctx)
	if err != nil {
		return nil, err
	}
	r, err := v.recent(ctx)
	if err != nil {
		return nil, err
	}
	f.Busiest, f.BusiestShare, f.NoNetworks = r.busiest, r.share, r.noNetworks
	return f, nil
}

// Keys are those that work, or are watched.
func (v *auditView) Keys(ctx context.Context) (*audit.KeyFacts, error) {
	p, now := v.p, v.Now()
	log, err := v.readLog(ctx)
	if err != nil {
		return nil, err
	}
	f := &audit.KeyFacts{MasterSince: log.master, StoreSince: log.columns}
	p.mu.Lock()
	f.RotateEvery = time.Duration(p.schedule.Every)
	if p.effective != nil {
		f.MaxAge = p.effective.Authentication.MaxSecretAge
	}
	for _, name := range p.sortedNames("") {
		u := p.names[name]
		for i, g := range p.generations(u.keys) {
			if g.State.Accepted() || g.State == keys.Pending || g.State == keys.Revoked && p.watched(u.keys[i], now) {
				f.Secrets = append(f.Secrets, audit.Secret{
					ID: string(g.ID), User: name, State: g.State.String(), Source: u.keys[i].Source, Created: g.Created, Activated: g.Activated,
					RetireBy: g.RetireBy, NotAfter: g.NotAfter, LastUsed: g.LastUsed, Served: u.standing == 0,
				})
			}
		}
	}
	for _, k := range p.sealKeys {
		f.Sealing = append(f.Sealing, audit.SealKey{ID: string(k.ID), Suite: k.Suite.String(), State: k.State.String(), Created: k.Created, Sealed: log.sealed[string(k.ID)]})
	}
	p.mu.Unlock()
	if p.parts.Around.Keys != nil {
		p.parts.Around.Keys(f)
	}
	return f, nil
}

// logFacts are what the audit log tells of keys, and of itself.
type logFacts struct {
	first           time.Time // the first row
	master, columns time.Time // since when these keys are in use
	sealed          map[string]int64
}

// What rows of interest hold, whatever else does.
var rotations, sealings = []byte(`"key.rotate"`), []byte(`"seal"`)

// readLog reads the audit log once. Only rows that matter are taken apart.
func (v *auditView) readLog(ctx context.Context) (*logFacts, error) {
	if v.log != nil {
		return v.log, nil
	}
	f := &logFacts{sealed: make(map[string]int64)}
	master, columns := RotateMasterKey{}, RotateStoreKey{}
	err := v.p.store.View(ctx, func(tx *store.Tx) error {
		for row, err := range allRows(tx) {
			if err != nil {
				return err
			}
			if !f.first.IsZero() && !bytes.Contains(row.Canonical, rotations) && !bytes.Contains(row.Canonical, sealings) {
				continue
			}
			e, err := row.Entry()
			if err != nil {
				return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
			}
			if f.first.IsZero() {
				f.first = e.Time
			}
			switch {
			case e.Outcome != auditlog.Done:
			case e.Action == "seal":
				f.sealed[e.Object]++
			case e.Action == master.action() && e.Object == master.object():
				f.master = e.Time
			case e.Action == columns.action() && e.Object == columns.object():
				f.columns = e.Time
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	born := f.first
	if born.IsZero() { // nothing was ever done here
		born = v.p.started
	}
	f.master, f.columns = later(f.master, born), later(f.columns, born)
	v.log = f
	return f, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// How far back use is looked at.
const (
	useWindow  = day
	tripWindow = 7 * day
	sleepDays  = 30
)

// Use is what sightings, usage by the day and the record of connections tell.
func (v *auditView) Use(ctx context.Context) (*audit.UseFacts, error) {
	p, now := v.p, v.Now()
	seen, err := v.recent(ctx)
	if err != nil {
		return nil, err
	}
	f := &audit.UseFacts{NoNetworks: seen.noNetworks, NoASNs: seen.noASNs, NoCountries: seen.noCountries}
	var using, tripping map[keys.ID]store.SightingCount
	woke := make(map[int64]bool)
	err = p.store.View(ctx, func(tx *store.Tx) error {
		if using, err = tx.CountSightings(store.SeenUsing, now.Add(-useWindow)); err != nil {
			return err
		}
		if tripping, err = tx.CountSightings(store.SeenRevoked, now.Add(-tripWindow)); err != nil {
			return err
		}
		lately, err := tx.AllUsage(dayOf(now.Add(-day)))
		if err != nil {
			return err
		}
		long, err := tx.AllUsage(dayOf(now.Add(-(sleepDays + 1) * day)))
		for id, used := range lately {
			woke[id] = used == long[id]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range p.sortedNames("") {
		u := p.names[name]
		slept := woke[u.row.ID] && now.Sub(u.row.Created) > (sleepDays+1)*day
		for _, k := range u.keys {
			use := audit.KeyUse{ID: string(k.ID), User: name}
			use.Addresses = using[k.ID].N
			use.AtLeast = use.Addresses >= store.MaxSightings
			if n := seen.keys[string(k.ID)]; n != nil {
				use.Networks, use.ASNs, use.Countries, use.Burst = len(n.networks), len(n.asns), len(n.countries), n.burst()
			}
			if k.State == keys.Revoked {
				use.Tripped, use.LastTrip = tripping[k.ID].N, tripping[k.ID].Last
			}
			if slept && k.State == keys.Active && now.Sub(k.Created) > (sleepDays+1)*day {
				use.Woke, use.Slept = true, sleepDays*day
			}
			if use != (audit.KeyUse{ID: use.ID, User: use.User}) {
				f.Keys = append(f.Keys, use)
			}
		}
	}
	return f, nil
}

// recent is what the record of connections tells of the last day.
type recent struct {
	keys                            map[string]*places
	busiest                         string
	share                           audit.Share
	noNetworks, noASNs, noCountries error
}

// places is where one key was used from.
type places struct {
	networks  map[netip.Prefix]struct{}
	asns      map[uint32]struct{}
	countries map[string]struct{}
	hours     map[int64]map[string]struct{} // countries by half an hour
}

// burst is the most countries within an hour: of two halves that follow each other.
func (s *places) burst() (most int) {
	for half, here := range s.hours {
		n := len(here)
		for country := range s.hours[half+1] {
			if _, both := here[country]; !both {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

var (
	errNoRecords   = errors.New("connections are not recorded")
	errPseudonyms  = errors.New(`connections are recorded under pseudonyms: log.address is "hash"`)
	errNoASNs      = errors.New("no file tells AS numbers: access.asn_db")
	errNoCountries = errors.New("no file tells countries: access.country_db")
)

func (v *auditView) recent(ctx context.Context) (*recent, error) {
	if v.scanned != nil {
		return v.scanned, nil
	}
	p := v.p
	r := &recent{keys: make(map[string]*places)}
	p.mu.Lock()
	geo := p.geo
	p.mu.Unlock()
	if !geo.ASNs() {
		r.noASNs = errNoASNs
	}
	if !geo.Countries() {
		r.noCountries = errNoCountries
	}
	if err := v.readRecords(ctx, r, geo); err != nil {
		return nil, err
	}
	if r.noNetworks != nil {
		r.noASNs, r.noCountries = r.noNetworks, r.noNetworks
	}
	v.scanned = r
	return r, nil
}

func (v *auditView) readRecords(ctx context.Context, r *recent, geo *access.Geo) error {
	if v.p.parts.Records == nil {
		r.noNetworks = errNoRecords
		return nil
	}
	records := v.p.parts.Records(v.Now().Add(-useWindow))
	if records == nil {
		r.noNetworks = errNoRecords
		return nil
	}
	all := make(map[netip.Prefix]int64)
	n := 0
	for c := range records {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if c.Privacy == preview.Pseudonym {
			r.noNetworks = errPseudonyms
			return nil
		}
		network := networkOf(c.Addr)
		if c.Result != stats.ResultRefused || c.User != "" { // it came to a handshake
			all[network]++
			r.share.Whole++
		}
		if c.Key != "" {
			s := r.keys[c.Key]
			if s == nil {
				s = &places{networks: make(map[netip.Prefix]struct{})}
				r.keys[c.Key] = s
			}
			s.see(network, geo, c.At)
		}
	}
	for network, count := range all {
		if count > r.share.Part || count == r.share.Part && network.String() < r.busiest {
			r.busiest, r.share.Part = network.String(), count
		}
	}
	return nil
}

// networkOf is an IPv4 /24 or IPv6 /48, which is what is recorded at most by default.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	network, _ := a.Prefix(bits)
	return network
}

func (s *places) see(network netip.Prefix, geo *access.Geo, at time.Time) {
	s.networks[network] = struct{}{}
	if geo == nil {
		return
	}
	country, asn := geo.Lookup(network.Addr())
	if asn != 0 {
		if s.asns == nil {
			s.asns = make(map[uint32]struct{})
		}
		s.asns[asn] = struct{}{}
	}
	if country == access.UnknownCountry {
		return
	}
	if s.countries == nil {
		s.countries, s.hours = make(map[string]struct{}), make(map[int64]map[string]struct{})
	}
	s.countries[country] = struct{}{}
	half := at.Unix() / 1800
	if s.hours[half] == nil {
		s.hours[half] = make(map[string]struct{})
	}
	s.hours[half][country] = struct{}{}
}

// since is in which mode a control is, and since when as far as audits have seen.
type since struct {
	Mode string    `json:"mode"`
	At   time.Time `json:"at"`
}

// Policy is what is enforced, and since when.
func (v *auditView) Policy(ctx context.Context) (*audit.PolicyFacts, error) {
	p, now := v.p, v.Now()
	_, behind := p.follow(ctx, p.store.Revision())
	log, err := v.readLog(ctx)
	if err != nil {
		return nil, err
	}
	f := &audit.PolicyFacts{Started: p.started, Behind: behind != nil}
	inForce := p.parts.Live.Load()
	p.mu.Lock()
	if now.Before(p.glass) {
		f.GlassUntil = p.glass
	}
	for _, name := range policy.Controls() {
		c := audit.Control{Name: name, Memory: policy.MemoryBound(name)}
		if !c.Memory {
			met, listed := inForce.Controls[name]
			if !listed {
				met = policy.Control{Mode: policy.Monitor}
			}
			c.Declared, c.Effective = p.effective.Control(name).Control.String(), met.String()
		}
		info := ControlInfo{Name: name}
		p.parts.Decisions(&info)
		c.Decided, c.WouldHave = info.Allowed+info.Refused+info.WouldRefuse, info.WouldRefuse
		f.Controls = append(f.Controls, c)
	}
	for _, row := range p.exceptionRows {
		hits, last := p.exceptions.Hits(row.ID)
		f.Exceptions = append(f.Exceptions, audit.Exception{ID: row.ID, Owner: row.Owner, Reason: row.Reason, Created: row.Created, Until: row.Until,
			Hits: row.Hits + hits - p.counted[row.ID], LastHit: last})
	}
	p.mu.Unlock()
	slices.SortFunc(f.Exceptions, func(a, b audit.Exception) int { return strings.Compare(a.ID, b.ID) })
	v.p.dateControls(f, log.first, now)
	if p.parts.Around.Policy != nil {
		p.parts.Around.Policy(f)
	}
	return f, nil
}

// dateControls says since when each control is in its mode. The first audit takes those
// that it finds for as old as the store; from then on a change is noticed.
func (p *Plane) dateControls(f *audit.PolicyFacts, born, now time.Time) {
	a := &p.audits
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.since == nil
	fresh := make(map[string]since, len(f.Controls))
	for i := range f.Controls {
		c := &f.Controls[i]
		if c.Memory {
			continue
		}
		was, seen := a.since[c.Name]
		switch {
		case seen && was.Mode == c.Declared:
		case first && !born.IsZero():
			was = since{Mode: c.Declared, At: born}
		default:
			was = since{Mode: c.Declared, At: now}
		}
		fresh[c.Name], c.Since = was, was.At
	}
	a.since = fresh
}

// keepControls writes down what dateControls knows.
func (p *Plane) keepControls(tx *store.Tx) error {
	p.audits.mu.Lock()
	text, err := json.Marshal(p.audits.since)
	p.audits.mu.Unlock()
	if err != nil {
		return err
	}
	if was, err := tx.Setting(settingControls); err == nil && string(was) == string(text) {
		return nil
	}
	return tx.PutSetting(settingControls, text)
}

// Care is how backups and the audit log are.
func (v *auditView) Care(ctx context.Context) (*audit.CareFacts, error) {
	p := v.p
	log, err := v.readLog(ctx)
	if err != nil {
		return nil, err
	}
	f := &audit.CareFacts{FirstRow: log.first}
	if f.FirstRow.IsZero() {
		f.FirstRow = p.started
	}
	report, err := p.AuditVerify(ctx, scheduleActor)
	if err != nil {
		f.Unverified = err
	} else {
		f.Rows, f.Signed = report.Rows, report.Witnessed
		if !report.OK {
			f.LogProblem = report.Problem
			if f.LogProblem == "" {
				f.LogProblem = strings.Join(report.Refused, "; ")
			}
		}
	}
	v.scan(f)
	err = p.store.View(ctx, func(tx *store.Tx) error {
		text, err := tx.Setting(settingBackup)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			f.LastBackup, err = time.Parse(time.RFC3339, string(text))
		}
		return err
	})
	return f, err
}

var _ audit.View = (*auditView)(nil)
