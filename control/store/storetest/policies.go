package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mtguard/control/store"
	"mtguard/security/access"
)

const fullName = "full \"'; --\x01é\n"

var rules = &bounded[store.Rule]{
	most: store.MaxRules,
	full: func() store.Rule {
		return store.Rule{
			ID: fullName, Match: "net:192.0.2.0/24 & sni:a.example", Level: access.ReadOnly, Source: store.FromFeed, Pinned: true,
			From: at.Add(-time.Hour), Until: at.Add(time.Hour + time.Microsecond), Schedule: "mon-fri 08:00-18:00", Reason: "12:34 5 \n", By: "uid 0",
			Created: at, ConfirmBy: at.Add(time.Minute),
		}
	},
	named: func(name string) store.Rule {
		return store.Rule{ID: name, Match: "net:192.0.2.7", Level: access.None, Source: store.FromOperator, Created: at}
	},
	put:     (*store.Tx).PutRule,
	get:     (*store.Tx).Rule,
	all:     (*store.Tx).Rules,
	rev:     func(r *store.Rule) *store.Revision { return &r.Rev },
	removed: func(r *store.Rule) *time.Time { return &r.Removed },
	texts: func(r *store.Rule) []*string {
		return []*string{&r.ID, &r.Match, &r.Source, &r.Schedule, &r.Reason, &r.By}
	},
}

var ruleTests = append(rules.tests(), test{"what is no rule is refused", func(t *testing.T, open Open) {
	f := fresh(t, open)
	noMatch, noLevel := rules.named("a"), rules.named("a")
	noMatch.Match, noLevel.Level = "", access.Superuser+1
	for _, r := range []store.Rule{noMatch, noLevel} {
		if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutRule(&r) }); err == nil {
			t.Errorf("%+v was put", r)
		}
	}
}}, test{"a rule that comes back is live again", func(t *testing.T, open Open) {
	f := fresh(t, open)
	r := rules.remove(f, rules.add(f, "a"))
	r.Removed = time.Time{}
	f.update(func(tx *store.Tx) error { return tx.PutRule(&r) })
	rules.list(f, 0, r)
}}, test{"a long list is read in parts", func(t *testing.T, open Open) {
	f := fresh(t, open)
	const n = 1200 // more than what is read at a time
	f.update(func(tx *store.Tx) error {
		for i := range n {
			r := rules.named(fmt.Sprint(n - i))
			if err := tx.PutRule(&r); err != nil {
				return err
			}
		}
		return nil
	})
	f.view(func(tx *store.Tx) error {
		for i, r := range list(t, tx.Rules(0)) {
			if want := fmt.Sprint(n - i); r.ID != want {
				t.Fatalf("rule %d has ID %s: want %s", i, r.ID, want)
			}
		}
		return nil
	})
}})

var exceptions = &bounded[store.Exception]{
	most: store.MaxExceptions,
	full: func() store.Exception {
		return store.Exception{
			ID: fullName, Prefix: "2001:db8::/48", User: "nadia", Country: "unknown", Controls: []string{"rate.accept", "conns.addr"},
			From: at.Add(-time.Hour), Until: at.Add(time.Hour + time.Microsecond), Reason: "12:34 5 \n", Owner: "the night shift", Created: at,
		}
	},
	named: func(name string) store.Exception {
		return store.Exception{ID: name, User: "omar", Until: at.Add(time.Hour), Created: at}
	},
	put:     (*store.Tx).PutException,
	get:     (*store.Tx).Exception,
	all:     (*store.Tx).Exceptions,
	rev:     func(e *store.Exception) *store.Revision { return &e.Rev },
	removed: func(e *store.Exception) *time.Time { return &e.Removed },
	texts: func(e *store.Exception) []*string {
		e.Controls = make([]string, 1)
		e.Controls[0] = "rate.accept"
		return []*string{&e.ID, &e.Prefix, &e.User, &e.Country, &e.Reason, &e.Owner, &e.Controls[0]}
	},
	counted: func(tx *store.Tx) error { return tx.CountHits("a", 3) },
}

