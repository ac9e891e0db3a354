package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"

	"mtguard/security/vault"
)

func x25519(t testing.TB) (recipient string, id Identity) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	id, err = WithIdentities(strings.NewReader("# created: today\n" + key.String() + "\n"))
	must(t, err)
	return key.Recipient().String(), id
}

func TestABackupOpensToWhatWentIn(t *testing.T) {
	const chunk = 64 << 10 // of age
	for _, size := range []int{0, 1, 4096, chunk - 1000, chunk, 3*chunk + 5} {
		from := copied(blob(t, size))
		want, err := os.ReadFile(from.DB)
		must(t, err)
		b := sealTo(t, from, ForMasterKey())
		m, db, err := Open(iotest.OneByteReader(bytes.NewReader(b)), masterKey(t, from.KEK))
		must(t, err)
		got, err := io.ReadAll(db)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d come out, %v", size, len(got), err)
		}
		if n, err := db.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v", n, err)
		}
		if m.Schema != Schema || m.Size != int64(size) || m.Version != "v1.2.3" || m.KEK != from.KEK.ID() || !m.Made.Equal(from.Made) || len(m.SHA256) != 64 {
			t.Errorf("manifest %+v", m)
		}
		if again, err := Verify(bytes.NewReader(b), masterKey(t, from.KEK)); err != nil || again != m {
			t.Errorf("verified to %+v, %v", again, err)
		}
	}
}

func TestEachKindOpensWithItsOwnKeyAndSaysWhatItNeeds(t *testing.T) {
	from := copied(blob(t, 100))
	recipient, identity := x25519(t)
	second, secondIdentity := x25519(t)
	_, stranger := x25519(t)
	passphrase, err := stretched(passphraseKind, "correct horse battery", 10) // passphraseWork takes a second
	must(t, err)
	recipients, err := ForRecipients(recipient, " "+second+"\n")
	must(t, err)
	withPassphrase := func(text string) Identity {
		id, err := WithPassphrase(text)
		must(t, err)
		return id
	}
	files := map[string][]byte{
		"master":     sealTo(t, from, ForMasterKey()),
		"recipients": sealTo(t, from, recipients),
		"passphrase": sealTo(t, from, passphrase),
	}
	other := vault.GenerateKEK()
	tests := []struct {
		file, name string
		with       Identity
		want       string // of the error, "" for none
	}{
		{"master", "its key", masterKey(t, from.KEK), ""},
		{"master", "its key among others", masterKey(t, other, from.KEK), ""},
		{"master", "another key", masterKey(t, other), "another master key"},
		{"master", "identity", identity, "with the master key"},
		{"master", "passphrase", withPassphrase("correct horse battery"), "with the master key"},
		{"recipients", "first", identity, ""},
		{"recipients", "second", secondIdentity, ""},
		{"recipients", "stranger", stranger, "none of its recipients"},
		{"recipients", "master key", masterKey(t, from.KEK), "for age recipients"},
		{"passphrase", "passphrase", withPassphrase("correct horse battery\r\n"), ""},
		{"passphrase", "another passphrase", withPassphrase("correct horse batterz"), "the passphrase is another"},
		{"passphrase", "master key", masterKey(t, from.KEK), "with a passphrase"},
		{"passphrase", "nothing", Identity{}, "none was given"},
	}
	for _, test := range tests {
		t.Run(test.file+"/"+test.name, func(t *testing.T) {
			m, err := Verify(bytes.NewReader(files[test.file]), test.with)
			if test.want != "" {
				if !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), test.want) || m != (Manifest{}) {
					t.Errorf("%v; want ErrIdentity with %q", err, test.want)
				}
				return
			}
			must(t, err)
			key, ok := m.MasterKey()
			if ok != (test.file != "master") {
				t.Errorf("master key inside: %v", ok)
			}
			if ok && key.Encode() != from.KEK.Encode() {
				t.Error("it is another one")
			}
		})
	}
}

func TestPassphrasesAreStretchedAsAgeDoes(t *testing.T) {
	if !stretches {
		t.Skip("takes too long here")
	}
	to, err := ForPassphrase("correct horse battery\n")
	must(t, err)
	b := sealTo(t, copied(blob(t, 100)), to)
	opened, err := age.NewScryptIdentity("correct horse battery")
	must(t, err)
	if _, err := age.Decrypt(bytes.NewReader(b), opened); err != nil || !bytes.Contains(b[:100], []byte(" 18\n")) {
		t.Errorf("%v; header %q", err, b[:100])
	}
}

func TestPostQuantumRecipients(t *testing.T) {
	from := copied(blob(t, 100))
	key, err := age.GenerateHybridIdentity()
	must(t, err)
	to, err := ForRecipients(key.Recipient().String())
	must(t, err)
	id, err := WithIdentities(strings.NewReader(key.String()))
	must(t, err)
	if _, err := Verify(bytes.NewReader(sealTo(t, from, to)), id); err != nil {
		t.Error(err)
	}
	classic, _ := x25519(t)
	if _, err := ForRecipients(key.Recipient().String(), classic); err == nil || !strings.Contains(err.Error(), "one kind") {
		t.Errorf("mixed: %v", err)
	}
}

