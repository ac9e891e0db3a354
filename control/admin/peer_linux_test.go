package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"mtguard/control"
)

// Environment of the child that asks as somebody else: "uid gid group,group socket".
const strangerVariable = "MTGUARD_TEST_STRANGER"

func TestMain(m *testing.M) {
	if who := os.Getenv(strangerVariable); who != "" {
		fmt.Println(askAs(who))
		return
	}
	goleak.VerifyTestMain(m)
}

// askAs becomes somebody else, asks for the status and says what came of it.
func askAs(who string) string {
	part := strings.Fields(who)
	uid, _ := strconv.Atoi(part[0])
	gid, _ := strconv.Atoi(part[1])
	group, _ := strconv.Atoi(part[2])
	if err := errors.Join(syscall.Setgroups([]int{group}), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return err.Error()
	}
	_, err := NewClient(part[3], 0).Status(context.Background())
	var refused *control.Error
	var unreachable *UnreachableError
	switch {
	case errors.As(err, &refused):
		return refused.Kind.String() + ": " + refused.Text
	case errors.As(err, &unreachable):
		return "unreachable: " + unreachable.Why + ": " + unreachable.Hint
	case err != nil:
		return err.Error()
	}
	return "welcome"
}

// TestOnlyRootTheNodeAndTheGroupAreLetIn asks as other users of this machine, also
// where the mode of the socket would let them.
func TestOnlyRootTheNodeAndTheGroupAreLetIn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	const ours, other, nobody = 54321, 54322, 54399
	dir := shortDir(t)
	path := filepath.Join(dir, "admin.sock")
	s, err := Listen(path, strconv.Itoa(ours))
	if err != nil {
		t.Fatal(err)
	}
	plane := &fakePlane{}
	serveOn(t, s, NewAPI(plane, quiet(t)).Handler(), quiet(t))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		mode            os.FileMode
		uid, gid, group int
		want            string
	}{
		{"root", 0o660, 0, 0, 0, "welcome"},
		{"a member by its first group", 0o660, nobody, ours, other, "welcome"},
		{"a member by another group", 0o660, nobody, other, ours, "welcome"},
		{"a stranger at a socket that is open to all", 0o666, nobody, other, other, "denied: you are uid 54399; the socket is for"},
		{"a stranger with the group of root", 0o666, nobody, 0, 0, "denied: you are uid 54399; the socket is for"},
		{"a stranger", 0o660, nobody, other, other, "unreachable: the socket exists, but you are uid 54399 and it belongs to group 54321: run it with sudo, or: sudo usermod -aG 54321 $USER"},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		plane.forget()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d %s", strangerVariable, c.uid, c.gid, c.group, path))
		out, err := child.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want) || (plane.last() != nil) != (c.want == "welcome") {
			t.Errorf("%s: %v: %s", c.name, err, out)
		}
	}
}

// TestTheActorIsAUid, so that no name of a person stands in the audit log.
func TestTheActorIsAUid(t *testing.T) {
	plane := &fakePlane{}
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	if _, err := c.Links(context.Background(), "nadia", ChangeOptions{}); err != nil || plane.by.Name != fmt.Sprintf("uid %d", os.Getuid()) {
		t.Errorf("%v, by %q", err, plane.by.Name)
	}
}
