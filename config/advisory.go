package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"time"
)

// The forms of public keys; whether one is a point of the curve is for those to say who verify with it.
var (
	releaseKey  = regexp.MustCompile(`^RW[A-Za-z0-9+/]{54}$`)
	bulletinKey = regexp.MustCompile(`^[^ +]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}$`)
)

func (c *checker) advisory() {
	a := &c.file.Advisory
	c.duration("advisory.every", a.Every, time.Hour, 30*24*time.Hour)
	for _, s := range []struct{ key, origin string }{
		{"advisory.vulnerabilities", a.Vulnerabilities}, {"advisory.checksums", a.Checksums}, {"advisory.releases", a.Releases}, {"advisory.bulletin", a.Bulletin},
	} {
		at, err := url.Parse(s.origin)
		if s.origin == "" || filepath.IsAbs(s.origin) || err == nil && at.Scheme == "https" && at.Host != "" && at.User == nil && at.RawQuery == "" && at.Fragment == "" {
			continue
		}
		c.refuse(s.key, fmt.Sprintf("%s is neither an https address nor an absolute path", s.key), "without a password, a query or a fragment")
	}
	for _, s := range []struct {
		key, value, of, origin string
		form                   *regexp.Regexp
	}{
		{"advisory.release_key", a.ReleaseKey, "advisory.releases", a.Releases, releaseKey},
		{"advisory.bulletin_key", a.BulletinKey, "advisory.bulletin", a.Bulletin, bulletinKey},
	} {
		switch {
		case s.value == "" && s.origin != "":
			c.refuse(s.of, fmt.Sprintf("%s is set, but %s is not", s.of, s.key), "the publisher's public key: nothing is believed without it")
		case s.value != "" && !s.form.MatchString(s.value):
			c.refuse(s.key, s.key+" is no public key", "the public key as the publisher's tool prints it, on one line")
		}
	}
}
