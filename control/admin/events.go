package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"mtguard/control"
	"mtguard/telemetry/live"
)

const (
	eventMedia  = "text/event-stream"
	eventHeader = "Last-Event-ID"
)

// How events are streamed.
const (
	// heartbeat is after how long without an event a comment is sent, by which both
	// ends and whoever is between them know that the other is there.
	heartbeat = 15 * time.Second
	// eventPace is the least time between two pieces: many events in it cost one write.
	eventPace = 100 * time.Millisecond
	// eventPatience is how long a reader may take none of a piece.
	eventPatience = 10 * time.Second
	// longestSince bounds since, which only memory answers.
	longestSince = 366 * 24 * time.Hour
)

func describeEvents(op *huma.Operation) {
	text := &huma.Schema{Type: huma.TypeString}
	op.Responses = answersWith(eventMedia, text)
	op.Responses["200"].Description = "Events with a name, an id to go on after, and as data one object of id, kind, time and data; see doc/events.md"
	op.Responses["200"].Content[linesMedia] = &huma.MediaType{Schema: text}
	op.Parameters = []*huma.Param{
		{Name: "kind", In: "query", Description: "only these, with commas between: " + kindNames() + "; left out: all that the level allows", Schema: text},
		{Name: "since", In: "query", Description: "first what is kept since then: a time, or how long ago, such as 10m", Schema: text},
		{Name: "follow", In: "query", Description: "false: end when all that is kept was sent", Schema: &huma.Schema{Type: huma.TypeBoolean}},
		{Name: eventHeader, In: "header", Description: "id of the last event that the client has: go on after it", Schema: text},
	}
}

func kindNames() string {
	var names []string
	for _, k := range live.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// eventQuery reads what a request wants to see.
func eventQuery(r *http.Request, now time.Time) (q live.Query, err error) {
	query, err := only(r.URL, "kind", "since", "follow")
	if err != nil {
		return q, err
	}
	for _, list := range query["kind"] {
		for name := range strings.SplitSeq(list, ",") {
			k := live.Kind(strings.TrimSpace(name))
			if !slices.Contains(live.Kinds(), k) {
				return q, kinds[control.Invalid].problem("query.kind: %q is none of %s", clip(name), kindNames())
			}
			q.Kinds = append(q.Kinds, k)
		}
	}
	if text := query.Get("since"); text != "" {
		if q.Since, err = sinceTime(text, now); err != nil {
			return q, kinds[control.Invalid].problem("query.since: %q is neither a time such as 2026-01-02T03:04:05Z nor a duration such as 10m", clip(text))
		}
	}
	if text := query.Get("follow"); text != "" {
		follow, err := strconv.ParseBool(text)
		if err != nil {
			return q, kinds[control.Invalid].problem("query.follow: true or false")
		}
		q.Past = !follow
	}
	q.After = r.Header.Get(eventHeader)
	return q, nil
}

func sinceTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 || d > longestSince {
			return time.Time{}, errors.New("out of range")
		}
		return now.Add(-d), nil
	}
	return time.Parse(time.RFC3339, text)
}

// watchEvents streams events until the reader goes, is too slow, or the node stops.
func (s *server) watchEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := eventQuery(r, time.Now())
	if err != nil {
		return err
	}
	view, err := s.plane.Events(r.Context(), actor(r.Context()), q)
	if err != nil {
		if p := refusal(err); p != nil {
			s.noteDenied(r.Context(), p) // of a kind of events
		}
		return err
	}
	defer view.Close()
	if a, ok := w.(*answer); ok {
		a.stalled = s.eventPatience
		defer a.patience() // for the end of the answer
	}
	out := &eventWriter{w: w, connection: http.NewResponseController(w)}
	media := linesMedia
	if !strings.Contains(r.Header.Get("Accept"), linesMedia) {
		media, out.named = eventMedia, true
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy in front
	w.WriteHeader(http.StatusOK)
	if out.begin() != nil {
		return nil
	}
	for {
		events, err := nextEvents(r.Context(), view, s.heartbeat)
		if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
			err = nil // nothing came
		}
		if out.write(events) != nil || err != nil {
			return nil // there is nobody to tell anything
		}
		if len(events) > 0 && !pause(r.Context(), s.eventPace) {
			return nil
		}
	}
}

// nextEvents waits for the next events, but no longer than that.
func nextEvents(ctx context.Context, view *live.View, within time.Duration) ([]*live.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return view.Next(ctx)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// eventWriter writes pieces of a stream, each within the time that the answer below it gives a reader.
type eventWriter struct {
	w          io.Writer
	connection *http.ResponseController
	named      bool // server-sent events, not lines
	piece      []byte
}

// begin sends the header, so that the reader knows that it is served.
func (o *eventWriter) begin() error {
	if o.named {
		o.piece = append(o.piece[:0], ": mtguard\n\n"...)
	}
	return o.send()
}

// write sends events; of none a comment.
func (o *eventWriter) write(events []*live.Event) error {
	o.piece = o.piece[:0]
	for _, e := range events {
		line := e.Line()
		if o.named {
			if e.ID != "" {
				o.piece = append(append(append(o.piece, "id: "...), e.ID...), '\n')
			}
			o.piece = append(append(append(o.piece, "event: "...), e.Kind...), "\ndata: "...)
		}
		o.piece = append(append(o.piece, line...), '\n')
		if o.named {
			o.piece = append(o.piece, '\n')
		}
	}
	if len(events) == 0 {
		if !o.named {
			return nil // lines have no comments
		}
		o.piece = append(o.piece, ":\n\n"...)
	}
	return o.send()
}

func (o *eventWriter) send() error {
	if len(o.piece) > 0 {
		if _, err := o.w.Write(o.piece); err != nil {
			return err
		}
	}
	if err := o.connection.Flush(); err != nil {
		return err
	}
	o.connection.SetWriteDeadline(time.Time{}) // over HTTP/2 it would end the stream although nothing is being written
	return nil
}
