package store

import (
	"fmt"
	"iter"
	"time"

	"mtguard/security/keys"
	"mtguard/security/usage"
)

// The kinds of sightings: of those who used a key, and of those who tried one that was
// revoked.
const (
	SeenUsing   = "use"
	SeenRevoked = "trip"
)

// MaxSightings is the most that is kept per key and kind: what usage.Sightings counts.
// Others are not kept.
const MaxSightings = 1024

// KeySighting is a sighting and of which key.
type KeySighting struct {
	Key  keys.ID
	Kind string
	usage.Sighting
}

// PutSightings adds to the sightings of a key, or moves their Last forward.
func (tx *Tx) PutSightings(key keys.ID, kind string, list []usage.Sighting) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	var there int
	if err := tx.row(`SELECT 1 FROM keys WHERE id = ?`, []any{key}, &there); err != nil {
		return fmt.Errorf("key %s: %w", key, err)
	}
	room := -1 // unknown
	for _, s := range list {
		last := micros(s.Last)
		n, err := tx.exec(`UPDATE sightings SET last = CASE WHEN last < ? THEN ? ELSE last END WHERE key = ? AND kind = ? AND pseudonym = ?`,
			last, last, key, kind, int64(s.Pseudonym))
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if room < 0 {
			if err := tx.row(`SELECT count(*) FROM sightings WHERE key = ? AND kind = ?`, []any{key, kind}, &room); err != nil {
				return err
			}
			room = max(MaxSightings-room, 0)
		}
		if room == 0 {
			continue
		}
		if _, err := tx.exec(`INSERT INTO sightings (key, kind, pseudonym, last) VALUES (?, ?, ?, ?)`, key, kind, int64(s.Pseudonym), last); err != nil {
			return err
		}
		room--
	}
	return nil
}

// Sightings returns the sightings of a key, of one kind.
func (tx *Tx) Sightings(key keys.ID, kind string) ([]usage.Sighting, error) {
	var found []usage.Sighting
	err := tx.rows(`SELECT pseudonym, last FROM sightings WHERE key = ? AND kind = ? ORDER BY last, pseudonym`, func(r scanner) error {
		var s usage.Sighting
		err := scanSighting(r, &s)
		found = append(found, s)
		return err
	}, key, kind)
	return found, err
}

func scanSighting(r scanner, s *usage.Sighting, before ...any) error {
	var pseudonym, last int64
	err := r.Scan(append(before, &pseudonym, &last)...)
	s.Pseudonym, s.Last = usage.Pseudonym(pseudonym), instant(last)
	return err
}

// AllSightings gives the sightings of all keys, those of one key and kind together.
func (tx *Tx) AllSightings() iter.Seq2[KeySighting, error] {
	type place struct {
		key, kind string
		pseudonym int64
	}
	return func(yield func(KeySighting, error) bool) {
		from := place{pseudonym: -1 << 63}
		for {
			var got []KeySighting
			err := tx.rows(`SELECT key, kind, pseudonym, last FROM sightings WHERE (key, kind, pseudonym) > (?, ?, ?)
				ORDER BY key, kind, pseudonym LIMIT ?`, func(r scanner) error {
				var s KeySighting
				err := scanSighting(r, &s.Sighting, &s.Key, &s.Kind)
				got = append(got, s)
				return err
			}, from.key, from.kind, from.pseudonym, chunk)
			for _, s := range got {
				if !yield(s, nil) {
					return
				}
			}
			if err != nil {
				yield(KeySighting{}, fmt.Errorf("sightings: %w", err))
				return
			}
			if len(got) < chunk {
				return
			}
			last := got[len(got)-1]
			from = place{string(last.Key), last.Kind, int64(last.Pseudonym)}
		}
	}
}

// DropSightings takes the sightings of a key out, of one kind.
func (tx *Tx) DropSightings(key keys.ID, kind string) error {
	_, err := tx.exec(`DELETE FROM sightings WHERE key = ? AND kind = ?`, key, kind)
	return err
}

// SightingCount is how many sightings a key has of one kind, and when the last was.
type SightingCount struct {
	N    int
	Last time.Time
}

// CountSightings counts, for each key that has any, its sightings of one kind since a
// time.
func (tx *Tx) CountSightings(kind string, since time.Time) (map[keys.ID]SightingCount, error) {
	all := make(map[keys.ID]SightingCount)
	err := tx.rows(`SELECT key, count(*), max(last) FROM sightings WHERE kind = ? AND last >= ? GROUP BY key`, func(r scanner) error {
		var key keys.ID
		var c SightingCount
		var last int64
		err := r.Scan(&key, &c.N, &last)
		c.Last = instant(last)
		all[key] = c
		return err
	}, kind, micros(since))
	return all, err
}
