package preview

import (
	"cmp"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mtguard/mtproto"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// DefaultSize is the size of the file when Options name none: about 87,000
// connections.
const DefaultSize = 16 << 20

const (
	// maxPending bounds the connections that are remembered until they end.
	maxPending = 1 << 16
	// batch is how many records are written at once, at most; every second those
	// are that are there.
	batch = 256
	// lateEnd is how long the end of a connection that became no session is waited
	// for. Of some there is no event.
	lateEnd = 2 * time.Minute
)

// Options are what a Recorder needs.
type Options struct {
	// Path is the file, in the state directory. Size is about how large it is; 0 is
	// DefaultSize.
	Path string
	Size int64
	// Privacy is what is kept of addresses. Pseudonym needs Key.
	Privacy Privacy
	Key     [32]byte
	Log     *slog.Logger
}

// Recorder keeps a record of each connection. Use Open.
//
// What it has taken is in the file within a second, and what the program did not
// get to write when it crashed is lost, with the sessions that were open then.
// After a power failure a record may be torn; it is left out.
type Recorder struct {
	log    *slog.Logger
	masker *masker

	mu      sync.Mutex
	ring    *ring
	pending map[uint64]*Record // by connection
	failed  []waiting          // those of them that became no session, the oldest first
	batch   []Record
	missed  uint64
	broken  bool // the last write failed
	closed  bool
}

// waiting is a connection whose end there may be no event of.
type waiting struct {
	conn  uint64
	since time.Time
}

// Open opens the file, or makes it: 0600. A file of another size or version begins
// anew; the error is ErrForeign for one that is something else.
func Open(o Options) (*Recorder, error) {
	if o.Privacy == Pseudonym && o.Key == [32]byte{} {
		return nil, errors.New("pseudonyms of addresses need a key")
	}
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	masker, err := newMasker(o.Privacy, o.Key)
	if err != nil {
		return nil, err
	}
	ring, err := openRing(o.Path, o.Size)
	if err != nil {
		return nil, err
	}
	return &Recorder{log: o.Log, masker: masker, ring: ring, pending: make(map[uint64]*Record)}, nil
}

// Run takes events until the channel is closed, and writes what it has.
func (r *Recorder) Run(events <-chan event.Event) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				r.tidy(time.Now())
				return
			}
			r.Take(e)
		case <-tick.C:
			r.tidy(time.Now())
		}
	}
}

// Take takes one event. Run is the usual way.
func (r *Recorder) Take(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case event.Refused:
		if r.pending[e.Conn] == nil {
			r.await(&e, r.record(&e, e.Time, 0, stats.ResultRefused))
		}
	case event.HandshakeFailed:
		r.failedHandshake(&e)
	case event.Authenticated:
		r.hold(e.Conn, r.record(&e, e.Time.Add(-e.Took), e.Took, stats.ResultOK))
	case event.UpstreamFailed:
		r.append(r.record(&e, e.Time.Add(-e.Took), e.Took, stats.ResultOK))
	case event.Relayed, event.Covered:
		r.ended(&e)
	}
}

// record is what an event tells of a connection that was accepted at a time.
func (r *Recorder) record(e *event.Event, at time.Time, handshake time.Duration, result stats.Result) *Record {
	t, _ := mtproto.ParseTransport(e.Transport)
	handshake = max(handshake, 0)
	record := &Record{
		At: at, Handshake: handshake, Open: handshake, Addr: r.masker.mask(e.Addr), Privacy: r.masker.privacy,
		User: e.User, Key: e.Key, Transport: t, Result: result,
	}
	if h := e.Hello; h != nil {
		record.Hello, record.KeyShare, record.JA4 = HelloUnnamed, h.KeyShare, h.JA4
		// What a client asks for stands in its link; what a stranger does is his own.
		if e.User != "" || r.masker.privacy == Full {
			record.Hello, record.ServerName = HelloNamed, h.ServerName
		}
	}
	return record
}

func (r *Recorder) failedHandshake(e *event.Event) {
	before := r.pending[e.Conn]
	if before != nil && e.User == "" { // a control refused it on the way, and said who it was
		e.User, e.Key = before.User, before.Key
	}
	fresh := r.record(e, e.Time.Add(-e.Took), e.Took, resultOf(e.Reason))
	if before == nil {
		r.await(e, fresh)
		return
	}
	*before = *fresh
}