var exceptionTests = append(exceptions.tests(), test{"hits add up, and are not put", func(t *testing.T, open Open) {
	f := fresh(t, open)
	e := exceptions.named("a")
	e.Hits = 99
	f.update(func(tx *store.Tx) error { return tx.PutException(&e) })
	f.update(func(tx *store.Tx) error { return errors.Join(tx.CountHits("a", 2), tx.CountHits("a", 3)) })
	e = exceptions.remove(f, e)
	f.view(func(tx *store.Tx) error {
		got, err := tx.Exception("a")
		if got.Hits != 5 {
			t.Errorf("%d hits: want 5", got.Hits)
		}
		return err
	})
}}, test{"the name of a control is one line", func(t *testing.T, open Open) {
	f := fresh(t, open)
	for _, controls := range [][]string{{""}, {"a\nb"}, {"a", ""}} {
		e := exceptions.named("a")
		e.Controls = controls
		if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutException(&e) }); err == nil {
			t.Errorf("%q were put", controls)
		}
	}
}})

var lists = &bounded[store.List]{
	most: store.MaxLists,
	full: func() store.List {
		return store.List{
			Name: fullName, Origin: "https://example.com/a.netset", Level: access.None, Every: time.Hour + time.Nanosecond, Wide: true, Created: at,
		}
	},
	named: func(name string) store.List {
		return store.List{Name: name, Origin: "/srv/lists/a.txt", Level: access.Standard, Created: at}
	},
	put:     (*store.Tx).PutList,
	get:     (*store.Tx).List,
	all:     (*store.Tx).Lists,
	rev:     func(l *store.List) *store.Revision { return &l.Rev },
	removed: func(l *store.List) *time.Time { return &l.Removed },
	texts:   func(l *store.List) []*string { return []*string{&l.Name, &l.Origin} },
	counted: func(tx *store.Tx) error { return tx.ListChecked("a", at.Add(2), at.Add(time.Hour), 500_000, "") },
	reuses:  true,
}

var listTests = append(lists.tests(), test{"the last look at a list is kept", func(t *testing.T, open Open) {
	f := fresh(t, open)
	lists.remove(f, lists.add(f, "a")) // another of that name, which nobody looks at
	want := lists.add(f, "a")
	for _, problem := range []string{"line 3: \"\x01é\"", ""} {
		want.Good, want.Entries, want.Problem = at, want.Entries+7, problem
		want.Checked = at.Add(time.Duration(want.Entries) * time.Hour)
		f.update(func(tx *store.Tx) error { return tx.ListChecked("a", want.Checked, want.Good, want.Entries, problem) })
		lists.list(f, 0, want)
	}
}}, test{"a problem is cut to fit", func(t *testing.T, open Open) {
	f := fresh(t, open)
	lists.add(f, "a")
	for _, problem := range []string{
		strings.Repeat("x", store.MaxText), strings.Repeat("x", store.MaxText+1), strings.Repeat("é", store.MaxText),
		"x" + strings.Repeat("é", store.MaxText), strings.Repeat("\xff", 3*store.MaxText), "a\x00b", strings.Repeat("x", store.MaxText+3) + "é",
	} {
		f.update(func(tx *store.Tx) error { return tx.ListChecked("a", at, at, 1, problem) })
		f.view(func(tx *store.Tx) error {
			l, err := tx.List("a")
			if len(l.Problem) > store.MaxText || !utf8.ValidString(l.Problem) || l.Problem == "" ||
				len(problem) <= store.MaxText && utf8.ValidString(problem) && !strings.Contains(problem, "\x00") && l.Problem != problem {
				t.Errorf("%d bytes, %.20q, of %d, %.20q", len(l.Problem), l.Problem, len(problem), problem)
			}
			return err
		})
	}
}})

