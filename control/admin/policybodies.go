package admin

import (
	"time"

	"mtguard/control"
	"mtguard/security/access"
)

// RuleBody makes a rule: a ceiling for whom it matches.
type RuleBody struct {
	Match    string       `json:"match" minLength:"1" maxLength:"512" doc:"an address, a prefix, a range, a wildcard, country:DE, asn:64500, sni:*.example.com or ja4:t13d*"`
	Level    access.Level `json:"level" enum:"none,read_only,standard,admin,superuser"`
	From     *time.Time   `json:"from,omitempty" doc:"left out: at once"`
	Until    *time.Time   `json:"until,omitempty" doc:"left out: until it is taken out"`
	Schedule string       `json:"schedule,omitempty" maxLength:"1024" doc:"such as mon-fri 08:00-18:00 Europe/Berlin; left out: always"`
	Pinned   bool         `json:"pinned,omitempty" doc:"no list and nothing automatic shuts these addresses out"`
}

// BlockBody shuts a target out.
type BlockBody struct {
	Target string            `json:"target" minLength:"1" maxLength:"512" doc:"what a rule may match"`
	For    *control.Duration `json:"for,omitempty" doc:"left out: an hour"`
}

// ListBody is all that a list is.
type ListBody struct {
	Origin string            `json:"origin" minLength:"1" maxLength:"2048" doc:"a file on the node, or an https URL"`
	Level  access.Level      `json:"level" enum:"none,read_only,standard,admin,superuser" doc:"the ceiling of all its entries"`
	Every  *control.Duration `json:"every,omitempty" doc:"how often it is read again; left out: when told to"`
	Wide   bool              `json:"wide,omitempty" doc:"it may cover more than a hundredth of all addresses"`
}

// PolicyBody is a policy document.
type PolicyBody struct {
	Document string `json:"document" minLength:"1" maxLength:"262144" doc:"TOML: see examples/policy"`
}

// PreviewBody asks what would have been refused: under Document, or with Control in
// another mode, or both.
type PreviewBody struct {
	Document string            `json:"document,omitempty" maxLength:"262144" doc:"left out: the policy in force"`
	Control  string            `json:"control,omitempty" maxLength:"64" doc:"left out: every control as the document has it"`
	Mode     string            `json:"mode,omitempty" enum:"off,monitor,enforce" doc:"of that control; left out: enforce"`
	Percent  int               `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"of that control; left out: all"`
	Since    *control.Duration `json:"since,omitempty" doc:"how far back; left out: a day"`
}

// RollBackBody names an earlier revision.
type RollBackBody struct {
	Revision int64 `json:"revision" minimum:"0" doc:"0: as it was before anybody set one"`
}

// ModeBody is how a control is rolled out.
type ModeBody struct {
	Mode    string `json:"mode" enum:"off,monitor,enforce"`
	Percent int    `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"of enforce: for this share of users, the others in monitor; left out: all"`
}

// ExceptionBody spares somebody controls. All that is given must agree.
type ExceptionBody struct {
	Controls []string  `json:"controls" minItems:"1" maxItems:"32" nullable:"false"`
	Prefix   string    `json:"prefix,omitempty" maxLength:"64" doc:"an address or a prefix"`
	User     string    `json:"user,omitempty" maxLength:"64"`
	Country  string    `json:"country,omitempty" maxLength:"16" doc:"two letters, or unknown"`
	Until    time.Time `json:"until" doc:"when it ends"`
}

// GlassBody breaks the glass.
type GlassBody struct {
	For *control.Duration `json:"for,omitempty" doc:"then the controls are back in their modes by themselves; left out: 4h"`
}

// BundlesBody is a subscription to policy bundles.
type BundlesBody struct {
	Origin string            `json:"origin" minLength:"1" maxLength:"2048" doc:"a file on the node, or an https URL"`
	Key    string            `json:"key" minLength:"1" maxLength:"512" doc:"the publisher's public key, in the form of golang.org/x/mod/sumdb/note"`
	Every  *control.Duration `json:"every,omitempty" doc:"how often it is looked at; left out: every hour"`
}

// ApproveBody names the bundle that somebody has looked at. If-Match is the revision
// of the policy that it was compared with.
type ApproveBody struct {
	Number int64 `json:"number" minimum:"1"`
}