// resultOf is the result that an event names. What else it may say is why the user
// is not served.
func resultOf(reason string) stats.Result {
	for _, result := range results {
		if reason == result.String() {
			return result
		}
	}
	return stats.ResultUser
}

func (r *Recorder) ended(e *event.Event) {
	p := r.pending[e.Conn]
	switch {
	case p != nil:
		delete(r.pending, e.Conn)
		p.Ongoing, p.Open = false, max(e.Took, p.Handshake)
		r.append(p)
	case e.Kind == event.Relayed: // its beginning was missed
		p = r.record(e, e.Time.Add(-e.Took), 0, stats.ResultOK)
		p.Open = max(e.Took, 0)
		r.append(p)
	default:
		r.missed++
	}
}

// hold remembers a session until it ends.
func (r *Recorder) hold(conn uint64, p *Record) {
	if r.makeRoom() {
		p.Ongoing = true
		r.pending[conn] = p
	}
}

// await remembers a connection that became no session, for a while.
func (r *Recorder) await(e *event.Event, p *Record) {
	for len(r.failed) >= maxPending { // most of them have ended meanwhile
		r.giveUp()
	}
	if r.makeRoom() {
		r.pending[e.Conn] = p
		r.failed = append(r.failed, waiting{e.Conn, e.Time})
	}
}

// makeRoom gives up waiting for the end of those that wait longest.
func (r *Recorder) makeRoom() bool {
	for len(r.pending) >= maxPending {
		if len(r.failed) == 0 {
			r.missed++
			return false
		}
		r.giveUp()
	}
	return true
}

// giveUp records the first of the failed as it stands.
func (r *Recorder) giveUp() {
	conn := r.failed[0].conn
	r.failed = r.failed[1:]
	if p := r.pending[conn]; p != nil && !p.Ongoing {
		delete(r.pending, conn)
		r.append(p)
	}
}

func (r *Recorder) append(p *Record) {
	if r.batch = append(r.batch, *p); len(r.batch) >= batch {
		r.flush()
	}
}

// tidy writes what there is to write.
func (r *Recorder) tidy(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.failed) > 0 && now.Sub(r.failed[0].since) >= lateEnd {
		r.giveUp()
	}
	r.flush()
}

// flush writes the batch. What cannot be written is lost, and once in a row of
// failures that is said. The caller holds mu.
func (r *Recorder) flush() {
	if len(r.batch) == 0 || r.closed {
		return
	}
	n, err := r.ring.write(r.batch)
	r.missed += uint64(len(r.batch) - n)
	if err != nil && !r.broken {
		r.log.Error("connections are not recorded for previews", "error", err)
	}
	r.broken = err != nil
	r.batch = r.batch[:0]
}

// Missed is how many connections could not be recorded since Open: the disk was
// full, or too many were open at a time. What the subscription dropped comes on top.
func (r *Recorder) Missed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed
}

// Records returns the connections that were there at since or later, also those
// that still are, in the order in which they were accepted. It takes some tens of
// megabytes until it is done.
func (r *Recorder) Records(since time.Time) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, record := range r.collect(since) {
			if !yield(record) {
				return
			}
		}
	}
}

func (r *Recorder) collect(since time.Time) []Record {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.flush()
	var list []Record
	keep := func(record Record) bool {
		if record.Ongoing || !record.End().Before(since) {
			list = append(list, record)
		}
		return true
	}
	for _, p := range r.pending {
		keep(*p)
	}
	last := r.ring.last
	r.mu.Unlock() // whoever reads does not hold up whoever writes
	if err := r.ring.read(last, keep); err != nil {
		r.log.Error("records of connections", "error", err)
	}
	slices.SortStableFunc(list, func(a, b Record) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Handshake, b.Handshake))
	})
	return list
}

// Close writes what there is, of open connections too, and closes the file. What
// comes afterwards is lost.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	now := time.Now()
	for _, p := range r.pending {
		if p.Ongoing {
			p.Ongoing, p.Open = false, max(now.Sub(p.At), p.Handshake)
		}
		r.append(p)
	}
	clear(r.pending)
	r.flush()
	r.closed = true
	return r.ring.close()
}
