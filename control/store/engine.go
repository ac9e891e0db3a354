package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
)

// Engine is an open database with the schema in place. New takes it over.
type Engine struct {
	// Writer is where Update works: one connection, on which BeginUpdate starts a
	// transaction that no other can be beside. Readers is where View works; a
	// transaction that BeginView starts sees one state.
	Writer, Readers        *sql.DB
	BeginUpdate, BeginView string
	ViewsAtOnce            int

	// Error makes one of this package's errors, wrapped, of the driver's error, and
	// returns those that mean none of them as they are.
	Error func(error) error

	// Snapshot writes a copy of the store as it is at one moment.
	Snapshot func(ctx context.Context, path string) error

	// Close is called after both databases are closed.
	Close func() error
}

// session is one connection and the statements that were prepared on it. A
// transaction has it alone.
type session struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt // by text; the texts are constants
}

func (s *session) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if st, ok := s.statements[text]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, text)
	if err == nil {
		s.statements[text] = st
	}
	return st, err
}

func (s *session) exec(text string) error {
	ctx := context.Background()
	st, err := s.prepared(ctx, text)
	if err == nil {
		_, err = st.ExecContext(ctx)
	}
	return err
}

// close gives the connection back to its database, or drops it.
func (s *session) close(drop bool) {
	for _, st := range s.statements {
		st.Close() // before the connection is gone
	}
	if drop {
		s.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	s.conn.Close()
}

// pool hands sessions out, the one used last first, so that no more are opened than
// are needed at once.
type pool struct {
	db     *sql.DB
	places chan struct{}

	mu   sync.Mutex
	idle []*session
}

func newPool(db *sql.DB, size int) *pool {
	return &pool{db: db, places: make(chan struct{}, size)}
}

// take waits for a session until ctx ends.
func (p *pool) take(ctx context.Context) (*session, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // select chooses at random
		<-p.places
		return nil, err
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	conn, err := p.db.Conn(ctx)
	if err != nil {
		<-p.places
		return nil, err
	}
	return &session{conn: conn, statements: make(map[string]*sql.Stmt)}, nil
}

// give returns a session. One whose transaction did not end as it should is closed:
// the next one gets a fresh connection.
func (p *pool) give(s *session, err error) {
	defer func() { <-p.places }()
	if err != nil {
		s.close(true)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

func (p *pool) close() error {
	p.mu.Lock()
	idle := slices.Clone(p.idle)
	p.idle = nil
	p.mu.Unlock()
	for _, s := range idle {
		s.close(false)
	}
	return p.db.Close()
}

func (e *Engine) translate(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return e.Error(err)
}
