-- Findings of audits: one row for each check and subject, however often it is seen.
CREATE TABLE findings (
	id         TEXT    NOT NULL PRIMARY KEY,
	check_id   TEXT    NOT NULL,
	grp        TEXT    NOT NULL,
	title      TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	severity   TEXT    NOT NULL,
	unknown    INTEGER NOT NULL,
	evidence   TEXT    NOT NULL,
	remedy     TEXT    NOT NULL,
	state      TEXT    NOT NULL,
	first_seen INTEGER NOT NULL,
	last_seen  INTEGER NOT NULL,
	fixed      INTEGER NOT NULL,
	returned   INTEGER NOT NULL,
	until      INTEGER NOT NULL,
	reason     TEXT    NOT NULL,
	actor      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_fixed ON findings (fixed) WHERE fixed <> 0;

-- Audits. took is in nanoseconds.
CREATE TABLE audit_runs (
	number    INTEGER PRIMARY KEY,
	started   INTEGER NOT NULL,
	took      INTEGER NOT NULL,
	actor     TEXT    NOT NULL,
	partial   INTEGER NOT NULL,
	asked     INTEGER NOT NULL,
	score     INTEGER NOT NULL,
	problem   TEXT    NOT NULL,
	found     TEXT    NOT NULL
) STRICT;
