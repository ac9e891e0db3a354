package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mtguard/control"
)

// TestChangesOfThePolicyMayBeOnTrial: those that can let something bite take revert_after, no other does.
func TestChangesOfThePolicyMayBeOnTrial(t *testing.T) {
	var able []string
	for i, sample := range samples {
		if _, ok := sample.asked.(control.Change); !ok {
			continue
		}
		plane := &fakePlane{}
		w := request(NewAPI(plane, quiet(t)).Handler(), root, routes[i].method, with(sample.target, "revert_after=10m"), sample.body, "If-Match: *")
		if w.Code != http.StatusOK {
			continue
		}
		if able = append(able, sample.id); plane.with.RevertAfter != control.Duration(10*time.Minute) {
			t.Errorf("%s: %+v", sample.id, plane.with)
		}
	}
	if got := strings.Join(able, " "); got != "set-policy roll-back-policy set-control advance-control" {
		t.Errorf("on trial may be: %s", got)
	}
	plane := &fakePlane{}
	for _, bad := range []string{"soon", "0s", "-5m"} {
		w := request(NewAPI(plane, quiet(t)).Handler(), root, http.MethodPost, "/policy/rollback?revert_after="+bad, `{"revision":3}`)
		if w.Code != http.StatusUnprocessableEntity || plane.asked != nil {
			t.Errorf("%s: %d, asked %v", bad, w.Code, plane.asked)
		}
		w = request(NewAPI(plane, quiet(t)).Handler(), root, http.MethodPut, "/policy?revert_after="+bad, `{"document":"schema = 1"}`, "If-Match: *")
		if w.Code != http.StatusUnprocessableEntity || plane.asked != nil {
			t.Errorf("a document, %s: %d, asked %v", bad, w.Code, plane.asked)
		}
	}
	// A document needs the revision that was seen on trial, too.
	if w := request(NewAPI(plane, quiet(t)).Handler(), root, http.MethodPut, "/policy?revert_after=10m", `{"document":"schema = 1"}`); w.Code != http.StatusPreconditionRequired || plane.asked != nil {
		t.Errorf("without a revision: %d, asked %v", w.Code, plane.asked)
	}
}

func TestTheClientPutsAPolicyOnTrial(t *testing.T) {
	plane := &fakePlane{}
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	ten := ChangeOptions{Reason: "try it", RevertAfter: control.Duration(10 * time.Minute)}
	if _, err := c.SetControl(t.Context(), "rate.accept", ModeBody{Mode: "enforce"}, ten); err != nil || plane.with.RevertAfter != ten.RevertAfter {
		t.Errorf("%+v, %v", plane.with, err)
	}
	if _, err := c.KeepTrial(t.Context(), 7, ChangeOptions{}); err != nil || plane.last() != (control.KeepTrial{Revision: 7}) {
		t.Errorf("keep: %v, %v", plane.last(), err)
	}
	if _, err := c.EndTrial(t.Context(), 7, ChangeOptions{}); err != nil || plane.last() != (control.EndTrial{Revision: 7}) {
		t.Errorf("end: %v, %v", plane.last(), err)
	}
	if all, err := c.Trials(t.Context()); err != nil || len(all) != 1 || all[0].Revision != 7 {
		t.Errorf("list: %v, %v", all, err)
	}
}
