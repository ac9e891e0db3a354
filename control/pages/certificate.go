package pages

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often a change of the files is looked for, while there are handshakes.
const lookEvery = time.Second

// keyPair is a certificate and its key in two files that are read again when they change, as after a renewal.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	tried  stamp // of the files when they were last read, with or without success
	looked time.Time
}

// stamp tells whether files have changed since.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

func newKeyPair(certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	k := &keyPair{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	var err error
	if k.tried, err = k.stamp(); err != nil {
		return nil, err
	}
	if k.pair, err = k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

// get is for tls.Config.GetCertificate.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.looked) >= lookEvery {
		k.looked = now
		k.look()
	}
	return k.pair, nil
}

// look reads the files if they have changed. While a renewal has written one of them only, they do not match and the old pair stays.
func (k *keyPair) look() {
	now, err := k.stamp()
	if err != nil || now == k.tried {
		return // a file that is missing is being replaced, or will be missed at the next start
	}
	k.tried = now
	pair, err := k.read()
	if err != nil {
		k.log.Warn("the pages' new certificate cannot be used; the old one stays", "error", err)
		return
	}
	k.pair = pair
	k.log.Info("the pages have a new certificate", "file", k.certFile)
}

func (k *keyPair) stamp() (stamp, error) {
	cert, err := os.Stat(k.certFile)
	if err != nil {
		return stamp{}, err
	}
	key, err := os.Stat(k.keyFile)
	if err != nil {
		return stamp{}, err
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (k *keyPair) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", k.certFile, err)
	}
	return &pair, nil
}
