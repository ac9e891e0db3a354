package relay

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"mtguard/mtproto/faketls"
)

const (
	// turnRecords is how many records one turn may read at the most. Fewer,
	// larger turns are what makes bulk cheap: 16, 64 and 256 KiB cost 0.87,
	// 0.60 and 0.43 CPU seconds per GB (performance.md section 3).
	turnRecords = 16
	turnBytes   = turnRecords * recordSize
	// firstTurn is what a direction starts with.
	firstTurn = 4
	// bulkFrom is the size of a reading from which on splice beats copying.
	bulkFrom = 4 << 10
)

// move gives one direction one turn: what waits is written first, and only
// when the sink takes bytes is the source read. more says that another turn
// can move bytes without a new event; !ok ends the session with reason.
func (l *loop) move(s *session, w way) (more bool, reason Reason, ok bool) {
	d := &s.way[w]
	in, out := w.source(), w.sink()
	if d.ended || !s.writable[out] {
		return false, 0, true
	}
	if d.left != nil || d.pipe != nil {
		if !l.flush(s, w) {
			return false, Reset, false
		}
		if !s.writable[out] {
			return false, 0, true
		}
	}
	if !s.readable[in] {
		return false, 0, true
	}
	f := s.flow(w)
	switch {
	case f.Wrap:
		reason, ok = l.wrapTurn(s, w, f)
	case d.bulk && f.plain():
		reason, ok = l.spliceTurn(s, w)
	default:
		reason, ok = l.copyTurn(s, w, f)
	}
	return ok && s.readable[in] && s.writable[out] && !d.ended, reason, ok
}

// flush writes what an earlier turn could not.
func (l *loop) flush(s *session, w way) bool {
	d := &s.way[w]
	if d.pipe != nil {
		return l.drainPipe(s, w)
	}
	n, ok := s.write(w, d.left)
	d.left = d.left[n:]
	if len(d.left) == 0 {
		d.left = nil
	}
	return ok
}

// write hands b to the sink and returns how much it took. Less than all means
// that the sink is full; !ok that it is gone.
func (s *session) write(w way, b []byte) (n int, ok bool) {
	for {
		n, err := unix.Write(s.fd[w.sink()], b)
		switch {
		case err == nil:
			if n < len(b) {
				s.writable[w.sink()] = false
			}
			return n, true
		case err == unix.EAGAIN:
			s.writable[w.sink()] = false
			return 0, true
		case err != unix.EINTR:
			return 0, false
		}
	}
}

// emit writes a turn's bytes and keeps aside what the sink does not take. How
// well that went decides how much the next turn reads.
func (l *loop) emit(s *session, w way, b []byte) bool {
	d := &s.way[w]
	n, ok := s.write(w, b)
	if n < len(b) && ok {
		d.left = append([]byte(nil), b[n:]...)
		d.turn = max(d.turn/2, 1)
	}
	return ok
}

// took notes what a reading says about the source: asked bytes were wanted and
// n came. It passes the end of the stream on.
func (s *session) took(w way, n, asked int) {
	d := &s.way[w]
	in := w.source()
	switch {
	case n == 0:
		s.readable[in] = false
		d.ended = true
		if !s.dying { // else this end is only what a reset leaves behind
			unix.Shutdown(s.fd[w.sink()], unix.SHUT_WR)
		}
	case n < asked && !s.hungUp[in]:
		// A short reading has emptied the socket; what comes later makes a new
		// event. Not so when the end of the stream was announced already.
		s.readable[in] = false
	}
	d.bulk = n >= bulkFrom
}

func (d *direction) grow(n, asked int) {
	if n == asked && d.left == nil {
		d.turn = min(d.turn*2, turnRecords)
	}
}

func (d *direction) want() int {
	if d.turn == 0 {
		d.turn = firstTurn
	}
	return int(d.turn)
}

// failed sorts a reading's error: !ok ends the session.
func (s *session) failed(w way, err error) (Reason, bool) {
	switch err {
	case unix.EAGAIN:
		s.readable[w.source()] = false
		return 0, true
	case unix.EINTR:
		return 0, true
	}
	return Reset, false
}

// copyTurn reads, takes records off, changes the cipher, and writes.
func (l *loop) copyTurn(s *session, w way, f *Flow) (Reason, bool) {
	d := &s.way[w]
	asked := d.want() * faketls.MaxPayload
	n, err := unix.Read(s.fd[w.source()], l.buf[:asked])
	if err != nil {
		return s.failed(w, err)
	}
	s.took(w, n, asked)
	if n == 0 {
		return 0, true
	}
	payload, err := f.transform(l.buf[:n])
	if err != nil {
		return Malformed, false
	}
	d.bytes += int64(payload)
	if payload > 0 && !l.emit(s, w, l.buf[:payload]) {
		return Reset, false
	}
	d.grow(n, asked)
	return 0, true
}

// wrapTurn reads into a buffer with a hole before each record's payload, fills
// the headers in, and writes all records at once.
func (l *loop) wrapTurn(s *session, w way, f *Flow) (Reason, bool) {
	d := &s.way[w]
	records := d.want()
	n, err := l.readGapped(s.fd[w.source()], records)
	if err != nil {
		return s.failed(w, err)
	}
	asked := records * faketls.MaxPayload
	s.took(w, n, asked)
	if n == 0 {
		return 0, true
	}
	d.bytes += int64(n)
	if !l.emit(s, w, l.buf[:f.wrap(l.buf, n)]) {
		return Reset, false
	}
	d.grow(n, asked)
	return 0, true
}

func (l *loop) readGapped(fd, records int) (int, error) {
	if l.iov[0].Base == nil {
		for i := range l.iov {
			l.iov[i].Base = &l.buf[i*recordSize+faketls.HeaderSize]
			l.iov[i].SetLen(faketls.MaxPayload)
		}
	}
	n, _, errno := unix.Syscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&l.iov[0])), uintptr(records))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// spliceTurn moves bytes that nobody has to look at inside the kernel.
func (l *loop) spliceTurn(s *session, w way) (Reason, bool) {
	d := &s.way[w]
	p := l.pipes.get()
	if p == nil {
		return l.copyTurn(s, w, s.flow(w))
	}
	n, err := unix.Splice(s.fd[w.source()], nil, p.w, nil, pipeBytes, spliceFlags)
	if err != nil {
		l.pipes.put(p)
		return s.failed(w, err)
	}
	// A full pipe ends a splice too, so a short one proves an empty socket only
	// when there were fewer bytes than the pipe has slots.
	s.took(w, int(n), p.slots)
	if n == 0 {
		l.pipes.put(p)
		return 0, true
	}
	p.bytes = int(n)
	d.bytes += n
	d.pipe = p
	if !l.drainPipe(s, w) {
		return Reset, false
	}
	return 0, true
}

// drainPipe moves what waits in the pipe on, until it is empty or the sink is
// full; an empty pipe goes back to the stock.
func (l *loop) drainPipe(s *session, w way) bool {
	d := &s.way[w]
	p := d.pipe
	for p.bytes > 0 {
		n, err := unix.Splice(p.r, nil, s.fd[w.sink()], nil, p.bytes, spliceFlags)
		switch {
		case err == unix.EAGAIN:
			s.writable[w.sink()] = false
			return true
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return false
		}
		p.bytes -= int(n)
	}
	d.pipe = nil
	l.pipes.put(p)
	return true
}
