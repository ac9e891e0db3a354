package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"mtguard/security/vault"
)

func refused(t testing.TB, what string, b []byte, with Identity, want ...error) {
	t.Helper()
	m, err := Verify(bytes.NewReader(b), with)
	for _, one := range want {
		if errors.Is(err, one) && m == (Manifest{}) {
			return
		}
	}
	t.Errorf("%s: %+v, %v; want one of %v", what, m, err, want)
}

func TestEveryByteOfABackupCounts(t *testing.T) {
	_, b, id := small(t)
	header := bytes.Index(b, []byte("\n---")) + 80
	for i := range b {
		for bit := range 8 {
			if i >= header && bit != i%8 { // beyond the header one bit of each byte
				continue
			}
			b[i] ^= 1 << bit
			refused(t, fmt.Sprintf("flip of bit %d of byte %d", bit, i), b, id, ErrDamaged, ErrIdentity, ErrForeign)
			b[i] ^= 1 << bit
		}
	}
	for i := header; i < len(b); i += 61 {
		b[i] ^= 0x80
		refused(t, fmt.Sprintf("flip in byte %d", i), b, id, ErrDamaged)
		b[i] ^= 0x80
	}
	if _, err := Verify(bytes.NewReader(b), id); err != nil {
		t.Errorf("the backup itself: %v", err)
	}
}

func TestABackupThatIsCutOrContinuedIsDamaged(t *testing.T) {
	from := copied(blob(t, 200<<10))
	b, id := sealTo(t, from, ForMasterKey()), masterKey(t, from.KEK)
	for n := range b {
		if n > 1000 && n%1999 != 0 && n < len(b)-50 {
			continue
		}
		refused(t, fmt.Sprint("cut to ", n), b[:n], id, ErrDamaged)
	}
	const sealedChunk = 64<<10 + 16
	start := bytes.Index(b, []byte("\n---")) + 49 + 16
	for n := range 4 {
		for _, at := range []int{-1, 0, 1} {
			if cut := start + n*sealedChunk + at; cut < len(b) {
				refused(t, fmt.Sprintf("cut %d behind chunk %d", at, n), b[:cut], id, ErrDamaged)
			}
		}
	}
	swapped := bytes.Clone(b)
	copy(swapped[start:], b[start+sealedChunk:start+2*sealedChunk])
	copy(swapped[start+sealedChunk:], b[start:start+sealedChunk])
	refused(t, "two chunks swapped", swapped, id, ErrDamaged)
	refused(t, "a byte more", append(bytes.Clone(b), 0), id, ErrDamaged)
	refused(t, "twice", append(bytes.Clone(b), b...), id, ErrDamaged)
}

