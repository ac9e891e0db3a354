package serving

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a self-signed certificate with a serial number and its key, in PEM.
func pair(t *testing.T, serial int64, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// TestACertificateIsRenewed goes through what becomes of the files, step by step, and looks at which certificate is served.
func TestACertificateIsRenewed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	certFile, keyFile := filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	write := func(name string, data []byte, changes int) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		at := now.Add(time.Duration(changes) * time.Minute) // within the clock of some file systems nothing has changed
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := pair(t, 1, now.Add(time.Hour))
	write(certFile, cert, 0)
	write(keyFile, key, 0)
	var log bytes.Buffer
	c, err := LoadCertificate(certFile, keyFile, "pages", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || log.Len() > 0 {
		t.Fatalf("%v\n%s", err, log.String())
	}
	half := func(serial int64) []byte { cert, key = pair(t, serial, now.Add(2*time.Hour)); return cert }
	for i, step := range []struct {
		name   string
		change func(i int)
		serial int64
		says   string // in the log, once
	}{
		{"nothing", func(int) {}, 1, ""},
		{"the renewal is half done", func(i int) { write(certFile, half(2), i) }, 1, "the old one stays"},
		{"the renewal is done", func(i int) { write(keyFile, key, i) }, 2, "there is a new one"},
		{"one that has ended", func(i int) {
			cert, key = pair(t, 3, now.Add(-time.Hour))
			write(certFile, cert, i)
			write(keyFile, key, i)
		}, 2, "ended already"},
		{"no certificate at all", func(i int) { write(certFile, []byte("garbage"), i) }, 2, "the old one stays"},
		{"the key is missing", func(int) { os.Remove(keyFile) }, 2, ""},
		{"it is mended", func(i int) { write(certFile, half(4), i); write(keyFile, key, i) }, 4, "there is a new one"},
	} {
		log.Reset()
		step.change(i + 1)
		for range 3 {
			c.looked = time.Time{} // as if a second had passed
			got, err := c.Get(nil)
			if err != nil {
				t.Fatal(err)
			}
			if serial := got.Leaf.SerialNumber.Int64(); serial != step.serial {
				t.Errorf("%s: certificate %d is served, want %d", step.name, serial, step.serial)
			}
		}
		want := 1
		if step.says == "" {
			step.says, want = "certificate", 0
		}
		if strings.Count(log.String(), step.says) != want || strings.Contains(log.String(), "PRIVATE") {
			t.Errorf("%s: the log says %q", step.name, log.String())
		}
	}
}

// TestHowOftenFilesAreLookedAt: not for every handshake, and again after the clock was set back.
func TestHowOftenFilesAreLookedAt(t *testing.T) {
	synctest.Test(t, testHowOftenFilesAreLookedAt)
}

func testHowOftenFilesAreLookedAt(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	certFile, keyFile := filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	renew := func(serial int64) {
		cert, key := pair(t, serial, now.Add(time.Hour))
		os.WriteFile(certFile, cert, 0o600)
		os.WriteFile(keyFile, key, 0o600)
		at := now.Add(time.Duration(serial) * time.Minute)
		os.Chtimes(certFile, at, at)
	}
	renew(1)
	c, err := LoadCertificate(certFile, keyFile, "pages", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 { got, _ := c.Get(nil); return got.Leaf.SerialNumber.Int64() }
	renew(2)
	c.looked = time.Now().Add(time.Hour)
	if got := serial(); got != 2 {
		t.Errorf("after the clock was set back by an hour certificate %d is served", got)
	}
	renew(3)
	if got := serial(); got != 2 {
		t.Errorf("files are looked at for every handshake")
	}
	time.Sleep(lookEvery)
	if got := serial(); got != 3 {
		t.Errorf("a while later certificate %d is served", got)
	}
}

func TestTheFirstCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	for _, c := range []struct {
		name  string
		until time.Duration // 0: no certificate
		key   bool
		fine  bool
		warns bool
	}{
		{"a good one", time.Hour, true, true, false},
		{"one that has ended", -time.Hour, true, true, true},
		{"one that has not begun", 72 * time.Hour, true, true, true},
		{"without its key", time.Hour, false, false, false},
		{"none", 0, false, false, false},
	} {
		os.Remove(certFile)
		os.Remove(keyFile)
		cert, key := pair(t, 1, time.Now().Add(c.until))
		if c.until != 0 {
			os.WriteFile(certFile, cert, 0o600)
		}
		if c.key {
			os.WriteFile(keyFile, key, 0o600)
		}
		var log bytes.Buffer
		_, err := LoadCertificate(certFile, keyFile, "pages", slog.New(slog.NewTextHandler(&log, nil)))
		if (err == nil) != c.fine || strings.Contains(log.String(), "not valid now") != c.warns {
			t.Errorf("%s: %v\n%s", c.name, err, log.String())
		}
	}
}
