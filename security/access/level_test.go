package access

import "testing"

func TestLevelsRiseAndAreReadBack(t *testing.T) {
	for i, l := range Levels() {
		if int(l) != i {
			t.Errorf("%v stands at %d", l, i)
		}
		text, err := l.MarshalText()
		var back Level
		if err != nil || back.UnmarshalText(text) != nil || back != l {
			t.Errorf("%v: text %q, %v, read back as %v", l, text, err, back)
		}
	}
}

func TestOtherWordsAndNumbersAreNoLevels(t *testing.T) {
	for _, text := range []string{"", "Admin", "root", "read-only", "4"} {
		l := Standard
		if err := l.UnmarshalText([]byte(text)); err == nil || l != Standard {
			t.Errorf("%q: %v, and the level became %v", text, err, l)
		}
	}
	if text, err := Level(5).MarshalText(); err == nil {
		t.Errorf("level 5 is written as %q", text)
	}
}
