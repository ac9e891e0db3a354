package advisory

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const releasesOf1_5 = `{"schema":1,"time":"2026-11-25T12:00:00Z","releases":[
{"version":"1.4.0","time":"2026-10-01T00:00:00Z"},{"version":"1.5.0","time":"2026-11-25T00:00:00Z","notes":"https://example.com/1.5.0"},
{"version":"1.4.1","time":"2026-11-01T00:00:00Z","security":true},{"version":"1.6.0-rc.1","time":"2026-11-25T00:00:00Z"}]}`

// published is a list with its signature, on a server.
func published(t *testing.T, list string, signature []byte) Source {
	t.Helper()
	s := site(t, map[string]string{"releases.json": list, "releases.json.minisig": string(signature)})
	s.file = "releases.json"
	return s
}

func TestReleases(t *testing.T) {
	by := newSigner(t)
	source := published(t, releasesOf1_5, by.sign([]byte(releasesOf1_5), "list"))
	for _, c := range []struct {
		running  string
		now      time.Time
		verdict  string
		newest   string
		security bool
	}{
		{"1.4.0", today, Newer, "1.5.0", true},
		{"v1.4.0", today, Newer, "1.5.0", true},
		{"1.4.1", today, Newer, "1.5.0", false},
		{"1.5.0", today, Current, "1.5.0", false},
		{"1.7.0", today, Current, "1.5.0", false},
		{"1.6.0-beta.1", today, Newer, "1.6.0-rc.1", false},
		{"devel", today, Untold, "1.5.0", false},
		{"", today, Untold, "1.5.0", false},
		{"1.5.0", today.Add(40 * 24 * time.Hour), Untold, "1.5.0", false}, // held back?
		{"1.4.0", today.Add(40 * 24 * time.Hour), Newer, "1.5.0", true},
	} {
		r, err := Latest(t.Context(), source, by.public, c.running, nil, c.now)
		if err != nil || r.Verdict != c.verdict || r.Newest.Version != c.newest || r.Security != c.security || (r.Why != "") != (c.verdict == Untold) || r.Signer != by.public.ID() {
			t.Errorf("%s at %v: %+v, %v", c.running, c.now, r, err)
		}
	}
}

func TestListsThatAreNotBelieved(t *testing.T) {
	by := newSigner(t)
	good := by.sign([]byte(releasesOf1_5), "list")
	sign := func(list string) Source { return published(t, list, by.sign([]byte(list), "list")) }
	for name, c := range map[string]struct {
		source Source
		forged bool
	}{
		"another list":        {published(t, strings.Replace(releasesOf1_5, "1.5.0", "1.5.1", 1), good), true},
		"signed by another":   {published(t, releasesOf1_5, newSigner(t).sign([]byte(releasesOf1_5), "list")), true},
		"no signature":        {published(t, releasesOf1_5, nil), false},
		"of next week":        {sign(strings.Replace(releasesOf1_5, "2026-11-25T12", "2026-12-03T12", 1)), false},
		"another schema":      {sign(strings.Replace(releasesOf1_5, `"schema":1`, `"schema":2`, 1)), false},
		"no releases":         {sign(`{"schema":1,"time":"2026-11-25T12:00:00Z","releases":[]}`), false},
		"a version that none": {sign(strings.Replace(releasesOf1_5, "1.4.1", "latest", 1)), false},
		"text":                {sign("1.5.0\n"), false},
		"a long one":          {sign(releasesOf1_5 + strings.Repeat(" ", maxReleases)), false},
		"no source":           {Source{}, false},
	} {
		r, err := Latest(t.Context(), c.source, by.public, "1.4.0", nil, today)
		if err == nil || errors.Is(err, ErrSignature) != c.forged {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := Latest(t.Context(), published(t, releasesOf1_5, good), PublicKey{}, "1.4.0", nil, today); err == nil {
		t.Errorf("without a key: %+v", r)
	}
}

func TestAnOlderListIsRefused(t *testing.T) {
	by, seen := newSigner(t), newMemory()
	older := strings.Replace(releasesOf1_5, "2026-11-25T12", "2026-11-24T12", 1)
	list := func(text string, by signer) error {
		_, err := Latest(t.Context(), published(t, text, by.sign([]byte(text), "list")), by.public, "1.4.0", seen, today)
		return err
	}
	for i, step := range []struct {
		text string
		ok   bool
	}{{older, true}, {releasesOf1_5, true}, {releasesOf1_5, true}, {older, false}, {releasesOf1_5, true}} {
		if err := list(step.text, by); (err == nil) != step.ok {
			t.Errorf("step %d: %v", i, err)
		}
	}
	other := newSigner(t)
	other.public.id[0] = 9
	if err := list(older, other); err != nil {
		t.Errorf("another publisher begins anew: %v", err)
	}
	seen.fail = errDisk
	if err := list(releasesOf1_5, other); !errors.Is(err, errDisk) {
		t.Errorf("a time that cannot be kept: %v", err)
	}
}

func FuzzReleases(f *testing.F) {
	f.Add([]byte(releasesOf1_5), "1.4.0")
	f.Fuzz(func(t *testing.T, text []byte, running string) {
		_, list, err := parseReleases(text)
		if err != nil {
			return
		}
		r := ReleaseReport{Running: running, Verdict: Current}
		r.compare(list)
		if r.Verdict == Newer && r.Newest == nil {
			t.Error("newer, and nothing is there")
		}
	})
}
