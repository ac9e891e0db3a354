package main

import (
	"bytes"
	"strings"
	"testing"

	"mtguard/control/report"
)

// TestEvidenceIsShownByCommandsThatThereAre: what a report says to type can be typed.
func TestEvidenceIsShownByCommandsThatThereAre(t *testing.T) {
	for _, s := range [][2]string{
		{report.OfAudit, "7"}, {report.OfFinding, "7/a69e7b2f47a107eb"}, {report.OfRow, "12"}, {report.OfPolicy, "3"}, {report.OfIncident, "i1"}, {report.OfIncident, "list"},
		{report.OfUsage, "20261027-20261125"}, {report.OfHistory, "3-9"}, {report.OfCode, "B-1"}, {report.OfCode, "A-2.4"}, {report.OfCode, "H-1"}, {report.OfCode, "conns.total"}, {report.OfCode, "empty"},
	} {
		words := strings.Fields(report.Shows(s[0], s[1]))
		if len(words) < 2 || words[0] != "mtguard" {
			t.Errorf("%v is shown by %q", s, words)
			continue
		}
		a := &app{stdin: strings.NewReader(""), stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
		cmd, rest, err := a.root().Find(words[1:])
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil || cmd.HasSubCommands() {
			t.Errorf("%v is shown by %q: %v", s, words, err)
		}
	}
	if text := report.Shows("weather", "1"); text != "" {
		t.Errorf("the weather is shown by %q", text)
	}
}
