package tgsim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
)

// errContent means that bytes changed on the way.
var errContent = errors.New("content differs")

func (conn *Conn) exchange(m message) error {
	conn.message = m.append(conn.message[:0])
	return conn.Send(conn.message)
}

func (conn *Conn) answerOf(op uint32) (message, error) {
	payload, err := conn.Receive()
	if err != nil {
		return message{}, midPacket(err)
	}
	m, err := parseMessage(payload)
	if err == nil && m.op != op {
		err = fmt.Errorf("%w: operation %#x in place of %#x", errMessage, m.op, op)
	}
	return m, err
}

// Ping sends payload and demands it back.
func (conn *Conn) Ping(payload []byte) error {
	if err := conn.exchange(message{op: opPing, body: payload}); err != nil {
		return err
	}
	m, err := conn.answerOf(opPong)
	if err != nil {
		return err
	}
	if !bytes.Equal(m.body, payload) {
		return fmt.Errorf("pong: %w", errContent)
	}
	conn.reached = int(int64(m.a))
	return nil
}

// Download asks for n bytes and compares every one with what it must be.
func (conn *Conn) Download(n int64) error {
	seed := rand.Uint64()
	if err := conn.RequestDownload(n, seed); err != nil {
		return err
	}
	want, expect := make([]byte, chunkSize), content(seed)
	for done := int64(0); done < n; {
		m, err := conn.answerOf(opChunk)
		if err != nil {
			return fmt.Errorf("download at %d of %d: %w", done, n, err)
		}
		size := int(min(int64(chunkSize), n-done)) // one size on both ends: ChaCha8.Read depends on the cuts
		expect.Read(want[:size])
		if !bytes.Equal(m.body, want[:size]) {
			return fmt.Errorf("download in the chunk at %d of %d: %w", done, n, errContent)
		}
		done += int64(size)
	}
	return nil
}

// RequestDownload asks for n bytes without reading them: for tests that read by
// themselves, late or never.
func (conn *Conn) RequestDownload(n int64, seed uint64) error {
	return conn.exchange(message{op: opFetch, a: uint64(n), b: seed})
}

// Upload sends n bytes and compares their hash with the one the data centre saw.
func (conn *Conn) Upload(n int64) error {
	source, hash := content(rand.Uint64()), sha256.New()
	if err := conn.exchange(message{op: opStore, a: uint64(n)}); err != nil {
		return err
	}
	part := make([]byte, chunkSize)
	for done := int64(0); done < n; {
		size := int(min(int64(chunkSize), n-done))
		source.Read(part[:size])
		hash.Write(part[:size])
		if err := conn.exchange(message{op: opChunk, body: part[:size]}); err != nil {
			return fmt.Errorf("upload at %d of %d: %w", done, n, err)
		}
		done += int64(size)
	}
	m, err := conn.answerOf(opStored)
	if err != nil {
		return err
	}
	if !bytes.Equal(m.body, hash.Sum(nil)) {
		return fmt.Errorf("upload of %d: %w", n, errContent)
	}
	return nil
}
