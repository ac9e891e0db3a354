package control

import (
	"slices"
	"strings"
	"time"
)

// Health is what the control plane knows of how the node does, for alerts.
type Health struct {
	ClockHeld   string    // why nothing is done by time at present; "": it is
	Glass       time.Time // the controls are in monitor until then
	KeysOverdue int       // active secrets that the schedule should have replaced a day ago
	ListsBad    []string  // lists that have not been read for a day
}

// overdueAfter is how much later than it is due a rotation, or a list, may be.
const overdueAfter = day

// Health looks. It takes the time of one walk over the users.
func (p *Plane) Health() Health {
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Health{ClockHeld: p.held, Glass: p.glass}
	if every := time.Duration(p.schedule.Every); every > 0 {
		late := every + time.Duration(p.schedule.Window) + overdueAfter
		for _, u := range p.names {
			if key, ok := metadata(u.keys).Active(); ok && !u.row.Disabled && now.Sub(key.Activated) > late {
				h.KeysOverdue++
			}
		}
	}
	for _, l := range p.listRows {
		if l.Removed.IsZero() && l.Problem != "" && now.Sub(l.Good) > overdueAfter {
			h.ListsBad = append(h.ListsBad, l.Name)
		}
	}
	slices.SortFunc(h.ListsBad, strings.Compare)
	return h
}
