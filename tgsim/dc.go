package tgsim

import (
	"bufio"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Behaviour is how a data centre misbehaves; the zero value is a good one.
type Behaviour struct {
	Refuse      bool          // nobody listens at the address; only at the start
	Deaf        bool          // accept and never read
	Stall       bool          // accept, read everything, never answer
	VanishAfter int64         // reset the connection after sending that many bytes; 0 never
	Delay       time.Duration // wait that long before each packet sent
	HalfClose   bool          // end the own direction after the first answer, go on reading
	Error       int32         // answer with this transport error, such as -404, in place of anything else
}

// DCConfig describes a data centre.
type DCConfig struct {
	Listen    string // "" is a free port of 127.0.0.1
	Number    int    // told in every pong: see Conn.Reached
	Behaviour Behaviour
	Idle      time.Duration // a connection silent for so long is closed; 0 is 10 min
}

// DC is a running data centre. It speaks obfuscated2 without a secret and the
// three framings. All methods may be called concurrently.
type DC struct {
	server
	number    int
	idle      time.Duration
	behaviour atomic.Pointer[Behaviour]

	accepted, badInits, pings, fetched, stored, received, sent atomic.Int64

	sessionMu sync.Mutex
	sessions  map[*session]struct{}
	past      []Session // most recent last
}

// keptSessions bounds the memory of ended connections.
const keptSessions = 4096

// Session is what a data centre saw of one connection.
type Session struct {
	Remote         netip.AddrPort
	Init           [64]byte // as received
	Tag            byte     // 0xef, 0xee or 0xdd
	DC             int      // as on the wire
	Received, Sent int64    // bytes, the init included
	Requests       int64
	Open           bool
}

// DCStats are sums over the life of a data centre. Fetched and Stored count
// content, Received and Sent everything on the wire.
type DCStats struct {
	Accepted, BadInits, Pings, Fetched, Stored, Received, Sent int64
	Open                                                       int
	ByDC                                                       map[int]int // sessions kept, by DC id on the wire
}

// StartDC starts a data centre; it ends with ctx or Close.
func StartDC(ctx context.Context, cfg DCConfig) (*DC, error) {
	d := &DC{number: cfg.Number, idle: cfg.Idle, sessions: make(map[*session]struct{})}
	if d.idle == 0 {
		d.idle = 10 * time.Minute
	}
	d.SetBehaviour(cfg.Behaviour)
	if err := d.start(ctx, cfg.Listen, cfg.Behaviour.Refuse); err != nil {
		return nil, err
	}
	d.serve(d.serveConn)
	return d, nil
}

// SetBehaviour changes the behaviour towards connections accepted from now on.
func (d *DC) SetBehaviour(b Behaviour) { d.behaviour.Store(&b) }

// Sessions returns what was seen, ended connections first, the most recent 4096
// of them.
func (d *DC) Sessions() []Session {
	d.sessionMu.Lock()
	defer d.sessionMu.Unlock()
	list := slices.Clone(d.past)
	for s := range maps.Keys(d.sessions) {
		list = append(list, s.record(true))
	}
	return list
}

// Stats returns the sums.
func (d *DC) Stats() DCStats {
	s := DCStats{
		Accepted: d.accepted.Load(), BadInits: d.badInits.Load(), Pings: d.pings.Load(), Fetched: d.fetched.Load(),
		Stored: d.stored.Load(), Received: d.received.Load(), Sent: d.sent.Load(), ByDC: make(map[int]int),
	}
	for _, one := range d.Sessions() {
		s.ByDC[one.DC]++
		if one.Open {
			s.Open++
		}
	}
	return s
}

// session is one connection past its init.
type session struct {
	dc        *DC
	conn      net.Conn
	behaviour Behaviour
	seen      Session
	in        *bufio.Reader
	s2c       cipher.Stream

	received, sent, requests atomic.Int64
	packet, message, out     []byte // reused
}

func (s *session) record(open bool) Session {
	seen := s.seen
	seen.Received, seen.Sent, seen.Requests, seen.Open = s.received.Load(), s.sent.Load(), s.requests.Load(), open
	return seen
}

// serveConn lives as long as the connection.
func (d *DC) serveConn(c net.Conn) {
	d.accepted.Add(1)
	s := &session{dc: d, conn: c, behaviour: *d.behaviour.Load()}
	if s.behaviour.Deaf {
		<-d.done
		return
	}
	if _, err := io.ReadFull(s, s.seen.Init[:]); err != nil {
		return
	}
	f, dc, keys, err := openInit(s.seen.Init, nil)
	if err != nil {
		// The real ones close as well, without a byte.
		d.badInits.Add(1)
		return
	}
	s.seen.Tag, s.seen.DC, s.s2c = byte(f), dc, keys.s2c
	s.seen.Remote, _ = netip.ParseAddrPort(c.RemoteAddr().String())
	s.in = bufio.NewReader(cipher.StreamReader{S: keys.c2s, R: s})
	d.enter(s)
	defer d.leave(s)
	if s.behaviour.Stall {
		io.Copy(io.Discard, s.in)
		return
	}
	for s.serveRequest(f) == nil {
	}
}

func (d *DC) enter(s *session) {
	d.sessionMu.Lock()
	defer d.sessionMu.Unlock()
	d.sessions[s] = struct{}{}
}

func (d *DC) leave(s *session) {
	d.sessionMu.Lock()
	defer d.sessionMu.Unlock()
	delete(d.sessions, s)
	if len(d.past) == keptSessions {
		d.past = slices.Delete(d.past, 0, keptSessions/4)
	}
	d.past = append(d.past, s.record(false))
}

// Read reads raw bytes, counts them, and gives up on a silent peer.
func (s *session) Read(p []byte) (int, error) {
	s.conn.SetReadDeadline(time.Now().Add(s.dc.idle))
	n, err := s.conn.Read(p)
	s.received.Add(int64(n))
	s.dc.received.Add(int64(n))
	return n, err
}

func (s *session) receive(f framing) (message, error) {
	payload, _, err := readPacket(s.in, f, s.packet)
	s.packet = payload
	if err != nil {
		return message{}, err
	}
	return parseMessage(payload)
}

func (s *session) serveRequest(f framing) error {
	m, err := s.receive(f)
	if err != nil {
		return err
	}
	s.requests.Add(1)
	switch {
	case s.behaviour.Error != 0:
		err = s.write(f, binary.LittleEndian.AppendUint32(nil, uint32(s.behaviour.Error)))
	case m.op == opPing:
		s.dc.pings.Add(1)
		err = s.answer(f, message{op: opPong, a: uint64(s.dc.number), body: m.body})
	case m.op == opFetch && m.a <= maxTransfer:
		err = s.sendContent(f, int64(m.a), m.b)
	case m.op == opStore && m.a <= maxTransfer:
		err = s.storeContent(f, int64(m.a))
	default:
		err = errMessage
	}
	if err == nil && s.behaviour.HalfClose {
		if err = closeWrite(s.conn); err == nil {
			_, err = io.Copy(io.Discard, s.in)
		}
		if err == nil {
			err = io.EOF
		}
	}
	return err
}

func (s *session) sendContent(f framing, n int64, seed uint64) error {
	part, source := make([]byte, chunkSize), content(seed)
	for done := int64(0); done < n; {
		size := int(min(int64(chunkSize), n-done))
		source.Read(part[:size])
		if err := s.answer(f, message{op: opChunk, body: part[:size]}); err != nil {
			return err
		}
		s.dc.fetched.Add(int64(size))
		done += int64(size)
	}
	return nil
}

func (s *session) storeContent(f framing, n int64) error {
	hash := sha256.New()
	for done := int64(0); done < n; {
		m, err := s.receive(f)
		if err != nil {
			return err
		}
		if m.op != opChunk || len(m.body) == 0 || int64(len(m.body)) > n-done {
			return errMessage
		}
		hash.Write(m.body)
		s.dc.stored.Add(int64(len(m.body)))
		done += int64(len(m.body))
	}
	return s.answer(f, message{op: opStored, body: hash.Sum(nil)})
}

func (s *session) answer(f framing, m message) error {
	s.message = m.append(s.message[:0])
	return s.write(f, s.message)
}

// write frames, encrypts and sends one payload, and vanishes where it was told to.
func (s *session) write(f framing, payload []byte) error {
	if s.behaviour.Delay > 0 && !s.dc.sleep(s.behaviour.Delay) {
		return net.ErrClosed
	}
	out, err := appendPacket(s.out[:0], f, payload, 3) // never 4 or more towards a client (3.3)
	if err != nil {
		return err
	}
	s.out = out
	s.s2c.XORKeyStream(out, out)
	vanish := false
	if left := s.behaviour.VanishAfter - s.sent.Load(); s.behaviour.VanishAfter > 0 && int64(len(out)) >= left {
		out, vanish = out[:left], true
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.dc.idle))
	n, err := s.conn.Write(out)
	s.sent.Add(int64(n))
	s.dc.sent.Add(int64(n))
	if vanish {
		reset(s.conn)
		return net.ErrClosed
	}
	return err
}
