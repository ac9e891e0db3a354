package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"mtguard/config/statedir"
	"mtguard/security/replay"
)

// saveEvery is how often the replay memory is written when it has changed, and
// so how much of it a crash can lose.
const saveEvery = time.Minute

// replayMemory carries the replay caches over a restart. Without it a hello
// captured before the restart and moved in time would be let in once, and an
// obfuscated2 init as it is.
//
// A file that is missing, broken or made by another version never stops the
// node: it starts with an empty memory and the time floor, and says so.
type replayMemory struct {
	dir   *statedir.Dir
	log   *slog.Logger
	start time.Time
	skew  time.Duration // the clock window at start

	mu    sync.Mutex // held by save
	kept  []*kept
	saves saves
}

// saves reports failures of saving something when they begin and when they end.
type saves struct{ failing bool } // the last one failed and was reported

func (s *saves) report(log *slog.Logger, err error, lost, again string) {
	switch {
	case err != nil && !s.failing:
		log.Warn(lost, "error", err)
	case err == nil && s.failing:
		log.Info(again)
	}
	s.failing = err != nil
}

type kept struct {
	file    string
	cache   *replay.Cache
	written bool   // by this process
	saved   uint64 // handshakes accepted by then
}

// open returns the cache kept in file, or a fresh one. To be called before run
// and save.
func (m *replayMemory) open(file string) *replay.Cache {
	c := replay.New(handshakeMemory, m.start)
	err := m.read(file, c)
	if ahead := c.Floor().Sub(m.start); err == nil && ahead > m.skew {
		// Every client would be refused until our clock gets there, and a
		// restart would no longer help. No handshake of the present is older.
		c = replay.New(handshakeMemory, m.start)
		err = fmt.Errorf("it was written with a clock %v ahead of the present one", ahead.Round(time.Second))
	}
	switch {
	case err == nil:
		m.log.Info("replay memory read", "file", file, "handshakes", c.Len())
	case !errors.Is(err, fs.ErrNotExist):
		m.log.Warn("replay memory not read: what was captured before this start may be accepted once more", "file", file, "error", err)
	}
	m.kept = append(m.kept, &kept{file: file, cache: c})
	return c
}

func (m *replayMemory) read(file string, c *replay.Cache) error {
	f, err := m.dir.OpenFile(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.Import(f)
}

// run saves now and then until ctx ends, and once more then. The first save
// does not wait for a change: it takes the new floor down, and an operator
// whose disk is full reads of it at once.
func (m *replayMemory) run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		m.save()
		select {
		case <-ctx.Done():
			m.save()
			return
		case <-tick.C:
		}
	}
}

// save writes what has changed.
func (m *replayMemory) save() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var failed error
	for _, k := range m.kept {
		// Before the export: what comes while it runs may be missing from it.
		accepted := k.cache.Accepted()
		if k.written && k.saved == accepted {
			continue
		}
		if err := m.dir.Replace(k.file, k.cache.Export); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		k.written, k.saved = true, accepted
	}
	m.saves.report(m.log, failed, "replay memory not written: after a restart, what was captured before may be accepted once more", "replay memory is written again")
}
