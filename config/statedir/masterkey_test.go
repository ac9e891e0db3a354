package statedir_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"mtguard/config/statedir"
)

func master(t *testing.T, d *statedir.Dir, text string) statedir.MasterKey {
	t.Helper()
	k, err := d.CreateMasterKey(constant(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// texts returns what MasterKeys offers.
func texts(t *testing.T, d *statedir.Dir) (all []string) {
	t.Helper()
	keys, err := d.MasterKeys("")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		all = append(all, k.Text())
	}
	return all
}

func listed(t *testing.T, d *statedir.Dir) (names []string) {
	t.Helper()
	all, err := os.ReadDir(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range all {
		names = append(names, entry.Name())
	}
	return names
}

func private(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMasterKeyIsMadeOnceAndForItsOwnerAlone(t *testing.T) {
	d := open(t)
	if keys, err := d.MasterKeys(""); !errors.Is(err, fs.ErrNotExist) || keys != nil || !strings.Contains(err.Error(), filepath.Join(d.Path(), "master.key")) {
		t.Errorf("before any: %v, %v", keys, err)
	}
	first, second := master(t, d, "one"), master(t, d, "two")
	if first.Text() != "one" || second.Text() != "one" || !first.Managed || !slices.Equal(texts(t, d), []string{"one"}) {
		t.Errorf("%q and %q, managed %v", first.Text(), second.Text(), first.Managed)
	}
	if info, err := os.Stat(first.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := listed(t, d); !slices.Equal(got, []string{"master.key"}) {
		t.Errorf("directory holds %v", got)
	}
	broken := errors.New("no randomness")
	other := open(t)
	if _, err := other.CreateMasterKey(func() (string, error) { return "", broken }); !errors.Is(err, broken) || len(listed(t, other)) != 0 {
		t.Errorf("%v, left %v", err, listed(t, other))
	}
}

func TestMasterKeyOnAFullDiskLeavesNothing(t *testing.T) {
	if !inChild(t) {
		return
	}
	d := open(t)
	restore := limitFileSize(t, 0)
	_, errCreate := d.CreateMasterKey(constant("three"))
	_, errAdd := d.AddMasterKey("three")
	restore()
	for _, err := range []error{errCreate, errAdd} {
		if err == nil || !strings.Contains(err.Error(), "master.key") || strings.Contains(err.Error(), "three") || len(listed(t, d)) != 0 {
			t.Errorf("%v, left %v", err, listed(t, d))
		}
	}
}

func TestMasterKeyIsOneForAllWhoAskAtOnce(t *testing.T) {
	d := open(t)
	var (
		wait sync.WaitGroup
		next atomic.Int32
		got  [8]string
	)
	for i := range got {
		wait.Go(func() {
			k, err := d.CreateMasterKey(func() (string, error) { return fmt.Sprint("key ", next.Add(1)), nil })
			if err != nil {
				t.Error(err)
			}
			got[i] = k.Text()
		})
	}
	wait.Wait()
	for i := range got {
		if got[i] == "" || got[i] != got[0] {
			t.Errorf("caller %d got %q, caller 0 %q", i, got[i], got[0])
		}
	}
}

func TestMasterKeyIsLookedForInOrder(t *testing.T) {
	d, credentials := open(t), t.TempDir()
	master(t, d, "of the directory")
	explicit := private(t, filepath.Join(t.TempDir(), "k"), "explicit\n")
	one := func(explicit, want string, managed bool) {
		t.Helper()
		keys, err := d.MasterKeys(explicit)
		if err != nil || len(keys) != 1 || keys[0].Text() != want || keys[0].Managed != managed {
			t.Errorf("got %v, %v; want %q", keys, err, want)
		}
	}
	one("", "of the directory", true)
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	one("", "of the directory", true) // systemd has none of that name
	credential := private(t, filepath.Join(credentials, "master.key"), "credential")
	one("", "credential", false)
	one(explicit, "explicit", false)
	// The mode that systemd's ACL looks like, for root's file. Not so beyond the credentials.
	for mode, fine := range map[fs.FileMode]bool{0o440: true, 0o444: false, 0o460: false} {
		if err := os.Chmod(credential, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := d.MasterKeys(""); (err == nil) != fine {
			t.Errorf("credential of mode %o: %v", mode, err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "relative")
	one("", "of the directory", true)
	// What was named is never replaced by something else that happens to be there.
	if keys, err := d.MasterKeys(explicit + ".gone"); !errors.Is(err, fs.ErrNotExist) || keys != nil {
		t.Errorf("named and missing: %v, %v", keys, err)
	}
}

func TestBadMasterKeyFileIsRefusedAndKept(t *testing.T) {
	mode := func(m fs.FileMode) func(string) error {
		return func(p string) error {
			if err := os.WriteFile(p, []byte("s3cret"), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, m)
		}
	}
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"empty", func(p string) error { return os.WriteFile(p, []byte(" \n"), 0o600) }, "is empty: put the key back"},
		{"readable by the group", mode(0o640), "chmod 600"},
		{"readable by others", mode(0o604), "chmod 600"},
		{"writable by others", mode(0o602), "chmod 600"},
		{"of somebody else", func(p string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return errors.Join(mode(0o600)(p), os.Chown(p, 12345, 12345))
		}, "belongs to user 12345"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "no regular file"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "no regular file"},
		{"device", func(p string) error { return os.Symlink("/dev/zero", p) }, "no regular file"},
		{"huge", func(p string) error { return os.WriteFile(p, make([]byte, 1<<16), 0o600) }, "larger"},
		{"dangling link", func(p string) error { return os.Symlink("nowhere", p) }, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			path := filepath.Join(d.Path(), "master.key")
			if err := test.make(path); errors.Is(err, errors.ErrUnsupported) {
				t.Skip("needs root")
			} else if err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			_, errCreate := d.CreateMasterKey(constant("fresh"))
			_, errOwn := d.MasterKeys("")
			_, errNamed := d.MasterKeys(path)
			for _, err := range []error{errCreate, errNamed, errOwn} {
				if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%v; want an error with the path", err)
				} else if !strings.Contains(err.Error(), test.want) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%v; want an error with %q", err, test.want)
				}
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() {
				t.Errorf("the file was changed")
			}
		})
	}
}

func TestMasterKeyIsNotPrinted(t *testing.T) {
	k := master(t, open(t), "s3cret")
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{k, &k, []statedir.MasterKey{k}, struct{ k statedir.MasterKey }{k}, struct{ K any }{k}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{k, &k, map[string]any{"k": k}} {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "733363726574") {
		t.Errorf("it can be read: %s", out.String())
	}
	if text := fmt.Sprint(k); text != "master key of "+k.Path {
		t.Errorf("%q", text)
	}
	if (statedir.MasterKey{}).Text() != "" {
		t.Error("none has a text")
	}
}

// A node that starts: it takes the one of the offered keys that the store is sealed with, and settles it.
func start(t *testing.T, d *statedir.Dir, store string) {
	t.Helper()
	keys, err := d.MasterKeys("")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(keys, func(k statedir.MasterKey) bool { return k.Text() == store })
	if i < 0 {
		t.Fatalf("the store is sealed with %q, offered is %v", store, texts(t, d))
	}
	if err := d.SettleMasterKey(keys[i]); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, d); !slices.Equal(got, []string{"master.key"}) || !slices.Equal(texts(t, d), []string{store}) {
		t.Errorf("after the start there are %v with %v; want the key %q alone", got, texts(t, d), store)
	}
}

func TestMasterKeyRotationSurvivesACrashAtEveryStep(t *testing.T) {
	for crash := range 5 {
		t.Run(fmt.Sprint("before step ", crash), func(t *testing.T) {
			d, store := open(t), "old"
			master(t, d, "old")
			var next statedir.MasterKey
			var err error
			for step := range crash {
				switch step {
				case 0:
					private(t, filepath.Join(d.Path(), ".master.key.new-1"), "ne") // half of the first step
				case 1:
					next, err = d.AddMasterKey("new")
				case 2:
					store = "new"
				case 3:
					err = d.SettleMasterKey(next)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			os.Remove(filepath.Join(d.Path(), ".master.key.new-1")) // swept an hour later: see TestReplaceSweepsWhatCrashesLeft
			start(t, d, store)
			start(t, d, store)
			next, err = d.AddMasterKey("newer") // and the next rotation goes through
			if err != nil || next.Text() != "newer" || !next.Managed {
				t.Fatalf("%v, %v", next, err)
			}
			if err := d.SettleMasterKey(next); err != nil {
				t.Fatal(err)
			}
			start(t, d, "newer")
		})
	}
}

func TestMasterKeyRotationStepsCanBeRepeated(t *testing.T) {
	d := open(t)
	old := master(t, d, "old")
	next, err := d.AddMasterKey("new")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.AddMasterKey("new\n"); err != nil || again.Text() != "new" {
		t.Errorf("the same again: %v, %v", again, err)
	}
	if _, err := d.AddMasterKey("other"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another one: %v", err)
	}
	if got := texts(t, d); !slices.Equal(got, []string{"old", "new"}) {
		t.Errorf("offered are %v", got)
	}
	if info, err := os.Stat(next.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := d.SettleMasterKey(next); err != nil {
			t.Error(err)
		}
	}
	if got := texts(t, d); !slices.Equal(got, []string{"new"}) {
		t.Errorf("offered are %v", got)
	}
	if err := d.SettleMasterKey(old); err == nil {
		t.Error("a key that is gone was settled")
	}
	// The key in use is known by the name that it came under. A rotation that is taken back must not take that for the new one's.
	if _, err := d.AddMasterKey("unwanted"); err != nil {
		t.Fatal(err)
	}
	if err := d.SettleMasterKey(next); err != nil || !slices.Equal(texts(t, d), []string{"new"}) {
		t.Errorf("%v; offered are %v", err, texts(t, d))
	}
	gone, err := open(t).AddMasterKey("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SettleMasterKey(gone); err == nil || !slices.Equal(texts(t, d), []string{"new"}) {
		t.Errorf("a key of another directory was settled: %v", err)
	}
	if err := d.SettleMasterKey(statedir.MasterKey{Path: gone.Path}); err != nil {
		t.Errorf("a key that is not the program's own: %v", err)
	}
	if _, err := os.Stat(gone.Path); err != nil {
		t.Errorf("a file of another directory was touched: %v", err)
	}
}

func TestALinkedMasterKeyIsReadAndNotReplaced(t *testing.T) {
	d := open(t)
	target := private(t, filepath.Join(t.TempDir(), "k"), "linked")
	if err := os.Symlink(target, filepath.Join(d.Path(), "master.key")); err != nil {
		t.Fatal(err)
	}
	keys, err := d.MasterKeys("")
	if err != nil || len(keys) != 1 || keys[0].Text() != "linked" || keys[0].Managed {
		t.Fatalf("%v, %v", keys, err)
	}
	if _, err := d.AddMasterKey("new"); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("added beside a link: %v", err)
	}
}

func TestRootWritesForTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	d := open(t)
	if err := os.Chown(d.Path(), 12345, 12346); err != nil {
		t.Fatal(err)
	}
	k := master(t, d, "one")
	next, err := d.AddMasterKey("two")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.DefaultSecret(constant("three")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{k.Path, next.Path, filepath.Join(d.Path(), "default.secret")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 12345 || stat.Gid != 12346 {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
	}
	if got := texts(t, d); !slices.Equal(got, []string{"one", "two"}) { // and reads it
		t.Errorf("offered are %v", got)
	}
	if _, err := d.MasterKeys(k.Path); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("named, and not known to belong to the service: %v", err)
	}
}
