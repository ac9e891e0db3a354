package admin

import (
	"bytes"
	"flag"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew; an incompatible change of the API is still refused")

const goldenAPI = "../../api/openapi.yaml"

// TestTheAPIIsTheCommittedOne: api/openapi.yaml is what is served, and it only
// grows. Whoever has to break it takes the old file away first, and thereby says so.
func TestTheAPIIsTheCommittedOne(t *testing.T) {
	served, err := newServer(nil, slog.New(slog.DiscardHandler)).document().YAML()
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile(goldenAPI)
	if os.IsNotExist(err) && *update {
		committed = served
	} else if err != nil {
		t.Fatal(err)
	}
	for _, broken := range incompatible(flatten(committed), flatten(served)) {
		t.Errorf("clients of the committed API would break: %s", broken)
	}
	if bytes.Equal(committed, served) && !*update {
		return
	}
	if !*update {
		t.Fatalf("%s is not what is served: run the test with -update and look at the difference", goldenAPI)
	}
	if !t.Failed() {
		if err := os.WriteFile(goldenAPI, served, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// flatten turns YAML as huma writes it (block style, one scalar a line) into
// "a.b[x].c": "value", where x is the value of an element of a list, or the name in
// it.
func flatten(yaml []byte) map[string]string {
	flat := make(map[string]string)
	type level struct {
		indent int
		path   string
	}
	var stack []level
	lines := strings.Split(string(yaml), "\n")
	for i, line := range lines {
		text := strings.TrimLeft(strings.TrimRight(line, "\n"), " ")
		indent := len(strings.TrimRight(line, "\n")) - len(text)
		parent := func() string {
			for len(stack) > 0 && stack[len(stack)-1].indent >= indent {
				stack = stack[:len(stack)-1]
			}
			if len(stack) == 0 {
				return ""
			}
			return stack[len(stack)-1].path
		}
		if item, ok := strings.CutPrefix(text, "- "); ok {
			key, value, isMap := strings.Cut(item, ": ")
			above := parent()
			if !isMap {
				flat[above+"["+strings.Trim(item, `"`)+"]"] = ""
				continue
			}
			name := nameOf(lines[i:], value)
			stack = append(stack, level{indent, above + "[" + name + "]"})
			flat[above+"["+name+"]."+key] = value
			continue
		}
		key, value, _ := strings.Cut(text, ":")
		key, value = strings.Trim(key, `"`), strings.TrimSpace(value)
		path := key
		if above := parent(); above != "" {
			path = above + "." + key
		}
		if value == "" {
			stack = append(stack, level{indent, path})
		} else {
			flat[path] = strings.Trim(value, `"`)
		}
	}
	return flat
}

// nameOf is the name in the element of a list that begins with the first line.
func nameOf(lines []string, otherwise string) string {
	within := strings.Repeat(" ", strings.Index(lines[0], "- ")+2)
	for i, line := range lines {
		if i > 0 && !strings.HasPrefix(line, within) {
			break
		}
		if name, ok := strings.CutPrefix(line, within+"name: "); ok {
			return name
		}
	}
	return otherwise
}

// incompatible lists what a client that was written for the old API would miss,
// and what it would have to send and does not.
func incompatible(old, now map[string]string) (broken []string) {
	has := func(api map[string]string, path string) bool {
		if _, ok := api[path]; ok {
			return true
		}
		for p := range api {
			if strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
				return true
			}
		}
		return false
	}
	prose := func(path string) bool {
		last := path[strings.LastIndex(path, ".")+1:]
		return last == "description" || last == "summary" || last == "title" || strings.HasPrefix(path, "info.") || strings.Contains(path, ".tags[")
	}
	for _, path := range slices.Sorted(maps.Keys(old)) {
		value, still := now[path]
		last := path[strings.LastIndex(path, ".")+1:]
		switch {
		case prose(path) || bound(last) && !still:
		case !still && strings.HasPrefix(last, "required[") && has(now, strings.TrimSuffix(path, "."+last)):
			if !requested(old, path) {
				broken = append(broken, "an answer need not have it any more: "+path)
			}
		case !still && last == "required": // of a parameter: it may be left out by now
		case !still:
			broken = append(broken, "gone: "+path)
		case value != old[path] && !bound(last) && last != "default":
			broken = append(broken, "was "+old[path]+", is "+value+": "+path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(now)) {
		last := path[strings.LastIndex(path, ".")+1:]
		owner := strings.TrimSuffix(path, "."+last)
		_, before := old[path]
		switch {
		case before:
		case strings.HasPrefix(last, "required[") && requested(now, path) && has(old, owner):
			broken = append(broken, "has to be sent: "+path)
		case last == "required" && now[path] == "true" && has(old, owner[:max(0, strings.LastIndexAny(owner, "["))]) && operationIn(old, path):
			broken = append(broken, "has to be sent: "+path)
		}
	}
	return broken
}

// bound: a limit of a value, which may move.
func bound(last string) bool {
	return strings.HasPrefix(last, "min") || strings.HasPrefix(last, "max") || strings.HasPrefix(last, "pattern")
}

// requested: the schema of path is one that clients send.
func requested(api map[string]string, path string) bool {
	rest, ok := strings.CutPrefix(path, "components.schemas.")
	if !ok {
		return false
	}
	name, _, _ := strings.Cut(rest, ".")
	for p, ref := range api {
		if !strings.HasSuffix(p, ".$ref") || !strings.HasSuffix(ref, "/"+name) {
			continue
		}
		if strings.Contains(p, ".requestBody.") {
			return true
		}
		if strings.HasPrefix(p, "components.schemas.") && !strings.HasPrefix(p, "components.schemas."+name+".") && requested(api, p) {
			return true
		}
	}
	return false
}

// operationIn: the operation of path was there before.
func operationIn(old map[string]string, path string) bool {
	operation, _, _ := strings.Cut(path, ".parameters")
	_, ok := old[operation+".operationId"]
	return ok
}

func TestAnIncompatibleChangeOfTheAPIIsFound(t *testing.T) {
	raw, err := os.ReadFile(goldenAPI)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("the API lacks %q", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	for name, c := range map[string]struct {
		change func(string) string
		breaks bool
	}{
		"nothing":                  {func(s string) string { return s }, false},
		"other words":              {edit("List users by name", "All users"), false},
		"a path is gone":           {edit("  /keys/schedule:\n", "  /keys/plan:\n"), true},
		"an operation is gone":     {edit("    patch:\n", "    put:\n"), true},
		"an operation is renamed":  {edit("operationId: set-user", "operationId: change-user"), true},
		"a parameter is gone":      {edit("name: dry_run", "name: dryrun"), true},
		"a field is gone":          {edit("        max_addresses:\n", "        max_addrs:\n"), true},
		"a type changes":           {edit("        max_addresses:\n          description: \"0: no bound\"\n          format: int64\n          minimum: 0\n          type: integer", "        max_addresses:\n          description: \"0: no bound\"\n          format: int64\n          minimum: 0\n          type: string"), true},
		"a new field is optional":  {edit("        max_addresses:\n", "        colour:\n          type: string\n        max_addresses:\n"), false},
		"a new field is required":  {edit("      required:\n        - bytes\n", "      required:\n        - bytes\n        - colour\n"), true},
		"an answer has more":       {edit("      required:\n        - id\n", "      required:\n        - id\n        - colour\n"), false},
		"an answer has less":       {edit("      required:\n        - id\n", "      required:\n"), true},
		"a choice is gone":         {edit("            - superuser\n", ""), true},
		"a parameter must be sent": {edit("        - description: do everything but keep it\n          explode: false\n          in: query\n          name: dry_run\n", "        - description: do everything but keep it\n          explode: false\n          in: query\n          name: dry_run\n          required: true\n"), true},
	} {
		changed := c.change(string(raw))
		if broken := incompatible(flatten(raw), flatten([]byte(changed))); (len(broken) > 0) != c.breaks {
			t.Errorf("%s: %d findings, want some: %v\n%s", name, len(broken), c.breaks, strings.Join(broken, "\n"))
		}
	}
}
