package node

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"mtguard/control/threat"
)

// offencesFile is where the engine's memory is written down, once in saveEvery: what a crash can lose of it.
const offencesFile = "threat.memory"

// offences carries over a restart who was blocked how often, and what bytes are usual. Without it whoever waits for a restart begins at ten minutes
// again, and two days pass before a secret's bytes say anything. A file that is missing, damaged or of another version never stops the node.
type offences struct {
	n *Node

	mu    sync.Mutex // held by save
	saves saves
}

// open reads what there is into a fresh engine.
func (o *offences) open(engine *threat.Engine, now time.Time) {
	f, err := o.n.dir.OpenFile(offencesFile)
	if err == nil {
		defer f.Close()
		err = engine.Restore(f, now)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.n.log.Warn("memory of threats not read: blocks begin at the shortest, and usual bytes are learnt anew", "file", offencesFile, "error", err)
	}
}

// run saves now and then until ctx ends, and once more then.
func (o *offences) run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			o.save()
			return
		case <-tick.C:
			o.save()
		}
	}
}

func (o *offences) save() {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.n.dir.Replace(offencesFile, o.n.threat.Save)
	o.saves.report(o.n.log, err, "memory of threats not written: after a restart, blocks begin at the shortest", "memory of threats is written again")
}
