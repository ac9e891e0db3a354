package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// used makes a state directory as a node leaves it that has run for a while and was stopped, and returns a user of it.
func used(t *testing.T) (s *settings, p person) {
	t.Helper()
	s = standard(t, someSite(t).Addr().String(), telegram(t, 2))
	n := start(t, s)
	p = n.add(admin.UserBody{Name: "quin"})
	n.rotate("quin", time.Hour)
	for i := range 20 {
		n.add(admin.UserBody{Name: fmt.Sprintf("user%d", i)})
	}
	n.stop()
	return s, p
}

// refuses starts a node that must not run, and wants all the words in what it says of it.
func refuses(t *testing.T, s *settings, words ...string) {
	t.Helper()
	n := launch(t, s)
	err := n.waitExit(patience)
	said := n.out.String()
	if err == nil {
		t.Errorf("the node ended without an error; it said: %s", said)
	}
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("the node does not speak of %q; it said: %s", w, said)
		}
	}
	if strings.Contains(said, "goroutine ") {
		t.Error("the node shows its goroutines")
	}
}

// fingerprints are the sums of all files of a directory, but for those that say who has it open.
func fingerprints(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	all := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".lock") || strings.HasSuffix(path, "-shm") {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// untouched fails the test if do changes any file of the directory.
func untouched(t *testing.T, dir string, do func()) {
	t.Helper()
	before := fingerprints(t, dir)
	do()
	after := fingerprints(t, dir)
	for path := range maps.Keys(before) {
		if before[path] != after[path] {
			t.Errorf("%s was changed", filepath.Base(path))
		}
	}
	for path := range maps.Keys(after) {
		if _, ok := before[path]; !ok {
			t.Errorf("%s was made", filepath.Base(path))
		}
	}
}

// TestSecondNodeOfAStateDirectoryIsRefused starts two processes on one directory.
func TestSecondNodeOfAStateDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	s, p := used(t)
	n := start(t, s)
	other := s.clone()
	other.values["proxy.listen"] = []string{freeAddr(t, "127.0.0.1")}
	other.values["metrics.listen"] = freeAddr(t, "127.0.0.1")
	refuses(t, other, n.dir, fmt.Sprintf("pid %d", n.cmd.Process.Pid), "--state-dir")
	if v, err := visitSilent(t.Context(), n.addr, p.ways["secure"], nil); err != nil || v != silence {
		t.Errorf("the first node: %s, %v", v, err)
	}
	if u := n.user("quin"); u.State != "ok" { // its socket was not taken away
		t.Errorf("%+v", u)
	}
	n.kill() // a lock does not outlive its process
	start(t, other)
}

