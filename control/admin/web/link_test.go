package web

import (
	"fmt"
	"strings"
	"testing"
)

func linkOf(modules map[string]string) (string, error) {
	b, err := link(func(name string) ([]byte, error) {
		text, ok := modules[name]
		if !ok {
			return nil, fmt.Errorf("no module %s", name)
		}
		return []byte(text), nil
	}, entry)
	return string(b), err
}

func TestModulesAreLinkedInTheOrderTheyNeed(t *testing.T) {
	got, err := linkOf(map[string]string{
		"app/main.js":    "// First.\nimport { b } from \"./pages/b.js\";\nimport { a } from \"./a.js\";\nstart(a, b);\n",
		"app/a.js":       "/** One. */\nimport { h } from \"../vendor/h.mjs\";\n\n/**\n * Two\n * lines. */\nexport const a = h(1); // stays\nexport { h };\n",
		"app/pages/b.js": "import { a } from \"../a.js\";\nimport { start } from \"../main.js\";\nexport function b() {\n  return \"export const a\";\n}\n",
	})
	const want = "import { h } from \"../vendor/h.mjs\";\n" +
		"\n// app/a.js\nconst a = h(1); // stays\n" +
		"\n// app/pages/b.js\nfunction b() {\nreturn \"export const a\";\n}\n" +
		"\n// app/main.js\nstart(a, b);\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestWhatCannotBeLinkedIsAnError(t *testing.T) {
	for why, modules := range map[string]map[string]string{
		"both have x":         {"app/main.js": "import { y } from \"./a.js\";\nconst x = y;\n", "app/a.js": "export const y = 1;\nlet x = 2;\n"},
		"both have h":         {"app/main.js": "import { h } from \"../vendor/h.mjs\";\nimport { x } from \"./a.js\";\n", "app/a.js": "export const x = 1;\nfunction h() {}\n"},
		"is renamed":          {"app/main.js": "import { y as z } from \"./a.js\";\n", "app/a.js": "export const y = 1;\n"},
		"no module app/a.js":  {"app/main.js": "import { y } from \"./a.js\";\n"},
		"cannot be linked":    {"app/main.js": "import \"./a.js\";\n"},
		"\"import {\" cannot": {"app/main.js": "import {\n  y,\n} from \"./a.js\";\n"},
		"export default":      {"app/main.js": "export default 1;\n"},
	} {
		if _, err := linkOf(modules); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// TestEveryModuleIsUsed: what main.js does not reach is never drawn.
func TestEveryModuleIsUsed(t *testing.T) {
	text, err := link(files.ReadFile, entry)
	if err != nil {
		t.Fatal(err)
	}
	eachFile(t, func(name string, _ []byte) {
		if strings.HasPrefix(name, "app/") && !strings.Contains(string(text), "\n// "+name+"\n") {
			t.Errorf("nobody imports %s", name)
		}
	})
}
