package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w
}

// eachFile calls f with every embedded file.
func eachFile(t *testing.T, f func(name string, b []byte)) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		f(name, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheShellNamesFilesThatAreServed(t *testing.T) {
	shell := ask("GET", "/")
	if shell.Code != http.StatusOK || shell.Header().Get("Content-Type") != "text/html; charset=utf-8" || shell.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, %v", shell.Code, shell.Header())
	}
	links := regexp.MustCompile(`(?:href|src)="(/[^"]+)"`).FindAllStringSubmatch(shell.Body.String(), -1)
	if len(links) < 7 {
		t.Fatalf("the shell names %d files", len(links))
	}
	for _, link := range links {
		w := ask("GET", link[1])
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != media[path.Ext(link[1])] || !strings.HasSuffix(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", link[1], w.Code, w.Header())
		}
	}
}

// base is what begins the path of every file.
func (a *assets) base() string {
	for name := range a.files {
		if base, ok := strings.CutSuffix(name, "/style.css"); ok {
			return base
		}
	}
	return ""
}

func TestOnlyFilesThatThereAreAreServed(t *testing.T) {
	for _, target := range []string{"/index.html", "/a/", "/app/main.js", "/a/0123456789abcdef/style.css", all().base() + "/index.html", all().base() + "/app/main.js", all().base() + "/web.go", all().base() + "/../web.go"} {
		if w := ask("GET", target); w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %v", target, w.Code, w.Header())
		}
	}
	if w := ask("POST", "/"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, %v", w.Code, w.Header())
	}
	if w := ask("HEAD", "/"); w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
}

func TestFilesAreCompressedForWhoTakesThat(t *testing.T) {
	target := all().base() + "/app/dashboard.js"
	plain := ask("GET", target)
	for accept, packed := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "deflate": false, "": false, "gzip;q=0": false, "gzip;q=0.0, br": false, "x-gzip": false} {
		w := ask("GET", target, "Accept-Encoding: "+accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != packed || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: %v", accept, w.Header())
			continue
		}
		body := w.Body.Bytes()
		if packed {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, plain.Body.Bytes()) {
			t.Errorf("Accept-Encoding %q: other bytes", accept)
		}
	}
}

// TestTheDashboardIsSmall: whoever opens it for the first time loads every module and
// sheet, and of the catalogues one. Persian loads a face besides.
func TestTheDashboardIsSmall(t *testing.T) {
	const most = 80_000
	total, catalogue := len(all().shell.gzip), 0
	for name, f := range all().files {
		size := len(f.plain)
		if f.gzip != nil {
			size = len(f.gzip)
		}
		switch path.Ext(name) {
		case ".json":
			catalogue = max(catalogue, size)
		case ".woff2":
		default:
			total += size
		}
	}
	if total += catalogue; total > most {
		t.Errorf("the dashboard has %d bytes compressed; the most is %d", total, most)
	}
	t.Logf("%d bytes compressed, of them %d the largest catalogue", total, catalogue)
}

// TestNothingIsLoadedFromElsewhere: an absolute address in a file is a name of a
// namespace, or stands in a comment of a vendored file.
func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	allowed := []string{"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML", "https://github.com/leeoniya/uPlot"}
	absolute := regexp.MustCompile(`(?i)(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z0-9./-]+`)
	forbidden := regexp.MustCompile(`(?i)@import|\bimport\s*\(|\beval\s*\(|new Function|innerHTML\s*=|dangerouslySetInnerHTML|document\.write|\sstyle="`)
	eachFile(t, func(name string, b []byte) {
		if path.Ext(name) == ".woff2" {
			return
		}
		for _, address := range absolute.FindAllString(string(b), -1) {
			if !slices.Contains(allowed, address) {
				t.Errorf("%s: %s", name, address)
			}
		}
		if !strings.HasPrefix(name, "vendor/") {
			for _, what := range forbidden.FindAllString(string(b), -1) {
				t.Errorf("%s: %s", name, what)
			}
		}
	})
}

// TestModulesImportOnlyWhatIsThere: a bare or mistyped name would stop the whole page.
func TestModulesImportOnlyWhatIsThere(t *testing.T) {
	imports := regexp.MustCompile(`(?m)(?:^import .*from |\bimport\{[^}]*\}from)"([^"]+)"`)
	eachFile(t, func(name string, b []byte) {
		if ext := path.Ext(name); ext != ".js" && ext != ".mjs" {
			return
		}
		for _, m := range imports.FindAllStringSubmatch(string(b), -1) {
			if !strings.HasPrefix(m[1], ".") {
				t.Errorf("%s imports %q, which is no relative path", name, m[1])
			} else if _, err := files.ReadFile(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s imports %s, which is not there", name, m[1])
			}
		}
	})
}

