package admin

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"mtguard/control"
	"mtguard/control/report"
)

// ReportPath names a report in a path.
type ReportPath struct {
	Kind string `path:"kind" enum:"compliance,security,usage"`
}

// ReportBody says what a report is about.
type ReportBody struct {
	Profile string    `json:"profile,omitempty" maxLength:"64" doc:"of a compliance report: baseline, asvs or host; left out: baseline"`
	Since   time.Time `json:"since,omitzero" doc:"the period is later than this; left out: 30 days before until"`
	Until   time.Time `json:"until,omitzero" doc:"and not later than this; left out: now"`
	Format  string    `json:"format,omitempty" enum:"md,html,json,csv" doc:"left out: md"`
}

type getReportInput struct {
	ReportPath
	Profile string    `query:"profile" maxLength:"64" doc:"of a compliance report: baseline, asvs or host; left out: baseline"`
	Since   time.Time `query:"since" doc:"the period is later than this; left out: 30 days before until"`
	Until   time.Time `query:"until" doc:"and not later than this; left out: now"`
	Format  string    `query:"format" enum:"md,html,json,csv" doc:"left out: md"`
}

type sealReportInput struct {
	ReportPath
	Body ReportBody
}

func (s *server) getReport(ctx context.Context, in *getReportInput) (*huma.StreamResponse, error) {
	q := control.ReportQuery{Kind: in.Kind, Profile: in.Profile, Since: in.Since, Until: in.Until, Format: in.Format}
	file, err := s.plane.Report(ctx, actor(ctx), q)
	return answerReport(file, in.Kind, in.Format), err
}

func (s *server) sealReport(ctx context.Context, in *sealReportInput) (*huma.StreamResponse, error) {
	q := control.ReportQuery{Kind: in.Kind, Profile: in.Body.Profile, Since: in.Body.Since, Until: in.Body.Until, Format: in.Body.Format}
	file, err := s.plane.SealedReport(ctx, actor(ctx), q)
	return answerReport(file, in.Kind, in.Body.Format), err
}

func answerReport(file []byte, kind, format string) *huma.StreamResponse {
	if format == "" {
		format = string(report.Markdown)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		asFile(w, "mtguard-"+kind+"."+format)
		w.Header().Set("Content-Type", report.Format(format).Media())
		w.Header().Set("Content-Length", strconv.Itoa(len(file)))
		w.Write(file) // a reader that is gone misses nothing
	}}
}

func describeReport(op *huma.Operation) {
	op.Responses = answersWith(report.Markdown.Media(), &huma.Schema{Type: huma.TypeString})
	for _, f := range report.Formats() {
		op.Responses["200"].Content[f.Media()] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
}

// Report writes a report to w. Without sealed it is the bytes alone; with it the audit
// log has a row about them, and the report the proof of that. After an error w does not
// hold all of it.
func (c *Client) Report(ctx context.Context, kind string, body ReportBody, sealed bool, w io.Writer) error {
	kind, err := segment("kind", kind)
	if err != nil {
		return err
	}
	if !sealed {
		k := get("/reports/"+kind, "profile", body.Profile, "since", queryTime(body.Since), "until", queryTime(body.Until), "format", body.Format)
		return c.stream(ctx, k, w)
	}
	k := call{method: http.MethodPost, path: "/reports/" + kind, query: url.Values{}, header: http.Header{}}
	if err := k.encode(body); err != nil {
		return err
	}
	return c.stream(ctx, k, w)
}

func queryTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
