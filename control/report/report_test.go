package report

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/net/html"

	"mtguard/control/audit"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	end   = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	start = end.AddDate(0, 0, -30)
)

// evil is what a stranger may have put into a name or a reason.
const evil = "=HYPERLINK(\"http://evil.example\")<script>alert(1)</script>|`x`\n\u202e~~~\nseal,\"&amp;"

func rowOf(n int, text string) Source {
	return Source{Of: OfRow, ID: fmt.Sprint(n), Hash: auditlog.Hash{byte(n)}.String(), At: stamp(end.Add(-time.Hour)), Text: text}
}

// auditOf is an audit that asked everything and found some.
func auditOf(number int64, at time.Time, found map[string]string) Audit {
	r := &Record{Found: make(map[string]string), Of: make(map[string]string), About: make(map[string]About), Process: "p1", Began: start.AddDate(0, 0, -1),
		Decisions: map[string]Decisions{policy.RateAccept: {Allowed: 100 * uint64(number), Refused: 3 * uint64(number), Would: 2 * uint64(number)}}, Hits: map[string]int64{"e1": 7 * number}}
	for _, c := range audit.Checks() {
		r.Asked = append(r.Asked, c.ID)
	}
	for id, of := range found {
		check, severity, _ := strings.Cut(of, " ")
		r.Found[id], r.Of[id] = severity, check
		r.About[id] = About{Subject: "about " + check, Evidence: evil}
	}
	text, err := r.Encode(sortedKeys(r.Found))
	if err != nil {
		panic(err)
	}
	row := rowOf(int(number), "audit.run, by schedule")
	return Audit{Number: number, Started: at, Score: 90 - number, Record: r, Digest: Digest(text), Row: &row}
}

// world are facts with something of everything.
func world() *Facts {
	f := &Facts{Since: start, Until: end, Log: LogHead{Origin: "mtguard-00000001", Row: 40, Hash: auditlog.Hash{40}.String()}}
	f.Audits = []Audit{
		auditOf(1, start.Add(-time.Hour), nil),
		auditOf(2, start.AddDate(0, 0, 10), map[string]string{"aa00": "host.files critical"}),
		auditOf(3, end.Add(-time.Hour), map[string]string{"aa00": "host.files critical", "bb00": "host.clock medium", "cc00": "access.asns unknown"}),
	}
	f.Accepted = []Acceptance{{Finding: "bb00", Check: "host.clock", Subject: "clock", By: "uid 0", Reason: evil, At: end.Add(-time.Minute), Until: end.AddDate(0, 1, 0), Source: rowOf(30, "audit.accept finding bb00, by uid 0")}}
	for _, name := range policy.Controls() {
		if !policy.MemoryBound(name) {
			f.Modes = append(f.Modes, Mode{At: start, Control: name, Configured: "monitor", Effective: "monitor", Why: "nobody said anything of it", Sources: []Source{rowOf(2, "policy.set policy, by uid 0")}})
		}
	}
	f.Modes = append(f.Modes,
		Mode{At: start.AddDate(0, 0, 3), Control: policy.RateAccept, Configured: "enforce 10%", Effective: "enforce 10%", Why: "the policy says so", Sources: []Source{{Of: OfPolicy, ID: "2", Hash: "ab", Text: "policy r2, by uid 0"}}},
		Mode{At: start.AddDate(0, 0, 9), Control: policy.RateAccept, Configured: "enforce", Effective: "enforce", Why: "the policy says so", Sources: []Source{{Of: OfPolicy, ID: "3", Hash: "cd", Text: "policy r3, by uid 0"}}},
		Mode{At: start.AddDate(0, 0, 9), Control: policy.GeoCountry, Configured: "unknown", Effective: "unknown", Why: "what the configuration file said then is not kept"})
	f.Exceptions = []Exceptional{{Exception: Exception{ID: "e1", Controls: []string{policy.RateAccept}, Spares: evil, Owner: "uid 0", Reason: evil, From: start.AddDate(0, 0, 1), Until: end.AddDate(0, 0, 60), InForce: true}, Sources: []Source{rowOf(20, "exception.add, by uid 0")}},
		{Exception: Exception{ID: "e2", Controls: []string{policy.ConnsUser}, Spares: "alice", Owner: "uid 0", Reason: "a tour", From: start.AddDate(0, 0, 1), Until: end.AddDate(0, 0, -1)}, Sources: []Source{rowOf(21, "exception.add, by uid 0")}}}
	one, many := int64(1), int64(12)
	f.Blocks = []BlockFact{{Block{At: end.AddDate(0, 0, -9), By: "uid 0", Action: "block", Target: "192.0.2.1", Count: &one, Reason: evil}, rowOf(22, "block 192.0.2.1, by uid 0")},
		{Block{At: end.AddDate(0, 0, -8), By: "threat", Action: "threat.block", Target: "12 addresses", Count: &many}, rowOf(23, "threat.block 12 addresses, by threat")},
		{Block{At: end.AddDate(0, 0, -7), By: "uid 0", Action: "unblock", Target: "192.0.2.1", Count: &one}, rowOf(24, "unblock 192.0.2.1, by uid 0")}}
	f.Incidents = []IncidentFact{{Incident{ID: "i1", Opened: end.AddDate(0, 0, -8), Detector: "probe_scan", Subject: evil, Severity: "high", State: "open"}, []Source{{Of: OfIncident, ID: "i1", Text: "probe_scan"}}}}
	f.Changes.Add(rowOf(20, "exception.add"))
	f.Changes.Add(rowOf(21, "exception.add"))
	f.Changes.Add(rowOf(22, "block"))
	f.Refused.Add(rowOf(25, "policy.set, by uid 9, refused"))
	f.KeyEvents, f.KeyEventsOf = map[string]int64{"active": 4, "revoked": 1}, Source{Of: OfHistory, ID: "3-9", Text: "the history of keys"}
	f.Days = Days{First: 20261028, Last: 20261125, Known: 29}
	f.Users = []UserFact{{Name: evil, Created: start, Sessions: 3, Up: 1 << 20, Down: 5 << 30}, {Name: "bob", Created: start, Removed: end.AddDate(0, 0, -3)}}
	return f
}

