package control

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

func TestABundleComesOverHTTPSAndNothingElse(t *testing.T) {
	p := newPublisher(t)
	signed := p.sign(p.text(1, tighter))
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(signed) }))
	defer plain.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bundle":
			w.Write(signed)
		case "/moved":
			http.Redirect(w, r, "/bundle", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	usual := http.DefaultTransport
	http.DefaultTransport = server.Client().Transport
	defer func() { http.DefaultTransport = usual }()
	for _, c := range []struct{ path, says string }{{"/plain", "without TLS"}, {"/gone", "404"}, {"/endless", "longer than"}, {"/moved", ""}, {"/bundle", ""}} {
		p.apply(SetBundles{Origin: server.URL + c.path, Key: p.key}, Options{})
		info := p.look()
		if !strings.Contains(info.Problem, c.says) || (info.Problem == "") != (c.says == "") || (info.Applied == 1) != (c.says == "") {
			t.Errorf("%s: %+v", c.path, info)
		}
	}
}

func TestOnlyOneFormOfABundleIsRead(t *testing.T) {
	const at, schema = "time 2026-11-26T12:00:00Z\n", "\nschema = 1\n"
	head := bundleTitle + "\n"
	list := "list drop none 6h https://lists.example.com/drop\n"
	b, err := parseBundle(head + "number 12\n" + at + list + schema)
	if err != nil || b.number != 12 || len(b.lists) != 1 || b.lists[0].Every != 6*time.Hour || b.policy != "schema = 1\n" {
		t.Fatalf("%+v, %v", b, err)
	}
	many := ""
	for i := range maxBundleLists + 1 {
		many += strings.Replace(list, "drop", fmt.Sprint("l", i), 1)
	}
	for _, text := range []string{
		"", "\n\n", head, head + "number 1\n" + at, head + at + "number 1\n" + schema, "mtguard policy bundles\nnumber 1\n" + at + schema,
		head + "number 0\n" + at + schema, head + "number -1\n" + at + schema, head + "number 01\n" + at + schema, head + "number +1\n" + at + schema,
		head + "number 9223372036854775808\n" + at + schema, head + "number 1 \n" + at + schema, head + "1\n" + at + schema,
		head + "number 1\ntime 2026-11-26T13:00:00+01:00\n" + schema, head + "number 1\ntime 2026-11-26T12:00:00.5Z\n" + schema, head + "number 1\ntime 2026-11-26\n" + schema,
		head + "number 1\n" + at + list + list + schema, head + "number 1\n" + at + many + schema, head + "number 1\n" + at + "lists\n" + schema,
		head + "number 1\n" + at + "list drop none 6h /etc/passwd\n" + schema, head + "number 1\n" + at + "list drop none 6h http://lists.example.com/\n" + schema,
		head + "number 1\n" + at + "list drop none 1s https://lists.example.com/\n" + schema, head + "number 1\n" + at + "list drop all 6h https://lists.example.com/\n" + schema,
		head + "number 1\n" + at + "list ../drop none 6h https://lists.example.com/\n" + schema, head + "number 1\n" + at + "list drop  none 6h https://lists.example.com/\n" + schema,
		head + "number 1\n" + at + "\n", head + "number 1\n" + at + "\nschema = 2\n",
	} {
		if b, err := parseBundle(text); err == nil {
			t.Errorf("%q is read: %+v", text, b)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than a line: %v", text, err)
		}
	}
}

// Whatever a stranger sends is refused, and what is read is read back the same.
func FuzzBundle(f *testing.F) {
	signer, key := newSigner(f)
	text := bundleTitle + "\nnumber 12\ntime 2026-11-26T12:00:00Z\nlist drop none 6h https://lists.example.com/drop\n\nschema = 1\n[connections]\nper_address = 17\n"
	f.Add(text, true)
	f.Add(text, false)
	f.Add(bundleTitle+"\nnumber 1\ntime 2026-11-26T12:00:00Z\n\nschema = 1\n\n\u2014 publisher.example AAAAAA==\n", false)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		signed := []byte(text)
		if sign {
			var err error
			if signed, err = note.Sign(&note.Note{Text: text}, signer); err != nil {
				return
			}
		}
		b, err := openBundle(signed, key)
		if err != nil {
			if b != nil {
				t.Error("a bundle beside an error")
			}
			return
		}
		if !sign {
			t.Fatal("a bundle that nobody has signed is read")
		}
		head := fmt.Sprintf("%s\nnumber %d\ntime %s\n", bundleTitle, b.number, b.time.UTC().Format(time.RFC3339))
		if b.number < 1 || len(b.lists) > maxBundleLists || !strings.HasPrefix(text, head) || !strings.HasSuffix(text, "\n\n"+b.policy) || b.text != text {
			t.Errorf("%q is read as %+v", text, b)
		}
		for _, l := range b.lists {
			if !listName.MatchString(l.Name) || !strings.HasPrefix(strings.ToLower(l.Origin), "https://") || l.Every < minListEvery {
				t.Errorf("list %+v", l)
			}
		}
	})
}
