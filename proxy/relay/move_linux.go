package relay

import (
	"golang.org/x/sys/unix"

	"mtguard/mtproto/faketls"
)

const (
	// turnRecords is how many records one turn may read at the most. Fewer,
	// larger turns are what makes bulk cheap: 4, 8, 16 and 32 records cost 1.44,
	// 1.29, 0.96 and 0.69 times a plain relay with fake TLS. A client that stops
	// reading in the middle may leave a whole turn behind, for which 32 are too
	// many.
	turnRecords = 24
	turnBytes   = turnRecords * recordSize
	// firstTurn is what a direction starts with.
	firstTurn = 4
	// spliceFrom is the size of a reading from which on splice beats copying.
	// With records to put on it pays up to one record (performance.md section
	// 4): beyond, the header and the extra calls per record cost more than the
	// copies.
	spliceFrom = 4 << 10
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
	if !s.readable[in] || d.until != 0 {
		return false, 0, true
	}
	budget := s.budget(w)
	if budget == nil {
		reason, ok = l.read(s, w, pipeBytes)
	} else {
		before := d.bytes.n.Load()
		reason, ok = l.read(s, w, budget.Portion())
		l.charge(s, w, budget, int(d.bytes.n.Load()-before))
	}
	return ok && s.readable[in] && s.writable[out] && !d.ended && d.until == 0, reason, ok
}

// read reads at most so many bytes, in the way that is cheapest for them, and
// passes them on.
func (l *loop) read(s *session, w way, most int) (Reason, bool) {
	d, f := &s.way[w], s.flow(w)
	switch {
	case d.last >= spliceFrom && f.plain():
		return l.spliceTurn(s, w, most)
	case d.last >= spliceFrom && d.last <= faketls.MaxPayload && d.full < 2 && f.onlyWraps():
		return l.recordTurn(s, w, most)
	case f.Wrap:
		return l.wrapTurn(s, w, f, most)
	}
	return l.copyTurn(s, w, f, most)
}

// flush writes what an earlier turn could not.
func (l *loop) flush(s *session, w way) bool {
	d := &s.way[w]
	if d.left != nil {
		n, ok := s.write(w, d.left, 0)
		if d.left = d.left[n:]; len(d.left) > 0 || !ok {
			return ok
		}
		d.left = nil
	}
	if d.pipe != nil {
		return l.drainPipe(s, w)
	}
	return true
}

// write hands b to the sink and returns how much it took. Less than all means
// that the sink is full; !ok that it is gone.
func (s *session) write(w way, b []byte, flags int) (n int, ok bool) {
	for {
		n, errno := rawSend(s.fd[w.sink()], b, flags)
		switch errno {
		case 0:
			if n < len(b) {
				s.writable[w.sink()] = false
			}
			return n, true
		case unix.EAGAIN:
			s.writable[w.sink()] = false
			return 0, true
		case unix.EINTR:
		default:
			return 0, false
		}
	}
}

// emit writes a turn's bytes and keeps aside what the sink does not take. How
// well that went decides how much the next turn reads.
func (l *loop) emit(s *session, w way, b []byte) bool {
	d := &s.way[w]
	n, ok := s.write(w, b, 0)
	if n < len(b) && ok {
		d.left = append([]byte(nil), b[n:]...)
		d.turn = max(d.turn/2, 1)
	}
	return ok
}

