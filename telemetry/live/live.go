// Package live is what happens, for people who look at it as it happens.
//
// A [Hub] numbers what it is told of and keeps the last of it; a [View] is one reader's place in that. Readers pull: a reader who stalls
// costs nobody anything but his place, and one who falls too far behind is told so by a [Gap] and is done. What is told of is put into words
// when the first reader asks for it and not before, and what comes in numbers (samples, decisions) is asked for only while somebody looks.
//
//	hub := live.NewHub(live.Options{})
//	go hub.Run(ctx, watch)                    // watch runs while somebody looks
//	hub.Publish(live.Block, now, show)        // from anywhere
//	view, err := hub.View(live.Query{After: lastEventID})
//	events, err := view.Next(ctx)
//
// A Hub may be used from any number of goroutines, a View by one at a time. The goroutines are the caller's and one that Run waits for.
// Privacy is the caller's: what show returns is what viewers get.
package live

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

// Kind is what an event is about.
type Kind string

// The kinds. Every row of the audit log is one event: of Block, Key or Policy when it is about these, else of Audit.
const (
	Sample   Kind = "sample"   // the node in numbers, once a second; data is a [Second]
	Decision Kind = "decision" // what became of a connection, and by which control; a [Judgement]
	Incident Kind = "incident" // one began, became worse or was moved
	Block    Kind = "block"    // somebody is blocked, or no longer; a [Change]
	Key      Kind = "key"      // a secret or another key was rotated or revoked; a [Change]
	Policy   Kind = "policy"   // what is enforced against whom; a [Change]
	Audit    Kind = "audit"    // any other row of the audit log; a [Change]
	// Gap says that events are missing before the one that follows; data is a [Missing]. It is of no class, asked for by nobody and in no ring.
	Gap Kind = "gap"
)

// Kinds are the kinds that can be asked for.
func Kinds() []Kind { return []Kind{Sample, Decision, Incident, Block, Key, Policy, Audit} }

// class is a share of the ring: a flood of decisions must not push an incident out.
type class int

const (
	rare class = iota // each of these somebody may want to read
	flow              // numbers, of which the latest count
	classes
)

// depths are the places of each class in the ring, 10,000 in all.
var depths = [classes]int{rare: 3000, flow: 7000}

func (k Kind) class() class {
	if k == Sample || k == Decision {
		return flow
	}
	return rare
}

// Event is one thing that happened.
type Event struct {
	// ID is where to go on after it, the node's process and the event's number in it; of a Gap it may be empty.
	ID   string    `json:"id,omitempty"`
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"`

	number uint64
	show   func() any
	once   sync.Once
	line   []byte
}

// Line is the event as one line of JSON without its end: id, kind, time and data. It is made once; do not change it.
func (e *Event) Line() []byte {
	e.once.Do(func() {
		line, err := json.Marshal(struct {
			*Event
			Data any `json:"data"`
		}{e, e.show()})
		if err != nil {
			// Plain values always encode; a mistake of the program costs the event's data, not the stream.
			line, _ = json.Marshal(e)
		}
		e.line = line
	})
	return e.line
}

// Second is the node in one second. Rates are by the time that has really passed.
type Second struct {
	Open      int64 `json:"open" doc:"client connections, whatever their state"`
	HalfOpen  int64 `json:"half_open" doc:"of these, in their handshake"`
	Sessions  int64 `json:"sessions" doc:"of these, relayed to Telegram"`
	CoverOpen int64 `json:"cover_open" doc:"of these, at the cover site"`

	Accepted    float64 `json:"accepted" doc:"connections a second"`
	Served      float64 `json:"served" doc:"handshakes of users a second"`
	Covered     float64 `json:"covered" doc:"connections a second that were shown the cover site"`
	Refused     float64 `json:"refused" doc:"refusals a second by controls in mode enforce"`
	WouldRefuse float64 `json:"would_refuse" doc:"refusals a second that controls in mode monitor would have made"`
	Up          float64 `json:"up" doc:"bytes a second from clients"`
	Down        float64 `json:"down" doc:"bytes a second to clients"`

	// Controls are those that refused in this second, or would have, by name.
	Controls []ControlRate `json:"controls,omitempty"`
}

// ControlRate is what one control did in a second.
type ControlRate struct {
	Name        string  `json:"name"`
	Refused     float64 `json:"refused"`
	WouldRefuse float64 `json:"would_refuse"`
}

// Judgement is what became of a connection. Of a flood only some are told: Skipped says how many others with the same Verdict there were
// since the one told before.
type Judgement struct {
	Verdict   string `json:"verdict" doc:"served, refused, would_refuse, failed, unreachable, tripwire or guess"`
	Conn      uint64 `json:"conn,omitempty"`
	Addr      string `json:"addr,omitempty" doc:"as log.address has it"`
	User      string `json:"user,omitempty"`
	Key       string `json:"key,omitempty"`
	Transport string `json:"transport,omitempty"`
	Control   string `json:"control,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Mode      string `json:"mode,omitempty"`
	DC        int    `json:"dc,omitempty"`
	TookMS    int64  `json:"took_ms,omitempty"`
	Skipped   uint64 `json:"skipped,omitempty"`
}

// Change is a row of the audit log, addresses as log.address has them.
type Change struct {
	Row     int64  `json:"row"`
	Actor   string `json:"actor"`
	Action  string `json:"action"`
	Object  string `json:"object,omitempty"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// Missing says why events are missing.
type Missing struct {
	Reason string `json:"reason" doc:"restart, lost or slow"`
	Detail string `json:"detail"`
}

// Reasons of a Gap.
const (
	// Restart: the ID to go on after is of another process of the node, or of none.
	Restart = "restart"
	// Lost: what came after that ID or time is not kept any more, or nobody looked then.
	Lost = "lost"
	// Slow: the reader was too slow, and this is the last that he gets.
	Slow = "slow"
)

var details = map[string]string{
	Restart: "the node has started since; these are the events since then",
	Lost:    "not all of that time is kept: samples and decisions only while somebody looks, and the last of each",
	Slow:    "you read too slowly and are cut off; go on after the last event that you have",
}

func gap(reason string, at time.Time) *Event {
	return &Event{Kind: Gap, Time: at.UTC(), show: func() any { return Missing{reason, details[reason]} }}
}

// Errors of View and Next.
var (
	ErrTooMany = errors.New("too many viewers")
	ErrEnded   = errors.New("the node stops")
	// ErrSlow comes with a last event, a Gap.
	ErrSlow = errors.New("the viewer is too slow")
)

// known reports whether k can be asked for.
func known(k Kind) bool { return slices.Contains(Kinds(), k) }
