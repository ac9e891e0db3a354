package stats

// State is where an open connection is on its way. A connection is in one of them at a time.
type State uint8

// The states, in the order in which connections come through them.
const (
	// StateHandshake: it has not finished its handshake.
	StateHandshake State = iota
	// StateConnecting: it is on its way to Telegram, to the cover site, or to its end.
	StateConnecting
	// StateSession: it is relayed to Telegram.
	StateSession
	// StateCovered: it is shown the cover site.
	StateCovered
	// StateSilent: it is read and never answered.
	StateSilent
	states
)

func (c *Counters) in(s State) *Gauge {
	return [states]*Gauge{&c.HalfOpen, &c.Connecting, &c.Sessions, &c.CoverOpen, &c.Silent}[min(s, StateSilent)]
}

// A connection changes two or three numbers at a time: what it leaves, what it comes to, and how many are open. Whoever reads these numbers
// one after the other, while connections come and go, sees some of them before a change and some after it, whatever the order; so sums never
// quite hold. Therefore the changes of one connection are made under the read half of a lock: they do not wait for one another, since the
// numbers are atomics, only for Flow, which holds the other half for as long as it takes to read a dozen words. It costs a connection three
// pairs of atomic operations in its whole life.

// Accepted counts a connection that came, into StateHandshake.
func (c *Counters) Accepted() {
	c.flow.RLock()
	c.accepted.Inc()
	c.Open.Inc()
	c.HalfOpen.Inc()
	c.flow.RUnlock()
}

// Moved takes an open connection from one state to another.
func (c *Counters) Moved(from, to State) {
	c.flow.RLock()
	c.in(from).Dec()
	c.in(to).Inc()
	c.flow.RUnlock()
}

// Ended counts the end of a connection in the state it was in.
func (c *Counters) Ended(from State, out Outcome) {
	c.flow.RLock()
	c.in(from).Dec()
	c.Open.Dec()
	c.Connections.Add(out)
	c.flow.RUnlock()
}

// Flow is what became of all connections, at one moment.
type Flow struct {
	// Accepted is how many came; Ended how many of them ended so, and Open are the others.
	Accepted uint64
	Ended    [outcomes]uint64
	Open     int64
	// In is how many of the open ones are in each state.
	In [states]int64
}

// Flow reads at one moment: Accepted is the sum of Ended and Open, and Open the sum of In, exactly, while connections come and go.
func (c *Counters) Flow() (f Flow) {
	c.flow.Lock()
	defer c.flow.Unlock()
	f.Accepted, f.Open = c.accepted.Load(), c.Open.Load()
	for o := range f.Ended {
		f.Ended[o] = c.Connections.by[o].Load()
	}
	for s := range f.In {
		f.In[s] = c.in(State(s)).Load()
	}
	return f
}

// Served is how many ended as sessions with Telegram, Covered how many were shown the cover site or read in silence, and Refused how many
// got no further: denied, limited, or failed on our side.
func (f *Flow) Served() uint64 { return f.Ended[OutcomeRelayed] }

// Covered is explained at Served.
func (f *Flow) Covered() uint64 { return f.Ended[OutcomeCovered] }

// Refused is explained at Served.
func (f *Flow) Refused() uint64 {
	return f.Ended[OutcomeDenied] + f.Ended[OutcomeLimited] + f.Ended[OutcomeError]
}
