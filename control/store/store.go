package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"mtguard/security/auditlog"
)

// Revision numbers the states of a store, from 0 for an empty one.
type Revision int64

// Store is an open store. Close it.
type Store struct {
	engine         Engine
	writer, reader *pool
	sealer         atomic.Pointer[Sealer]
	auditFault     atomic.Pointer[error]
	onAudit        atomic.Pointer[func(auditlog.Entry)]
	running        sync.WaitGroup // transactions and snapshots

	mu       sync.Mutex
	revision Revision
	risen    chan struct{} // closed, and replaced, when revision rises
	closed   bool
}

// New makes a Store of an engine, which is closed also when New returns an error.
func New(ctx context.Context, e Engine) (*Store, error) {
	s := &Store{
		engine: e,
		writer: newPool(e.Writer, 1),
		reader: newPool(e.Readers, e.ViewsAtOnce),
		risen:  make(chan struct{}),
	}
	err := s.View(ctx, func(tx *Tx) error {
		s.revision = tx.Revision()
		return nil
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Revision is that of the last Update that changed something.
func (s *Store) Revision() Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// Close waits for the transactions that run and ends the sequences of Watch. Closing
// twice does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.risen)
	s.mu.Unlock()
	s.running.Wait()
	errs := []error{s.reader.close(), s.writer.close()} // the writer last: it tidies the file
	if s.engine.Close != nil {
		errs = append(errs, s.engine.Close())
	}
	return errors.Join(errs...)
}

// enter says that something runs, so that Close waits for it.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.running.Add(1)
	return nil
}

// Watch gives the store's Revision whenever it is higher than from and than what was
// given last: at once if it is already. It misses no change, but several make one
// Revision when they come faster than the caller takes them. It ends with ctx; when
// the store is closed, with ErrClosed.
func (s *Store) Watch(ctx context.Context, from Revision) iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		for last := from; ; {
			s.mu.Lock()
			now, risen, closed := s.revision, s.risen, s.closed
			s.mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return
			case closed:
				yield(now, ErrClosed)
				return
			case now > last:
				last = now
				if !yield(now, nil) {
					return
				}
				continue
			}
			select {
			case <-risen:
			case <-ctx.Done():
			}
		}
	}
}

// publish tells the watchers of a Revision that is durable.
func (s *Store) publish(r Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r <= s.revision {
		return
	}
	s.revision = r
	if !s.closed {
		close(s.risen)
		s.risen = make(chan struct{})
	}
}

// Snapshot writes a copy of the store, as it is at one moment, into a new file, while
// other transactions go on. The copy is durable when Snapshot returns nil; otherwise
// there is none. What is sealed stays sealed in it.
func (s *Store) Snapshot(ctx context.Context, path string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.running.Done()
	if err := s.engine.translate(s.engine.Snapshot(ctx, path)); err != nil {
		return fmt.Errorf("snapshot %s: %w", path, err)
	}
	return nil
}
