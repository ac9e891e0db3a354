package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"

	"mtguard/security/keys"
)

// recent remembers which keys a prefix used last: a phone comes back from the
// same network, and many phones share one. Its memory is fixed: 4,096 groups of
// four prefixes with recentKeys keys each; in a full group the prefix that was
// quiet for longest goes. Only a client that authenticated can write to it.
type recent struct {
	once  sync.Once
	seed  maphash.Seed
	locks [64]sync.Mutex
	sets  []recentSet
}

const (
	recentSets = 4096
	recentWays = 4
	recentKeys = 6
)

type recentSet struct {
	entries [recentWays]recentEntry // latest first
}

type recentEntry struct {
	prefix netip.Prefix
	keys   [recentKeys]keys.ID // latest first
}

// of copies the keys that from's prefix used last into ids, latest first, and
// returns how many there are.
func (r *recent) of(from netip.Addr, ids *[recentKeys]keys.ID) int {
	prefix, set, lock := r.place(from)
	lock.Lock()
	defer lock.Unlock()
	for i := range set.entries {
		if e := &set.entries[i]; e.prefix == prefix {
			*ids = e.keys
			n := 0
			for n < recentKeys && ids[n] != "" {
				n++
			}
			return n
		}
	}
	return 0
}

// note puts id to the front of the keys of from's prefix.
func (r *recent) note(from netip.Addr, id keys.ID) {
	prefix, set, lock := r.place(from)
	lock.Lock()
	defer lock.Unlock()
	at := recentWays - 1
	for i := range set.entries {
		if set.entries[i].prefix == prefix {
			at = i
			break
		}
	}
	entry := set.entries[at]
	if entry.prefix != prefix {
		entry = recentEntry{prefix: prefix}
	}
	was := recentKeys - 1
	for i, k := range entry.keys {
		if k == id {
			was = i
			break
		}
	}
	copy(entry.keys[1:was+1], entry.keys[:was])
	entry.keys[0] = id
	copy(set.entries[1:at+1], set.entries[:at])
	set.entries[0] = entry
}

func (r *recent) place(from netip.Addr) (netip.Prefix, *recentSet, *sync.Mutex) {
	r.once.Do(func() {
		r.seed = maphash.MakeSeed()
		r.sets = make([]recentSet, recentSets)
	})
	bits := 24
	if from = from.Unmap(); from.Is6() {
		bits = 48
	}
	prefix, _ := from.Prefix(bits)
	at := maphash.Comparable(r.seed, prefix) % recentSets
	return prefix, &r.sets[at], &r.locks[at%uint64(len(r.locks))]
}