// took notes a reading of n bytes: whether it got all it asked for, and whether
// it has emptied the socket for sure. It passes the end of the stream on.
func (s *session) took(w way, n int, full, drained bool) {
	d := &s.way[w]
	in := w.source()
	switch {
	case n == 0:
		s.readable[in] = false
		d.ended = true
		if !s.dying { // else this end is only what a reset leaves behind
			unix.Shutdown(s.fd[w.sink()], unix.SHUT_WR)
		}
	case drained && !s.hungUp[in]:
		// What comes later makes a new event. Not so when the end of the stream
		// was announced already.
		s.readable[in] = false
	}
	d.last = int32(n)
	if full {
		d.full = min(d.full+1, 2)
	} else {
		d.full = 0
	}
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
func (s *session) failed(w way, errno unix.Errno) (Reason, bool) {
	switch errno {
	case unix.EAGAIN:
		s.readable[w.source()] = false
		s.way[w].full = 0
		return 0, true
	case unix.EINTR:
		return 0, true
	}
	return Reset, false
}

// copyTurn reads, takes records off, changes the cipher, and writes.
func (l *loop) copyTurn(s *session, w way, f *Flow, most int) (Reason, bool) {
	d := &s.way[w]
	asked := min(d.want()*faketls.MaxPayload, most)
	n, errno := rawRead(s.fd[w.source()], l.buf[:asked])
	if errno != 0 {
		return s.failed(w, errno)
	}
	s.took(w, n, n == asked, n < asked)
	if n == 0 {
		return 0, true
	}
	payload, err := f.transform(l.buf[:n])
	if err != nil {
		return Malformed, false
	}
	d.bytes.add(payload)
	if payload > 0 && !l.emit(s, w, l.buf[:payload]) {
		return Reset, false
	}
	d.grow(n, asked)
	return 0, true
}

// wrapTurn reads into a buffer with a hole before each record's payload, fills
// the headers in, and writes all records at once.
func (l *loop) wrapTurn(s *session, w way, f *Flow, most int) (Reason, bool) {
	d := &s.way[w]
	asked := min(d.want()*faketls.MaxPayload, most)
	n, errno := l.readGapped(s.fd[w.source()], asked)
	if errno != 0 {
		return s.failed(w, errno)
	}
	s.took(w, n, n == asked, n < asked)
	if n == 0 {
		return 0, true
	}
	d.bytes.add(n)
	if !l.emit(s, w, l.buf[:f.wrap(l.buf, n)]) {
		return Reset, false
	}
	d.grow(n, asked)
	return 0, true
}

// readGapped reads at most so many bytes, of which each record's payload finds its
// place behind the hole for its header.
func (l *loop) readGapped(fd, most int) (int, unix.Errno) {
	if l.iov[0].Base == nil {
		for i := range l.iov {
			l.iov[i].Base = &l.buf[i*recordSize+faketls.HeaderSize]
			l.iov[i].SetLen(faketls.MaxPayload)
		}
	}
	records := (most + faketls.MaxPayload - 1) / faketls.MaxPayload
	last := &l.iov[records-1]
	last.SetLen(most - (records-1)*faketls.MaxPayload)
	n, errno := rawReadv(fd, l.iov[:records])
	last.SetLen(faketls.MaxPayload)
	return n, errno
}

// spliceTurn moves bytes that nobody has to look at inside the kernel.
func (l *loop) spliceTurn(s *session, w way, most int) (Reason, bool) {
	if n, reason, ok := l.fillPipe(s, w, min(pipeBytes, most)); n == 0 {
		return reason, ok
	}
	return Reset, l.drainPipe(s, w)
}

// recordTurn does the same for one record: its header goes ahead, held back by
// the kernel until the bytes follow.
func (l *loop) recordTurn(s *session, w way, most int) (Reason, bool) {
	n, reason, ok := l.fillPipe(s, w, min(faketls.MaxPayload, most))
	if n == 0 {
		return reason, ok
	}
	var header [faketls.HeaderSize]byte
	faketls.PutHeader(header[:], n)
	sent, ok := s.write(w, header[:], unix.MSG_MORE)
	if !ok {
		return Reset, false
	}
	if sent < len(header) {
		s.way[w].left = append([]byte(nil), header[sent:]...)
		return 0, true
	}
	return Reset, l.drainPipe(s, w)
}

// fillPipe reads at most limit bytes into a pipe, which stays with the
// direction. n is 0 when nothing came; without a pipe the bytes are copied.
func (l *loop) fillPipe(s *session, w way, limit int) (n int, _ Reason, ok bool) {
	d := &s.way[w]
	p := l.pipes.get()
	if p == nil {
		d.last = 0 // copy, until a reading asks for a pipe again
		return 0, 0, true
	}
	got, errno := rawSplice(s.fd[w.source()], p.w, limit)
	if errno != 0 {
		l.pipes.put(p)
		reason, ok := s.failed(w, errno)
		return 0, reason, ok
	}
	// A full pipe ends a splice too, so a short one proves an empty socket only
	// when there were fewer bytes than the pipe has slots.
	s.took(w, got, got == limit, got < p.slots)
	if got == 0 {
		l.pipes.put(p)
		return 0, 0, true
	}
	p.bytes = got
	d.bytes.add(got)
	d.pipe = p
	return got, 0, true
}

// drainPipe moves what waits in the pipe on, until it is empty or the sink is
// full; an empty pipe goes back to the stock.
func (l *loop) drainPipe(s *session, w way) bool {
	d := &s.way[w]
	p := d.pipe
	for p.bytes > 0 {
		n, errno := rawSplice(p.r, s.fd[w.sink()], p.bytes)
		switch {
		case errno == unix.EAGAIN:
			s.writable[w.sink()] = false
			return true
		case errno == unix.EINTR:
			continue
		case errno != 0 || n == 0:
			return false
		}
		p.bytes -= n
	}
	d.pipe = nil
	l.pipes.put(p)
	return true
}
