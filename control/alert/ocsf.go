package alert

import "cmp"

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that ocsf writes;
// testdata/ocsf.json has what it requires.
const ocsfVersion = "1.5.0"

// Classes and their category.
const (
	ocsfFindings  = 2
	ocsfDetection = 2004
	ocsfIncident  = 2005
)

// finding is a Detection Finding or an Incident Finding.
type finding struct {
	ActivityID   int    `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	CategoryUID  int    `json:"category_uid"`
	CategoryName string `json:"category_name"`
	ClassUID     int    `json:"class_uid"`
	ClassName    string `json:"class_name"`
	TypeUID      int    `json:"type_uid"`
	Time         int64  `json:"time"`
	SeverityID   int    `json:"severity_id"`
	Severity     string `json:"severity"`
	StatusID     int    `json:"status_id"`
	Status       string `json:"status"`
	Message      string `json:"message"`
	StartTime    int64  `json:"start_time"`
	EndTime      int64  `json:"end_time,omitempty"`

	Metadata struct {
		Version string `json:"version"`
		UID     string `json:"uid"`
		Product struct {
			Name       string `json:"name"`
			VendorName string `json:"vendor_name"`
			Version    string `json:"version,omitempty"`
		} `json:"product"`
		Profiles  []string `json:"profiles,omitempty"`
		EventCode string   `json:"event_code"`
		LogName   string   `json:"log_name"`
	} `json:"metadata"`

	// Of a Detection Finding.
	Info        *findingInfo      `json:"finding_info,omitempty"`
	IsAlert     *bool             `json:"is_alert,omitempty"`
	Remediation map[string]string `json:"remediation,omitempty"`

	// Of an Incident Finding.
	Infos         []findingInfo     `json:"finding_info_list,omitempty"`
	Desc          string            `json:"desc,omitempty"`
	Assignee      map[string]string `json:"assignee,omitempty"`
	AssigneeGroup map[string]string `json:"assignee_group,omitempty"`
	VerdictID     int               `json:"verdict_id,omitempty"`
	Verdict       string            `json:"verdict,omitempty"`

	// What the schema has no place for.
	Unmapped map[string]any `json:"unmapped,omitempty"`
}

type findingInfo struct {
	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	Desc        string   `json:"desc,omitempty"`
	Types       []string `json:"types"`
	CreatedTime int64    `json:"created_time"`
	Analytic    struct {
		TypeID int    `json:"type_id"`
		Type   string `json:"type"`
		Name   string `json:"name"`
		UID    string `json:"uid"`
	} `json:"analytic"`
}

// OCSF returns a message as receivers with the format ocsf get it, to be encoded as JSON. What is wrong with the message is an error.
func OCSF(m Message) (any, error) {
	if err := m.settle(m.At); err != nil {
		return nil, err
	}
	return ocsf(m), nil
}

// ocsf maps a message to the class that is made for it: incidents to Incident Finding,
// everything else to Detection Finding. It is the only mapper.
func ocsf(m Message) finding {
	f := finding{CategoryUID: ocsfFindings, CategoryName: "Findings", Time: m.At.UnixMilli(), StartTime: m.Since.UnixMilli(), Message: m.line()}
	f.SeverityID, f.Severity = int(m.Severity), captions[m.Severity]
	f.StatusID, f.Status = ocsfStatus(m)
	f.ActivityID, f.ActivityName = ocsfActivity(m)
	if m.Until != nil {
		f.EndTime = m.Until.UnixMilli()
	}
	f.Metadata.Version, f.Metadata.UID, f.Metadata.EventCode, f.Metadata.LogName = ocsfVersion, m.ID, m.Code, "mtguard.alert"
	f.Metadata.Product.Name, f.Metadata.Product.VendorName, f.Metadata.Product.Version = "mtguard", "mtguard", m.Version
	info := findingInfo{UID: m.About, Title: m.Title, Desc: m.Detail, Types: []string{string(m.Kind)}, CreatedTime: m.Since.UnixMilli()}
	info.Analytic.TypeID, info.Analytic.Type, info.Analytic.Name, info.Analytic.UID = 1, "Rule", m.Code, m.Code
	if m.Kind == KindIncident {
		f.ClassUID, f.ClassName, f.Infos, f.Desc = ocsfIncident, "Incident Finding", []findingInfo{info}, cmp.Or(m.Detail, m.Title)
		f.Metadata.Profiles = []string{"incident"}
		if m.Assignee != "" {
			f.Assignee = map[string]string{"name": m.Assignee}
		} else {
			f.AssigneeGroup = map[string]string{"name": "operators"}
		}
		if m.Status == FalsePositive {
			f.VerdictID, f.Verdict = 1, "False Positive"
		}
	} else {
		alert := !m.Status.Over()
		f.ClassUID, f.ClassName, f.Info, f.IsAlert = ocsfDetection, "Detection Finding", &info, &alert
		if m.Fix != "" {
			f.Remediation = map[string]string{"desc": m.Fix}
		}
	}
	f.TypeUID = f.ClassUID*100 + f.ActivityID
	f.unmapped(m)
	return f
}

func (f *finding) unmapped(m Message) {
	more := make(map[string]any)
	if len(m.Evidence) > 0 {
		more["evidence"] = m.Evidence
	}
	if m.Value != nil {
		more["value"] = *m.Value
	}
	if m.Node != "" {
		more["node"] = m.Node
	}
	if len(more) > 0 {
		f.Unmapped = more
	}
}

// captions of severity_id, which counts as Severity does.
var captions = [...]string{Info: "Informational", Low: "Low", Medium: "Medium", High: "High", Critical: "Critical"}

func ocsfStatus(m Message) (int, string) {
	switch m.Status {
	case Acknowledged, Contained:
		return 2, "In Progress"
	case Resolved:
		return 4, "Resolved"
	case FalsePositive:
		return 5, "Closed"
	}
	return 1, "New"
}

func ocsfActivity(m Message) (int, string) {
	switch {
	case m.Status.Over():
		return 3, "Close"
	case m.Status == Acknowledged, m.Status == Contained:
		return 2, "Update"
	}
	return 1, "Create"
}
