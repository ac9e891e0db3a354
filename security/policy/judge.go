package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"mtguard/security/ratelimit"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Subject is whom a control judges.
type Subject struct {
	// Addr is the client's address.
	Addr netip.Addr
	// User is the user's name; empty before anybody is authenticated.
	User string
	// Country is two letters, or "unknown"; empty when nobody looked.
	Country string
}

// Judge says what a refusal by the control means for a subject at now, and which exception it is that spares the subject, if one does. That
// exception counts it.
//
// Memory bounds are always in Enforce, and have no exceptions. Every other control is in the mode of the policy, or in Monitor where the
// policy does not name it. A control in Off is not asked, so nobody is an exception to it. For the subject of an exception it is in Monitor,
// and so for everybody until Glass, and for a subject outside the control's percentage.
func (s *Snapshot) Judge(control string, subj Subject, now time.Time) (m Mode, exception string) {
	return s.judge(control, subj, now, (*Exceptions).Match)
}

// Expect is Judge without counting, for who has to know beforehand what a refusal would mean.
func (s *Snapshot) Expect(control string, subj Subject, now time.Time) (m Mode, exception string) {
	return s.judge(control, subj, now, (*Exceptions).Find)
}

func (s *Snapshot) judge(control string, subj Subject, now time.Time, find func(*Exceptions, string, Subject, time.Time) (string, bool)) (Mode, string) {
	m := s.Mode(control, subj)
	if s == nil || m == Off || MemoryBound(control) {
		return m, ""
	}
	if id, ok := find(s.Exceptions, control, subj, now); ok {
		return Monitor, id
	}
	if now.Before(s.Glass) {
		return Monitor, ""
	}
	return m, ""
}

// Mode is the control's mode for a subject, without exceptions and broken glass. It counts nothing: ask Judge what to do about a refusal,
// so that exceptions count the refusals they spare somebody and not the connections.
func (s *Snapshot) Mode(control string, subj Subject) Mode {
	if MemoryBound(control) {
		return Enforce
	}
	if s == nil {
		return Monitor
	}
	c, ok := s.Controls[control]
	if !ok {
		return Monitor
	}
	if c.Mode == Enforce && c.partial() && !s.Chosen(control, subj, c.Percent) {
		return Monitor
	}
	return c.Mode
}

// Chosen reports whether a subject is in the given share, in percent, of a control. Each control draws its own lot, so that the same subjects
// are not always first. Whoever is in a share is in every larger one. A subject draws as its user, or else as its address; for what access rules
// refuse always as its address.
func (s *Snapshot) Chosen(control string, subj Subject, percent int) bool {
	if drawsByAddress(control) {
		subj.User = ""
	}
	who := subj.lot()
	// Seed and subject have fixed lengths, so the bytes cannot be read in two ways. An array keeps the hash off the heap.
	var b [96]byte
	n := copy(b[:], s.Seed[:])
	n += copy(b[n:], who[:])
	n += copy(b[n:], control)
	sum := sha256.Sum256(b[:n])
	const fine = 10_000 // hundredths of a percent; the bias of 2^64 mod 10,000 is far below that
	return binary.BigEndian.Uint64(sum[:])%fine < uint64(max(percent, 0))*(fine/100)
}

// drawsByAddress reports whether a control judges before anybody can know the user, and once more afterwards: were the second judgement to draw
// by the user, more than the share would be refused.
func drawsByAddress(control string) bool {
	return control == AccessLevel || control == AccessPattern || control == GeoCountry
}

// lot is what a subject draws with: the user, or else the address.
func (s Subject) lot() (who [16]byte) {
	if s.User == "" {
		narrow, _, _ := ratelimit.PrefixesOf(s.Addr) // an invalid address is one subject of its own
		return narrow.Addr().As16()
	}
	var name [128]byte // twice the longest name of a user
	sum := sha256.Sum256(name[:copy(name[:], s.User)])
	return [16]byte(sum[:16])
}

// CandidateOf returns the limits that a control is to be asked about beside those in force, or nil. It has none while glass is broken:
// that is no time to measure.
func (s *Snapshot) CandidateOf(control string, now time.Time) *Limits {
	if s == nil || now.Before(s.Glass) {
		return nil
	}
	return s.Candidates[control]
}
