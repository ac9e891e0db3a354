package node

import (
	"context"
	"iter"
	"path/filepath"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/control/preview"
)

// recordsName is the file with the connections that came lately.
const recordsName = "connections.ring"

// recordsDepth is how many events may wait for the recorder.
const recordsDepth = 1 << 13

// openRecorder opens the record of connections, which previews of policies are
// made from. How much of addresses it keeps is what log.address says. Without it
// the node runs and cannot preview.
func (n *Node) openRecorder(file *config.File) {
	privacy := map[string]preview.Privacy{"full": preview.Full, "truncate": preview.Truncated, "hash": preview.Pseudonym}[file.Log.Address]
	r, err := preview.Open(preview.Options{
		Path: filepath.Join(n.dir.Path(), recordsName), Privacy: privacy, Key: n.plane.Pseudonyms(), Log: n.log,
	})
	if err != nil {
		n.log.Warn("no record of connections: policies cannot be previewed", "error", err)
		return
	}
	n.recorder = r
}

// records are the connections since a time, nil when none are kept.
func (n *Node) records(since time.Time) iter.Seq[preview.Record] {
	if n.recorder == nil {
		return nil
	}
	return n.recorder.Records(since)
}

// record follows what happens until ctx ends, and closes the record.
func (n *Node) record(ctx context.Context, work *sync.WaitGroup) {
	if n.recorder == nil {
		return
	}
	events := n.bus.Subscribe("record", recordsDepth)
	context.AfterFunc(ctx, events.Close)
	work.Go(func() {
		n.recorder.Run(events.C())
		if err := n.recorder.Close(); err != nil {
			n.log.Error("record of connections", "error", err)
		}
	})
}
