package threat

import (
	"fmt"
	"math"
	"time"

	"mtguard/telemetry/event"
)

// drift finds that what a secret carries is not what it used to be: much more in all, or much more upwards. What is usual is learnt: of everybody the shape
// of the week, hour by hour, and of each secret how far above or below that it is and how much that varies (EWMA). What deviates adds up (CUSUM), so one
// busy evening says nothing and a few hours in a row do. While a secret deviates, nothing is learnt from it.
//
// Bytes are known when a session ends; those of a long one are taken as spread evenly over it, and count for the hour it ended in with what fell into that.
type drift struct {
	week [7 * 24]usual
	keys *table[drifting]
}

// usual is the mean of something, and of how far it is from that.
type usual struct {
	mean, dev float32
	n         int32
}

type drifting struct {
	id       uint64 // the secret's, to be remembered by; 0: it cannot be
	hour     int64  // since 1970
	up, down float64
	size     usual // against the week
	share    usual // of the upload
	sum      [2]float32
	told     int64
}

const (
	driftLearn  = 48   // hours with traffic before anything is found
	driftMemory = 96   // hours that count in a mean
	weekMemory  = 2000 // hours of all secrets that count in one of the week
	driftSlack  = 0.75 // deviations that are nothing
	driftMost   = 8    // deviations that add up to a finding
	driftClamp  = 4    // that one hour may bring
	driftLeast  = 0.5  // the least deviation, in powers of two: nobody is that regular
	driftEvery  = 6 * time.Hour
)

// NewByteDrift returns the detector of drifting byte profiles.
func NewByteDrift() Detector { return &drift{keys: newTable[drifting](detectorKeys)} }

func (*drift) Name() string { return "byte_drift" }

func (d *drift) Observe(e event.Event) (list []Finding) {
	if e.Kind != event.Relayed || e.Key == "" {
		return nil
	}
	now := milli(&e)
	x := d.keys.get(d.keys.secretAt(e.Key), now)
	if x.id == 0 {
		x.id = numberOf(e.Key)
	}
	if hour := e.Time.Unix() / 3600; hour != x.hour {
		if x.hour != 0 && x.up+x.down > 0 {
			list = d.close(x, &e, now)
		}
		x.hour, x.up, x.down = hour, 0, 0
	}
	part := 1.0
	if e.Took > time.Hour {
		part = float64(time.Hour) / float64(e.Took)
	}
	x.up += part * float64(e.Received)
	x.down += part * float64(e.Sent)
	return list
}

// close judges the hour that is over and learns from it.
func (d *drift) close(x *drifting, e *event.Event, now int64) []Finding {
	week := &d.week[x.hour%int64(len(d.week))]
	size := float32(math.Log2(1 + x.up + x.down))
	over := size - week.mean
	share := float32(math.Log2((1 + x.up) / (1 + x.down)))
	known := x.size.n >= driftLearn
	more, upwards := x.size.deviation(over), x.share.deviation(share)
	calm := true
	for i, z := range [...]float32{more, upwards} {
		if !known {
			continue
		}
		x.sum[i] = max(x.sum[i]+min(max(z, -driftClamp), driftClamp)-driftSlack, 0)
		calm = calm && x.sum[i] < driftMost/2
	}
	if !known || calm {
		if known || x.size.n > 4 {
			week.learn(size-x.size.mean, weekMemory)
		}
		x.size.learn(over, driftMemory)
		x.share.learn(share, driftMemory)
	}
	if x.sum[0] <= driftMost && x.sum[1] <= driftMost || !once(&x.told, now, driftEvery) {
		return nil
	}
	text := fmt.Sprintf("%.0f times the bytes usual for this hour of the week", math.Exp2(float64(over-x.size.mean)))
	if x.sum[1] > x.sum[0] {
		text = fmt.Sprintf("%.0f times the usual part of uploads", math.Exp2(float64(share-x.share.mean)))
	}
	x.sum = [2]float32{}
	return foundKey(d.Name(), e, 2, text)
}

// deviation is how many usual deviations a value is above the mean.
func (u *usual) deviation(v float32) float32 { return (v - u.mean) / max(1.25*u.dev, driftLeast) }

// learn moves mean and deviation to a value, at first quickly.
func (u *usual) learn(v float32, memory int32) {
	u.n = min(u.n+1, memory)
	a := 1 / float32(u.n)
	if u.n > 1 {
		u.dev += a * (float32(math.Abs(float64(v-u.mean))) - u.dev)
	}
	u.mean += a * (v - u.mean)
}
