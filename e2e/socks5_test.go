package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// socks5 is a SOCKS5 proxy (RFC 1928) without a password, as small as may be.
type socks5 struct {
	net.Listener
	refuse atomic.Bool // answer "connection refused" to everybody

	mu    sync.Mutex
	hosts []string
	conns map[net.Conn]struct{}
}

func startSOCKS5(t *testing.T) *socks5 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socks5{Listener: ln, conns: map[net.Conn]struct{}{}}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		s.closeAll()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer s.hold(c)()
				if err := s.serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("SOCKS5 proxy: %v", err)
				}
			})
		}
	})
	return s
}

// asked returns the addresses that clients wanted to reach, oldest first.
func (s *socks5) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hosts)
}

func (s *socks5) hold(c net.Conn) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return func() {
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}
}

func (s *socks5) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *socks5) serve(c net.Conn) error {
	r := bufio.NewReader(c)
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(r, methods); err != nil {
		return err
	}
	if head[0] != 5 || !slices.Contains(methods, 0) {
		return errors.New("greeting is not SOCKS5 without a password")
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[0] != 5 || head[1] != 1 || head[2] != 0 || size == 0 {
		return errors.New("request is not CONNECT to an address")
	}
	target := make([]byte, size+2)
	if _, err := io.ReadFull(r, target); err != nil {
		return err
	}
	addr := net.JoinHostPort(net.IP(target[:size]).String(), strconv.Itoa(int(binary.BigEndian.Uint16(target[size:]))))
	s.mu.Lock()
	s.hosts = append(s.hosts, addr)
	s.mu.Unlock()
	reply := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	out, err := net.Dial("tcp", addr)
	if err != nil || s.refuse.Load() {
		reply[1] = 5
		c.Write(reply)
		if out != nil {
			out.Close()
		}
		return err
	}
	defer s.hold(out)()
	if _, err := c.Write(reply); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(out, r)
		out.(*net.TCPConn).CloseWrite()
	})
	io.Copy(c, out)
	c.(*net.TCPConn).CloseWrite()
	wg.Wait()
	return nil
}
