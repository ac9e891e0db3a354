package sqlite_test

import (
	"bufio"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// The process that is killed makes change n after change n-1, for ever, each in one
// Update: a user, his key, the usage and an audit row, all named after n. What is secret
// in it is derived from n, so that the parent knows it too. It prints n once Update has
// returned.

// canary is secret number n.
func canary(n int64) []byte {
	secret, err := hkdf.Key(sha256.New, []byte("canary"), nil, fmt.Sprint(n), keys.Size)
	if err != nil {
		panic(err)
	}
	return secret
}

func writeUntilKilled(path string) {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err == nil {
		err = s.SetSealer(context.Background(), fixedSealer())
	}
	for err == nil {
		var n int64
		_, err = s.Update(context.Background(), func(tx *store.Tx) (err error) {
			n, err = oneMore(tx)
			return err
		})
		if err == nil {
			_, err = fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func crashUser(n int64) string { return fmt.Sprint("user", n) }

func crashKey(n int64) keys.ID { return keys.ID(fmt.Sprintf("%016x", n)) }

func oneMore(tx *store.Tx) (int64, error) {
	state, err := tx.AuditState()
	if err != nil {
		return 0, err
	}
	n := state.Rows() + 1
	u := store.User{Name: crashUser(n), Source: store.FromAdmin, Level: access.Standard, Created: start}
	if err := tx.PutUser(&u); err != nil {
		return 0, err
	}
	k := store.Key{Generation: keys.Generation{ID: crashKey(n), Number: 1, State: keys.Active}, Purpose: store.ForUser, UserID: u.ID}
	if err := tx.PutKey(&k, canary(n)); err != nil {
		return 0, err
	}
	if n > 3 { // and something that is changed and something that goes
		old, err := tx.Key(crashKey(n - 3))
		if err != nil {
			return 0, err
		}
		old.State = keys.Retired
		if err := errors.Join(tx.PutKey(&old, nil), tx.EraseMaterial(old.ID)); err != nil {
			return 0, err
		}
	}
	_, err = tx.Audit(auditlog.Entry{Time: start, Actor: "uid 0", Action: "user.add", Object: u.Name, Outcome: auditlog.Done})
	return n, errors.Join(err,
		tx.AddKeyEvent(store.KeyEvent{Key: k.ID, User: u.Name, At: start, To: "active"}),
		tx.Count(u.ID, 20260301, "run", usage.Totals{Up: n}),
		tx.PutSetting("last", fmt.Append(nil, n)),
		tx.PutSecretSetting("last", canary(n)),
	)
}

// sealedFixed is a sealer that parent and child agree on.
type sealedFixed struct{ key aead.Suite }

func fixedSealer() store.Sealer { return sealedFixed{aead.XChaCha20Poly1305} }

func (s sealedFixed) Seal(plaintext, ad []byte) ([]byte, error) {
	c, err := s.key.New([]byte("thirty-two bytes that are known."))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, c.NonceSize())
	for i := range nonce {
		nonce[i] = byte(rand.Uint32())
	}
	return c.Seal(nonce, nonce, plaintext, ad), nil
}

func (s sealedFixed) Open(sealed, ad []byte) ([]byte, error) {
	c, err := s.key.New([]byte("thirty-two bytes that are known."))
	if err != nil || len(sealed) < c.NonceSize() {
		return nil, errors.New("not sealed")
	}
	return c.Open(nil, sealed[:c.NonceSize()], sealed[c.NonceSize():], ad)
}

func (sealedFixed) Stale([]byte) bool { return false }

// rounds is 50, and 1,000 where MTGUARD_LONG is set.
func rounds() int {
	if os.Getenv("MTGUARD_LONG") != "" {
		return 1000
	}
	return 50
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	var last int64
	lost := 0 // rounds in which something was durable but not acknowledged yet
	for round := range rounds() {
		if round%50 == 49 { // keeps the file, and a round, small
			dir = t.TempDir()
			path, last = filepath.Join(dir, "a.db"), 0
		}
		acknowledged := max(runAndKill(t, path, time.Duration(rand.IntN(60))*time.Millisecond), last)
		secrets := [][]byte{canary(acknowledged + 1), canary(acknowledged)}
		for n := acknowledged - 8; n < acknowledged; n++ {
			secrets = append(secrets, canary(n))
		}
		findIn(t, dir, secrets...)
		last = checkCrashed(t, path, acknowledged)
		if last > acknowledged {
			lost++
		}
		if t.Failed() {
			t.Fatalf("in round %d, %d changes acknowledged", round+1, acknowledged)
		}
	}
	t.Logf("%d rounds; in %d the last change was durable before it was acknowledged", rounds(), lost)
}

// runAndKill starts the process, kills it that long after its first change, and returns
// the last one it acknowledged: 0 if it was killed before. In some rounds it does not
// wait for a change, so that opening is interrupted too.
func runAndKill(t *testing.T, path string, after time.Duration) (acknowledged int64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "MTGUARD_TEST_STORE="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaint strings.Builder
	child.Stderr = &complaint
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	early := rand.IntN(5) == 0
	if early {
		time.AfterFunc(after/2, func() { child.Process.Kill() })
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		if !early {
			early = true
			time.AfterFunc(after, func() { child.Process.Kill() })
		}
	}
	io.Copy(io.Discard, out)
	if child.Wait(); complaint.Len() > 0 {
		t.Fatalf("the process ended by itself: %s", complaint.String())
	}
	return acknowledged
}

// checkCrashed opens what a killed process left and returns the last change that is in it.
func checkCrashed(t *testing.T, path string, acknowledged int64) (last int64) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetSealer(t.Context(), fixedSealer()); err != nil {
		t.Fatal(err)
	}
	if err := s.AuditFault(); err != nil {
		t.Error(err)
	}
	report := verify(t, s)
	if report.Err() != nil {
		t.Error(report.Err())
	}
	last = report.Intact
	if last < acknowledged || last > acknowledged+1 {
		t.Errorf("%d changes are there, %d were acknowledged", last, acknowledged)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		if got, want := tx.Revision(), store.Revision(last); got != want {
			t.Errorf("revision %d: want %d", got, want)
		}
		return checkChanges(t, tx, last)
	})
	if err != nil {
		t.Error(err)
	}
	return last
}

// checkChanges looks whether all of the changes 1 to last is there, and nothing else.
func checkChanges(t *testing.T, tx *store.Tx, last int64) error {
	var n int64
	for u, err := range tx.Users(0) {
		if err != nil {
			return err
		}
		if n++; u.Name != crashUser(n) || u.Rev != store.Revision(n) {
			t.Errorf("user %d is %+v", n, u)
		}
	}
	if n != last {
		t.Errorf("%d users: want %d", n, last)
	}
	n = 0
	for k, err := range tx.Keys(0) {
		if err != nil {
			return err
		}
		n++
		old := n <= last-3
		if k.ID != crashKey(n) || k.UserID != n || k.Erased != old || k.State.Final() != old {
			t.Errorf("key %d of %d is %+v", n, last, k)
		}
		if !old {
			if secret, err := tx.Material(k.ID); err != nil || string(secret) != string(canary(n)) {
				t.Errorf("key %d has other material: %v", n, err)
			}
		}
	}
	if n != last {
		t.Errorf("%d keys: want %d", n, last)
	}
	events, err := tx.KeyEvents(store.KeyEventFilter{Limit: 1})
	if err != nil {
		return err
	}
	all, err := tx.AllUsage(0)
	if err != nil || len(all) != int(last) || last > 0 && (events[0].Seq != last || all[last].Up != last) {
		t.Errorf("%d users have usage, of %d; events %+v: %v", len(all), last, events, err)
	}
	if last == 0 {
		return nil
	}
	open, err1 := tx.Setting("last")
	secret, err2 := tx.SecretSetting("last")
	var of int64
	if err := json.Unmarshal(open, &of); err != nil || of != last || string(secret) != string(canary(last)) {
		t.Errorf("settings are of change %s: want %d", open, last)
	}
	return errors.Join(err1, err2)
}
