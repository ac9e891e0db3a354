package statedir_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mtguard/config/statedir"
)

func open(t *testing.T) *statedir.Dir {
	t.Helper()
	d, err := statedir.Open(filepath.Join(t.TempDir(), "state"), true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func constant(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	d := open(t)
	info, err := os.Stat(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
	if d.Note() != "" {
		t.Errorf("note %q for a directory that works", d.Note())
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 0 {
		t.Errorf("Open left %v behind", left)
	}
}

// blocked is a directory that nobody, root included, can make.
func blocked(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(file, "mtguard")
}

func TestOpenFallsBackToTheUsersDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	dir := blocked(t)
	d, err := statedir.Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(home, "mtguard"); d.Path() != want {
		t.Errorf("took %s, want %s", d.Path(), want)
	}
	if !strings.Contains(d.Note(), d.Path()) || !strings.Contains(d.Note(), dir) {
		t.Errorf("note %q names not both directories", d.Note())
	}
	found, err := statedir.Find(dir, false)
	if err != nil || found.Path() != d.Path() {
		t.Errorf("Find gives %v, %v; Open took %s", found, err, d.Path())
	}
}

func TestOpenWithoutXDGUsesTheHomeDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", "relative/is/ignored")
	t.Setenv("HOME", home)
	d, err := statedir.Open(blocked(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(home, ".local", "state", "mtguard"); d.Path() != want {
		t.Errorf("took %s, want %s", d.Path(), want)
	}
}

func TestOpenNeverReplacesAnExplicitDirectory(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir := blocked(t)
	if d, err := statedir.Open(dir, true); err == nil {
		t.Fatalf("took %s", d.Path())
	} else if !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %q, want the reason and the directory", err)
	}
	if _, err := statedir.Find(dir, true); err == nil {
		t.Error("Find took another directory")
	}
}

func TestFindMakesNothing(t *testing.T) {
	home, dir := t.TempDir(), filepath.Join(t.TempDir(), "none")
	t.Setenv("XDG_STATE_HOME", home)
	if _, err := statedir.Find(dir, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if left, _ := os.ReadDir(home); len(left) != 0 {
		t.Errorf("Find made %v", left)
	}
}

func TestDefaultSecretIsMadeOnce(t *testing.T) {
	d := open(t)
	first, err := d.DefaultSecret(constant("one"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.DefaultSecret(constant("two"))
	if err != nil {
		t.Fatal(err)
	}
	if first != "one" || second != "one" {
		t.Errorf("got %q and %q, want the first both times", first, second)
	}
	info, err := os.Stat(filepath.Join(d.Path(), "default.secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 1 {
		t.Errorf("directory holds %v, want the secret only", left)
	}
}

func TestDefaultSecretIsOneForAllWhoAskAtOnce(t *testing.T) {
	d := open(t)
	var (
		wait sync.WaitGroup
		next atomic.Int32
		got  [16]string
	)
	for i := range got {
		wait.Go(func() {
			var err error
			got[i], err = d.DefaultSecret(func() (string, error) {
				return strings.Repeat("x", int(next.Add(1))), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range got {
		if got[i] == "" || got[i] != got[0] {
			t.Errorf("caller %d got %q, caller 0 %q", i, got[i], got[0])
		}
	}
}

func TestDefaultSecretIsNotWrittenWhenItCannotBeMade(t *testing.T) {
	d, broken := open(t), errors.New("no randomness")
	if _, err := d.DefaultSecret(func() (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestBadDefaultSecretIsRefusedAndKept(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"empty", func(p string) error { return os.WriteFile(p, []byte(" \n"), 0o600) }, "is empty"},
		{"readable by others", func(p string) error {
			if err := os.WriteFile(p, []byte("s3cret"), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, 0o640)
		}, "chmod 600"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "no regular file"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "no regular file"},
		{"huge", func(p string) error { return os.WriteFile(p, make([]byte, 1<<16), 0o600) }, "larger"},
		{"dangling link", func(p string) error { return os.Symlink("nowhere", p) }, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			path := filepath.Join(d.Path(), "default.secret")
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := d.DefaultSecret(constant("fresh"))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %q, %v; want an error with %q and the path", text, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error tells the secret: %v", err)
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() {
				t.Errorf("the file was changed")
			}
		})
	}
}

// A full disk is played by the limit on the size of files, which the kernel enforces at
// the same place.
func TestFullDiskIsAClearErrorAndLeavesNothing(t *testing.T) {
	if !inChild(t) {
		return
	}
	d := open(t)
	restore := limitFileSize(t, 0)
	_, err := d.DefaultSecret(constant("one"))
	_, openErr := statedir.Open(d.Path(), true)
	restore()
	if err == nil || !strings.Contains(err.Error(), "default.secret") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if openErr == nil || !strings.Contains(openErr.Error(), d.Path()) {
		t.Errorf("Open gave %v, want an error that names the directory", openErr)
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if text, err := d.DefaultSecret(constant("two")); text != "two" || err != nil {
		t.Errorf("afterwards got %q, %v", text, err)
	}
}

func TestRunIsReadBack(t *testing.T) {
	d := open(t)
	if _, err := d.ReadRun(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before any run: %v, want fs.ErrNotExist", err)
	}
	for _, want := range []statedir.Run{
		{Config: "/etc/x.toml", Listen: []string{"127.0.0.1:8443", "[::1]:8443"}, PublicAddress: "auto", Transports: []string{"faketls"}, Domains: []string{"a.example"}},
		{Listen: []string{":443"}, PublicAddress: "proxy.example.com"},
	} {
		if err := d.WriteRun(want); err != nil {
			t.Fatal(err)
		}
		if got, err := d.ReadRun(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 1 {
		t.Errorf("directory holds %v, want run.json only", left)
	}
}

func TestBrokenRunIsAnErrorWithItsName(t *testing.T) {
	d := open(t)
	path := filepath.Join(d.Path(), "run.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadRun(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestReplace(t *testing.T) {
	if !inChild(t) {
		return
	}
	d := open(t)
	if f, err := d.OpenFile("memory"); !errors.Is(err, fs.ErrNotExist) || f != nil {
		t.Errorf("before any: %v, %v", f, err)
	}
	read := func() string {
		t.Helper()
		f, err := d.OpenFile("memory")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, want := range []string{"first", "second, and longer", "3"} {
		if err := d.Replace("memory", text(want)); err != nil {
			t.Fatal(err)
		}
		if got := read(); got != want {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	if info, err := os.Stat(filepath.Join(d.Path(), "memory")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 600", info.Mode(), err)
	}
	broken := errors.New("broken")
	if err := d.Replace("memory", func(w io.Writer) error { text("half")(w); return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the writer", err)
	}
	restore := limitFileSize(t, 2)
	err := d.Replace("memory", text("too long"))
	restore()
	if err == nil || !strings.Contains(err.Error(), filepath.Join(d.Path(), "memory")+": ") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if left, _ := os.ReadDir(d.Path()); len(left) != 1 || read() != "3" {
		t.Errorf("after failures %v is left, with %q", left, read())
	}
}

func TestReplaceSweepsWhatCrashesLeft(t *testing.T) {
	d := open(t)
	for name, age := range map[string]time.Duration{".memory-1": 2 * time.Hour, ".memory-2": time.Minute, ".other-1": 2 * time.Hour} {
		path, then := filepath.Join(d.Path(), name), time.Now().Add(-age)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Replace("memory", text("x")); err != nil {
		t.Fatal(err)
	}
	var left []string
	all, _ := os.ReadDir(d.Path())
	for _, entry := range all {
		left = append(left, entry.Name())
	}
	if want := []string{".memory-2", ".other-1", "memory"}; !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}

func TestOpenFileTakesOnlyRegularFiles(t *testing.T) {
	d := open(t)
	if err := os.Mkdir(filepath.Join(d.Path(), "memory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f, err := d.OpenFile("memory"); err == nil || f != nil {
		t.Errorf("a directory was opened: %v", f)
	}
}
