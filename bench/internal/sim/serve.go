package sim

import (
	"encoding/json"
	"io"
	"time"

	"mtguard/bench/internal/evloop"
)

// Serve runs the Sim until control ends. Every byte that arrives on control, a pipe, is answered with one line of Counters on out.
func (s *Sim) Serve(control int, out io.Writer) error {
	enc := json.NewEncoder(out)
	var failed error
	err := s.loop.Watch(control, evloop.Readable, evloop.Func(func(uint32) {
		var b [16]byte
		n, errno := evloop.Read(control, b[:])
		if errno == evloop.Again {
			return
		}
		if errno != 0 || n == 0 {
			s.loop.Stop()
			return
		}
		for range n {
			if failed = enc.Encode(s.Counters); failed != nil {
				s.loop.Stop()
				return
			}
		}
	}))
	if err != nil {
		return err
	}
	if _, err := s.loop.Run(time.Time{}); err != nil {
		return err
	}
	return failed
}