func TestBadRecipientsAndIdentitiesAreRefused(t *testing.T) {
	recipient, _ := x25519(t)
	secret, err := age.GenerateX25519Identity()
	must(t, err)
	for name, list := range map[string][]string{
		"none": nil, "empty": {""}, "cut": {recipient[:len(recipient)-1]}, "ssh": {"ssh-ed25519 AAAA"},
		"an identity": {recipient, secret.String()}, "an identity in lower case": {strings.ToLower(secret.String())},
		"too many": slices.Repeat([]string{recipient}, maxRecipients+1),
	} {
		_, err := ForRecipients(list...)
		if err == nil || strings.Contains(strings.ToUpper(err.Error()), secret.String()[16:30]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "elevenchars", "\n", strings.Repeat("x", maxPassphrase+1)} {
		if _, err := ForPassphrase(text); err == nil {
			t.Errorf("a passphrase of %d bytes was taken", len(text))
		}
	}
	if _, err := WithPassphrase("\n"); err == nil {
		t.Error("no passphrase was taken")
	}
	for _, text := range []string{"", "# nothing", recipient, secret.String()[:40], strings.Repeat("#\n", maxIdentities) + secret.String()} {
		if _, err := WithIdentities(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), secret.String()[16:30]) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := WithMasterKey(vault.KEK{}); err == nil {
		t.Error("no master key was taken")
	}
	for name, err := range map[string]error{
		"nobody":    createError(copied(blob(t, 1)), Recipient{}),
		"no key":    createError(Source{DB: blob(t, 1)}, ForMasterKey()),
		"missing":   createError(copied("/nowhere/db"), ForMasterKey()),
		"directory": createError(copied(t.TempDir()), ForMasterKey()),
	} {
		if err == nil {
			t.Errorf("%s: a backup was made", name)
		}
	}
}

func createError(from Source, to Recipient) error {
	_, err := Create(io.Discard, from, to)
	return err
}

func TestADatabaseInUseIsNotBackedUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	crashedDB(t, path)
	if err := createError(copied(path), ForMasterKey()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

// growing makes the copy longer while it is read for the second time.
type growing struct {
	path  string
	total int
}

func (g *growing) Write(p []byte) (int, error) {
	if g.total += len(p); g.total > 100<<10 && g.path != "" {
		f, err := os.OpenFile(g.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		g.path = ""
		if _, err := f.Write([]byte("more")); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestACopyThatChangesMeanwhileIsAnError(t *testing.T) {
	from := copied(blob(t, 1<<20))
	if _, err := Create(&growing{path: from.DB}, from, ForMasterKey()); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("%v", err)
	}
}

func TestABackupFileAppearsWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "backup.age")
	from := copied(blob(t, 100))
	for name, age := range map[string]time.Duration{tempPrefix + "1": 2 * abandoned, tempPrefix + "2": abandoned / 2, ".other": 2 * abandoned} {
		left, then := filepath.Join(dir, name), time.Now().Add(-age)
		must(t, os.WriteFile(left, nil, 0o600))
		must(t, os.Chtimes(left, then, then))
	}
	others := []string{tempPrefix + "2", ".other"} // what a crash left goes away
	slices.Sort(others)
	missing := from
	missing.DB += ".gone"
	if _, err := CreateFile(path, missing, ForMasterKey()); !errors.Is(err, fs.ErrNotExist) || !slices.Equal(names(t, dir), others) {
		t.Errorf("%v, left %v", err, names(t, dir))
	}
	m, err := CreateFile(path, from, ForMasterKey())
	must(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || len(names(t, dir)) != 1+len(others) {
		t.Errorf("mode %v, %v; there are %v", info.Mode(), err, names(t, dir))
	}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if got, err := Verify(f, masterKey(t, from.KEK)); err != nil || got != m {
		t.Errorf("%+v, %v", got, err)
	}
	before := contents(t, dir)
	if _, err := CreateFile(path, from, ForMasterKey()); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("over another one: %v", err)
	}
	if contents(t, dir)["backup.age"] != before["backup.age"] {
		t.Error("a backup was overwritten")
	}
	if _, err := CreateFile(filepath.Join(dir, "none", "b"), from, ForMasterKey()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestNothingSecretCanBeReadInABackupOrItsManifest(t *testing.T) {
	recipient, id := x25519(t)
	to, err := ForRecipients(recipient)
	must(t, err)
	from := copied(newDB(t, filepath.Join(t.TempDir(), "copy"), "a canary in the database"))
	b := sealTo(t, from, to)
	m, err := Verify(bytes.NewReader(b), id)
	must(t, err)
	j, err := json.Marshal(m)
	must(t, err)
	shown := string(b) + string(j)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		shown += fmt.Sprintf(verb, m) + fmt.Sprintf(verb, &m) + fmt.Sprintf(verb, Restored{Manifest: m})
	}
	key, err := from.KEK.Derive(masterPurpose, 32)
	must(t, err)
	for _, canary := range []string{"canary", from.KEK.Encode(), from.KEK.Encode()[:12], hex.EncodeToString(key)} {
		if strings.Contains(shown, canary) {
			t.Errorf("%.12s… can be read", canary)
		}
	}
	if !strings.Contains(string(j), from.KEK.ID()) || strings.Contains(string(j), "master_key") {
		t.Errorf("JSON %s", j)
	}
}

// counted says how much was read of it.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestABackupIsStreamed(t *testing.T) {
	from := copied(blob(t, 4<<20))
	in := &counted{r: bytes.NewReader(sealTo(t, from, ForMasterKey()))}
	_, db, err := Open(in, masterKey(t, from.KEK))
	must(t, err)
	for given, buf := 0, make([]byte, 10<<10); ; {
		n, err := db.Read(buf)
		given += n
		if ahead := in.n - given; ahead > 256<<10 {
			t.Fatalf("%d bytes were read to give %d", in.n, given)
		}
		if err == io.EOF {
			break
		}
		must(t, err)
	}
}
