package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// write makes a file of the given mode and returns its name.
func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// parseTest is a parser of secrets that are "domain/id".
func parseTest(text string) (SecretInfo, error) {
	domain, id, ok := strings.Cut(text, "/")
	if !ok {
		return SecretInfo{}, errors.New("no secret")
	}
	return SecretInfo{Domain: domain, ID: id}, nil
}

func TestAFileWithASecretMustBePrivate(t *testing.T) {
	const inline = "[[user]]\nname = \"a\"\nsecret = \"x\"\n"
	tests := []struct {
		text string
		mode os.FileMode
		want bool
	}{
		{inline, 0o600, true}, {inline, 0o400, true}, {inline, 0o640, false}, {inline, 0o604, false}, {inline, 0o620, false},
		{"[[user]]\nname = \"a\"\nsecret_file = \"x\"\n", 0o644, true}, {"", 0o666, true},
	}
	for _, test := range tests {
		path := write(t, t.TempDir(), "a.toml", test.text, test.mode)
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		err = f.CheckAccess()
		if (err == nil) != test.want {
			t.Errorf("mode %o, %q: %v", test.mode, test.text, err)
		}
		if err == nil {
			continue
		}
		if p := problemsOf(t, err)[0]; p.Line != 3 || p.Hint != "chmod 600 "+path || !strings.Contains(p.Message, "can be read by others") {
			t.Errorf("mode %o: %+v", test.mode, p)
		}
	}
	if err := Default().CheckAccess(); err != nil {
		t.Errorf("no file: %v", err)
	}
}

func TestSecretFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.secret", " /2\n", 0o600)
	absolute := write(t, t.TempDir(), "c.secret", "www.example.com/3", 0o400)
	path := write(t, dir, "a.toml", "[[user]]\nname = \"a\"\nsecret = \"/1\"\n[[user]]\nname = \"b\"\nsecret_file = \"b.secret\"\n"+
		"[[user]]\nname = \"c\"\nsecret_file = \""+absolute+"\"\n", 0o600)
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // as a second reload of the same file would
		if err := f.LoadSecrets(parseTest); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"/1", "/2", "www.example.com/3"} {
			if got := f.Users[i].Secret.Reveal(); got != want {
				t.Errorf("user %d: %q, want %q", i, got, want)
			}
		}
	}
}

func TestBadSecretsAreReportedAtOnceAndChangeNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "open", "/1", 0o644)
	write(t, dir, "empty", "\n", 0o600)
	write(t, dir, "two", "/1\n/2\n", 0o600)
	write(t, dir, "huge", strings.Repeat("x", maxSecretFile+1), 0o600)
	write(t, dir, "bad", "s3cret", 0o600)
	write(t, dir, "good", "/9", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	files := []string{"none", "open", "empty", "two", "huge", "bad", "dir", "fifo", "good"}
	for _, name := range files {
		text.WriteString("[[user]]\nname = \"" + name + "\"\nsecret_file = \"" + name + "\"\n")
	}
	for name, secret := range map[string]string{"x": "s3cret", "y": "/9", "z": "other.example.org/5"} {
		text.WriteString("[[user]]\nname = \"" + name + "\"\nsecret = \"" + secret + "\"\n")
	}
	f, err := Load(write(t, dir, "a.toml", text.String(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	err = f.LoadSecrets(parseTest)
	for _, want := range []string{
		"a.toml:3:15  secret_file: " + filepath.Join(dir, "none") + ": no such file",
		"a.toml:6:15  secret_file: " + filepath.Join(dir, "open") + " can be read by others (mode 0644)",
		"chmod 600 " + filepath.Join(dir, "open"),
		"a.toml:9:15  secret_file: " + filepath.Join(dir, "empty") + " is empty",
		"a.toml:12:15  secret_file: " + filepath.Join(dir, "two") + " holds several lines",
		"a.toml:15:15  secret_file: " + filepath.Join(dir, "huge") + " is larger",
		"a.toml:18:15  user bad: no secret",
		"a.toml:21:15  secret_file: " + filepath.Join(dir, "dir") + " is no regular file",
		"a.toml:24:15  secret_file: " + filepath.Join(dir, "fifo") + " is no regular file",
		"user x: no secret",
		"user y has the same secret as user good",
		"user z has a secret for the server name other.example.org, which cover.domains lacks",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if p := problemsOf(t, err); len(p) != 11 {
		t.Errorf("%d problems, want 11", len(p))
	}
	if p := problemsOf(t, lone(t, testSecret)); strings.Contains(p[0].Text(), testSecret) {
		t.Errorf("a secret in place of a name is in\n%s", p[0].Text())
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a secret is in\n%v", err)
	}
	for _, user := range f.Users[:len(files)] {
		if !user.Secret.IsZero() {
			t.Errorf("user %s was changed", user.Name)
		}
	}
}

// lone is the error of one user with that secret_file.
func lone(t *testing.T, name string) error {
	f, err := Load(write(t, t.TempDir(), "a.toml", "[[user]]\nname = \"a\"\nsecret_file = \""+name+"\"\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return f.LoadSecrets(parseTest)
}

func TestJoin(t *testing.T) {
	one, other := &Error{[]Problem{{Message: "1"}}}, errors.New("disk on fire")
	if err := Join(nil, nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if err := Join(nil, one, &Error{[]Problem{{Message: "2"}}}); err == nil || err.Error() != "1\n2" {
		t.Errorf("of two: %v", err)
	}
	if err := Join(one, other); err != other {
		t.Errorf("with another: %v", err)
	}
}
