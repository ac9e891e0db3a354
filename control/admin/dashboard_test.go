package admin

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/token"
)

// modules are the dashboard's, by name.
func modules(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir("web/app", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// operationsNamed are what a module says its buttons, columns and panels are for.
func operationsNamed(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?:\bop=|\bop: |\bmay\()"([a-z -]+)"`).FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Fields(m[1])...)
	}
	return all
}

// TestTheDashboardNamesOperationsThatThereAre: what is mistyped nobody would ever see.
func TestTheDashboardNamesOperationsThatThereAre(t *testing.T) {
	count := 0
	for name, text := range modules(t) {
		for _, id := range operationsNamed(text) {
			if count++; !slices.ContainsFunc(routes, func(r route) bool { return r.id == id }) {
				t.Errorf("%s: there is no operation %s", name, id)
			}
		}
	}
	if count < 40 {
		t.Errorf("%d operations are named", count)
	}
}

// TestWhatTheDashboardChangesIsNamed: whoever may not do something does not see the button for it, so the operation
// of every request that changes something is one that buttons name.
func TestWhatTheDashboardChangesIsNamed(t *testing.T) {
	change := regexp.MustCompile("method: \"([A-Z]+)\", url(?:: (?:path)?[`\"]([^`\"]+)[`\"])?")
	kept := regexp.MustCompile("const url = path`([^`]+)`")
	hole := regexp.MustCompile(`\$\{[^}]*\}`)
	all, count := modules(t), 0
	var named []string
	for _, text := range all {
		named = append(named, operationsNamed(text)...)
	}
	for name, text := range all {
		for _, m := range change.FindAllStringSubmatch(text, -1) {
			path := m[2]
			if one := kept.FindStringSubmatch(text); path == "" && one != nil {
				path = one[1]
			}
			if path == "" {
				continue // the caller has it
			}
			path = hole.ReplaceAllString(path, "*")
			fits := func(r route) bool { return r.method == m[1] && samePath(path, r.path) }
			if !slices.ContainsFunc(routes, fits) {
				t.Errorf("%s: %s %s is no operation", name, m[1], path)
				continue
			}
			count++
			if !slices.ContainsFunc(routes, func(r route) bool { return fits(r) && slices.Contains(named, r.id) }) {
				t.Errorf("%s changes %s %s, and no module names an operation of it", name, m[1], path)
			}
		}
	}
	if count < 30 {
		t.Errorf("%d changes are found", count)
	}
}

// samePath reports whether a path fits one of a route; * is any segment.
func samePath(path, pattern string) bool {
	a, b := strings.Split(path, "/"), strings.Split(pattern, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && a[i] != "*" && !strings.HasPrefix(b[i], "{") {
			return false
		}
	}
	return true
}

// TestWhoIsSignedInLearnsWhatHeMayDo: exactly the routes of his level, and of a program's scopes.
func TestWhoIsSignedInLearnsWhatHeMayDo(t *testing.T) {
	s := newSite(t, WebOptions{})
	for _, level := range []access.Level{access.ReadOnly, access.Admin, access.Superuser} {
		for _, scopes := range [][]string{nil, {"users", "list-keys"}} {
			key := token.New(token.API)
			s.signIn.ids[key.Reveal()] = control.Identity{Actor: control.Actor{Name: "x", Level: level}, Granted: level, Scopes: scopes}
			w := s.ask(http.MethodGet, "/auth/me", "", "Authorization: Bearer "+key.Reveal())
			var me Me
			if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i, sample := range samples {
				if sample.least <= level && (scopes == nil || sample.id == "list-keys" || strings.HasPrefix(routes[i].path, "/users")) {
					want = append(want, sample.id)
				}
			}
			slices.Sort(want)
			if !slices.Equal(me.May, want) {
				t.Errorf("%v %v: %v, want %v", level, scopes, me.May, want)
			}
		}
	}
}

// TestDownloadsAreFiles: a browser keeps them, and would run nothing of them.
func TestDownloadsAreFiles(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := token.New(token.API)
	s.signIn.ids[key.Reveal()] = control.Identity{Actor: control.Actor{Name: "x", Level: access.Superuser}, Granted: access.Superuser}
	for path, name := range map[string]string{
		"/auditlog/export":                           "mtguard-audit.jsonl",
		"/reports/compliance":                        "mtguard-compliance.md",
		"/reports/compliance?format=html":            "mtguard-compliance.html",
		"/reports/usage?format=csv":                  "mtguard-usage.csv",
		"/reports/security?format=json&profile=asvs": "mtguard-security.json",
	} {
		w := s.ask(http.MethodGet, apiPath+path, "", "Authorization: Bearer "+key.Reveal())
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Disposition") != `attachment; filename="`+name+`"` || len(h.Values("Content-Security-Policy")) != 1 ||
			h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
	s.plane.written, s.plane.err = nil, &control.Error{Kind: control.Unavailable, Text: "not now"}
	w := s.ask(http.MethodGet, apiPath+"/auditlog/export", "", "Authorization: Bearer "+key.Reveal())
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("a refusal: %d %v", w.Code, w.Header())
	}
}

// TestTheDashboardKnowsProblemsThatThereAre: it has its own words for some, and does more than tell others.
func TestTheDashboardKnowsProblemsThatThereAre(t *testing.T) {
	words := []string{"fix", "unreachable", "http"} // its own
	for _, sort := range kinds {
		words = append(words, sort.word)
	}
	for _, sort := range []problemSort{malformed, noPath, noMethod, tooSlow, tooLarge, wrongMedia, revisionMissing, crossOrigin, unauthenticated, stepUpRequired, incomplete, internal} {
		words = append(words, sort.word)
	}
	english, err := os.ReadFile("web/i18n/en.json")
	if err != nil {
		t.Fatal(err)
	}
	all := modules(t)
	all["en.json"] = string(english)
	count := 0
	for name, text := range all {
		for _, m := range regexp.MustCompile(`(?:"problem\.|\bword (?:===|!==) ")([a-z-]+)"`).FindAllStringSubmatch(text, -1) {
			if count++; !slices.Contains(words, m[1]) {
				t.Errorf("%s: there is no problem %s", name, m[1])
			}
		}
	}
	if count < 10 {
		t.Errorf("%d problems are named", count)
	}
}
