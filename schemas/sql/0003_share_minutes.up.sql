-- Shares by the minute: what dashboards read. Added to in the transaction that writes the shares,
-- so a roll-up never disagrees with them. Rows are updated several times in their minute, hence the
-- room that is left in every page.

CREATE TABLE share_minutes_by_miner (
    minute timestamptz NOT NULL,
    miner_id integer NOT NULL REFERENCES miners,
    shares bigint NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work numeric(39) NOT NULL DEFAULT 0 CHECK (work >= 0),
    best_hash_top bytea
) WITH (fillfactor = 80);
SELECT create_hypertable(
    'share_minutes_by_miner', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX share_minutes_by_miner_key ON share_minutes_by_miner (miner_id, minute DESC);
CREATE INDEX share_minutes_by_miner_minute ON share_minutes_by_miner (minute DESC);
COMMENT ON TABLE share_minutes_by_miner IS 'What a miner contributed, by the minute.';
COMMENT ON COLUMN share_minutes_by_miner.minute IS
    'Start of the minute in which the messages were stored in their stream.';
COMMENT ON COLUMN share_minutes_by_miner.shares IS 'Accepted shares.';
COMMENT ON COLUMN share_minutes_by_miner.work IS 'Sum of their credited work, in nominal hashes.';
COMMENT ON COLUMN share_minutes_by_miner.best_hash_top IS
    'The smallest of their hashes: its eight most significant bytes.';

CREATE TABLE share_minutes_by_worker (
    minute timestamptz NOT NULL,
    worker_id integer NOT NULL REFERENCES workers,
    shares bigint NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work numeric(39) NOT NULL DEFAULT 0 CHECK (work >= 0),
    best_hash_top bytea
) WITH (fillfactor = 80);
SELECT create_hypertable(
    'share_minutes_by_worker', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX share_minutes_by_worker_key ON share_minutes_by_worker (worker_id, minute DESC);
CREATE INDEX share_minutes_by_worker_minute ON share_minutes_by_worker (minute DESC);
COMMENT ON TABLE share_minutes_by_worker IS 'What a worker contributed, by the minute.';
COMMENT ON COLUMN share_minutes_by_worker.minute IS
    'Start of the minute in which the messages were stored in their stream.';
COMMENT ON COLUMN share_minutes_by_worker.shares IS 'Accepted shares.';
COMMENT ON COLUMN share_minutes_by_worker.work IS 'Sum of their credited work, in nominal hashes.';
COMMENT ON COLUMN share_minutes_by_worker.best_hash_top IS
    'The smallest of their hashes: its eight most significant bytes.';

CREATE TABLE share_minutes_by_node (
    minute timestamptz NOT NULL,
    node_id integer NOT NULL REFERENCES nodes,
    shares bigint NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work numeric(39) NOT NULL DEFAULT 0 CHECK (work >= 0),
    best_hash_top bytea,
    refused bigint NOT NULL DEFAULT 0 CHECK (refused >= 0)
) WITH (fillfactor = 80);
SELECT create_hypertable(
    'share_minutes_by_node', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX share_minutes_by_node_key ON share_minutes_by_node (node_id, minute DESC);
CREATE INDEX share_minutes_by_node_minute ON share_minutes_by_node (minute DESC);
COMMENT ON TABLE share_minutes_by_node IS 'What a node''s ingress contributed, by the minute.';
COMMENT ON COLUMN share_minutes_by_node.minute IS
    'Start of the minute in which the messages were stored in their stream.';
COMMENT ON COLUMN share_minutes_by_node.shares IS 'Accepted shares.';
COMMENT ON COLUMN share_minutes_by_node.work IS 'Sum of their credited work, in nominal hashes.';
COMMENT ON COLUMN share_minutes_by_node.best_hash_top IS
    'The smallest of their hashes: its eight most significant bytes.';
COMMENT ON COLUMN share_minutes_by_node.refused IS 'Shares that Core refused.';

CREATE TABLE share_minutes_by_lane (
    minute timestamptz NOT NULL,
    node_id integer NOT NULL REFERENCES nodes,
    lane integer NOT NULL,
    shares bigint NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work numeric(39) NOT NULL DEFAULT 0 CHECK (work >= 0),
    best_hash_top bytea,
    refused bigint NOT NULL DEFAULT 0 CHECK (refused >= 0)
) WITH (fillfactor = 80);
SELECT create_hypertable(
    'share_minutes_by_lane', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX share_minutes_by_lane_key ON share_minutes_by_lane (node_id, lane, minute DESC);
CREATE INDEX share_minutes_by_lane_minute ON share_minutes_by_lane (minute DESC);
COMMENT ON TABLE share_minutes_by_lane IS 'What a lane contributed, by the minute.';
COMMENT ON COLUMN share_minutes_by_lane.minute IS
    'Start of the minute in which the messages were stored in their stream.';
COMMENT ON COLUMN share_minutes_by_lane.shares IS 'Accepted shares.';
COMMENT ON COLUMN share_minutes_by_lane.work IS 'Sum of their credited work, in nominal hashes.';
COMMENT ON COLUMN share_minutes_by_lane.best_hash_top IS
    'The smallest of their hashes: its eight most significant bytes.';
COMMENT ON COLUMN share_minutes_by_lane.refused IS 'Shares that Core refused.';
