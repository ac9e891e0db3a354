package alert

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	// resendEvery is how often Alertmanager hears of what is active: it takes what it has
	// not heard of for five minutes for over.
	resendEvery = time.Minute
	// findingFor is how long a finding, which is over at once, is active there.
	findingFor = 5 * time.Minute
	// incidentFor is how long an incident is active there that nobody ends: it is told when
	// it changes, and not again.
	incidentFor = 24 * time.Hour
)

// alertmanager posts to Alertmanager's API, version 2.
type alertmanager struct {
	httpSender
	r  Receiver
	id identity
}

func (*alertmanager) most() int            { return 64 }
func (*alertmanager) pause() time.Duration { return 0 }

// postable is an alert as Alertmanager takes it. Its labels say which one it is.
type postable struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      *time.Time        `json:"endsAt,omitempty"`
}

func (a *alertmanager) send(ctx context.Context, batch []Message) (string, error) {
	list := make([]postable, len(batch))
	for i, m := range batch {
		list[i] = a.postable(m)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if a.r.Secret != "" {
		header.Set("Authorization", "Bearer "+a.r.Secret)
	}
	_, answer, err := a.do(ctx, http.MethodPost, strings.TrimSuffix(a.r.URL, "/")+"/api/v2/alerts", body, header)
	return answer, err
}

func (a *alertmanager) postable(m Message) postable {
	p := postable{
		Labels: map[string]string{
			"alertname": alertname(m.Code), "code": m.Code, "severity": m.Severity.String(), "kind": string(m.Kind), "service": "mtguard", "about": m.About,
		},
		Annotations: map[string]string{"summary": m.Title, "message_id": m.ID, "status": string(m.Status)},
		StartsAt:    m.Since,
		EndsAt:      m.Until,
	}
	if a.id.node != "" {
		p.Labels["instance"] = a.id.node
	}
	if m.Detail != "" {
		p.Annotations["description"] = m.Detail
	}
	if m.Fix != "" {
		p.Annotations["fix"] = m.Fix
	}
	for key, value := range m.Evidence {
		p.Annotations["evidence_"+labelName(key)] = value
	}
	switch {
	case m.Kind == KindFinding, m.Kind == KindTest:
		p.EndsAt = new(m.At.Add(findingFor))
	case m.Kind == KindIncident && !m.Status.Over():
		p.EndsAt = new(m.At.Add(incidentFor))
	}
	return p
}

// alertname is the code as Prometheus' people write names: "disk.full" is MtguardDiskFull.
func alertname(code string) string {
	name := "Mtguard"
	for _, word := range strings.FieldsFunc(code, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') }) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// labelName makes text one that Alertmanager takes as a name.
func labelName(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, text)
}
