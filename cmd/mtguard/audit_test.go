package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"mtguard/control"
	"mtguard/control/audit"
)

// TestWhatMendsAFindingIsACommand: the commands that findings name, as doc/audit.md has
// them, are there with their flags.
func TestWhatMendsAFindingIsACommand(t *testing.T) {
	text, err := os.ReadFile("../../doc/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	seen := 0
	for _, m := range regexp.MustCompile("[|] `?(mtguard [^`|,;]+)[^|]*[|]\n").FindAllStringSubmatch(string(text), -1) {
		words := strings.Fields(m[1])[1:]
		cmd, rest, err := root.Find(words)
		if err != nil || cmd == root || cmd.HasSubCommands() {
			t.Errorf("%s: there is no such command: %v", m[1], err)
			continue
		}
		seen++
		for _, word := range rest {
			name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if strings.HasPrefix(word, "--") && cmd.Flag(name) == nil || strings.HasPrefix(word, "-") && len(word) == 2 && cmd.Flags().ShorthandLookup(name) == nil {
				t.Errorf("%s: there is no flag %s", m[1], word)
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d commands were found", seen)
	}
}

func TestTheExitCodeOfAnAudit(t *testing.T) {
	f := func(severity audit.Severity, state string, unknown bool) control.FindingInfo {
		return control.FindingInfo{Finding: audit.Finding{Severity: severity, Unknown: unknown}, State: state}
	}
	for _, c := range []struct {
		what    string
		list    []control.FindingInfo
		problem string
		least   audit.Severity
		want    int
	}{
		{"nothing", nil, "", audit.High, 0},
		{"not bad enough", []control.FindingInfo{f(audit.Medium, "open", false)}, "", audit.High, 0},
		{"bad enough for a stricter one", []control.FindingInfo{f(audit.Medium, "open", false)}, "", audit.Medium, 1},
		{"new", []control.FindingInfo{f(audit.High, "new", false)}, "", audit.High, 1},
		{"worse", []control.FindingInfo{f(audit.Critical, "open", false)}, "", audit.High, 1},
		{"answered", []control.FindingInfo{f(audit.High, "acknowledged", false), f(audit.Critical, "accepted", false)}, "", audit.High, 0},
		{"not made", []control.FindingInfo{f(audit.High, "new", true)}, "", audit.High, 2},
		{"not made, and not important", []control.FindingInfo{f(audit.Low, "new", true)}, "", audit.High, 0},
		{"both", []control.FindingInfo{f(audit.High, "new", true), f(audit.High, "new", false)}, "", audit.High, 1},
		{"not at its end", nil, "too slow", audit.High, 2},
	} {
		if got := exitCode(judgeFindings(c.list, c.problem, c.least)); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.what, got, c.want)
		}
	}
}
