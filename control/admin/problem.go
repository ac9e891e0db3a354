package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"mtguard/control"
)

// Problem is the answer to a request that was not done (RFC 9457).
type Problem struct {
	Type    string         `json:"type" format:"uri-reference" doc:"which sort of problem; clients tell them apart by this"`
	Title   string         `json:"title" doc:"of the sort"`
	Status  int            `json:"status" doc:"the HTTP status"`
	Detail  string         `json:"detail" doc:"what happened and why, for people"`
	Errors  []ProblemError `json:"errors,omitempty" nullable:"false" doc:"which values, of a request that makes no sense"`
	Fix     string         `json:"fix,omitempty" doc:"what to do about it"`
	Current any            `json:"current,omitempty" doc:"of a stale revision: the object as it is now"`

	allow string // header of a 405
}

// ProblemError is one value that makes no sense.
type ProblemError struct {
	Location string `json:"location" doc:"such as body.expires or query.limit"`
	Message  string `json:"message"`
}

// problemSort is one sort of problem.
type problemSort struct {
	word   string // the end of Problem.Type
	status int
	title  string
}

// kinds says what a refusal of the control plane is in HTTP. Clients read it
// backwards.
var kinds = map[control.Kind]problemSort{
	control.Invalid:     {control.Invalid.String(), http.StatusUnprocessableEntity, "A value makes no sense"},
	control.NotFound:    {control.NotFound.String(), http.StatusNotFound, "There is no such object"},
	control.Exists:      {control.Exists.String(), http.StatusConflict, "It exists already"},
	control.Refused:     {control.Refused.String(), http.StatusConflict, "A safety rule forbids it"},
	control.Stale:       {control.Stale.String(), http.StatusPreconditionFailed, "The object was changed meanwhile"},
	control.Denied:      {control.Denied.String(), http.StatusForbidden, "Not allowed"},
	control.Unavailable: {control.Unavailable.String(), http.StatusServiceUnavailable, "Not possible at present"},
}

// What is wrong with a request as such, before the control plane sees it.
var (
	malformed       = problemSort{"malformed", http.StatusBadRequest, "The request cannot be read"}
	noPath          = problemSort{"no-such-path", http.StatusNotFound, "There is no such path"}
	noMethod        = problemSort{"method-not-allowed", http.StatusMethodNotAllowed, "The path does not take this method"}
	tooSlow         = problemSort{"timeout", http.StatusRequestTimeout, "The request took too long to arrive"}
	tooLarge        = problemSort{"too-large", http.StatusRequestEntityTooLarge, "The request is too large"}
	wrongMedia      = problemSort{"media-type", http.StatusUnsupportedMediaType, "The request has another media type"}
	revisionMissing = problemSort{"revision-required", http.StatusPreconditionRequired, "The change needs a revision"}
	crossOrigin     = problemSort{"cross-origin", http.StatusForbidden, "A page of another origin sent it"}
	unauthenticated = problemSort{"unauthenticated", http.StatusUnauthorized, "Not signed in"}
	signedInAlready = problemSort{"signed-in", http.StatusConflict, "Somebody is signed in already"}
	stepUpRequired  = problemSort{"step-up-required", http.StatusForbidden, "Show your passkey again"}
	incomplete      = problemSort{"incomplete", http.StatusInternalServerError, "The change is kept, but not all of it has taken effect"}
	internal        = problemSort{"internal", http.StatusInternalServerError, "The node made a mistake"}
)

// problemPath begins every Problem.Type: a URI reference, so that it means the
// same wherever the API is served.
const problemPath = "/problems/"

// The most that a problem says about a request, which may be made to be wrong in
// very many ways.
const (
	maxProblemErrors = 16
	maxProblemText   = 512
	// maxRefusal is for what the control plane says, which may be all that is wrong
	// with a policy.
	maxRefusal = 8 << 10
)

func (s problemSort) problem(format string, args ...any) *Problem {
	return &Problem{Type: problemPath + s.word, Title: s.title, Status: s.status, Detail: clip(fmt.Sprintf(format, args...))}
}

func (p *Problem) fixedBy(format string, args ...any) *Problem {
	p.Fix = clip(fmt.Sprintf(format, args...))
	return p
}

// Error is Detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus tells huma the status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType tells huma the media type.
func (p *Problem) ContentType(string) string { return problemMedia }

const problemMedia = "application/problem+json"

// write answers with p.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", problemMedia)
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// refusal is the problem of a refusal of the control plane; nil when err is none.
func refusal(err error) *Problem {
	var e *control.Error
	if !errors.As(err, &e) {
		return nil
	}
	kind, ok := kinds[e.Kind]
	if !ok {
		return nil
	}
	p := kind.problem("%s", e.Text)
	p.Detail, p.Fix = clipTo(e.Text, maxRefusal), clip(e.Fix)
	if e.Field != "" {
		p.Errors = []ProblemError{{Location: bodyPath + clip(e.Field), Message: clip(p.Detail)}}
	}
	return p
}

// bodyPath begins the location of a value in a body.
const bodyPath = "body."

// refusal is err backwards, at the client.
func (p *Problem) refusal() *control.Error {
	e := &control.Error{Kind: control.Invalid, Text: p.Detail, Fix: p.Fix}
	if p.Status >= 500 {
		e.Kind = control.Unavailable
	}
	for kind, sort := range kinds {
		if p.Type == problemPath+sort.word {
			e.Kind = kind
		}
	}
	if len(p.Errors) > 0 {
		e.Field = strings.TrimPrefix(p.Errors[0].Location, bodyPath)
	}
	return e
}

// huma keeps what it makes of its own errors, and whether it minds the case of
// names, in variables of the package. Nothing else in this program uses huma.
func init() {
	huma.NewError = humaProblem
	huma.ValidateStrictCasing = true // else {"name":…,"NAME":…} has one checked and the other used
}

// humaProblem is the problem of what huma finds wrong. Of huma's details the
// values are left out: they may be secrets.
func humaProblem(status int, message string, errs ...error) huma.StatusError {
	sort := kinds[control.Invalid]
	switch status {
	case http.StatusBadRequest:
		sort = malformed
	case http.StatusRequestEntityTooLarge:
		sort = tooLarge
	case http.StatusUnsupportedMediaType:
		sort = wrongMedia
	case http.StatusInternalServerError:
		return internal.problem("see the node's log")
	}
	p := sort.problem("%s", message)
	for _, err := range errs[:min(len(errs), maxProblemErrors)] {
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			p.Errors = append(p.Errors, ProblemError{Location: clip(detail.Location), Message: clip(detail.Message)})
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = clip(p.Errors[0].Location + ": " + p.Errors[0].Message)
	}
	return p
}

// clip bounds a text of a problem.
func clip(text string) string { return clipTo(text, maxProblemText) }

func clipTo(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
