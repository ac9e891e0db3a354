// Package dc is a Telegram data centre small enough to run inside a test.
//
// It uses gotd's key exchange, message cipher and schema, so that gotd's real client can log in to it, and writes
// the transport framing and the session layer itself: gotd's own test server binds a session to the first
// connection that used it and drops at most three bytes of padding, while Telegram's clients reconnect and pad by
// up to fifteen. It speaks obfuscated2 without a secret, as Telegram's data centres do, in the abridged,
// intermediate and padded intermediate framings.
//
// It is not a model of Telegram: it knows the handful of methods that the tests call and answers every other one
// with METHOD_NOT_FOUND. Nothing in it comes from the product it tests.
//
//	key, err := dc.NewKey()
//	s, err := dc.Listen("127.0.0.1:0", key, 2, -2)
//	defer s.Close()
//
// All methods of a Server may be called from several goroutines.
package dc

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/proto"
)

// Hello is what a connection's 64-byte init said.
type Hello struct {
	Framing Framing
	DC      int
	// Remote is the peer's address as the server saw it.
	Remote net.Addr
}

// Server is one data centre: a listener, its authorisation keys and its files.
type Server struct {
	ids    []int
	key    exchange.PrivateKey
	cipher crypto.Cipher
	msgID  *proto.MessageIDGen
	ln     net.Listener
	wg     sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	closed bool
	cuts   bool // connections may end within a packet
	conns  map[net.Conn]struct{}
	keys   map[[8]byte]authKey
	met    map[sessionID]struct{}
	files  map[int64]*file
	hellos []Hello
	errs   []error
}

type authKey struct {
	crypto.AuthKey
	salt int64
}

// sessionID is a session as MTProto knows it: the client's number under one authorisation key. It outlives
// connections.
type sessionID struct {
	key [8]byte
	num int64
}

// NewKey makes the RSA key by which clients know their data centres.
func NewKey() (exchange.PrivateKey, error) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return exchange.PrivateKey{}, err
	}
	return exchange.PrivateKey{RSA: k}, nil
}

// Listen starts a data centre on addr that answers for the given DC ids, as they stand in the init: negative for
// media, 10000 and more for test. A connection for any other id is closed and reported by Err.
func Listen(addr string, key exchange.PrivateKey, ids ...int) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Server{
		ids:    ids,
		key:    key,
		cipher: crypto.NewServerCipher(rand.Reader),
		msgID:  proto.NewMessageIDGen(time.Now),
		ln:     ln,
		conns:  map[net.Conn]struct{}{},
		keys:   map[[8]byte]authKey{},
		met:    map[sessionID]struct{}{},
		files:  map[int64]*file{},
	}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is the address the server listens on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close stops the server, ends its connections and waits for their goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.ln.Close()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Hellos returns what the connections so far asked for, oldest first.
func (s *Server) Hellos() []Hello {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hellos)
}

// Open returns the number of connections that are open now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Keys returns the number of authorisation keys that clients have made here.
func (s *Server) Keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// ExpectCuts makes a connection that ends within a packet no error: a test is about to cut clients off that send.
func (s *Server) ExpectCuts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts = true
}

// Err returns every way in which a peer broke the protocol so far, joined; nil when all behaved. A connection
// that merely ends is no error.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			err := s.serve(c)
			c.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
			if s.cuts && errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			if err != nil && !gone(err) && !s.closed {
				s.errs = append(s.errs, fmt.Errorf("connection from %v: %w", c.RemoteAddr(), err))
			}
		})
	}
}

// gone reports whether err says only that the peer left.
func gone(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}

func (s *Server) serve(c net.Conn) error {
	p, hello, err := acceptPackets(c)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	s.mu.Lock()
	s.hellos = append(s.hellos, hello)
	s.mu.Unlock()
	if !slices.Contains(s.ids, hello.DC) {
		return fmt.Errorf("init asks for DC %d, this is %v", hello.DC, s.ids)
	}
	return (&conn{server: s, packets: p, dc: hello.DC}).run()
}
