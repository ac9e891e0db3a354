package preview

import (
	"cmp"
	"slices"
	"time"

	"mtguard/mtproto"
	"mtguard/security/policy"
)

// Ending is a transport that the policy ends at some time, and who came by it until
// then: what happens to whom, before it does.
type Ending struct {
	Transport   string      `json:"transport"`
	Until       time.Time   `json:"until"`
	Connections int         `json:"connections" doc:"by it, of users that there are, before that time"`
	UsersCame   int         `json:"users_came" doc:"how many users these were"`
	Refused     int         `json:"refused" doc:"of the connections, what is refused from then on"`
	WouldRefuse int         `json:"would_refuse" doc:"of the connections, what is let through and counted: the control is in monitor, not for all, or there is an exception"`
	Users       []EndingFor `json:"users,omitempty" doc:"the first hundred, those with the most first"`
}

// EndingFor is a user who came by a transport that ends.
type EndingFor struct {
	User        string    `json:"user"`
	Connections int       `json:"connections"`
	Refused     int       `json:"refused" doc:"of these, what is refused from then on"`
	Last        time.Time `json:"last" doc:"when the last came"`
}

// endings gathers who came by transports that end.
type endings struct {
	all, blind *policy.Snapshot
	users      [mtproto.FakeTLS + 1]map[string]*EndingFor
	would      [mtproto.FakeTLS + 1]int
}

func newEndings(candidate *policy.Snapshot) *endings {
	e := new(endings)
	e.all, e.blind = rehearsal(candidate)
	return e
}

// add judges a connection as if it came when its transport has ended. What refuses
// it already, since the transport is not allowed, is the replay's to count.
func (e *endings) add(r *Record) {
	t := r.Transport
	if r.User == "" || t == 0 || int(t) >= len(e.users) {
		return
	}
	l := &e.all.Limits
	until := l.TransportUntil[t]
	if until.IsZero() || l.Barred[t] || !r.At.Before(until) {
		return
	}
	s, country := e.all, ""
	if r.Privacy == Pseudonym {
		s = e.blind
	} else {
		country = s.Access.Check(queryOf(r)).Country
	}
	if e.users[t] == nil {
		e.users[t] = make(map[string]*EndingFor)
	}
	u := e.users[t][r.User]
	if u == nil {
		u = &EndingFor{User: r.User}
		e.users[t][r.User] = u
	}
	u.Connections++
	u.Last = r.At
	subject := policy.Subject{Addr: r.Addr, User: r.User, Country: country}
	switch mode, _ := s.Judge(policy.EncryptionRequired, subject, until); mode {
	case policy.Enforce:
		u.Refused++
	case policy.Monitor:
		e.would[t]++
	}
}

// list are the transports that end, also those that nobody came by, the weakest
// first.
func (e *endings) list() (list []Ending) {
	for t := mtproto.Classic; t <= mtproto.FakeTLS; t++ {
		until := e.all.Limits.TransportUntil[t]
		if until.IsZero() || e.all.Limits.Barred[t] {
			continue
		}
		end := Ending{Transport: t.String(), Until: until, UsersCame: len(e.users[t]), WouldRefuse: e.would[t]}
		for _, u := range e.users[t] {
			end.Connections += u.Connections
			end.Refused += u.Refused
			end.Users = append(end.Users, *u)
		}
		slices.SortFunc(end.Users, func(a, b EndingFor) int {
			return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.User, b.User))
		})
		end.Users = end.Users[:min(len(end.Users), mostUsers)]
		list = append(list, end)
	}
	return list
}
