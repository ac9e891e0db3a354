package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/control"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// demoItem is a happening with the node's part of it.
type demoItem struct {
	Demo      bool      `json:"demo"`
	Kind      string    `json:"kind"` // "happening"
	Time      time.Time `json:"time"`
	Who       string    `json:"who"`
	Attacker  bool      `json:"attacker"`
	What      string    `json:"what"`
	About     string    `json:"about,omitempty"`
	Bytes     int64     `json:"bytes,omitempty"`
	Transport string    `json:"transport,omitempty"`
	DC        int       `json:"dc,omitempty"`
	// Proxy is what the node did, Reason its own word for why.
	Proxy       string   `json:"proxy"`
	Reason      string   `json:"reason,omitempty"`
	WouldRefuse []string `json:"would_refuse,omitempty"`
	// Got is what a user or an attacker had of it.
	Got    string  `json:"got"`
	OK     bool    `json:"ok"`
	TookMS float64 `json:"took_ms"`
	Error  string  `json:"error,omitempty"`
}

// demoUserRow is what became of one user.
type demoUserRow struct {
	User      string `json:"user"`
	Transport string `json:"transport"`
	DC        int    `json:"dc"`
	Sessions  int    `json:"sessions"`
	Acts      int    `json:"acts"`
	// Down and Up are the node's count of what it relayed.
	Down   int64 `json:"down"`
	Up     int64 `json:"up"`
	Errors int   `json:"errors"`

	served bool
	failed error // the last of them
}

// demoSums are the running sums, mostly the node's own counters.
type demoSums struct {
	Open        int64          `json:"open"`
	Sessions    uint64         `json:"sessions"`
	Relayed     int64          `json:"relayed"`
	Covered     int64          `json:"covered"` // strangers shown the cover site
	Replays     uint64         `json:"replays"`
	WouldRefuse map[string]int `json:"would_refuse"`
	Missed      uint64         `json:"missed_events"`
}

// demoTally joins what people report with what the node says. One goroutine uses it.
type demoTally struct {
	w        *demoWorld
	users    []*demoUserRow
	byUser   map[string]*demoUserRow
	attacks  map[string]*demoAttackRow
	covered  int64
	recent   map[netip.Addr][]event.Event
	sessions map[string]event.Event // the last Authenticated of a user
	found    []control.IncidentInfo // at the end
}

func newDemoTally(w *demoWorld) *demoTally {
	t := &demoTally{w: w, byUser: make(map[string]*demoUserRow), attacks: make(map[string]*demoAttackRow),
		recent: make(map[netip.Addr][]event.Event), sessions: make(map[string]event.Event)}
	for _, u := range append(w.users[:len(w.users):len(w.users)], w.tapped) {
		row := &demoUserRow{User: u.name, Transport: u.transport.String(), DC: u.dc}
		t.byUser[u.name] = row
		t.users = append(t.users, row)
	}
	return t
}

// event takes the node's word.
func (t *demoTally) event(e event.Event) {
	row := t.byUser[e.User]
	switch e.Kind {
	case event.Authenticated:
		t.sessions[e.User] = e
		if row != nil {
			row.Sessions++
		}
	case event.Relayed:
		if row != nil {
			row.Down += e.Sent
			row.Up += e.Received
		}
	case event.Covered:
		t.covered++
	}
	const kept = 64
	if list := append(t.recent[e.Addr], e); len(list) > kept {
		t.recent[e.Addr] = slices.Delete(list, 0, kept/2)
	} else {
		t.recent[e.Addr] = list
	}
}

// catchUp waits until due and takes the events that came by then.
func (t *demoTally) catchUp(due time.Time) {
	time.Sleep(time.Until(due))
	for {
		select {
		case e := <-t.w.events.C():
			t.event(e)
		default:
			return
		}
	}
}

// rest takes the events after the node's end.
func (t *demoTally) rest() {
	for e := range t.w.events.C() {
		t.event(e)
	}
}

