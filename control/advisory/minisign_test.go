package advisory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"
)

// The files of testdata/minisign were made by minisign 0.11: minisign -S, and -S -l for the old form.

func minisignFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "minisign", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func realKey(t testing.TB) PublicKey {
	t.Helper()
	k, err := ParsePublicKey(string(minisignFile(t, "key.pub")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignaturesOfMinisign(t *testing.T) {
	k := realKey(t)
	if k.ID() != "91DAEDD4C0B9BD7C" {
		t.Errorf("the key's number is %s", k.ID())
	}
	file := minisignFile(t, "file")
	for name, want := range map[string]string{"file.minisig": "mtguard 1.4.0", "file.legacy.minisig": "mtguard 1.4.0, the old way"} {
		text := minisignFile(t, name)
		s, err := ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		if comment, err := k.Verify(bytes.NewReader(file), s); err != nil || comment != want {
			t.Errorf("%s: %q, %v", name, comment, err)
		}
		for i := range file {
			altered := bytes.Clone(file)
			altered[i] ^= 1
			if comment, err := k.Verify(bytes.NewReader(altered), s); !errors.Is(err, ErrSignature) || comment != "" {
				t.Errorf("%s: byte %d of the file is altered: %q, %v", name, i, comment, err)
			}
		}
		if _, err := k.Verify(bytes.NewReader(file[:len(file)-1]), s); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: a shorter file: %v", name, err)
		}
		// Each byte, but for those of the first comment, which nobody signs, and white space at the end.
		for i := bytes.IndexByte(text, '\n') + 1; i < len(bytes.TrimRight(text, "\n")); i++ {
			altered := bytes.Clone(text)
			altered[i] ^= 1
			s, err := ParseSignature(altered)
			if err == nil {
				_, err = k.Verify(bytes.NewReader(file), s)
			}
			if err == nil {
				t.Errorf("%s: byte %d (%q) of the signature is altered", name, i, text[i])
			}
		}
	}
	s, err := ParseSignature(minisignFile(t, "file.other.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(bytes.NewReader(file), s); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), k.ID()) {
		t.Errorf("of another key: %v", err)
	}
	other := k
	other.id = s.id // who claims the number of another key
	if _, err := other.Verify(bytes.NewReader(file), s); !errors.Is(err, ErrSignature) {
		t.Errorf("of another key with the same number: %v", err)
	}
}

func TestKeysAndSignaturesThatAreNone(t *testing.T) {
	good := strings.TrimSpace(string(minisignFile(t, "key.pub")))
	_, line, _ := strings.Cut(good, "\n")
	if k, err := ParsePublicKey(line); err != nil || k != realKey(t) || k.IsZero() {
		t.Errorf("the line alone: %v", err)
	}
	for _, text := range []string{"", line[:55], line + "A", "RU" + line[2:], strings.Replace(line, line[10:11], "*", 1), good + "\n" + line, "RW" + strings.Repeat("=", 54)} {
		if k, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q is the key %s", text, k.ID())
		}
	}
	text := string(minisignFile(t, "file.minisig"))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, text := range []string{
		"", text + "more\n", strings.Join(lines[:3], "\n"), strings.Replace(text, "untrusted comment:", "comment:", 1), strings.Replace(text, "\ntrusted comment: ", "\n", 1),
		strings.Replace(text, lines[1], lines[1][:20], 1), strings.Replace(text, lines[3], lines[1], 1), strings.Replace(text, "RUR8", "RXR8", 1), text + strings.Repeat("\n", maxSignature),
	} {
		if _, err := ParseSignature([]byte(text)); err == nil {
			t.Errorf("%q is a signature", text)
		}
	}
}

func TestAFileThatCannotBeReadIsNoForgery(t *testing.T) {
	for _, name := range []string{"file.minisig", "file.legacy.minisig"} {
		s, err := ParseSignature(minisignFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := realKey(t).Verify(failing{}, s); !errors.Is(err, errDisk) || errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errDisk = errors.New("bad sector")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDisk }

// signer makes signatures as minisign does.
type signer struct {
	public  PublicKey
	private ed25519.PrivateKey
}

func newSigner(t testing.TB) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{private: private}
	copy(s.public.id[:], "\x01\x02\x03\x04\x05\x06\x07\x08")
	copy(s.public.key[:], public)
	return s
}

func (s signer) sign(file []byte, comment string) []byte {
	sum := blake2b.Sum512(file)
	sig := ed25519.Sign(s.private, sum[:])
	global := ed25519.Sign(s.private, append(bytes.Clone(sig), comment...))
	line := append(append([]byte("ED"), s.public.id[:]...), sig...)
	return []byte("untrusted comment: of a test\n" + base64.StdEncoding.EncodeToString(line) + "\ntrusted comment: " + comment + "\n" + base64.StdEncoding.EncodeToString(global) + "\n")
}

func FuzzSignature(f *testing.F) {
	for _, name := range []string{"file.minisig", "file.legacy.minisig", "file.other.minisig"} {
		f.Add(minisignFile(f, name), minisignFile(f, "file"))
	}
	k, file := realKey(f), string(minisignFile(f, "file"))
	comments := map[string]bool{"mtguard 1.4.0": true, "mtguard 1.4.0, the old way": true}
	f.Fuzz(func(t *testing.T, text, signed []byte) {
		s, err := ParseSignature(text)
		if err != nil {
			return
		}
		comment, err := k.Verify(bytes.NewReader(signed), s)
		if err == nil && (string(signed) != file || !comments[comment]) {
			t.Errorf("%q is signed, with %q", signed, comment)
		}
	})
}
