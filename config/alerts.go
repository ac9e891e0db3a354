package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mtguard/config/spelling"
)

// Alert is somebody who is told when something is wrong: see doc/alerts.md. There may be any number.
type Alert struct {
	// Name is how commands and metrics call this receiver, each name once. Left out: the kind.
	// What waits for a receiver waits under its name.
	// Reload: yes.
	Name string `toml:"name" example:"\"oncall\""`

	// Kind is webhook, alertmanager, telegram, syslog, jsonl, or ping (told nothing, but asked for its
	// url every minute while all is well). It is required.
	// Reload: yes.
	Kind string `toml:"kind" example:"\"webhook\""`

	// URL is where messages go: https:// or http:// (webhook, alertmanager, telegram, ping), tls://host:port
	// (syslog), file:///path (jsonl). With telegram it may be left out. It is treated as a secret.
	// Redirects are not followed.
	// Reload: yes.
	URL Secret `toml:"url" example:"\"https://hooks.example.com/mtguard\""`

	// MinSeverity is the least severity it is told of: info, low, medium, high or critical. Left out: low.
	// Reload: yes.
	MinSeverity string `toml:"min_severity" example:"\"medium\""`

	// Format is what webhook, syslog and jsonl send: json, or ocsf (Detection Finding and Incident
	// Finding of OCSF 1.5.0). Left out: json.
	// Reload: yes.
	Format string `toml:"format" example:"\"json\""`

	// SecretFile is a file with the key of the signature (webhook), the bot's token (telegram) or a
	// bearer token (alertmanager), readable by its owner only. A relative path starts at the directory
	// of the configuration file.
	// Reload: yes, the file is read again.
	SecretFile string `toml:"secret_file" example:"\"oncall.key\""`

	// Chat is the number, or the @name, of the chat that telegram's bot writes to.
	// Reload: yes.
	Chat string `toml:"chat" example:"\"-1001234567890\""`

	// CAFile holds certificates in PEM that the receiver's is to be signed by. Left out: the system's.
	// Reload: yes, the file is read again.
	CAFile string `toml:"ca_file" example:"\"/etc/mtguard/siem-ca.pem\""`
}

// Alerting says from when on something is wrong.
type Alerting struct {
	// Thresholds sets another threshold for a condition, or "off". Conditions and what their numbers mean:
	// `mtguard alert list --conditions`.
	// Reload: yes.
	Thresholds map[string]string `toml:"thresholds" example:"\"cpu.high\" = \"off\""`
}

// Named is the name, which is the kind unless one is given.
func (a Alert) Named() string { return cmp.Or(a.Name, a.Kind) }

// conditions are the codes that a threshold can be given to; a test in node keeps them in step.
var conditions = []string{
	"alerts.lost", "alerts.undelivered", "auditlog.broken", "check.panicked", "clock.jumped", "clock.skew", "config.refused", "connections.full",
	"cover.failing", "cpu.high", "descriptors.low", "disk.full", "events.dropped", "glass.broken", "half_open.full", "handshakes.bad", "keys.overdue",
	"known.refused", "lists.stale", "memory.low", "replays", "sessions.gone", "store.failing", "tripwire", "upstream.failing", "upstream.slow",
}

// AlertConditions are the codes that alerting.thresholds takes.
func AlertConditions() []string { return slices.Clone(conditions) }

var threshold = regexp.MustCompile(`^(off|[0-9]{1,9}(\.[0-9]{1,9})?)$`)

// schemes of the URLs of each kind of receiver.
var schemes = map[string][]string{
	"webhook": {"https", "http"}, "alertmanager": {"https", "http"}, "telegram": {"https", "http"}, "syslog": {"tls"}, "jsonl": {"file"}, "ping": {"https", "http"},
}

// maxReceivers bounds what each alert is written down for.
const maxReceivers = 32

