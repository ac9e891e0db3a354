package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"mtguard/bench/internal/wire"
)

const (
	checkedEcho = 20_000
	checkedBulk = 300_000
	checkWithin = 20 * time.Second
)

// check makes one exchange of each kind with real ciphers and compares what arrives.
func (l *Load) check() error {
	for _, order := range []wire.Order{
		{Op: wire.Echo, Checked: true, Bytes: checkedEcho},
		{Op: wire.Download, Checked: true, Bytes: checkedBulk},
		{Op: wire.Upload, Checked: true, Bytes: checkedBulk},
	} {
		if err := l.exchange(order); err != nil {
			return fmt.Errorf("%s: %w", [...]string{wire.Echo: "echo", wire.Download: "download", wire.Upload: "upload"}[order.Op], err)
		}
	}
	return nil
}

func (l *Load) exchange(order wire.Order) error {
	conn, err := net.DialTimeout("tcp4", l.spec.Proxy.String(), checkWithin)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(checkWithin))
	if l.spec.Mode == FakeTLS {
		if err := l.greetChecked(conn); err != nil {
			return err
		}
	}
	tag := byte(wire.TagPadded)
	if l.spec.Mode == Classic {
		tag = wire.TagIntermediate
	}
	first, key := wire.NewHeader(nil, tag, l.spec.DC, l.secret)
	streams := key.Streams()
	clear := order.Append(nil)
	if order.Op != wire.Download {
		body := make([]byte, order.Bytes)
		wire.Pattern(body, 0)
		clear = append(clear, body...)
	}
	streams.Up.XORKeyStream(clear, clear)
	first = append(first, clear...)
	if l.spec.Mode == FakeTLS {
		first = wire.AppendRecords(append([]byte(nil), wire.ChangeCipherSpec...), first)
	}
	// Written beside the reading: an echo fills both directions.
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(first)
		wrote <- err
	}()
	want := order.Bytes
	if order.Op == wire.Upload {
		want = wire.UploadReceipt
	}
	if err := l.compare(conn, streams, want); err != nil {
		return err
	}
	return <-wrote
}

func (l *Load) greetChecked(conn net.Conn) error {
	hello := l.hellos.Append(nil, time.Now())
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	var answer []byte
	for {
		n, whole := wire.AnswerSize(answer)
		if whole {
			return wire.VerifyAnswer(l.secret, wire.Random(hello), answer)
		}
		if n > 64<<10 {
			return errors.New("answer without end")
		}
		have := len(answer)
		answer = append(answer, make([]byte, n-have)...)
		if _, err := io.ReadFull(conn, answer[have:]); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// compare reads want bytes of the stream and holds them against the pattern.
func (l *Load) compare(conn net.Conn, streams wire.Streams, want int64) error {
	var frames wire.Deframer
	buf := make([]byte, 64<<10)
	for at := int64(0); at < want; {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", at, want, err)
		}
		if l.spec.Mode == FakeTLS {
			if n, err = frames.Strip(buf[:n]); err != nil {
				return err
			}
		}
		b := buf[:n]
		streams.Down.XORKeyStream(b, b)
		if at+int64(n) > want {
			return fmt.Errorf("%d bytes more than asked for", at+int64(n)-want)
		}
		if !wire.IsPattern(b, at) {
			return fmt.Errorf("different bytes within %d after %d", n, at)
		}
		at += int64(n)
	}
	return nil
}
