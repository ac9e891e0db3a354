//go:build !linux

package fw

import "net/netip"

// NFTables is there on Linux only.
type NFTables struct{}

// Open returns ErrNoKernel.
func Open() (*NFTables, error) { return nil, ErrNoKernel }

// Replace returns ErrNoKernel.
func (*NFTables) Replace([]netip.AddrPort, []Element) error { return ErrNoKernel }

// Change returns ErrNoKernel.
func (*NFTables) Change([]netip.Prefix, []Element) error { return ErrNoKernel }

// Stands returns ErrNoKernel.
func (*NFTables) Stands() error { return ErrNoKernel }

// Elements returns ErrNoKernel.
func (*NFTables) Elements() ([]Element, error) { return nil, ErrNoKernel }

// Dropped returns ErrNoKernel.
func (*NFTables) Dropped() (uint64, error) { return 0, ErrNoKernel }

// Remove returns ErrNoKernel.
func (*NFTables) Remove() error { return ErrNoKernel }
