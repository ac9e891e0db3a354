CREATE TABLE meta (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	revision INTEGER NOT NULL
) STRICT;
INSERT INTO meta (id, revision) VALUES (1, 0);

CREATE TABLE users (
	id              INTEGER PRIMARY KEY,
	name            TEXT    NOT NULL,
	source          TEXT    NOT NULL,
	level           TEXT    NOT NULL,
	disabled        INTEGER NOT NULL,
	expires         INTEGER NOT NULL,
	quota_bytes     INTEGER NOT NULL,
	quota_per       TEXT    NOT NULL,
	max_connections INTEGER NOT NULL,
	max_addresses   INTEGER NOT NULL,
	domain          TEXT    NOT NULL,
	note            TEXT    NOT NULL,
	created         INTEGER NOT NULL,
	removed         INTEGER NOT NULL,
	rev             INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_live ON users (name) WHERE removed = 0;
CREATE INDEX users_rev ON users (rev);

-- material is sealed, and NULL once it is erased. user_id is NULL for keys that are nobody's.
CREATE TABLE keys (
	seq        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	purpose    TEXT    NOT NULL,
	user_id    INTEGER REFERENCES users (id),
	source     TEXT    NOT NULL,
	number     INTEGER NOT NULL,
	state      TEXT    NOT NULL,
	reason     TEXT    NOT NULL,
	created    INTEGER NOT NULL,
	not_before INTEGER NOT NULL,
	activated  INTEGER NOT NULL,
	retire_by  INTEGER NOT NULL,
	not_after  INTEGER NOT NULL,
	ended      INTEGER NOT NULL,
	first_used INTEGER NOT NULL,
	last_used  INTEGER NOT NULL,
	suite      INTEGER NOT NULL,
	rev        INTEGER NOT NULL,
	material   BLOB
) STRICT;
CREATE UNIQUE INDEX keys_generation ON keys (user_id, number) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX keys_nobody ON keys (purpose, number) WHERE user_id IS NULL;
CREATE INDEX keys_rev ON keys (rev);

CREATE TABLE key_events (
	seq        INTEGER PRIMARY KEY,
	key        TEXT    NOT NULL,
	user       TEXT    NOT NULL,
	at         INTEGER NOT NULL,
	from_state TEXT    NOT NULL,
	to_state   TEXT    NOT NULL,
	actor      TEXT    NOT NULL,
	reason     TEXT    NOT NULL
) STRICT;
CREATE INDEX key_events_key ON key_events (key);
CREATE INDEX key_events_user ON key_events (user);

CREATE TABLE usage (
	user_id  INTEGER NOT NULL REFERENCES users (id),
	day      INTEGER NOT NULL,
	up       INTEGER NOT NULL,
	down     INTEGER NOT NULL,
	sessions INTEGER NOT NULL,
	PRIMARY KEY (user_id, day)
) STRICT, WITHOUT ROWID;

-- What of a run's monotone totals stands in usage already.
CREATE TABLE usage_marks (
	run      TEXT    NOT NULL,
	user_id  INTEGER NOT NULL REFERENCES users (id),
	up       INTEGER NOT NULL,
	down     INTEGER NOT NULL,
	sessions INTEGER NOT NULL,
	PRIMARY KEY (run, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sightings (
	key       TEXT    NOT NULL REFERENCES keys (id),
	kind      TEXT    NOT NULL,
	pseudonym INTEGER NOT NULL,
	last      INTEGER NOT NULL,
	PRIMARY KEY (key, kind, pseudonym)
) STRICT, WITHOUT ROWID;

-- token is sealed.
CREATE TABLE pages (
	user_id INTEGER PRIMARY KEY REFERENCES users (id),
	hash    BLOB    NOT NULL UNIQUE,
	token   BLOB    NOT NULL,
	opened  INTEGER NOT NULL,
	closed  INTEGER NOT NULL,
	views   INTEGER NOT NULL,
	rev     INTEGER NOT NULL
) STRICT;
CREATE INDEX pages_rev ON pages (rev);

-- value is sealed where the column sealed is 1.
CREATE TABLE settings (
	name   TEXT    NOT NULL,
	sealed INTEGER NOT NULL,
	value  BLOB    NOT NULL,
	rev    INTEGER NOT NULL,
	PRIMARY KEY (name, sealed)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
	place     INTEGER PRIMARY KEY,
	canonical TEXT NOT NULL,
	hash      BLOB NOT NULL
) STRICT;

CREATE TABLE audit_state (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	sealed BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoints (
	size INTEGER NOT NULL,
	note BLOB    NOT NULL,
	PRIMARY KEY (size, note)
) STRICT, WITHOUT ROWID;

-- answer is sealed.
CREATE TABLE once (
	seq    INTEGER PRIMARY KEY,
	key    TEXT    NOT NULL UNIQUE,
	answer BLOB    NOT NULL,
	until  INTEGER NOT NULL
) STRICT;
CREATE INDEX once_until ON once (until);

CREATE TABLE keysets (
	purpose TEXT PRIMARY KEY,
	sealed  BLOB NOT NULL,
	kek     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
