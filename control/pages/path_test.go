package pages

import (
	"encoding/base64"
	"strings"
	"testing"
)

func token(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func TestPathsNameATokenOrNone(t *testing.T) {
	for path, want := range map[string]pagePath{
		"/u/" + right:                          {token: right},
		"/u/" + right + ".json":                {token: right, document: true},
		"/some/base/u/" + right:                {token: right, before: "/some/base"},
		"/u/u/" + right:                        {token: right, before: "/u"},
		"/u/" + nobody:                         {token: nobody},
		"/u/" + right + ".":                    {token: right, after: "."},
		"/u/" + right + ").":                   {token: right, after: ")."},
		"/u/" + right + "/":                    {token: right, after: "/"},
		"/u/" + right + ".json.":               {token: right, after: ".json."},
		"/u/" + right + " ":                    {token: right, after: " "},
		"/u/" + right + "،":                    {token: right, after: "،"},
		"":                                     {},
		"/":                                    {},
		"/u":                                   {},
		"/u/":                                  {},
		"/U/" + right:                          {},
		"/u//" + right:                         {},
		"/v/" + right:                          {},
		"/u/" + right[:21]:                     {},
		"/u/" + right + "A":                    {},
		"/u/" + right + "-":                    {},
		"/u/" + right[:21] + "B":               {}, // not the way these bits are written
		"/u/" + right[:10] + "+" + right[11:]:  {},
		"/u/" + right[:10] + "\n" + right[11:]: {},
		"/u/" + right[:20] + "é":               {},
	} {
		got := parsePath(path)
		if want.token != "" {
			if want.before += "/u/"; want.document {
				want.after = ".json"
			}
		}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", path, got, want)
		}
	}
	if Path(right) != "/u/"+right {
		t.Error("Path and parsePath disagree")
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/u/" + right, "/u/" + right + ".json", "/x/u/" + right + ")", "/u/u/u/", "/u/" + right[:21], "/u/é\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := parsePath(path)
		if p.token == "" {
			if p != (pagePath{}) {
				t.Fatalf("%q: no token, but %+v", path, p)
			}
			return
		}
		raw, err := base64.RawURLEncoding.Strict().DecodeString(p.token)
		if err != nil || len(raw) != tokenBytes || token(raw) != p.token {
			t.Fatalf("%q: %q is no token: %v", path, p.token, err)
		}
		if p.replaced(p.token) != path || !strings.HasSuffix(p.before, "/u/") || p.document != (p.after == ".json") {
			t.Fatalf("%q: parts %+v", path, p)
		}
		if again := parsePath(p.replaced(nobody)); again.token != nobody || again.after != p.after {
			t.Fatalf("%q: with another token it is %+v", path, again)
		}
		if other := parsePath(Path(p.token)); other.token != p.token {
			t.Fatalf("%q: the token is not found at its own address", path)
		}
	})
}

func TestTheLanguageIsTheBestOfTheBrowsersOrTheOneAskedFor(t *testing.T) {
	many := strings.Repeat("xx,", maxAcceptItems)
	for _, test := range []struct{ asked, accept, want string }{
		{"", "", "en"},
		{"", "ru", "ru"},
		{"", "fa-IR,fa;q=0.9,en;q=0.8", "fa"},
		{"", "de-DE,de;q=0.9,ru;q=0.5,en;q=0.4", "ru"},
		{"", "de,tr", "en"},
		{"", "en-US,fa", "en"},
		{"", "en;q=0.5,fa;q=0.501", "fa"},
		{"", "en;q=0.5, FA ;q=0.9", "fa"},
		{"", "fa;q=0,ru;q=0.1", "ru"},
		{"", "fa;q=1.5,ru;q=0.1", "ru"},
		{"", "fa;q=,ru;q=x,en;q=0.0001", "en"},
		{"", "fax,rus", "en"},
		{"", many + "ru", "en"},
		{"fa", "ru", "fa"},
		{"FA", "ru", "ru"},
		{"de", "ru", "ru"},
		{"../../etc", "", "en"},
	} {
		if got := chooseLanguage(test.asked, []string{test.accept}).Lang; got != test.want {
			t.Errorf("lang=%s, Accept-Language %q: got %s, want %s", test.asked, test.accept, got, test.want)
		}
	}
}

func TestProgramsGetTheDocumentAndBrowsersThePage(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                     false,
		"*/*":                                  false,
		"application/json":                     true,
		"Application/JSON; charset=utf-8":      true,
		"application/json, text/plain, */*":    true,
		"text/html,application/xhtml+xml,*/*":  false,
		"text/html,application/json":           false,
		"text/html;q=0.5,application/json":     true,
		"application/json;q=0.5,text/html":     false,
		"application/json;q=0":                 false,
		"application/jsonp":                    false,
		"text/html;q=0.9,application/json;q=1": true,
	} {
		if got := prefersJSON([]string{accept}); got != want {
			t.Errorf("Accept %q: document %v, want %v", accept, got, want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"fa-IR,fa;q=0.9,en;q=0.8", ";;q=1", "en;q=0.12345", ",,,,", "a;q=1.000;q=0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		items := 0
		acceptItems([]string{field, field}, func(_ string, weight int) {
			items++
			if weight < 0 || weight > 1000 {
				t.Fatalf("%q: weight %d", field, weight)
			}
		})
		if items > maxAcceptItems {
			t.Fatalf("%q: %d items", field, items)
		}
		chooseLanguage(field, []string{field})
		matches([]string{field}, `"x"`)
	})
}
