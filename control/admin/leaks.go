package admin

import (
	"context"
	"net/http"
	"strconv"

	"mtguard/control"
)

// SplitBody says who holds a leaked secret, and for how long it still works.
type SplitBody struct {
	Holders  []string          `json:"holders,omitempty" maxItems:"100" doc:"names of the holders, who become users; the leaked user may be one"`
	Count    int               `json:"count,omitempty" minimum:"0" maximum:"100" doc:"how many holders there are, when nobody names them"`
	Overlap  *control.Duration `json:"overlap,omitempty" doc:"how long the leaked secret still works; left out: a day"`
	Now      bool              `json:"now,omitempty" doc:"revoke it at once"`
	Incident string            `json:"incident,omitempty" maxLength:"64" doc:"the incident that this answers; it is contained by it"`
}

type splitInput struct {
	UserPath
	ChangeInput
	Body SplitBody
}

func (s *server) splitLeak(ctx context.Context, in *splitInput) (*changed, error) {
	b := &in.Body
	return s.change(ctx, control.SplitLeak{
		User: in.Name, Holders: b.Holders, Count: b.Count, Overlap: b.Overlap, Now: b.Now, Incident: b.Incident,
	}, &in.ChangeInput)
}

type leaksInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64 `query:"cursor" minimum:"0" doc:"next_cursor of the page before"`
}

func (s *server) listLeaks(ctx context.Context, in *leaksInput) (*page[control.LeakInfo], error) {
	items, next, err := s.plane.Leaks(ctx, control.LeakFilter{After: in.Cursor, Limit: in.Limit})
	cursor := ""
	if next > 0 {
		cursor = strconv.FormatInt(next, 10)
	}
	return listed(items, cursor, err)
}

type leakOutput struct{ Body control.LeakReport }

func (s *server) getLeak(ctx context.Context, in *UserPath) (*leakOutput, error) {
	report, err := s.plane.Leak(ctx, in.Name)
	return &leakOutput{report}, err
}

// SplitLeak gives each holder of a user's leaked secret one of his own. The result holds their links.
func (c *Client) SplitLeak(ctx context.Context, user string, body SplitBody, o ChangeOptions) (control.Result, error) {
	return c.changeUser(ctx, http.MethodPost, user, "/split", body, o)
}

// Leaks lists splits of leaked secrets, the newest first; next goes on as f.After, and is 0 at the end.
func (c *Client) Leaks(ctx context.Context, f control.LeakFilter) (items []control.LeakInfo, next int64, err error) {
	var page list[control.LeakInfo]
	if err = c.do(ctx, get("/leaks", "limit", number(f.Limit), "cursor", strconv.FormatInt(f.After, 10)), &page); err == nil && page.NextCursor != "" {
		next, err = strconv.ParseInt(page.NextCursor, 10, 64)
	}
	return page.Items, next, err
}

// Leak is what is known of one user's leaks.
func (c *Client) Leak(ctx context.Context, user string) (report control.LeakReport, err error) {
	user, err = segment("name", user)
	if err == nil {
		err = c.do(ctx, get("/users/"+user+"/leaks"), &report)
	}
	return report, err
}
