-- Who mines, through whom, and how far each stream has been read.

-- Shares and their roll-ups are hypertables. The Apache edition is enough: neither compression nor
-- continuous aggregates are used.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE nodes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9_-]{1,32}$'),
    first_seen timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nodes IS 'Hyper Nodes, and `core` for the ingress that Core itself runs.';
COMMENT ON COLUMN nodes.name IS 'The node id, as in subjects.';
COMMENT ON COLUMN nodes.first_seen IS 'When this database first heard of the node.';

CREATE TABLE miners (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    script bytea NOT NULL UNIQUE CHECK (octet_length(script) BETWEEN 1 AND 42),
    identity text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE miners IS 'Who is credited. Shares refer to miners by key instead of repeating text.';
COMMENT ON COLUMN miners.script IS
    'The miner id: canonical scriptPubKey of the address, or hash of the key.';
COMMENT ON COLUMN miners.identity IS 'The canonical identity, e.g. the address.';
COMMENT ON COLUMN miners.first_seen IS 'When this database first heard of the miner.';

CREATE TABLE workers (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    miner_id integer NOT NULL REFERENCES miners,
    name text NOT NULL CHECK (octet_length(name) <= 1024),
    first_seen timestamptz NOT NULL DEFAULT now(),
    UNIQUE (miner_id, name)
);
COMMENT ON TABLE workers IS 'Worker names of miners: statistics only, nobody is paid by them.';
COMMENT ON COLUMN workers.name IS 'What the miner calls the worker; empty if it gave no name.';
COMMENT ON COLUMN workers.first_seen IS 'When this database first heard of the worker.';

CREATE TABLE stream_position (
    reader text NOT NULL,
    stream text NOT NULL,
    created bigint NOT NULL CHECK (created >= 0),
    last_seq bigint NOT NULL CHECK (last_seq >= 0),
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, created, reader)
);
COMMENT ON TABLE stream_position IS
    'How far a stream has been written here. Moved in the very transaction that writes the rows, '
    'so this table, and no acknowledgement, says what is recorded.';
COMMENT ON COLUMN stream_position.reader IS 'Who reads the stream into which tables.';
COMMENT ON COLUMN stream_position.created IS
    'When the stream was created, in milliseconds since 1970: sequences restart with the stream.';
COMMENT ON COLUMN stream_position.last_seq IS
    'The last sequence whose effects are in this database; 0 before the first.';
COMMENT ON COLUMN stream_position.moved_at IS 'When it last moved, by the clock of this database.';