// catalogue is the texts of a language; one without plural forms has only "".
func catalogue(t *testing.T, language string) map[string]map[string]string {
	t.Helper()
	b, err := files.ReadFile("i18n/" + language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatalf("%s: %v", language, err)
	}
	texts := make(map[string]map[string]string)
	for key, value := range raw {
		forms := make(map[string]string)
		switch v := value.(type) {
		case string:
			forms[""] = v
		case map[string]any:
			for form, text := range v {
				forms[form], _ = text.(string)
			}
		}
		texts[key] = forms
	}
	if n := bytes.Count(b, []byte("\n\"")); n != len(texts) {
		t.Errorf("%s: %d lines with a key, %d keys: one stands twice", language, n, len(texts))
	}
	return texts
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func placeholders(text string) string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return strings.Join(found, " ")
}

// TestTheLanguagesSayTheSame: every key in every language, with the placeholders of
// English in every plural form that the language has.
func TestTheLanguagesSayTheSame(t *testing.T) {
	forms := map[string][]string{"en": {"one", "other"}, "ru": {"few", "many", "one", "other"}, "fa": {"one", "other"}}
	english := catalogue(t, "en")
	for language, want := range forms {
		texts := catalogue(t, language)
		for key := range texts {
			if english[key] == nil {
				t.Errorf("%s: %s is in no other language", language, key)
			}
		}
		for key, original := range english {
			translated := texts[key]
			if translated == nil {
				t.Errorf("%s: no %s", language, key)
				continue
			}
			if _, single := original[""]; !single {
				if got := slices.Sorted(maps.Keys(translated)); !slices.Equal(got, want) {
					t.Errorf("%s: %s has the forms %v, want %v", language, key, got, want)
				}
			}
			for form, text := range translated {
				if text == "" {
					t.Errorf("%s: %s %s is empty", language, key, form)
				}
				source := original[form]
				if source == "" {
					source = original["other"]
				}
				if placeholders(text) != placeholders(source) {
					t.Errorf("%s: %s %s has %q, English %q", language, key, form, placeholders(text), placeholders(source))
				}
			}
		}
	}
}

// TestEveryTextIsThereAndUsed reads the modules for keys: t("a.b") names one, and
// t("a." + x) or word("a.", x) all that begin so.
func TestEveryTextIsThereAndUsed(t *testing.T) {
	english := catalogue(t, "en")
	used := make(map[string]bool)
	whole := regexp.MustCompile(`"([a-z]+(?:[._][a-z0-9_-]+)*)"`)
	begun := regexp.MustCompile("(?:\\bt\\(|word\\()\\s*\"([a-z.]+\\.)\"")
	called := regexp.MustCompile(`\bt\("([a-z0-9._-]+)"[,)]`)
	eachFile(t, func(name string, b []byte) {
		if !strings.HasPrefix(name, "app/") {
			return
		}
		for _, m := range called.FindAllSubmatch(b, -1) {
			if english[string(m[1])] == nil {
				t.Errorf("%s asks for %s, which no catalogue has", name, m[1])
			}
		}
		for _, m := range whole.FindAllSubmatch(b, -1) {
			used[string(m[1])] = true
		}
		for _, m := range begun.FindAllSubmatch(b, -1) {
			any := false
			for key := range english {
				if strings.HasPrefix(key, string(m[1])) {
					used[key], any = true, true
				}
			}
			if !any {
				t.Errorf("%s asks for %s…, and there is none", name, m[1])
			}
		}
	})
	for key := range english {
		if !used[key] {
			t.Errorf("nobody says %s", key)
		}
	}
}

// TestColoursCanBeTold: WCAG 2.2 asks for 4.5 between text and its ground, and for 3
// between the edge of what can be pressed and what it stands on.
func TestColoursCanBeTold(t *testing.T) {
	sheet, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := make(map[string][2]string)
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllSubmatch(sheet, -1) {
		colours[string(m[1])] = [2]string{string(m[2]), string(m[3])}
	}
	const text, edge = 4.5, 3
	for _, pair := range []struct {
		on, ground string
		least      float64
	}{
		{"ink", "ground", text}, {"ink", "surface", text}, {"ink", "raised", text}, {"ink", "warn-ground", text}, {"ink", "bad-ground", text},
		{"muted", "ground", text}, {"muted", "surface", text}, {"muted", "raised", text},
		{"accent", "ground", text}, {"accent", "surface", text}, {"accent", "info-ground", text}, {"accent", "warn-ground", text}, {"on-accent", "accent", text},
		{"ok", "ok-ground", text}, {"warn", "warn-ground", text}, {"bad", "bad-ground", text}, {"info", "info-ground", text},
		{"ok", "surface", text}, {"warn", "surface", text}, {"bad", "surface", text}, {"surface", "bad", text},
		{"edge", "surface", edge}, {"edge", "ground", edge}, {"accent", "raised", edge},
	} {
		for i, theme := range []string{"light", "dark"} {
			on, ground := colours[pair.on], colours[pair.ground]
			if on[i] == "" || ground[i] == "" {
				t.Fatalf("no colour %s or %s", pair.on, pair.ground)
			}
			if got := contrast(t, on[i], ground[i]); got < pair.least {
				t.Errorf("%s: %s on %s has %.2f, want %.1f", theme, pair.on, pair.ground, got, pair.least)
			}
		}
	}
}
