package main

import (
	"strings"
	"testing"

	"mtguard/control"
)

// TestTheAddressIsWhereTheDashboardIsReached: through a tunnel with plain HTTP, through a forward with TLS.
func TestTheAddressIsWhereTheDashboardIsReached(t *testing.T) {
	for _, c := range []struct {
		at, port string
		want     string
		tunnel   bool
	}{
		{"http://localhost:8380", "", "http://localhost:8380/enter#code", true},
		{"http://localhost:8380", "9000", "http://localhost:9000/enter#code", true},
		{"https://admin.example.com:8380", "", "https://admin.example.com:8380/enter#code", false},
		{"https://admin.example.com:8380", "9000", "https://admin.example.com:9000/enter#code", false},
		{"https://admin.example.com:8380", "443", "https://admin.example.com/enter#code", false},
		{"https://admin.example.com", "8443", "https://admin.example.com:8443/enter#code", false},
	} {
		plane := &fakePlane{status: control.Status{Dashboard: c.at}, result: control.Result{Secret: "code"}}
		args := []string{"dashboard", "--server", plane.node(t)}
		if c.port != "" {
			args = append(args, "--local-port", c.port)
		}
		code, out, errs := typed("", args...)
		if code != 0 || !strings.Contains(out, "\n  "+c.want+"\n") || strings.Contains(out, "ssh -N -L") != c.tunnel {
			t.Errorf("%s at port %q: exit code %d, %s%s", c.at, c.port, code, out, errs)
		}
	}
	plane := &fakePlane{result: control.Result{Secret: "code"}}
	if code, _, errs := typed("", "dashboard", "--server", plane.node(t)); code == 0 || !strings.Contains(errs, "[admin] listen") {
		t.Errorf("one that is off: exit code %d, %s", code, errs)
	}
}
