// Package plainrelay is the yardstick of the benchmark: the TCP relay that anybody would write in Go, two goroutines and two buffers of
// 64 KB for each pair of connections, with plain reads and writes (no splice through io.Copy).
//
// It knows nothing of Telegram. Serve is safe to run in several goroutines.
package plainrelay

import (
	"errors"
	"fmt"
	"io"
	"net"
)

const bufferSize = 64 << 10

// Serve relays every connection of the listener to the address until the listener is closed.
func Serve(l net.Listener, to string) error {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go pair(client.(*net.TCPConn), to)
	}
}

func pair(client *net.TCPConn, to string) {
	defer client.Close()
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		pump(server, client)
		close(done)
	}()
	pump(client, server)
	<-done
}

// pump copies until the end of the stream, which it hands on as a half-close. An error ends both directions.
func pump(dst, src *net.TCPConn) {
	buf := make([]byte, bufferSize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				src.Close()
				return
			}
		}
		if err != nil {
			if err != io.EOF || dst.CloseWrite() != nil {
				src.Close()
				dst.Close()
			}
			return
		}
	}
}
