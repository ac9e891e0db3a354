package main

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// demoAttackRow is what became of one kind of attack.
type demoAttackRow struct {
	Attack string   `json:"attack"`
	About  string   `json:"about"`
	Tries  int      `json:"tries"`
	Got    []string `json:"got"`
	// LearntNothing is false when a try showed the proxy, or when no try looked as the same
	// bytes do at the site itself. HasKey: a client that must be served, whatever it wears.
	LearntNothing bool   `json:"learnt_nothing"`
	HasKey        bool   `json:"has_key"`
	AsSite        bool   `json:"as_site"` // compared with the site, and the same
	Difference    string `json:"difference,omitempty"`

	observed []tgsim.Observed
	served   bool
	failed   error // of a try that could not be made
}

func (t *demoTally) attack(ctx context.Context, h tgsim.Happening, item *demoItem) {
	p := t.w.probes[h.What]
	row := t.attacks[p.Name]
	if row == nil {
		row = &demoAttackRow{Attack: p.Name, About: p.About, HasKey: p.Served}
		t.attacks[p.Name] = row
	}
	item.About = p.About
	if h.Observed == nil {
		row.failed = h.Err
		item.Proxy, item.Got = "?", "could not be tried"
		return
	}
	o := *h.Observed
	if isReplay(p.Name) && row.Tries == 0 {
		t.w.askSite(ctx, p.Name, tgsim.Replay(o.Sent))
	}
	row.Tries++
	row.served = row.served || o.Served
	const kept = 8
	if len(row.observed) < kept {
		row.observed = append(row.observed, o)
	}
	item.Got = seen(o)
	if !slices.Contains(row.Got, item.Got) {
		row.Got = append(row.Got, item.Got)
	}
	item.OK = p.Served || !o.Served
	item.Proxy, item.Reason = t.verdict(h)
}

// verdict is what the node did to an attacker, and its own word for why.
func (t *demoTally) verdict(h tgsim.Happening) (text, reason string) {
	for _, e := range t.during(h) {
		if e.Kind == event.HandshakeFailed {
			reason = e.Reason
		}
	}
	why := cmp.Or(demoReasons[reason], reason)
	switch {
	case h.Observed.Served:
		return "answers: the secret is right", reason
	case h.Observed.End == tgsim.Ours:
		return "lets it go", reason
	case why == "":
		return "cover site", reason
	}
	return "cover site: " + why, reason
}

// wouldRefuse are the controls that would have refused a connection of this happening.
func (t *demoTally) wouldRefuse(h tgsim.Happening) (controls []string) {
	for _, e := range t.during(h) {
		if e.Kind == event.WouldRefuse && !slices.Contains(controls, e.Control) {
			controls = append(controls, e.Control)
		}
	}
	return controls
}

// during are the node's events about somebody in the time of a happening.
func (t *demoTally) during(h tgsim.Happening) (list []event.Event) {
	addr, ok := t.w.addressOf(h.Who)
	if !ok {
		return nil
	}
	end := h.At.Add(h.Took + demoSettle)
	for _, e := range t.recent[addr] {
		if !e.Time.Before(h.At) && !e.Time.After(end) {
			list = append(list, e)
		}
	}
	return list
}

// demoReasons are the node's words for why a hand-shake failed, in everybody's.
var demoReasons = map[string]string{
	stats.ResultBadSecret.String():  "secret unknown",
	stats.ResultReplay.String():     "seen before",
	stats.ResultClock.String():      "clock is off",
	stats.ResultServerName.String(): "not our name",
	stats.ResultMalformed.String():  "no hello of ours",
	stats.ResultTimeout.String():    "too slow",
	stats.ResultBudget.String():     "too many secrets to try",
	stats.ResultEOF.String():        "broke off",
}

// What a prober can get, in the words of the tables.
const (
	gotAnswer  = "answer" // the proxy's own
	gotPage    = "page"
	gotSite    = "web site"
	gotAlert   = "alert"
	gotError   = "error page"
	gotSilence = "silence"
	gotHangUp  = "hang-up"
	gotNothing = "nothing"
)

// seen says what a prober got.
func seen(o tgsim.Observed) string {
	const alert, handshake = 21, 22
	records, _ := tgsim.Records(o.Bytes)
	switch {
	case o.Served:
		return gotAnswer
	case len(o.Leaf) > 0:
		return gotPage
	case len(records) > 0 && records[0].Type == handshake:
		return gotSite
	case len(records) > 0 && records[0].Type == alert:
		return gotAlert
	case len(o.Bytes) > 0:
		return gotError
	case o.End == tgsim.StaysOpen:
		return gotSilence
	case o.End == tgsim.Ours:
		return gotNothing
	}
	return gotHangUp
}

// attackRows are in the order of tgsim.Probes. Only a kind of which every try differs from the
// site tells something: the scheduler of a busy machine can make one connection end otherwise.
func (t *demoTally) attackRows() []*demoAttackRow {
	var rows []*demoAttackRow
	for _, p := range tgsim.Probes() {
		row := t.attacks[p.Name]
		if row == nil {
			continue
		}
		rows = append(rows, row)
		site, known := t.w.fromSite(p.Name)
		row.AsSite, row.Difference = false, ""
		for _, o := range row.observed {
			if known && !row.HasKey && !row.AsSite {
				row.Difference = tgsim.Diff(site, o, 8)
				row.AsSite = row.Difference == ""
			}
		}
		row.LearntNothing = row.HasKey || !row.served && row.Difference == ""
	}
	return rows
}

// lookAgain repeats the attacks whose outcome differs from the site's, and shows the site the
// very same bytes: what it said to others, sent by somebody else, is no measure.
func (t *demoTally) lookAgain(ctx context.Context) {
	t.w.tasks.Wait()
	var again sync.WaitGroup
	for _, row := range t.attackRows() {
		if row.Difference == "" {
			continue
		}
		again.Go(func() {
			p := t.w.probes[row.Attack]
			o, site, err := p.Compare(ctx, t.w.target(t.w.proxy()), t.w.site.Addr())
			if err != nil {
				return
			}
			t.w.siteSaid(row.Attack, site)
			row.Tries++
			row.served = row.served || o.Served
			row.observed = append(row.observed, o)
		})
	}
	again.Wait()
}

// notTried are the kinds of attack that nobody came to.
func (t *demoTally) notTried() []string {
	var list []string
	for _, p := range tgsim.Probes() {
		if row := t.attacks[p.Name]; t.w.options.attackers > 0 && (row == nil || row.Tries == 0) {
			list = append(list, p.Name)
		}
	}
	return list
}