func composed(t testing.TB, kind Kind, profile string) *Report {
	t.Helper()
	r, err := Compose(kind, profile, world())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rendered(t testing.TB, r *Report, f Format) []byte {
	t.Helper()
	b, err := Render(r, f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden: what people and programs read is reviewed when it changes.
func TestGolden(t *testing.T) {
	for _, kind := range Kinds() {
		profile := map[Kind]string{Compliance: "asvs"}[kind]
		for _, f := range Formats() {
			got := rendered(t, composed(t, kind, profile), f)
			name := filepath.Join("testdata", string(kind)+"."+string(f)+".golden")
			if *update {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is another one; go test ./control/report -run TestGolden -update, and look at what changed", name)
			}
		}
	}
}

// TestEveryCheckAndControlIsInTheBaseline, and profiles name nothing that there is not.
func TestEveryCheckAndControlIsInTheBaseline(t *testing.T) {
	checks := make(map[string]int)
	for _, c := range audit.Checks() {
		checks[c.ID] = 0
	}
	controls := make(map[string]int)
	for _, name := range policy.Controls() {
		controls[name] = 0
	}
	for _, profile := range Profiles() {
		ids := make(map[string]bool)
		for _, item := range Items(profile) {
			if ids[item.ID] || item.Title == "" || (item.Never == "") == (len(item.Checks)+len(item.Controls) == 0) || profile != "baseline" && item.Source == "" {
				t.Errorf("%s: %+v", profile, item)
			}
			ids[item.ID] = true
			for _, name := range item.Checks {
				if _, there := checks[name]; !there {
					t.Errorf("%s asks for the check %s, which there is not", item.ID, name)
				} else if profile == "baseline" {
					checks[name]++
				}
			}
			for _, name := range item.Controls {
				if _, there := controls[name]; !there {
					t.Errorf("%s asks for the control %s, which there is not", item.ID, name)
				} else if profile == "baseline" {
					controls[name]++
				}
			}
		}
	}
	delete(controls, policy.BytesUser) // it delays and refuses nobody
	for _, all := range []map[string]int{checks, controls} {
		for name, n := range all {
			if n != 1 {
				t.Errorf("%s stands %d times in the baseline", name, n)
			}
		}
	}
}

func TestResultsOfRequirements(t *testing.T) {
	for _, c := range []struct {
		answers string
		want    Result
	}{
		{"", Unknown}, {"m", Met}, {"mm", Met}, {"n", NotMet}, {"nn", NotMet}, {"mn", Partly}, {"nu", NotMet}, {"mu", Unknown}, {"u", Unknown}, {"pm", Partly}, {"p", Partly}, {"pu", Unknown}, {"np", Partly},
	} {
		var list []Answer
		for _, letter := range c.answers {
			list = append(list, Answer{Result: map[rune]Result{'m': Met, 'n': NotMet, 'u': Unknown, 'p': Partly}[letter]})
		}
		if got := result(list); got != c.want {
			t.Errorf("%q: %s, want %s", c.answers, got, c.want)
		}
	}
}

// TestAnswers: each thing that may be known of a check or a control, and what becomes of it.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*Facts)
		check, control string
		want           Result
	}{
		"nothing found":         {check: "keys.expired", want: Met},
		"found":                 {check: "host.files", want: NotMet},
		"not to be told":        {check: "access.asns", want: Unknown},
		"accepted":              {check: "host.clock", want: Partly},
		"acceptance of another": {func(f *Facts) { f.Accepted[0].Check = "host.disk" }, "host.clock", "", NotMet},
		"no audit":              {func(f *Facts) { f.Audits = nil }, "keys.expired", "", Unknown},
		"too old":               {func(f *Facts) { f.Audits = f.Audits[:2] }, "keys.expired", "", Unknown},
		"not asked": {func(f *Facts) {
			f.Audits[2].Record.Asked, f.Audits[1].Record.Asked, f.Audits[0].Record.Asked = nil, nil, nil
		}, "keys.expired", "", Unknown},
		"asked long ago":         {func(f *Facts) { f.Audits[2].Record.Asked = []string{"host.disk"} }, "keys.expired", "", Unknown},
		"came to no end":         {func(f *Facts) { f.Audits[2].Record, f.Audits[2].Problem = nil, "x" }, "keys.expired", "", Unknown},
		"no room for all":        {func(f *Facts) { f.Audits[2].Record.More = 1 }, "keys.expired", "", Unknown},
		"enforced":               {control: policy.RateAccept, want: Met},
		"watched":                {control: policy.ConnsUser, want: Partly},
		"not known":              {control: policy.GeoCountry, want: Unknown},
		"bounds memory":          {control: policy.ConnsTotal, want: Met},
		"off":                    {func(f *Facts) { f.Modes[len(f.Modes)-2].Effective, f.Modes[len(f.Modes)-2].Configured = "off", "off" }, "", policy.RateAccept, NotMet},
		"for a share":            {func(f *Facts) { f.Modes[len(f.Modes)-2].Effective = "enforce 50%" }, "", policy.RateAccept, Partly},
		"the glass is broken":    {func(f *Facts) { f.Modes[len(f.Modes)-2].Effective = "monitor" }, "", policy.RateAccept, NotMet},
		"nothing is kept of it":  {func(f *Facts) { f.Modes = nil }, "", policy.RateAccept, Unknown},
		"found and not accepted": {func(f *Facts) { f.Accepted = nil }, "host.clock", "", NotMet},
	} {
		f := world()
		if c.change != nil {
			c.change(f)
		}
		r, err := Compose(Compliance, "baseline", f)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range r.Requirements {
			for _, a := range q.Answers {
				if a.Name == c.check || a.Name == c.control {
					if a.Result != c.want || len(a.Evidence) == 0 {
						t.Errorf("%s: %+v, want %s", name, a, c.want)
					}
				}
			}
		}
	}
}

// TestEveryStatementHasEvidence: no line of any report stands alone, and no key leads nowhere.
func TestEveryStatementHasEvidence(t *testing.T) {
	for _, facts := range []*Facts{world(), {Since: start, Until: end, Log: LogHead{Origin: "l"}}} {
		for _, kind := range Kinds() {
			r, err := Compose(kind, map[Kind]string{Compliance: "baseline"}[kind], facts)
			if err != nil {
				t.Fatal(err)
			}
			keys := make(map[string]bool)
			for _, e := range r.Evidence {
				if keys[e.Key] || e.ID == "" || e.Text == "" || e.Command == "" {
					t.Errorf("%s: %+v", kind, e)
				}
				keys[e.Key] = true
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var tree any
			if err := json.Unmarshal(text, &tree); err != nil {
				t.Fatal(err)
			}
			used := make(map[string]bool)
			walk(tree, func(path string, keysOf []any) {
				if len(keysOf) == 0 {
					t.Errorf("%s: %s stands on nothing", kind, path)
				}
				for _, k := range keysOf {
					used[k.(string)] = true
					if !keys[k.(string)] {
						t.Errorf("%s: %s stands on %v, which there is not", kind, path, k)
					}
				}
			})
			for k := range keys {
				if !used[k] {
					t.Errorf("%s: nothing stands on %s", kind, k)
				}
			}
		}
	}
}

// walk finds each list of evidence in a tree of JSON.
func walk(tree any, found func(path string, keys []any)) { walkAt("", tree, found) }

func walkAt(path string, tree any, found func(string, []any)) {
	switch v := tree.(type) {
	case map[string]any:
		for name, below := range v {
			if keys, ok := below.([]any); ok && name == "evidence" && path != "" {
				found(path, keys)
				continue
			}
			walkAt(path+"/"+name, below, found)
		}
		if _, has := v["evidence"]; !has && (v["value"] != nil || v["result"] != nil) {
			found(path, nil)
		}
	case []any:
		for i, below := range v {
			walkAt(fmt.Sprint(path, "/", i), below, found)
		}
	}
}

// sealed makes a sealed report as a node does, over a log that holds some rows.
func sealed(t testing.TB, r *Report, f Format, rows int, signer note.Signer) []byte {
	t.Helper()
	body := rendered(t, r, f)
	var state auditlog.State
	for range rows {
		_, next, err := auditlog.Append(state, auditlog.Entry{Time: end, Actor: "a", Action: "x", Outcome: auditlog.Done})
		if err != nil {
			t.Fatal(err)
		}
		state = next
	}
	e := r.Entry(f, body)
	e.Time, e.Actor = end, "uid 0"
	row, next, err := auditlog.Append(state, e)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := auditlog.Sign(next, signer)
	if err != nil {
		t.Fatal(err)
	}
	in, err := auditlog.Include(state, row, signed)
	if err != nil {
		t.Fatal(err)
	}
	file, err := Seal(f, body, in)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newKey(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "mtguard-test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	verifier, err2 := note.NewVerifier(public)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// TestOneByteAltered: of a sealed report in any format no byte may be another one, none
// may be missing and none too many.
func TestOneByteAltered(t *testing.T) {
	signer, verifier := newKey(t)
	r := composed(t, Security, "")
	for _, f := range Formats() {
		for _, rows := range []int{0, 6, 8} {
			file := sealed(t, r, f, rows, signer)
			v, err := Verify(file, verifier)
			if err != nil || v.Row != int64(rows+1) || v.Format != f || v.Object != "security" || v.Signed != int64(rows+1) || v.Until != stamp(end) || v.By != "uid 0" {
				t.Fatalf("%s: %+v, %v", f, v, err)
			}
			if rows != 6 {
				continue
			}
			for i := range file {
				altered := slices.Clone(file)
				altered[i] ^= []byte{1, 0x20, 4}[i%3]
				if _, err := Verify(altered, verifier); err == nil {
					t.Fatalf("%s: byte %d of %d is %q and not %q, and nobody minds: %q", f, i, len(file), altered[i], file[i], file[max(0, i-40):i+1])
				}
				if i%11 == 0 {
					if _, err := Verify(slices.Delete(slices.Clone(file), i, i+1), verifier); err == nil {
						t.Fatalf("%s: byte %d is missing, and nobody minds", f, i)
					}
					if _, err := Verify(slices.Insert(slices.Clone(file), i, ' '), verifier); err == nil {
						t.Fatalf("%s: there is a byte more at %d, and nobody minds", f, i)
					}
				}
			}
			for _, bad := range [][]byte{nil, rendered(t, r, f), append(slices.Clone(file), '\n'), append(slices.Clone(file), file...)} {
				if _, err := Verify(bad, verifier); err == nil {
					t.Errorf("%s: a file of %d bytes is taken", f, len(bad))
				}
			}
		}
	}
}

// TestASealIsOfOneReportAndOneLog: neither another's key nor another's row does.
func TestASealIsOfOneReportAndOneLog(t *testing.T) {
	signer, verifier := newKey(t)
	stranger, _ := newKey(t)
	a, b := composed(t, Security, ""), composed(t, Usage, "")
	for _, f := range Formats() {
		if _, err := Verify(sealed(t, a, f, 3, stranger), verifier); err == nil {
			t.Errorf("%s: a stranger's signature is taken", f)
		}
		_, seal, err := split(f, sealed(t, a, f, 3, signer))
		if err != nil {
			t.Fatal(err)
		}
		moved, err := join(f, rendered(t, b, f), seal)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(moved, verifier); err == nil || !strings.Contains(err.Error(), "not what was made") {
			t.Errorf("%s: the seal of another report: %v", f, err)
		}
	}
	// The row of something else, though it names the right hash.
	body := rendered(t, a, Markdown)
	e := a.Entry(Markdown, body)
	e.Time, e.Actor, e.Action = end, "uid 0", "user.add"
	row, next, _ := auditlog.Append(auditlog.State{}, e)
	signed, _ := auditlog.Sign(next, signer)
	in, err := auditlog.Include(auditlog.State{}, row, signed)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := Seal(Markdown, body, in)
	if _, err := Verify(file, verifier); err == nil {
		t.Error("the row of a user is taken for one of a report")
	}
}

// TestStrangersTextIsText: names and reasons run nothing, in no format.
func TestStrangersTextIsText(t *testing.T) {
	for _, kind := range Kinds() {
		r := composed(t, kind, map[Kind]string{Compliance: "baseline"}[kind])
		page := rendered(t, r, HTML)
		allowed := map[string]bool{"": true, "html": true, "head": true, "meta": true, "title": true, "style": true, "body": true, "main": true, "header": true, "h1": true, "h2": true, "p": true, "code": true, "ul": true,
			"li": true, "b": true, "section": true, "div": true, "table": true, "thead": true, "tbody": true, "tr": true, "th": true, "td": true, "span": true, "a": true, "pre": true}
		tokens := html.NewTokenizer(bytes.NewReader(page))
		for tokens.Next() != html.ErrorToken {
			token := tokens.Token()
			if (token.Type == html.StartTagToken || token.Type == html.EndTagToken) && !allowed[token.Data] {
				t.Fatalf("%s: there is an element %s", kind, token.Data)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && !regexp.MustCompile(`^#E\d+$`).MatchString(a.Val) {
					t.Fatalf("%s: there is an attribute %s=%q", kind, a.Key, a.Val)
				}
			}
		}
		if tokens.Err() != io.EOF {
			t.Fatal(tokens.Err())
		}
		for _, outside := range []string{"http://", "https://", "@import", "url(", "<link"} {
			if i := bytes.Index(page, []byte(outside)); i >= 0 && !bytes.Contains(page[max(0, i-40):i], []byte("HYPERLINK")) {
				t.Errorf("%s: the page asks for something: %s", kind, outside)
			}
		}
		rows, err := func() ([][]string, error) {
			in := csv.NewReader(bytes.NewReader(rendered(t, r, CSV)))
			in.FieldsPerRecord = -1
			return in.ReadAll()
		}()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range rows {
			for _, cell := range line {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					t.Errorf("%s: a spreadsheet computes %q", kind, cell)
				}
			}
		}
		text := string(rendered(t, r, Markdown))
		if regexp.MustCompile(`[^\\]<script|[^\\]`+"`x"+`|://`).MatchString(text) || strings.Contains(text, "\u202e") || strings.Contains(text, "\n~~~") {
			t.Errorf("%s: Markdown reads a stranger's text", kind)
		}
		// Each line of a table has as many cells as its head.
		cells := regexp.MustCompile(`(?:^|[^\\])\|`)
		head := 0
		for line := range strings.Lines(text) {
			n := len(cells.FindAllString(line, -1))
			switch {
			case !strings.HasPrefix(line, "|"):
				head = 0
			case head == 0:
				head = n
			case n != head && !strings.HasPrefix(line, "| ---") && !strings.HasPrefix(line, "|  ---"):
				t.Errorf("%s: %d cells under %d: %s", kind, n, head, line)
			}
		}
	}
}

// TestASignatureIsWrittenInOneWay: base64 has bits at its end that nobody reads, and a
// note may have lines of others.
func TestASignatureIsWrittenInOneWay(t *testing.T) {
	signer, verifier := newKey(t)
	file := string(sealed(t, composed(t, Usage, ""), Markdown, 3, signer))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.LastIndex(file, "=\nend\n") - 1
	other := alphabet[strings.IndexByte(alphabet, file[at])+1]
	for name, altered := range map[string]string{
		"bits at the end":   file[:at] + string(other) + file[at+1:],
		"another's line":    strings.Replace(file, "\nend\n", "\n| \u2014 other AAAAAAA=\nend\n", 1),
		"the same line":     file[:at+2] + file[strings.LastIndex(file, "\n| "):],
		"spaces in the row": strings.Replace(file, "row {", "row  {", 1),
	} {
		if altered == file {
			t.Fatalf("%s: nothing is altered", name)
		}
		if _, err := Verify([]byte(altered), verifier); err == nil {
			t.Errorf("%s: nobody minds", name)
		}
	}
}

func TestPeriods(t *testing.T) {
	for name, c := range map[string]struct {
		since, until time.Time
		good         bool
	}{
		"a month":       {start, end, true},
		"until now":     {start, end.Add(time.Hour), true},
		"in the future": {start, end.Add(2 * time.Hour), false},
		"reversed":      {end, start, false},
		"empty":         {end, end, false},
		"too long":      {end.AddDate(-2, 0, 0), end, false},
		"before all":    {time.Time{}, end, false},
		"400 days":      {end.AddDate(0, 0, -400), end, true},
		"401 days":      {end.AddDate(0, 0, -401), end, false},
	} {
		if err := CheckPeriod(c.since, c.until, end.Add(time.Hour)); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatThereIsNot(t *testing.T) {
	for _, c := range [][2]string{{"compliance", "iso"}, {"compliance", ""}, {"weather", ""}} {
		if _, err := Compose(Kind(c[0]), c[1], world()); err == nil {
			t.Errorf("%v is made", c)
		}
	}
	if _, err := ParseFormat("pdf"); err == nil {
		t.Error("pdf is a format")
	}
}

// TestRecords: what is encoded comes back, within its bound, and old ones are read.
func TestRecords(t *testing.T) {
	r := auditOf(7, end, map[string]string{"aa00": "host.files critical"}).Record
	var worst []string
	for i := range MostFound {
		id := fmt.Sprintf("%016x", i)
		r.Found[id], r.Of[id] = "low", "keys.unused"
		r.About[id] = About{Subject: strings.Repeat("é", 140), Evidence: strings.Repeat("\"", 300)}
		worst = append(worst, id)
	}
	worst = append([]string{"aa00"}, worst...)
	text, err := r.Encode(worst)
	if err != nil || len(text) > MaxRecord {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	back, err := ParseRecord(text)
	if err != nil || len(back.Found) != MostFound+1 || back.Of["aa00"] != "host.files" || back.About["aa00"].Subject != "about host.files" || !slices.Equal(back.Asked, r.Asked) ||
		back.Decisions[policy.RateAccept] != r.Decisions[policy.RateAccept] || back.Hits["e1"] != 49 || !back.Began.Equal(r.Began) {
		t.Fatalf("%v", err)
	}
	old, err := ParseRecord("caa00 u1111 lbb")
	if err != nil || old.Found["aa00"] != "critical" || old.Found["1111"] != UnknownCheck || old.Found["bb"] != "low" || len(old.Asked) != 0 {
		t.Errorf("%+v, %v", old, err)
	}
	for _, bad := range []string{"{", `{"v":2}`} {
		if _, err := ParseRecord(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestDecisionsAreCountedWithinThePeriod: by what counters grew between audits.
func TestDecisionsAreCountedWithinThePeriod(t *testing.T) {
	of := func(change func(*Facts)) *Report {
		f := world()
		change(f)
		r, err := Compose(Security, "", f)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	value := func(r *Report, name string) int64 {
		for _, f := range r.Summary {
			if f.Name == name && f.Value != nil {
				return *f.Value
			}
		}
		return -1
	}
	const refused = "connections that controls refused"
	// From audit 1, which is before the period, to audit 3.
	if r := of(func(*Facts) {}); value(r, refused) != 6 || value(r, "connections that controls would have refused") != 4 {
		t.Errorf("%+v", r.Summary)
	}
	// Nothing before the period is known: what the process counted before its first audit in it does not count.
	if r := of(func(f *Facts) { f.Audits = f.Audits[1:] }); value(r, refused) != 3 {
		t.Errorf("%+v", r.Summary)
	}
	// Another process began within the period: all that it counted does.
	if r := of(func(f *Facts) { f.Audits[2].Record.Process, f.Audits[2].Record.Began = "p2", start.AddDate(0, 0, 20) }); value(r, refused) != 3+9 {
		t.Errorf("%+v", r.Summary)
	}
	if r := of(func(f *Facts) { f.Audits = nil }); value(r, refused) != -1 {
		t.Errorf("%+v", r.Summary)
	}
}

// FuzzVerify: a stranger's file is refused and breaks nothing.
func FuzzVerify(f *testing.F) {
	signer, verifier := newKey(f)
	r := composed(f, Usage, "")
	for _, format := range Formats() {
		f.Add(sealed(f, r, format, 2, signer))
	}
	good := make(map[string]bool)
	for _, format := range Formats() {
		good[string(sealed(f, r, format, 2, signer))] = true
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := Verify(file, verifier); err == nil && !good[string(file)] {
			t.Errorf("%q is taken", file)
		}
	})
}
