-- moments are JSON. closed is 0 while an incident is open.
CREATE TABLE incidents (
	seq      INTEGER PRIMARY KEY,
	id       TEXT    NOT NULL UNIQUE,
	detector TEXT    NOT NULL,
	subject  TEXT    NOT NULL,
	key      TEXT    NOT NULL,
	user     TEXT    NOT NULL,
	severity TEXT    NOT NULL,
	state    TEXT    NOT NULL,
	opened   INTEGER NOT NULL,
	last     INTEGER NOT NULL,
	closed   INTEGER NOT NULL,
	count    INTEGER NOT NULL,
	evidence TEXT    NOT NULL,
	action   TEXT    NOT NULL,
	moments  TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX incidents_open ON incidents (detector, subject) WHERE closed = 0;
CREATE INDEX incidents_subject ON incidents (subject);
CREATE INDEX incidents_detector ON incidents (detector);
CREATE INDEX incidents_closed ON incidents (closed);
