//go:build !linux

package node

import (
	"errors"
	"io/fs"

	"mtguard/control/audit"
)

var errNotHere = errors.New("on this system nothing tells it")

func ownerOf(fs.FileInfo) int { return -1 }

func readProcess(f *audit.HostFacts) {
	f.NoCoreLimit, f.NoOpenFiles, f.NoCapabilities = errNotHere, errNotHere, errNotHere
}

func readClock(f *audit.HostFacts) { f.NoClock = errNotHere }

func readDisk(f *audit.HostFacts) { f.NoDisk = errNotHere }