func (c *checker) alerts() {
	first := make(map[string]bool)
	if n := len(c.file.Alerts); n > maxReceivers {
		c.refuse(fmt.Sprintf("alert[%d]", maxReceivers), fmt.Sprintf("there are %d receivers of alerts", n), fmt.Sprintf("at most %d", maxReceivers))
	}
	for i, a := range c.file.Alerts {
		path := fmt.Sprintf("alert[%d]", i)
		if a.Kind == "" {
			c.refuse(path+".kind", "a receiver of alerts has no kind", `kind = "webhook"`)
			continue
		}
		if c.oneOf(path+".kind", "alert.kind", a.Kind, slices.Sorted(maps.Keys(schemes))...); schemes[a.Kind] == nil {
			continue
		}
		switch name := a.Named(); {
		case !userName.MatchString(name):
			c.refuse(path+".name", "a receiver's name holds what a name cannot", "1 to 64 letters, digits, dots, dashes or underscores")
		case first[name]:
			c.refuse(path, fmt.Sprintf("receiver %s is given twice", name), "give each a name of its own")
		default:
			first[name] = true
		}
		if a.MinSeverity != "" {
			c.oneOf(path+".min_severity", "alert.min_severity", a.MinSeverity, "info", "low", "medium", "high", "critical")
		}
		if a.Format != "" {
			c.oneOf(path+".format", "alert.format", a.Format, "json", "ocsf")
		}
		if a.Kind == "telegram" && (a.SecretFile == "" || a.Chat == "") {
			c.refuse(path, "telegram takes secret_file, with the bot's token, and chat", "@BotFather makes a bot; the chat is a number or an @name")
		}
		c.receiverURL(path+".url", a)
	}
	for _, code := range slices.Sorted(maps.Keys(c.file.Alerting.Thresholds)) {
		path := "alerting.thresholds." + code
		if !slices.Contains(conditions, code) {
			hint := "known: " + strings.Join(conditions, ", ")
			if near := spelling.Nearest(code, conditions); near != "" {
				hint = "did you mean " + strconv.Quote(near) + "?"
			}
			c.refuseKey(path, fmt.Sprintf("unknown condition %q", code), hint)
			continue
		}
		if text := c.file.Alerting.Thresholds[code]; !threshold.MatchString(text) {
			c.refuse(path, fmt.Sprintf("condition %s has the threshold %q", code, text), `a number such as "0.9", or "off"`)
		}
	}
}

// receiverURL checks a URL without quoting it.
func (c *checker) receiverURL(path string, a Alert) {
	if a.URL.IsZero() && a.Kind == "telegram" {
		return
	}
	at, err := url.Parse(a.URL.Reveal())
	switch known := schemes[a.Kind]; {
	case a.URL.IsZero():
		c.refuse(strings.TrimSuffix(path, ".url"), "receiver "+a.Named()+" has no url", "it begins with "+known[0]+"://")
	case err != nil || !slices.Contains(known, at.Scheme):
		c.refuse(path, "the url of "+a.Named()+" is none for a "+a.Kind, "it begins with "+strings.Join(known, ":// or ")+"://")
	case a.Kind == "jsonl" && (at.Host != "" || !filepath.IsAbs(at.Path)):
		c.refuse(path, "the url of "+a.Named()+" is no absolute path", "such as file:///var/log/mtguard/alerts.jsonl")
	case a.Kind != "jsonl" && at.Hostname() == "":
		c.refuse(path, "the url of "+a.Named()+" has no host", "such as "+known[0]+"://receiver.example.com")
	case a.Kind == "syslog" && at.Port() == "":
		c.refuse(path, "the url of "+a.Named()+" has no port", "such as tls://siem.example.com:6514")
	}
}

// AlertSecret reads the secret_file of receiver i, "" when it has none. A failure is an
// *Error.
func (f *File) AlertSecret(i int) (string, error) {
	if f.Alerts[i].SecretFile == "" {
		return "", nil
	}
	text, message, hint := f.readSecret(f.Alerts[i].SecretFile)
	if message == "" {
		return text, nil
	}
	p := f.source().problem(fmt.Sprintf("alert[%d].secret_file", i), "", "")
	p.Message, p.Hint = message, hint // safe already
	return "", f.report([]Problem{p})
}
