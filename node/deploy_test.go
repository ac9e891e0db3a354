package node

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mtguard/tgsim"
)

// exposed are the series of a running node: of each name, the labels with their values.
func exposed(t *testing.T, text string) map[string]map[string][]string {
	t.Helper()
	sample := regexp.MustCompile(`^([a-z_:0-9]+)(\{.*\})? \S+$`)
	label := regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	found := make(map[string]map[string][]string)
	in := bufio.NewScanner(strings.NewReader(text))
	for in.Scan() {
		m := sample.FindStringSubmatch(in.Text())
		if m == nil {
			continue
		}
		if found[m[1]] == nil {
			found[m[1]] = make(map[string][]string)
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			found[m[1]][l[1]] = append(found[m[1]][l[1]], l[2])
		}
	}
	return found
}

// expressions are all PromQL of what deploy has, by file.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	rules, err := os.ReadFile("../deploy/alerts.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^        expr: (.*)$`).FindAllStringSubmatch(string(rules), -1) {
		found["alerts.rules.yml"] = append(found["alerts.rules.yml"], m[1])
	}
	if n := strings.Count(string(rules), "- alert: "); n != len(found["alerts.rules.yml"]) || n < 15 {
		t.Fatalf("%d rules, %d expressions", n, len(found["alerts.rules.yml"]))
	}
	text, err := os.ReadFile("../deploy/grafana/mtguard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query any }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
		} else if len(p.Targets) == 0 {
			t.Errorf("panel %s asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			found["mtguard.json"] = append(found["mtguard.json"], target.Expr)
		}
	}
	if !slices.Equal(rows, []string{"Service", "Security", "Keys and audit"}) {
		t.Errorf("rows %q", rows)
	}
	return found
}

// elsewhere are names of Prometheus itself, and labels that scraping adds.
var (
	elsewhere   = []string{"up"}
	addedLabels = []string{"instance", "job", "le"}
)

// TestDeployNamesOnlyWhatExists: every metric, label and label value that the alert rules
// and the dashboard name is one that a node exposes.
func TestDeployNamesOnlyWhatExists(t *testing.T) {
	s := start(t, "", "[[alert]]\nkind = \"jsonl\"\nurl = \"file://"+t.TempDir()+"/alerts.jsonl\"\n")
	s.dial(s.client(tgsim.FakeTLS))
	response, err := http.Get("http://" + s.node.MetricsAt().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, _ := io.ReadAll(response.Body)
	series := exposed(t, string(text))

	name := regexp.MustCompile(`\b((?:mtguard|process|go)_[a-z0-9_]+|up\b)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping := regexp.MustCompile(`\b(?:by|on) \(([a-z_, ]+)\)`)
	checked := 0
	for file, all := range expressions(t) {
		for _, expr := range all {
			var labels []string // of the metrics in it
			for _, m := range name.FindAllStringSubmatch(expr, -1) {
				if slices.Contains(elsewhere, m[1]) {
					continue
				}
				have, ok := series[m[1]]
				if !ok {
					t.Errorf("%s: no metric %s", file, m[1])
					continue
				}
				checked++
				for l := range have {
					labels = append(labels, l)
				}
				for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
					if slices.Contains(addedLabels, l[1]) {
						continue
					}
					values := strings.Split(l[3], "|")
					if have[l[1]] == nil {
						t.Errorf("%s: %s has no label %s", file, m[1], l[1])
					}
					for _, v := range values {
						if have[l[1]] != nil && !slices.Contains(have[l[1]], v) {
							t.Errorf("%s: %s has no %s=%q", file, m[1], l[1], v)
						}
					}
				}
			}
			for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
				for _, l := range strings.Split(g[1], ", ") {
					if !slices.Contains(labels, l) && !slices.Contains(addedLabels, l) {
						t.Errorf("%s: grouped by %s, which no metric of it has: %s", file, l, expr)
					}
				}
			}
			if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") || strings.Count(expr, "[") != strings.Count(expr, "]") {
				t.Errorf("%s: brackets: %s", file, expr)
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d metrics were checked", checked)
	}
}
