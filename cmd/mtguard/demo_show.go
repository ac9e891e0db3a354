package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mtguard/control"
)

// demoShow prints a demonstration, as lines or as JSON. The first error of the writer stays in
// err, and ends the printing.
type demoShow struct {
	out    io.Writer
	json   *json.Encoder // nil for lines
	colour bool
	w      *demoWorld
	began  time.Time
	err    error
}

func newDemoShow(out io.Writer, asJSON bool, w *demoWorld) *demoShow {
	s := &demoShow{out: out, colour: colour(out), w: w, began: time.Now()}
	if asJSON {
		s.json = json.NewEncoder(out)
		s.json.SetEscapeHTML(false)
	}
	return s
}

func (s *demoShow) printf(format string, values ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.out, format, values...)
	}
}

func (s *demoShow) encode(value any) {
	if s.err == nil {
		s.err = s.json.Encode(value)
	}
}

const (
	paintGood   = "32"
	paintMasked = "33"
	paintBad    = "1;31"
	paintQuiet  = "2"
	paintHead   = "1"
)

// paint colours what says the same without colour.
func (s *demoShow) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// cell is text in a column: cut with a mark, or filled up.
func cell(width int, text string) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width-1]) + "…"
	}
	return text + strings.Repeat(" ", width-n)
}

func (s *demoShow) start(o demoOptions) {
	metrics := "http://" + s.w.node.MetricsAt().String() + "/metrics"
	if s.json != nil {
		s.encode(struct {
			Demo    bool   `json:"demo"`
			Kind    string `json:"kind"`
			Proxy   string `json:"proxy"`
			Link    string `json:"link"`
			Metrics string `json:"metrics"`
			Server  string `json:"server"`
			Open    string `json:"dashboard"` // signs a browser in, once
			Crowd   int    `json:"crowd"`
		}{true, "start", s.w.proxy(), s.w.link, metrics, s.w.node.AdminSocket(), s.w.signIn, len(s.w.others)})
		return
	}
	ends := "with Ctrl-C"
	if o.length > 0 {
		ends = "in " + o.length.String() + ", or with Ctrl-C"
	}
	s.printf("%s\n\n", s.paint(paintHead, "mtguard demo: DEMO DATA, simulated Telegram, users and attackers on this machine only"))
	s.printf("Open the dashboard within ten minutes; this address works once:\n  %s\n\n", s.paint(paintHead, s.w.signIn))
	for _, row := range [][2]string{
		{"proxy", s.w.proxy() + ", a whole node: fake TLS, secure and classic on one port"},
		{"users", fmt.Sprintf("%d, each with an own secret; %d simulated data centres", len(s.w.users), len(s.w.dcs))},
		{"attackers", fmt.Sprintf("%d, with %d kinds of attack; they record the sessions of %q", o.attackers, len(s.w.probes), demoTapped)},
		{"strangers", "see a simulated web site; try: curl -k https://" + s.w.proxy() + "/"},
		{"metrics", metrics},
		{"crowd", fmt.Sprintf("%d more users, of whom only sums are told; once a minute an attack", len(s.w.others))},
		{"limit", demoRate + " new connections from an address; monitored: \"over limit\" would be refused"},
		{"ends", ends},
	} {
		s.printf("  %s %s\n", s.paint(paintQuiet, cell(10, row[0])), row[1])
	}
	if socket := s.w.node.AdminSocket(); socket != "" {
		s.printf("\nLook at it from another terminal:\n  export MTGUARD_CLI_SERVER=%s\n  mtguard top; mtguard events -f; mtguard incident list; mtguard dashboard\n", socket)
	}
	s.printf("\nLink of %s:\n%s\n\n", s.w.users[0].name, s.w.link)
	s.printf("%s\n", s.paint(paintHead, strings.TrimRight(demoColumns("time", "who", "does", "the proxy", "and gets"), " ")))
}

func demoColumns(at, who, does, proxy, gets string) string {
	return cell(6, at) + "  " + cell(11, who) + " " + cell(19, does) + " " + cell(demoProxyWidth, proxy) + " " + gets
}

const demoProxyWidth = 28

func (s *demoShow) since(t time.Time) string {
	return fmt.Sprintf("%5.1fs", max(0, t.Sub(s.began).Seconds()))
}

// line prints a happening.
func (s *demoShow) line(i demoItem) {
	if s.json != nil {
		s.encode(i)
		return
	}
	end := i.Time.Add(time.Duration(i.TookMS * float64(time.Millisecond)))
	does, gets, code := i.What, i.Got, paintGood
	if i.Bytes > 0 {
		does += " " + size(i.Bytes)
	}
	switch {
	case i.Error != "":
		gets, code = "ERROR: "+i.Error, paintBad
	case !i.OK:
		gets, code = "THE PROXY'S ANSWER", paintBad
	case i.Attacker:
		gets, code = demoGot[i.Got], paintMasked
		if i.Got == gotAnswer {
			code = paintGood
		}
	case i.What == "connect" || i.What == "come back":
	default:
		gets += fmt.Sprintf(", %.1f ms", i.TookMS)
	}
	if len(i.WouldRefuse) > 0 {
		gets += ", over limit"
	}
	// Padded before painting: escape sequences have no width.
	does, proxy := cell(19, does), cell(demoProxyWidth, i.Proxy)
	s.printf("%s  %s %s %s %s\n", s.paint(paintQuiet, s.since(end)), cell(11, i.Who), does, s.paint(code, proxy), gets)
}

