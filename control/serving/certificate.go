package serving

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often a change of the files is looked for, while there are handshakes.
const lookEvery = time.Second

// Certificate is a certificate and its key in two files of PEM that are read again when they change, as after a renewal. A pair that cannot
// be read, does not fit, or has ended already leaves the one before in use, and the log says so once. One that ends while it is in use is
// refused by those who connect. It may be used concurrently.
type Certificate struct {
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

// LoadCertificate reads a pair. One that is not valid now is taken, and told to the log: a clock may be wrong at the start. whose, such as
// "dashboard", is for the log.
func LoadCertificate(certFile, keyFile, whose string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log.With("of", whose, "file", certFile), looked: time.Now()}
	var err error
	if c.tried, err = c.stamp(); err != nil {
		return nil, err
	}
	if c.pair, err = c.read(); err != nil {
		return nil, err
	}
	if now, leaf := time.Now(), c.pair.Leaf; now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		c.log.Warn("certificate: it is not valid now, browsers will refuse it", "from", leaf.NotBefore, "until", leaf.NotAfter)
	}
	return c, nil
}

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery || now.Before(c.looked) {
		c.looked = now
		c.look(now)
	}
	return c.pair, nil
}

// look reads the files if they have changed. While a renewal has written one of them only, they do not fit and the old pair stays.
func (c *Certificate) look(now time.Time) {
	stamp, err := c.stamp()
	if err != nil || stamp == c.tried {
		return // a file that is missing is being replaced, or will be missed at the next start
	}
	c.tried = stamp
	pair, err := c.read()
	if err == nil && now.After(pair.Leaf.NotAfter) {
		err = errors.New("it has ended already")
	}
	if err != nil {
		c.log.Warn("certificate: the new one cannot be used, the old one stays", "error", err)
		return
	}
	c.pair = pair
	c.log.Info("certificate: there is a new one", "until", pair.Leaf.NotAfter)
}

func (c *Certificate) stamp() (stamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamp{}, err
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamp{}, err
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (c *Certificate) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", c.certFile, err)
	}
	return &pair, nil
}