// happening notes one and returns it with the node's part.
func (t *demoTally) happening(ctx context.Context, h tgsim.Happening) demoItem {
	item := demoItem{Demo: true, Kind: "happening", Time: h.At, Who: h.Who, Attacker: h.Attacker, What: h.What,
		Bytes: h.Bytes, Got: h.Result, OK: h.OK, TookMS: float64(h.Took.Microseconds()) / 1000}
	if h.Err != nil {
		item.Error = h.Err.Error()
	}
	if h.Attacker || h.What == "connect" {
		item.WouldRefuse = t.wouldRefuse(h)
	}
	if h.Attacker {
		t.attack(ctx, h, &item)
	} else {
		t.act(h, &item)
	}
	return item
}

func (t *demoTally) act(h tgsim.Happening, item *demoItem) {
	row := t.byUser[h.Who]
	row.Acts++
	if !h.OK {
		row.Errors++
		row.failed = h.Err
		item.Proxy = "?"
		return
	}
	item.Transport, item.DC = row.Transport, row.DC
	switch h.What {
	case "connect":
		e, ok := t.sessions[h.Who]
		item.Proxy, item.Got = "lets it in", "let in"
		if ok && !e.Time.Before(h.At) {
			item.Proxy, item.Got = "relays to "+dcName(e.DC), "let in by "+e.Transport
		}
		if row.Acts > 1 {
			item.What = "come back"
		}
		return
	case "download":
		item.Proxy, item.Got = "relays from "+dcName(row.DC), "every byte right"
	case "upload":
		item.Proxy, item.Got = "relays to "+dcName(row.DC), "every byte right"
	default:
		item.Proxy, item.Got = "relays to "+dcName(row.DC), "answer"
	}
	row.served = true
}

// dcName is a data centre as people write it; negative numbers ask for media.
func dcName(dc int) string {
	if dc < 0 {
		return fmt.Sprintf("DC%d media", -dc)
	}
	return fmt.Sprintf("DC%d", dc)
}

// sums are taken from the node's counters, where it has them.
func (t *demoTally) sums() demoSums {
	c := t.w.node.Stats()
	s := demoSums{Open: c.Sessions.Load(), Covered: t.covered + c.CoverOpen.Load(), WouldRefuse: make(map[string]int), Missed: t.w.events.Dropped()}
	for _, transport := range []string{"faketls", "secure", "classic"} {
		s.Sessions += c.Handshakes(transport, stats.ResultOK)
		s.Replays += c.Handshakes(transport, stats.ResultReplay)
	}
	for _, dc := range t.w.dcs { // the node counts a session's bytes at its end
		d := dc.Stats()
		s.Relayed += d.Sent + d.Received
	}
	for _, name := range []string{policy.ConnsAddr, policy.RateAccept} {
		control := c.Control(name)
		if n := control.Decisions(stats.VerdictMask, stats.ModeMonitor) + control.Decisions(stats.VerdictDeny, stats.ModeMonitor); n > 0 {
			s.WouldRefuse[name] = int(n)
		}
	}
	return s
}

// problems is what went wrong. Who ends a demonstration early need not have seen everybody served.
func (t *demoTally) problems(early bool) (list []string) {
	for _, row := range t.users {
		switch {
		case row.Errors > 0:
			list = append(list, fmt.Sprintf("%s had %d errors, the last: %v", row.User, row.Errors, row.failed))
		case !row.served && !early && row.User != demoTapped:
			list = append(list, row.User+" was never served")
		}
	}
	if n := t.w.acted.failed.Load(); n > 0 {
		list = append(list, fmt.Sprintf("the crowd had %d errors, the last: %v", n, *t.w.acted.last.Load()))
	}
	for _, row := range t.attackRows() {
		switch {
		case !row.LearntNothing && row.served:
			list = append(list, row.Attack+" was answered by the proxy")
		case !row.LearntNothing:
			list = append(list, row.Attack+" can tell the proxy from the site: "+row.Difference)
		case row.failed != nil:
			list = append(list, row.Attack+" could not be tried: "+row.failed.Error())
		case row.HasKey && !row.served:
			list = append(list, row.Attack+" was not served")
		}
	}
	return list
}

func (s demoSums) wouldRefuse() string {
	var parts []string
	for _, name := range []string{policy.ConnsAddr, policy.RateAccept} {
		if n := s.WouldRefuse[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d by %s", n, name))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