// attack prints that one comes.
func (s *demoShow) attack(a demoAttackLine) {
	if s.json != nil {
		s.encode(a)
		return
	}
	s.printf("%s  %s\n", s.paint(paintQuiet, s.since(a.Time)), s.paint(paintMasked, fmt.Sprintf("ATTACK %s: %s, from %s", a.Attack, a.About, a.From)))
}

// demoGot says at more length what seen says in a table.
var demoGot = map[string]string{
	gotAnswer:  "what a client gets",
	gotPage:    "ordinary web page",
	gotSite:    "ordinary web site",
	gotAlert:   "web server's alert",
	gotError:   "web server's error",
	gotSilence: "silence",
	gotHangUp:  "a hang-up",
	gotNothing: "nothing",
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// sums prints one line of them, between the happenings.
func (s *demoShow) sums(d demoSums) {
	if s.json == nil {
		s.printf("%s\n", s.paint(paintQuiet, cell(8, "")+d.String()))
	}
}

func (d demoSums) String() string {
	return fmt.Sprintf("%d sessions (%d open), %s; cover site %d, replays %d, would refuse %s",
		d.Sessions, d.Open, size(d.Relayed), d.Covered, d.Replays, d.wouldRefuse())
}

// end prints the tables and the verdict.
func (s *demoShow) end(t *demoTally, problems []string) {
	sums, rows := t.sums(), t.attackRows()
	if s.json != nil {
		if problems == nil {
			problems = []string{}
		}
		s.encode(struct {
			Demo     bool             `json:"demo"`
			Kind     string           `json:"kind"`
			OK       bool             `json:"ok"`
			Problems []string         `json:"problems"`
			Sums     demoSums         `json:"sums"`
			Users    []*demoUserRow   `json:"users"`
			Attacks  []*demoAttackRow `json:"attacks"`
			NotTried []string         `json:"not_tried,omitempty"`
			Crowd    int64            `json:"crowd_acts"`

			Incidents []control.IncidentInfo `json:"incidents"`
		}{true, "summary", len(problems) == 0, problems, sums, t.users, rows, t.notTried(), t.w.acted.acts.Load(), t.found})
		return
	}
	s.printf("\n%s\n", s.paint(paintHead, cell(12, "USER")+cell(22, "TRANSPORT")+cell(12, "TO")+"SESSIONS   ACTS       DOWN         UP   ERRORS"))
	for _, u := range t.users {
		if u.User == demoTapped && u.Sessions == 0 {
			continue
		}
		acts := fmt.Sprint(u.Acts)
		if u.User == demoTapped {
			acts = "-"
		}
		s.printf("%s%s%s%8d %6s %10s %10s   %s\n", cell(12, u.User), cell(22, u.Transport), cell(12, dcName(u.DC)),
			u.Sessions, acts, size(u.Down), size(u.Up), s.count(u.Errors))
	}
	if len(rows) > 0 {
		s.printf("\n%s\n", s.paint(paintHead, cell(20, "ATTACK")+cell(52, "WHAT IT IS")+"TRIES  "+cell(11, "LEARNT")+"GOT"))
	}
	for _, r := range rows {
		learnt, code := "nothing", paintGood
		switch {
		case !r.LearntNothing:
			learnt, code = "SOMETHING", paintBad
		case r.HasKey:
			learnt, code = "(has key)", paintQuiet
		}
		s.printf("%s%s%5d  %s%s\n", cell(20, r.Attack), cell(52, r.About), r.Tries, s.paint(code, cell(11, learnt)), strings.Join(r.Got, ", "))
	}
	s.closing(t, sums, rows, problems)
}

func (s *demoShow) count(n int) string {
	if n == 0 {
		return "none"
	}
	return s.paint(paintBad, fmt.Sprint(n))
}

func (s *demoShow) closing(t *demoTally, sums demoSums, rows []*demoAttackRow, problems []string) {
	compared := 0
	for _, r := range rows {
		if r.AsSite {
			compared++
		}
	}
	s.printf("\nIn all %v.\n", sums)
	if compared > 0 {
		s.printf("%d kinds of attack were also tried on the web site itself: the proxy gave the same.\n", compared)
	}
	if n := len(s.w.others); n > 0 {
		s.printf("The crowd of %d did %d things more.\n", n, s.w.acted.acts.Load())
	}
	for _, i := range t.found {
		s.printf("The node found: %s, %s, about %s (%s).\n", i.Detector, i.Severity, clean(i.Subject), clean(i.Action))
	}
	if missed := t.notTried(); len(missed) > 0 {
		s.printf("%d kinds of attack had no turn; a longer --for or more --attackers shows them.\n", len(missed))
	}
	if len(problems) == 0 {
		s.printf("%s Users were served, attackers learnt nothing.\n", s.paint(paintGood, "OK"))
		return
	}
	s.printf("%s\n", s.paint(paintBad, "FAILED"))
	for _, p := range problems {
		s.printf("  %s\n", p)
	}
}
