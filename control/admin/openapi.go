package admin

import (
	"maps"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// What huma cannot see for itself.

// revised says that a change needs If-Match.
func revised(op *huma.Operation) { op.Description += " If-Match is required." }

func describeSeal(op *huma.Operation) {
	describeOpen(op)
	op.Parameters = append(op.Parameters,
		&huma.Param{Name: "key", In: "query", Description: "id of a sealing key; left out: the active one", Schema: &huma.Schema{Type: huma.TypeString}},
		&huma.Param{Name: "suite", In: "query", Description: "one that the policy allows; left out: the one it prefers", Schema: &huma.Schema{Type: huma.TypeString}})
}

func describeOpen(op *huma.Operation) {
	describeBackup(op)
	op.RequestBody = &huma.RequestBody{Required: true, Description: "at most 64 MiB before sealing", Content: op.Responses["200"].Content}
	op.Parameters = []*huma.Param{{
		Name: contextHeader, In: "header", Description: "what the blob is bound to, at most 4096 bytes in base64url without padding",
		Schema: &huma.Schema{Type: huma.TypeString},
	}}
}

func describeBackup(op *huma.Operation) {
	op.Responses = answersWith(blobMedia, &huma.Schema{Type: huma.TypeString, Format: "binary"})
}

func describeExport(op *huma.Operation) {
	op.Responses = answersWith(linesMedia, &huma.Schema{Type: huma.TypeString})
}

func answersWith(media string, schema *huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{media: {Schema: schema}}}}
}

// problemResponse describes a problem.
func (s *server) problemResponse() *huma.Response {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{problemMedia: {Schema: schema}}}
}

// document is what api/openapi.yaml says. What only answers are made of may have more
// properties than are described: a client has to ignore those of a later version. In
// a request an unknown one is refused.
func (s *server) document() *huma.OpenAPI {
	s.register()
	sent := s.sent()
	for name, schema := range s.api.OpenAPI().Components.Schemas.Map() {
		if !sent[name] {
			schema.AdditionalProperties = nil
		}
	}
	return s.api.OpenAPI()
}

// forgetAnswers lets go what only describes: requests are checked against their
// schemas, answers are not.
func (s *server) forgetAnswers() {
	api, sent := s.api.OpenAPI(), s.sent()
	maps.DeleteFunc(api.Components.Schemas.Map(), func(name string, _ *huma.Schema) bool { return !sent[name] })
	for _, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				op.Responses = nil
			}
		}
	}
	api.Paths = nil
}

// sent are the names of the schemas that requests are made of.
func (s *server) sent() map[string]bool {
	api := s.api.OpenAPI()
	sent := make(map[string]bool)
	for _, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, media := range op.RequestBody.Content {
				reach(api.Components.Schemas.Map(), media.Schema, sent)
			}
		}
	}
	return sent
}

// reach adds the names of the schemas that one is made of.
func reach(all map[string]*huma.Schema, schema *huma.Schema, names map[string]bool) {
	if schema == nil {
		return
	}
	if name := schema.Ref[strings.LastIndex(schema.Ref, "/")+1:]; name != "" && !names[name] {
		names[name] = true
		reach(all, all[name], names)
	}
	reach(all, schema.Items, names)
	for _, property := range schema.Properties {
		reach(all, property, names)
	}
}
