package store

import "errors"

// What callers tell apart with errors.Is. The errors themselves say more.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrConflict = errors.New("changed meanwhile")                      // the row's Rev is not the one given
	ErrTooMany  = errors.New("as many as there may be")                // of what has a bound
	ErrErased   = errors.New("was erased")                             // key material that is gone for good
	ErrSealed   = errors.New("the store has no keys to seal with yet") // before SetSealer
	ErrLocked   = errors.New("in use by another process")              // the text names it, where it is known
	ErrNewer    = errors.New("written by a newer version of mtguard")  // and not touched
	ErrCorrupt  = errors.New("damaged")                                // the file, or one row of it, which the text names
	ErrFull     = errors.New("no room to write, or no right to")       // the change was refused; everything before it is intact
	ErrClosed   = errors.New("the store is closed")
)

// Misuse that no caller branches on.
var (
	errReadOnly = errors.New("a view cannot change the store")
	errEnded    = errors.New("the transaction has ended")
)
