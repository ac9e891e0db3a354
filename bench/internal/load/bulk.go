package load

import (
	"syscall"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/wire"
)

// bulk moves Bytes over each of Conns connections.
func (l *Load) bulk() error {
	l.active = l.spec.Conns
	if l.spec.Work == Upload {
		l.prepareUpload()
	}
	for range l.spec.Conns {
		var c *client
		if l.spec.Work == Upload {
			c = l.uploader()
		} else {
			c = l.downloader()
		}
		l.opened = append(l.opened, c)
		c.start()
	}
	return l.run()
}

// finish is called by each connection that has moved everything.
func (l *Load) finish() {
	l.report.Payload += l.spec.Bytes
	if l.active--; l.active == 0 {
		l.ended = time.Now()
		l.loop.Stop()
	}
}

func (l *Load) downloader() *client {
	left := l.spec.Bytes
	return &client{
		load:      l,
		order:     wire.Order{Op: wire.Download, Bytes: l.spec.Bytes, Chunk: l.spec.Chunk, Rate: l.spec.Rate},
		onOpen:    func(*client) {},
		onFailure: l.fatal,
		onPayload: func(_ *client, n int) {
			if left -= int64(n); left == 0 {
				l.finish()
			}
		},
	}
}

// prepareUpload makes a stretch of whole records, so that sending is one write of ready bytes whatever the mode.
func (l *Load) prepareUpload() {
	const records = 64
	payload := make([]byte, records*wire.RecordPayload)
	for i := range payload {
		payload[i] = byte(i * 193)
	}
	if l.spec.Mode != FakeTLS {
		l.upload = payload
		return
	}
	l.upload = wire.AppendRecords(nil, payload)
}

func (l *Load) uploader() *client {
	left := l.spec.Bytes
	if l.spec.Mode == FakeTLS {
		left = wire.RecordedSize(left)
	}
	at, receipt := 0, 0
	c := &client{
		load:      l,
		order:     wire.Order{Op: wire.Upload, Bytes: l.spec.Bytes},
		onFailure: l.fatal,
		onPayload: func(_ *client, n int) {
			if receipt += n; receipt == wire.UploadReceipt {
				l.finish()
			}
		},
	}
	more := func(c *client) {
		n, errno := evloop.Write(c.fd, l.upload[at:min(int64(len(l.upload)), int64(at)+left)])
		if errno != 0 && errno != syscall.EAGAIN {
			c.fail(errno)
			return
		}
		left -= int64(n)
		if at += n; at == len(l.upload) {
			at = 0
		}
		if left == 0 {
			c.onDrained = nil
			c.want()
		}
	}
	c.onOpen = func(c *client) {
		c.onDrained = more
		c.want()
	}
	return c
}
