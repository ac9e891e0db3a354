package admin

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"mtguard/control"
)

type statusOutput struct{ Body control.Status }

func (s *server) getStatus(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	status, err := s.plane.Status(ctx)
	return &statusOutput{status}, err
}

func (s *server) seal(w http.ResponseWriter, r *http.Request) error {
	query, err := only(r.URL, "key", "suite")
	if err != nil {
		return err
	}
	return s.blob(w, r, MaxBlob, func(ctx context.Context, in, bound []byte) ([]byte, error) {
		return s.plane.Seal(ctx, actor(ctx), control.SealRequest{Key: query.Get("key"), Suite: query.Get("suite"), Plaintext: in, Context: bound})
	})
}

func (s *server) open(w http.ResponseWriter, r *http.Request) error {
	if _, err := only(r.URL); err != nil {
		return err
	}
	return s.blob(w, r, maxSealed, func(ctx context.Context, in, bound []byte) ([]byte, error) {
		return s.plane.Open(ctx, actor(ctx), control.OpenRequest{Sealed: in, Context: bound})
	})
}

// blob reads a blob, turns it into another and answers with that. Only so many are
// in memory at once; others wait for their turn before they are read.
func (s *server) blob(w http.ResponseWriter, r *http.Request, limit int64, turn func(ctx context.Context, in, bound []byte) ([]byte, error)) error {
	bound, err := base64.RawURLEncoding.DecodeString(r.Header.Get(contextHeader))
	if err != nil || len(bound) > maxContext {
		return malformed.problem("%s is at most %d bytes in base64url without padding", contextHeader, maxContext)
	}
	select {
	case s.blobs <- struct{}{}:
		defer func() { <-s.blobs }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	in, r, p := s.receive(w, r, limit, s.slowest)
	if p != nil {
		return p
	}
	out, err := turn(r.Context(), in, bound)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", blobMedia)
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.Write(out) // a reader that is gone misses nothing
	return nil
}

// only returns the query of a plain handler, if it has no other names than these.
func only(u *url.URL, names ...string) (url.Values, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, malformed.problem("the query cannot be read")
	}
	rest := url.Values{}
	for _, name := range names {
		rest[name] = query[name]
		delete(query, name)
	}
	for name := range query {
		p := kinds[control.Invalid].problem("query.%s: unknown query parameter", name)
		p.Errors = []ProblemError{{Location: clip("query." + name), Message: "unknown query parameter"}}
		return nil, p
	}
	return rest, nil
}

type backupInput struct{ Body control.BackupTarget }

func (s *server) createBackup(_ context.Context, in *backupInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		s.stream(w, r, blobMedia, "mtguard-backup.age", func(w io.Writer) error { return s.plane.Backup(r.Context(), actor(r.Context()), in.Body, w) })
	}}, nil
}

// stream answers with what write writes. An error before the first byte is told; a
// later one breaks the answer off, which the client sees.
func (s *server) stream(w http.ResponseWriter, r *http.Request, media, name string, write func(io.Writer) error) {
	w.Header().Set("Content-Type", media)
	asFile(w, name)
	if err := write(w); err != nil {
		w.Header().Del("Content-Disposition") // a problem is to be read, not kept
		s.fail(w, r, err)
	}
}

// asFile has a browser keep the answer as a file of that name, and run nothing of it
// should it show it all the same.
func asFile(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

type auditInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64 `query:"cursor" minimum:"0" doc:"next_cursor of the page before: only rows before this one"`
}

func (s *server) listAuditRows(ctx context.Context, in *auditInput) (*page[control.AuditRow], error) {
	rows, err := s.plane.AuditTail(ctx, actor(ctx), in.Limit, in.Cursor)
	next := ""
	if len(rows) > 0 {
		if first := min(rows[0].Seq, rows[len(rows)-1].Seq); first > 1 {
			next = strconv.FormatInt(first, 10)
		}
	}
	return listed(rows, next, err)
}

type auditKeyOutput struct{ Body AuditKeyBody }

func (s *server) getAuditKey(ctx context.Context, _ *struct{}) (*auditKeyOutput, error) {
	key, err := s.plane.AuditKey(ctx)
	return &auditKeyOutput{AuditKeyBody{key}}, err
}

type auditReportOutput struct{ Body control.AuditReport }

func (s *server) verifyAuditLog(ctx context.Context, _ *struct{}) (*auditReportOutput, error) {
	report, err := s.plane.AuditVerify(ctx, actor(ctx))
	return &auditReportOutput{report}, err
}

func (s *server) exportAuditLog(w http.ResponseWriter, r *http.Request) error {
	if _, err := only(r.URL); err != nil {
		return err
	}
	s.stream(w, r, linesMedia, "mtguard-audit.jsonl", func(w io.Writer) error { return s.plane.AuditExport(r.Context(), actor(r.Context()), w) })
	return nil
}
