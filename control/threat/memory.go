package threat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// What an Engine remembers over a restart is a heading, the SHA-256 of what follows, and that: records of fixed size, little-endian, behind the
// number of them. Addresses stand in it in the clear, as in the rules that blocked them.
const memoryHeading = "mtguard threat memory 1\n"

// mostMemory is far above the longest memory.
const mostMemory = 16 << 20

type savedAddress struct {
	High, Low   uint64
	Until, Last int64 // milliseconds
	Offences    uint8
	Ordered     bool
}

type savedUsual struct {
	Mean, Dev float32
	N         int32
}

type savedKey struct {
	ID          uint64
	Hour        int64
	Up, Down    float64
	Size, Share savedUsual
	Sum         [2]float32
	Told        int64 // milliseconds
}

// Save writes what is to outlive the process: who was blocked how often, and what bytes are usual.
func (g *Engine) Save(w io.Writer) error {
	g.mu.Lock()
	body := g.remember()
	g.mu.Unlock()
	sum := sha256.Sum256(body)
	for _, part := range [][]byte{[]byte(memoryHeading), sum[:], body} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func (g *Engine) remember() []byte {
	var addresses []savedAddress
	now := g.now.UnixMilli()
	for s := range g.addresses.sets {
		for i := range g.addresses.sets[s] {
			e := &g.addresses.sets[s][i]
			x := e.value // forgiving is of a copy
			if x.forgive(now); e.used != 0 && x.offences > 0 {
				addresses = append(addresses, savedAddress{e.at.high, e.at.low, x.until, x.last, x.offences, x.ordered})
			}
		}
	}
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) } // of fixed size, into memory
	put(uint32(len(addresses)))
	put(addresses)
	d := g.drift()
	if d == nil {
		d = &drift{keys: newTable[drifting](entries)}
	}
	for _, u := range d.week {
		put(u.saved())
	}
	var secrets []savedKey
	d.keys.each(func(_ place, x *drifting) {
		if x.id != 0 {
			secrets = append(secrets, savedKey{x.id, x.hour, x.up, x.down, x.size.saved(), x.share.saved(), x.sum, x.told})
		}
	})
	put(uint32(len(secrets)))
	put(secrets)
	return b.Bytes()
}

func (u usual) saved() savedUsual { return savedUsual{u.mean, u.dev, u.n} }

func (s savedUsual) usual() usual { return usual{s.Mean, s.Dev, s.N} }

// good reports whether learning may have led to it.
func (s savedUsual) good() bool {
	return finite(float64(s.Mean)) && finite(float64(s.Dev)) && s.Dev >= 0 && s.N >= 0 && s.N <= weekMemory
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// drift is the detector of that kind, nil when there is none.
func (g *Engine) drift() *drift {
	for _, d := range g.detectors {
		if d, ok := d.(*drift); ok {
			return d
		}
	}
	return nil
}

// Restore takes over what an Engine has saved. It is for one that has seen nothing yet; now is the wall clock. What is cut short, altered, of
// another version or makes no sense is an error, and changes nothing. Times ahead of now are taken as now.
func (g *Engine) Restore(r io.Reader, now time.Time) error {
	all, err := io.ReadAll(io.LimitReader(r, mostMemory+1))
	if err != nil {
		return err
	}
	body, found := bytes.CutPrefix(all, []byte(memoryHeading))
	switch {
	case !found:
		return errors.New("it is no memory of threats of this version")
	case len(all) > mostMemory:
		return fmt.Errorf("it has more than %d bytes", mostMemory)
	case len(body) < sha256.Size:
		return errors.New("it is cut short")
	case sha256.Sum256(body[sha256.Size:]) != [sha256.Size]byte(body):
		return errors.New("it was altered or cut short")
	}
	return g.recall(bytes.NewReader(body[sha256.Size:]), now.UnixMilli())
}

func (g *Engine) recall(r *bytes.Reader, now int64) error {
	addresses, err := records[savedAddress](r, scoredAddresses, func(a *savedAddress) bool { return a.Offences <= uint8(len(terms)) })
	if err != nil {
		return err
	}
	var week [7 * 24]savedUsual
	if err := binary.Read(r, binary.LittleEndian, &week); err != nil {
		return errBadMemory
	}
	for _, u := range week {
		if !u.good() {
			return errBadMemory
		}
	}
	secrets, err := records[savedKey](r, detectorKeys, func(k *savedKey) bool {
		return k.Size.good() && k.Share.good() && finite(k.Up) && finite(k.Down) && k.Up >= 0 && k.Down >= 0 && finite(float64(k.Sum[0])) && finite(float64(k.Sum[1]))
	})
	if err != nil || r.Len() > 0 {
		return errBadMemory
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := terms[len(terms)-1].Milliseconds()
	for _, a := range addresses {
		x := g.addresses.get(place{a.High, a.Low}, max(min(a.Last, now), 1))
		x.until, x.last, x.offences, x.ordered, x.made = min(a.Until, now+longest), min(a.Last, now), a.Offences, a.Ordered, a.Ordered
	}
	d := g.drift()
	if d == nil {
		return nil
	}
	for i, u := range week {
		d.week[i] = u.usual()
	}
	for _, k := range secrets {
		x := d.keys.get(d.keys.secretAt(fmt.Sprintf("%016x", k.ID)), max(min(k.Hour*int64(time.Hour/time.Millisecond), now), 1))
		*x = drifting{id: k.ID, hour: min(k.Hour, now/time.Hour.Milliseconds()), up: k.Up, down: k.Down, size: k.Size.usual(), share: k.Share.usual(), sum: k.Sum, told: min(k.Told, now)}
	}
	return nil
}

var errBadMemory = errors.New("it makes no sense")

// records reads so many records as a number before them says, at most so many.
func records[T any](r *bytes.Reader, most uint32, good func(*T) bool) ([]T, error) {
	var n uint32
	if err := binary.Read(r, binary.LittleEndian, &n); err != nil || n > most {
		return nil, errBadMemory
	}
	all := make([]T, n)
	if err := binary.Read(r, binary.LittleEndian, all); err != nil {
		return nil, errBadMemory
	}
	for i := range all {
		if !good(&all[i]) {
			return nil, errBadMemory
		}
	}
	return all, nil
}

// numberOf is a secret's ID as a number, 0 when it is none.
func numberOf(key string) uint64 {
	if len(key) != 16 {
		return 0
	}
	n, _ := strconv.ParseUint(key, 16, 64)
	return n
}
