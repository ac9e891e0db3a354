package keys

// word is a key's changing part in 64 bits, so that one atomic operation sees and changes it whole:
//
//	bits 0–2    state
//	bit  3      erased: the bytes are gone, or just going
//	bit  4      tripwire: a revoked key keeps its bytes
//	bits 8–35   borrows
//	bits 36–63  leases
//
// 2^28 of each is far more than a process can have goroutines or descriptors.
type word uint64

const (
	stateMask   word = 1<<3 - 1
	erasedBit   word = 1 << 3
	tripwireBit word = 1 << 4
	oneBorrow        = 1 << 8
	oneLease         = 1 << 36
	countMask   word = 1<<28 - 1
)

func (w word) state() State   { return State(w & stateMask) }
func (w word) erased() bool   { return w&erasedBit != 0 }
func (w word) tripwire() bool { return w&tripwireBit != 0 && w.state() == Revoked }
func (w word) borrows() int   { return int(w / oneBorrow & countMask) }
func (w word) leases() int    { return int(w / oneLease) }

// spent tells whether the bytes are to be erased now.
func (w word) spent() bool {
	return w.state().Final() && !w.erased() && !w.tripwire() && w.borrows() == 0 && w.leases() == 0
}

// Lease keeps a key's bytes for a connection that was let in by it. The zero Lease is of no key. A Lease belongs to one goroutine at a time;
// it may be moved, but of its copies only one may be released.
type Lease struct{ key *Key }

// Key is the key leased, nil after Release.
func (l Lease) Key() *Key { return l.key }

// Acquire takes a lease, unless the key is not accepted at this instant. Once a Ring has taken a key out of the accepted states, no lease of
// it is given any more, whoever asks and whichever Set they hold. Leases taken before last until they are released: ending their connections
// is the caller's business.
func (k *Key) Acquire() (Lease, bool) {
	for {
		w := word(k.word.Load())
		if !w.state().Accepted() {
			return Lease{}, false
		}
		if k.swap(w, w+oneLease) {
			return Lease{k}, true
		}
	}
}

// Release gives the lease back. Once more does nothing.
func (l *Lease) Release() {
	k := l.key
	if k == nil {
		return
	}
	l.key = nil
	w := k.add(-oneLease)
	if w.leases() == int(countMask) {
		k.add(oneLease)
		panic("keys: a copy of a lease was released twice")
	}
	if w.spent() {
		k.settle()
	}
}

// Borrow gives the key's 16 bytes for one trial, in whatever state the key is; not when they are erased. They stay until Return, and must
// not be changed.
func (k *Key) Borrow() (material []byte, ok bool) {
	// Adding first and looking afterwards never waits for others. Whoever wants to erase sees either this borrow or is seen here.
	if k.add(oneBorrow).erased() {
		k.Return()
		return nil, false
	}
	return k.Material(), true
}

// Return ends a Borrow.
func (k *Key) Return() {
	w := k.add(-oneBorrow)
	if w.borrows() == int(countMask) {
		k.add(oneBorrow)
		panic("keys: returned without a borrow")
	}
	if w.spent() {
		k.settle()
	}
}

// settle erases the bytes when nothing stands against it any more. Whoever takes such a thing away calls it.
func (k *Key) settle() {
	for {
		w := word(k.word.Load())
		if !w.spent() {
			return
		}
		// With the bit set nobody reads the bytes any more, and only one sets it.
		if k.swap(w, w|erasedBit) {
			clear(k.Material())
			return
		}
	}
}

// move changes state and tripwire in one step and tells whether the way leads there.
func (k *Key) move(to State, tripwire bool) bool {
	for {
		w := word(k.word.Load())
		if !w.state().leadsTo(to) {
			return false
		}
		next := w&^(stateMask|tripwireBit) | word(to)
		if tripwire {
			next |= tripwireBit
		}
		if k.swap(w, next) {
			k.settle()
			return true
		}
	}
}

// add changes a count; what is in the other bits stays.
func (k *Key) add(delta int64) word { return word(k.word.Add(uint64(delta))) }

func (k *Key) swap(old, next word) bool { return k.word.CompareAndSwap(uint64(old), uint64(next)) }
