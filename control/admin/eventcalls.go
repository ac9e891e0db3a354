package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"mtguard/telemetry/live"
)

// maxEventLine is more than any event takes.
const maxEventLine = 1 << 20

// WatchedEvent is an event as a client gets it.
type WatchedEvent struct {
	ID   string          `json:"id,omitempty"`
	Kind live.Kind       `json:"kind"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// EventQuery says what Events yields.
type EventQuery struct {
	Kinds  []live.Kind // none: all that the level allows
	After  string      // ID of the last event that the client has
	Since  time.Time   // zero: from now on
	Follow bool        // go on when all that is kept was sent
}

// Events yields what happens, until the sequence ends. Bounded by ctx alone. The last
// pair may be an error: an *UnreachableError when the node went away or stopped.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[WatchedEvent, error] {
	return func(yield func(WatchedEvent, error) bool) {
		response, err := c.send(ctx, q.call())
		if err != nil {
			yield(WatchedEvent{}, err)
			return
		}
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, maxEventLine)
		for lines.Scan() {
			var e WatchedEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				yield(WatchedEvent{}, errors.New("an event cannot be read: is the node of this version?"))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		err = lines.Err()
		if err == nil && q.Follow {
			err = io.EOF // it ended where it should go on
		}
		if err != nil {
			yield(WatchedEvent{}, c.unreachable(ctx, err))
		}
	}
}

func (q EventQuery) call() call {
	names := make([]string, len(q.Kinds))
	for i, k := range q.Kinds {
		names[i] = string(k)
	}
	since, follow := "", ""
	if !q.Since.IsZero() {
		since = q.Since.UTC().Format(time.RFC3339Nano)
	}
	if !q.Follow {
		follow = "false"
	}
	k := get("/events", "kind", strings.Join(names, ","), "since", since, "follow", follow)
	k.method = http.MethodGet
	k.header.Set("Accept", linesMedia)
	if q.After != "" {
		k.header.Set(eventHeader, q.After)
	}
	return k
}