var policyTests = []test{
	{"policies are numbered, and the newest is the one in force", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.view(func(tx *store.Tx) error {
			for _, n := range []int64{0, 1, -1} {
				if p, err := tx.Policy(n); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("policy %d: %+v, %v", n, p, err)
				}
			}
			if all, err := tx.Policies(0, 0); err != nil || len(all) != 0 {
				t.Errorf("%+v, %v", all, err)
			}
			return nil
		})
		var put []store.PolicyRevision
		for i := range 5 {
			p := store.PolicyRevision{Document: fmt.Sprint("schema = 1 # é\n", i), Preset: fmt.Sprint("é", i), Actor: "uid 0", Reason: "12:34", At: at.Add(time.Duration(i) * time.Microsecond)}
			before := f.Revision()
			if after := f.update(func(tx *store.Tx) error { return tx.AddPolicy(&p) }); p.Number != int64(i+1) || after != before+1 {
				t.Errorf("policy %d at revision %d behind %d", p.Number, after, before)
			}
			put = append(put, p)
		}
		f.view(func(tx *store.Tx) error {
			newest, err1 := tx.Policy(0)
			second, err2 := tx.Policy(2)
			if newest != put[4] || second != put[1] {
				t.Errorf("%+v and %+v", newest, second)
			}
			part, err3 := tx.Policies(4, 2)
			rest, err4 := tx.Policies(part[1].Number, 0)
			for i := range put {
				put[i].Document = "" // of a thousand they would be too much
			}
			if fmt.Sprint(part, rest) != fmt.Sprint([]store.PolicyRevision{put[2], put[1]}, []store.PolicyRevision{put[0]}) {
				t.Errorf("%+v and %+v", part, rest)
			}
			return errors.Join(err1, err2, err3, err4)
		})
	}},
	{"the history of policies has a bound", func(t *testing.T, open Open) {
		f := fresh(t, open)
		const more = 7
		f.update(func(tx *store.Tx) error {
			for range store.KeepPolicies + more {
				p := store.PolicyRevision{Document: "schema = 1", At: at}
				if err := tx.AddPolicy(&p); err != nil {
					return err
				}
			}
			return nil
		})
		f.view(func(tx *store.Tx) error {
			newest, err1 := tx.Policy(0)
			_, gone := tx.Policy(more)
			oldest, err2 := tx.Policy(more + 1)
			if newest.Number != store.KeepPolicies+more || oldest.Number != more+1 || !errors.Is(gone, store.ErrNotFound) {
				t.Errorf("the newest is %d, the oldest %d, before it %v", newest.Number, oldest.Number, gone)
			}
			for _, limit := range []int{0, store.MaxPolicies + 1} {
				if all, err := tx.Policies(0, limit); err != nil || len(all) != store.MaxPolicies {
					t.Errorf("%d of %d, %v", len(all), limit, err)
				}
			}
			return errors.Join(err1, err2)
		})
	}},
	{"a policy has a document of some length", func(t *testing.T, open Open) {
		f := fresh(t, open)
		long := strings.Repeat("#", store.MaxPolicyLength)
		for name, p := range map[string]store.PolicyRevision{
			"empty": {}, "too long": {Document: long + "#"}, "no text": {Document: "\xff"}, "zero": {Document: "a\x00"},
			"long reason": {Document: "a", Reason: strings.Repeat("x", store.MaxText+1)},
		} {
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.AddPolicy(&p) }); err == nil || p.Number != 0 {
				t.Errorf("%s was put", name)
			}
		}
		f.update(func(tx *store.Tx) error { return tx.AddPolicy(&store.PolicyRevision{Document: long}) })
		f.view(func(tx *store.Tx) error {
			p, err := tx.Policy(0)
			if p.Document != long || tx.AddPolicy(&p) == nil {
				t.Errorf("%d bytes", len(p.Document))
			}
			return err
		})
	}},
}
