-- Leaked secrets that were split, and to whom. A holder's key is the first one that it got by it.
CREATE TABLE splits (
	seq       INTEGER PRIMARY KEY,
	id        TEXT    NOT NULL UNIQUE,
	from_id   INTEGER NOT NULL,
	from_user TEXT    NOT NULL,
	from_key  TEXT    NOT NULL,
	at        INTEGER NOT NULL,
	actor     TEXT    NOT NULL,
	reason    TEXT    NOT NULL,
	incident  TEXT    NOT NULL
) STRICT;
CREATE INDEX splits_from ON splits (from_id);

CREATE TABLE holders (
	user_id INTEGER NOT NULL,
	split   INTEGER NOT NULL REFERENCES splits (seq),
	user    TEXT    NOT NULL,
	key     TEXT    NOT NULL,
	PRIMARY KEY (split, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX holders_user ON holders (user_id);
