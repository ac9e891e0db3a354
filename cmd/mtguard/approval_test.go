package main

import (
	"context"
	"strings"
	"testing"

	"mtguard/control"
)

func (p *fakePlane) Approvals(context.Context, int64, int) ([]control.ApprovalInfo, int64, error) {
	short := p.approval
	short.Change, short.Clipped, short.Changes = short.Change[:10], true, nil
	return []control.ApprovalInfo{short}, 0, p.refusal
}

func (p *fakePlane) Approval(context.Context, string) (control.ApprovalInfo, error) {
	return p.approval, p.refusal
}

// TestAListOfApprovalsIsShort, and one of them is shown whole.
func TestAListOfApprovalsIsShort(t *testing.T) {
	document := `{"Document":"` + strings.Repeat("x", 9000) + `","end":"\u202e"}`
	socket := (&fakePlane{approval: control.ApprovalInfo{
		ID: "w1", State: "pending", Action: "policy.set", Object: "policy", Brief: "90 lines of policy", Change: document, Force: true, Trial: control.Duration(600e9),
		By: "token ci", Person: "nadia, uid 0", Changes: []control.PolicyValue{{Path: "controls.rate.accept", Was: "monitor", Value: "enforce"}},
	}}).node(t)
	code, out, stderr := typed("", "approval", "list", "--server", socket)
	if code != 0 || len(out) > 500 || !strings.Contains(out, "90 lines of policy  yes     10m") {
		t.Errorf("exit code %d, %.1000q, %q", code, out, stderr)
	}
	code, out, stderr = typed("", "approval", "show", "w1", "--server", socket)
	for _, want := range []string{"90 lines of policy", strings.Repeat("x", 9000), `"end":"\u202e"`, "nadia, uid 0", "controls.rate.accept  monitor  enforce  tightens"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %d bytes without %.100q; %q", code, len(out), want, stderr)
		}
	}
	if code, out, _ := typed("", "approval", "show", "w1", "--json", "--server", socket); code != 0 || !strings.Contains(out, `"changes"`) {
		t.Errorf("exit code %d, %.300q", code, out)
	}
}
