package stats

import (
	"testing"
	"time"
)

func TestSumsOverLabels(t *testing.T) {
	c, _ := filled()
	c.Dial(5, true, 60*time.Millisecond)
	c.CoverDial(false)
	c.CoverDial(false)
	c.Handshake("faketls", ResultReplay, 0)
	c.Control("rate.accept").Panicked()
	if ok, failed := c.Dials(); ok != 2 || failed != 1 || c.DialTime() != 100*time.Millisecond {
		t.Errorf("dials %d, %d failed, %v", ok, failed, c.DialTime())
	}
	if ok, failed := c.CoverDials(); ok != 1 || failed != 2 {
		t.Errorf("dials of the cover site %d, %d failed", ok, failed)
	}
	if n := c.HandshakesOf(ResultReplay); n != 2 {
		t.Errorf("%d replays", n)
	}
	var panics uint64
	c.EachControl(func(_ string, s *Control) { panics += s.Panics() })
	if panics != 2 {
		t.Errorf("%d panics", panics)
	}
}