// TestNoStoreWithoutItsMasterKey starts a node whose master key is not what it was.
func TestNoStoreWithoutItsMasterKey(t *testing.T) {
	t.Parallel()
	s, p := used(t)
	dir := s.values["state.dir"].(string)
	path := filepath.Join(dir, "master.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, mode os.FileMode) {
		os.Remove(path)
		if text == "" {
			return
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	other := base64.StdEncoding.EncodeToString(randomBytes(32))
	tests := []struct {
		name, text string
		mode       os.FileMode
		words      []string
	}{
		{"another key", other + "\n", 0o600, []string{"master.key", "put it back", "state.master_key_file"}},
		{"no key", "", 0, []string{"master.key", "put it back", "state.master_key_file"}},
		{"a key that the world can read", string(good), 0o644, []string{"master.key", "chmod 600", "rotate the master key"}},
		{"a key that the group can write", string(good), 0o620, []string{"master.key", "chmod 600"}},
		{"half a key", string(good[:20]), 0o600, []string{"master.key", "master key"}},
		{"an empty file", "\n", 0o600, []string{"master.key", "empty"}},
		{"zeros", strings.Repeat("0", 64), 0o600, []string{"master.key", "not random"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			write(tt.text, tt.mode)
			untouched(t, dir, func() { refuses(t, s, tt.words...) })
		})
	}
	write(string(good), 0o600)
	n := start(t, s)
	if v, err := visitSilent(t.Context(), n.addr, p.ways["secure"], nil); err != nil || v != silence {
		t.Errorf("with its key back: %s, %v", v, err)
	}
	named := s.clone()
	named.values["state.master_key_file"] = filepath.Join(t.TempDir(), "nowhere.key")
	n.stop()
	refuses(t, named, "nowhere.key")
}

// TestStoreOfANewerVersionIsLeftAlone raises the version in the store's header.
func TestStoreOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, p := used(t)
	dir := s.values["state.dir"].(string)
	const userVersionAt = 60 // SQLite's file format, section 1.3
	patch(t, filepath.Join(dir, "store.db"), userVersionAt, binary.BigEndian.AppendUint32(nil, 1000), func() {
		untouched(t, dir, func() { refuses(t, s, "1000", "store.db", "newer", "mtguard backup restore") })
	})
	n := start(t, s)
	if v, err := visitSilent(t.Context(), n.addr, p.ways["secure"], nil); err != nil || v != silence {
		t.Errorf("with its version back: %s, %v", v, err)
	}
}

// patch changes bytes of a file while do runs.
func patch(t *testing.T, path string, at int64, fresh []byte, do func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := make([]byte, len(fresh))
	if _, err := f.ReadAt(old, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(fresh, at); err != nil {
		t.Fatal(err)
	}
	do()
	if _, err := f.WriteAt(old, at); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedStoreIsLeftAlone damages pages of the file, cuts it short, and puts something else in its place.
func TestDamagedStoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	const page = 4096
	s, p := used(t)
	dir := s.values["state.dir"].(string)
	path := filepath.Join(dir, "store.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages := int64(len(whole) / page)
	for _, k := range []int64{1, pages / 2, pages - 1} {
		t.Run(fmt.Sprintf("page %d of %d", k+1, pages), func(t *testing.T) {
			patch(t, path, k*page, randomBytes(page), func() {
				untouched(t, dir, func() { refuses(t, s, "store.db", "damaged", "mtguard backup restore") })
			})
		})
	}
	for name, text := range map[string][]byte{
		"half a file": whole[:len(whole)/2/page*page], "a page less": whole[:len(whole)-page], "half a page less": whole[:len(whole)-page/2],
		"text": []byte("hello"), "noise": randomBytes(3 * page), "fifty bytes": whole[:50],
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			untouched(t, dir, func() { refuses(t, s, "store.db", "damaged", "mtguard backup restore") })
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, s)
	if v, err := visitSilent(t.Context(), n.addr, p.ways["secure"], nil); err != nil || v != silence {
		t.Errorf("with its pages back: %s, %v", v, err)
	}
}

// smallDisk mounts a file system of its own at the directory.
func smallDisk(t *testing.T, dir string, bytes int) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
		t.Skipf("no file system of its own for this test: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
}

// fill takes all the room of a disk, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDiskStopsChangesAndNoTraffic fills the disk under a running node.
func TestFullDiskStopsChangesAndNoTraffic(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	s := standard(t, someSite(t).Addr().String(), tele)
	dir := s.values["state.dir"].(string)
	smallDisk(t, dir, 16<<20)
	n := start(t, s)
	p := n.add(admin.UserBody{Name: "rosa"})
	busy := stay(t, tele, way(t, n.addr, p.ways["faketls"], nil), client.FakeTLSPart)
	free := fill(t, dir)
	// What the store has room for in its own files still goes; then changes are refused.
	var refusal error
	added := 0
	for ; refusal == nil && added < 10_000; added++ {
		_, refusal = n.api.AddUser(t.Context(), admin.UserBody{Name: fmt.Sprintf("more%d", added)}, admin.ChangeOptions{})
	}
	refusedAs(t, refusal, control.Unavailable)
	if e, ok := errors.AsType[*control.Error](refusal); ok {
		t.Logf("after %d changes: %s; %s", added-1, e.Text, e.Fix)
		if !strings.Contains(e.Text, "full") || e.Fix == "" {
			t.Errorf("the refusal says %q, and to do about it %q", e.Text, e.Fix)
		}
	}
	if seen := busy.rounds.Load(); n.poll(func() bool { return busy.rounds.Load() > seen+1 }) != nil {
		t.Error("the client that was there does nothing any more")
	}
	for _, kind := range kinds {
		served(t, way(t, n.addr, p.ways[kind], nil), 2)
	}
	if got := n.get("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz says %d", got)
	}
	if _, err := n.api.User(t.Context(), "rosa"); err != nil {
		t.Errorf("reading: %v", err)
	}
	_, err := n.api.RevokeKey(t.Context(), p.id, admin.RevokeBody{}, admin.ChangeOptions{Reason: "leaked"})
	t.Logf("a revocation on a full disk: %v", err)
	if err != nil {
		refusedAs(t, err, control.Unavailable)
		served(t, way(t, n.addr, p.ways["secure"], nil), 2)
	}
	free()
	n.await("changes to be taken again", func() bool {
		_, err := n.api.AddUser(context.Background(), admin.UserBody{Name: "sven"}, admin.ChangeOptions{})
		return err == nil
	})
	busy.leave(t, "the client that was there")
	if report, err := n.api.AuditVerify(t.Context()); err != nil || !report.OK {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
	n.kill()
	n = start(t, s)
	if n.user("rosa").State != "ok" || n.user("sven").State != "ok" {
		t.Error("users are not as they were")
	}
	if report, err := n.api.AuditVerify(t.Context()); err != nil || !report.OK {
		t.Errorf("the audit log after a restart: %+v, %v", report, err)
	}
	n.kill()
	fill(t, dir)
	refuses(t, s, dir, "no space left on device")
}

// TestReadOnlyStateIsRefusedClearly starts a node whose state directory cannot be written.
func TestReadOnlyStateIsRefusedClearly(t *testing.T) {
	t.Parallel()
	s, _ := used(t)
	dir := s.values["state.dir"].(string)
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("no mount of its own for this test: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("no read-only mount: %v", err)
	}
	untouched(t, dir, func() { refuses(t, s, dir, "read-only") })
	if names, err := os.ReadDir(dir); err != nil || !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "store.db" }) {
		t.Errorf("the store is gone: %v", err)
	}
}
