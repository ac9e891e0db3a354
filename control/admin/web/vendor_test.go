package web

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// undo is what was changed in a vendored file, backwards.
var undo = map[string]func(string) string{
	"preact.mjs": func(s string) string { return s + "//# sourceMappingURL=preact.mjs.map\n" },
	"hooks.mjs": func(s string) string {
		return strings.Replace(s, `from"./preact.mjs"`, `from"preact"`, 1) + "//# sourceMappingURL=hooks.mjs.map\n"
	},
	"uplot.mjs": func(s string) string { return strings.TrimSuffix(s, "export default uPlot;\n") },
}

// TestVendoredFilesAreUpstreams compares every file of the folder with VENDOR.md.
func TestVendoredFilesAreUpstreams(t *testing.T) {
	doc, err := os.ReadFile("vendor/VENDOR.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\S+) \| .* \| \S+, (\S+) \| .* \| ([0-9a-f]{64}) \|$`)
	told := make(map[string]bool)
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		name, licence, want := m[1], m[2], m[3]
		told[name], told[licence] = true, true
		b, err := os.ReadFile(filepath.Join("vendor", name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if back := undo[name]; back != nil {
			text = back(text)
		}
		if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what VENDOR.md tells: %x", name, sum)
		}
		if b, err := os.ReadFile(filepath.Join("vendor", licence)); err != nil || len(b) < 500 {
			t.Errorf("%s: no licence, %v", name, err)
		}
	}
	entries, err := os.ReadDir("vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !told[e.Name()] && e.Name() != "VENDOR.md" {
			t.Errorf("VENDOR.md does not tell of %s", e.Name())
		}
	}
}
