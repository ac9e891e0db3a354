package main

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxAncestors is far more than there are shells between a session and a command.
const maxAncestors = 32

// whence is where the person at the keyboard comes from, as far as can be known: what SSH says
// in the environment, of this process or, since sudo keeps little of it, of one above. The node
// questions a rule that would shut that address out; nothing is granted for it.
func whence() netip.Addr {
	if addr, ok := sshClient(os.Environ()); ok {
		return addr
	}
	pid := os.Getppid()
	for range maxAncestors {
		if pid <= 1 {
			break
		}
		place := "/proc/" + strconv.Itoa(pid)
		if text, err := os.ReadFile(place + "/environ"); err == nil {
			if addr, ok := sshClient(strings.Split(string(text), "\x00")); ok {
				return addr
			}
		}
		pid = parentOf(place)
	}
	return netip.Addr{}
}

// sshClient finds the client's address in an environment.
func sshClient(environment []string) (netip.Addr, bool) {
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if name != "SSH_CONNECTION" && name != "SSH_CLIENT" {
			continue
		}
		text, _, _ := strings.Cut(value, " ")
		if addr, err := netip.ParseAddr(text); err == nil {
			return addr.WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

// parentOf reads the parent's number from /proc/PID/stat: the second field behind the name,
// which stands in brackets and may hold any character.
func parentOf(place string) int {
	text, err := os.ReadFile(place + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}
