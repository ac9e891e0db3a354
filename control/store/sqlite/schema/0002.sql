CREATE TABLE rules (
	seq        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	matches    TEXT    NOT NULL,
	level      TEXT    NOT NULL,
	source     TEXT    NOT NULL,
	pinned     INTEGER NOT NULL,
	starts     INTEGER NOT NULL,
	until      INTEGER NOT NULL,
	schedule   TEXT    NOT NULL,
	reason     TEXT    NOT NULL,
	made_by    TEXT    NOT NULL,
	created    INTEGER NOT NULL,
	confirm_by INTEGER NOT NULL,
	removed    INTEGER NOT NULL,
	rev        INTEGER NOT NULL
) STRICT;
CREATE INDEX rules_live ON rules (removed) WHERE removed = 0;
CREATE INDEX rules_gone ON rules (rev) WHERE removed <> 0;
CREATE INDEX rules_rev ON rules (rev);

-- controls are apart by line feeds.
CREATE TABLE exceptions (
	seq      INTEGER PRIMARY KEY,
	id       TEXT    NOT NULL UNIQUE,
	prefix   TEXT    NOT NULL,
	user     TEXT    NOT NULL,
	country  TEXT    NOT NULL,
	controls TEXT    NOT NULL,
	starts   INTEGER NOT NULL,
	until    INTEGER NOT NULL,
	reason   TEXT    NOT NULL,
	owner    TEXT    NOT NULL,
	created  INTEGER NOT NULL,
	removed  INTEGER NOT NULL,
	hits     INTEGER NOT NULL,
	rev      INTEGER NOT NULL
) STRICT;
CREATE INDEX exceptions_live ON exceptions (removed) WHERE removed = 0;
CREATE INDEX exceptions_gone ON exceptions (rev) WHERE removed <> 0;
CREATE INDEX exceptions_rev ON exceptions (rev);

-- every is in nanoseconds.
CREATE TABLE lists (
	seq     INTEGER PRIMARY KEY,
	name    TEXT    NOT NULL,
	origin  TEXT    NOT NULL,
	level   TEXT    NOT NULL,
	every   INTEGER NOT NULL,
	wide    INTEGER NOT NULL,
	created INTEGER NOT NULL,
	removed INTEGER NOT NULL,
	checked INTEGER NOT NULL,
	good    INTEGER NOT NULL,
	entries INTEGER NOT NULL,
	problem TEXT    NOT NULL,
	rev     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX lists_live ON lists (name) WHERE removed = 0;
CREATE INDEX lists_gone ON lists (rev) WHERE removed <> 0;
CREATE INDEX lists_rev ON lists (rev);

CREATE TABLE policies (
	number   INTEGER PRIMARY KEY,
	document TEXT    NOT NULL,
	actor    TEXT    NOT NULL,
	reason   TEXT    NOT NULL,
	at       INTEGER NOT NULL
) STRICT;
