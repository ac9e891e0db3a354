-- Credentials of management. hash is the SHA-256 of a text with 256 random bits.
-- person is who answers for what is done with it. scopes and sources are apart by
-- blanks.
CREATE TABLE tokens (
	seq       INTEGER PRIMARY KEY,
	id        TEXT    NOT NULL UNIQUE,
	hash      BLOB    NOT NULL,
	name      TEXT    NOT NULL,
	person    TEXT    NOT NULL,
	level     TEXT    NOT NULL,
	scopes    TEXT    NOT NULL,
	sources   TEXT    NOT NULL,
	made_by   TEXT    NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	ended     INTEGER NOT NULL,
	last_used INTEGER NOT NULL,
	last_from TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX tokens_live ON tokens (name) WHERE ended = 0;
CREATE INDEX tokens_ended ON tokens (ended) WHERE ended <> 0;

CREATE TABLE browser_sessions (
	seq     INTEGER PRIMARY KEY,
	id      TEXT    NOT NULL UNIQUE,
	hash    BLOB    NOT NULL,
	person  TEXT    NOT NULL,
	owner   TEXT    NOT NULL,
	via     TEXT    NOT NULL,
	passkey TEXT    NOT NULL,
	level   TEXT    NOT NULL,
	host    TEXT    NOT NULL,
	source  TEXT    NOT NULL,
	agent   TEXT    NOT NULL,
	opened  INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	fresh   INTEGER NOT NULL
) STRICT;

CREATE TABLE sign_in_codes (
	seq     INTEGER PRIMARY KEY,
	id      TEXT    NOT NULL UNIQUE,
	hash    BLOB    NOT NULL,
	person  TEXT    NOT NULL,
	owner   TEXT    NOT NULL,
	level   TEXT    NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT;

-- What was good once and has been used. It is kept until it would not be good any more.
CREATE TABLE spent (
	id    BLOB    PRIMARY KEY,
	until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_until ON spent (until);

-- record is JSON: the public key of a passkey and what else its checks take.
CREATE TABLE passkeys (
	seq       INTEGER PRIMARY KEY,
	id        TEXT    NOT NULL UNIQUE,
	raw       BLOB    NOT NULL UNIQUE,
	handle    BLOB    NOT NULL,
	person    TEXT    NOT NULL,
	owner     TEXT    NOT NULL,
	name      TEXT    NOT NULL,
	level     TEXT    NOT NULL,
	host      TEXT    NOT NULL,
	record    BLOB    NOT NULL,
	created   INTEGER NOT NULL,
	last_used INTEGER NOT NULL
) STRICT;

-- Changes that wait for a second person. body is JSON: the change and its options.
CREATE TABLE approvals (
	seq     INTEGER PRIMARY KEY,
	id      TEXT    NOT NULL UNIQUE,
	class   TEXT    NOT NULL,
	action  TEXT    NOT NULL,
	object  TEXT    NOT NULL,
	body    BLOB    NOT NULL,
	actor   TEXT    NOT NULL,
	person  TEXT    NOT NULL,
	reason  TEXT    NOT NULL,
	asked   INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	state   TEXT    NOT NULL,
	decider TEXT    NOT NULL,
	decided INTEGER NOT NULL
) STRICT;