func TestWhatIsNoBackupIsForeign(t *testing.T) {
	_, b, id := small(t)
	for name, foreign := range map[string][]byte{
		"text":            []byte("hello"),
		"a database":      []byte("SQLite format 3\x00 and so on"),
		"a gzip":          {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a later version": bytes.Replace(b, []byte("/v1"), []byte("/v2"), 1),
		"a long line":     bytes.Repeat([]byte("x"), 8<<20),
	} {
		refused(t, name, foreign, id, ErrForeign)
	}
	refused(t, "empty", nil, id, ErrDamaged)
}

// sealedFor seals any plaintext as a backup for the master key is.
func sealedFor(t testing.TB, kek vault.KEK, plaintext []byte) []byte {
	t.Helper()
	recipients, err := ForMasterKey().recipients(kek)
	must(t, err)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	must(t, err)
	_, err = w.Write(plaintext)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func TestAManifestHasToFit(t *testing.T) {
	from, b, id := small(t)
	m, db, err := Open(bytes.NewReader(b), id)
	must(t, err)
	content, err := io.ReadAll(db)
	must(t, err)
	with := func(change func(*line)) []byte {
		l := line{Manifest: m}
		change(&l)
		head, err := json.Marshal(l)
		must(t, err)
		return append(append(head, '\n'), content...)
	}
	zeroed := with(func(*line) {})
	clear(zeroed[len(zeroed)-len(content):])
	other := vault.GenerateKEK()
	tests := map[string]struct {
		plaintext []byte
		want      error
		text      string
	}{
		"nothing":            {nil, ErrForeign, ""},
		"no line":            {[]byte(`{"schema":"mtguard/backup/v1"}`), ErrForeign, ""},
		"a long line":        {append(bytes.Repeat([]byte(" "), maxManifest), with(func(*line) {})...), ErrForeign, ""},
		"no JSON":            {[]byte("hello\nthere"), ErrForeign, ""},
		"other JSON":         {[]byte("{}\nthere"), ErrForeign, ""},
		"a later form":       {with(func(l *line) { l.Schema = "mtguard/backup/v2" }), ErrForeign, "newer mtguard"},
		"another schema":     {with(func(l *line) { l.Schema = "mtguard/run/v1" }), ErrForeign, ""},
		"negative size":      {with(func(l *line) { l.Size = -1 }), ErrForeign, "no sense"},
		"no hash":            {with(func(l *line) { l.SHA256 = "" }), ErrForeign, "no sense"},
		"a key of nobody":    {with(func(l *line) { l.MasterKey = "xx" }), ErrForeign, "master key"},
		"another master key": {with(func(l *line) { l.MasterKey = other.Encode() }), ErrForeign, "master key"},
		"smaller":            {with(func(l *line) { l.Size-- }), ErrDamaged, "more in it"},
		"larger":             {with(func(l *line) { l.Size++ }), ErrDamaged, "cut short"},
		"another hash":       {with(func(l *line) { l.SHA256 = strings.Repeat("00", 32) }), ErrDamaged, "not the one"},
		"another content":    {zeroed, ErrDamaged, "not the one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(bytes.NewReader(sealedFor(t, from.KEK, test.plaintext)), id)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v; want %v with %q", err, test.want, test.text)
			}
		})
	}
	if _, err := Verify(bytes.NewReader(sealedFor(t, from.KEK, with(func(*line) {}))), id); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestAnErrorOfTheDiskIsNotTheBackupsFault(t *testing.T) {
	_, b, id := small(t)
	broken := errors.New("input/output error")
	for _, n := range []int{0, 10, 60, 150, 500, len(b) - 1, len(b)} {
		r := io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken))
		if _, err := Verify(r, id); !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestAForeignFileCannotAskForAllMemory(t *testing.T) {
	from, b, id := small(t)
	with, err := WithPassphrase("correct horse battery")
	must(t, err)
	for _, work := range []int{passphraseWork + 1, 30} { // age itself stops at 22, which takes 4 GiB
		foreign := bytes.Replace(b, []byte(" 1\n"), fmt.Appendf(nil, " %d\n", work), 1)
		refused(t, fmt.Sprint("passphrase, work ", work), foreign, with, ErrDamaged)
		refused(t, fmt.Sprint("master key, work ", work), foreign, id, ErrIdentity)
	}
	refused(t, "the backup itself, with a passphrase", sealTo(t, from, ForMasterKey()), with, ErrIdentity)
}

func FuzzOpen(f *testing.F) {
	from, b, id := small(f)
	f.Add([]byte(intro), false)
	f.Add(b[:200], false)
	f.Add(b, false)
	f.Add([]byte(`{"schema":"mtguard/backup/v1","size":3,"sha256":"00"}`+"\nabc"), true)
	f.Fuzz(func(t *testing.T, in []byte, sealed bool) {
		if sealed {
			in = sealedFor(t, from.KEK, in)
		}
		m, err := Verify(bytes.NewReader(in), id)
		switch {
		case err == nil && !bytes.Equal(in, b) && !sealed:
			t.Fatalf("something else was taken for a backup: %+v", m)
		case err != nil && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrIdentity) && !errors.Is(err, ErrDamaged):
			t.Fatal(err)
		}
	})
}
