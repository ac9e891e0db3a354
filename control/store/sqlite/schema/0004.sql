-- What is still to be told to a receiver of alerts, in the order of seq.
CREATE TABLE outbox (
	seq      INTEGER PRIMARY KEY AUTOINCREMENT,
	receiver TEXT    NOT NULL,
	id       TEXT    NOT NULL,
	body     BLOB    NOT NULL,
	made     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_once ON outbox (receiver, id);
CREATE INDEX outbox_order ON outbox (receiver, seq);

-- What a receiver was never told, for want of room.
CREATE TABLE outbox_drops (
	receiver TEXT PRIMARY KEY,
	dropped  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
	seq      INTEGER PRIMARY KEY,
	id       TEXT    NOT NULL UNIQUE,
	code     TEXT    NOT NULL,
	severity TEXT    NOT NULL,
	detail   TEXT    NOT NULL,
	value    REAL    NOT NULL,
	since    INTEGER NOT NULL,
	resolved INTEGER NOT NULL,
	told     INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_active ON alerts (code) WHERE resolved = 0;

-- When somebody last looked whether alerts fire.
CREATE TABLE alert_beat (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	at INTEGER NOT NULL
) STRICT;
