-- What was proven, and what was turned away.

CREATE TABLE shares (
    "time" timestamptz NOT NULL,
    incarnation bigint NOT NULL,
    sequence bigint NOT NULL,
    share_index smallint NOT NULL,
    work_log2 smallint NOT NULL,
    node_id integer NOT NULL,
    lane integer NOT NULL,
    boot_epoch integer NOT NULL,
    channel integer NOT NULL,
    channel_sequence bigint NOT NULL,
    miner_id integer NOT NULL,
    worker_id integer NOT NULL,
    height bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    hash_top bytea NOT NULL,
    block_hash bytea
);
SELECT create_hypertable(
    'shares', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
-- The share's id, behind the time that partitions the table and is a function of the id.
CREATE UNIQUE INDEX shares_id ON shares ("time", sequence, share_index, incarnation);
-- Sequences rise with the rows, so a few pages find one.
CREATE INDEX shares_sequence ON shares USING brin (sequence);
CREATE INDEX shares_block ON shares (block_hash) WHERE block_hash IS NOT NULL;

COMMENT ON TABLE shares IS
    'Accepted shares, one row each. A share''s id is (incarnation, sequence, share_index). Keys '
    'are not declared as foreign keys: they come from the transaction before, and checking them '
    'would cost as much as the rows.';
COMMENT ON COLUMN shares."time" IS 'When the message was stored in the stream SHARES.';
COMMENT ON COLUMN shares.incarnation IS
    'When the stream SHARES was created, in milliseconds since 1970.';
COMMENT ON COLUMN shares.sequence IS 'Sequence of the message in SHARES: the order of accounting.';
COMMENT ON COLUMN shares.share_index IS 'Position of the share in the message, counted from 0.';
COMMENT ON COLUMN shares.work_log2 IS 'Credited work is 2 to this power, in nominal hashes.';
COMMENT ON COLUMN shares.node_id IS 'The node whose ingress took the share.';
COMMENT ON COLUMN shares.lane IS 'The ingress''s lane.';
COMMENT ON COLUMN shares.boot_epoch IS 'The ingress''s start, counted on its lane.';
COMMENT ON COLUMN shares.channel IS 'The miner''s channel in the boot epoch.';
COMMENT ON COLUMN shares.channel_sequence IS
    'The miner''s own number of the share: with node, lane, boot epoch and channel it names the '
    'acknowledgement that the miner got.';
COMMENT ON COLUMN shares.height IS 'Height of the block that the share could have become.';
COMMENT ON COLUMN shares.taken_at IS
    'When the ingress took the share, by the ingress''s clock: statistics only.';
COMMENT ON COLUMN shares.hash_top IS
    'The eight most significant bytes of the hash; the smaller, the luckier.';
COMMENT ON COLUMN shares.block_hash IS
    'Hash of the block that the share solves, in header byte order.';

CREATE TABLE refusals (
    "time" timestamptz NOT NULL,
    incarnation bigint NOT NULL,
    sequence bigint NOT NULL,
    refusal_index smallint NOT NULL,
    share_index integer NOT NULL,
    node_id integer NOT NULL,
    lane integer NOT NULL,
    boot_epoch integer NOT NULL,
    batch bigint NOT NULL,
    channel integer NOT NULL,
    channel_sequence bigint NOT NULL,
    identity text NOT NULL,
    worker text NOT NULL,
    reason text NOT NULL
);
SELECT create_hypertable(
    'refusals', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
CREATE UNIQUE INDEX refusals_id ON refusals ("time", sequence, refusal_index, incarnation);

COMMENT ON TABLE refusals IS
    'Shares that Core refused, and why. Node and lane are those of the subject; the rest is what '
    'the batch claimed.';
COMMENT ON COLUMN refusals."time" IS 'When the message was stored in the stream SHARES_REFUSED.';
COMMENT ON COLUMN refusals.incarnation IS
    'When the stream SHARES_REFUSED was created, in milliseconds since 1970.';
COMMENT ON COLUMN refusals.sequence IS 'Sequence of the message in SHARES_REFUSED.';
COMMENT ON COLUMN refusals.refusal_index IS 'Position in the message, counted from 0.';
COMMENT ON COLUMN refusals.share_index IS 'Position of the share in the submitted batch.';
COMMENT ON COLUMN refusals.batch IS 'The batch''s number in the boot epoch, as it claims; capped at 2^63 - 1.';
COMMENT ON COLUMN refusals.identity IS 'The identity that the batch names; nobody checked it.';
COMMENT ON COLUMN refusals.reason IS 'The code of the reason, e.g. duplicate-share.';

CREATE TABLE rejections (
    minute timestamptz NOT NULL,
    incarnation bigint NOT NULL,
    sequence bigint NOT NULL,
    line smallint NOT NULL,
    node_id integer NOT NULL,
    lane integer NOT NULL,
    boot_epoch integer NOT NULL,
    identity text NOT NULL,
    worker text NOT NULL,
    reason text NOT NULL,
    shares bigint NOT NULL
);
SELECT create_hypertable(
    'rejections', by_range('minute', INTERVAL '1 day'), create_default_indexes => false);
CREATE UNIQUE INDEX rejections_id ON rejections (minute, sequence, line, incarnation);

COMMENT ON TABLE rejections IS
    'Shares that an ingress itself turned away: counts by minute, as the ingress said.';
COMMENT ON COLUMN rejections.minute IS
    'Minute in which the counts were stored in the stream NODE_TELEMETRY.';
COMMENT ON COLUMN rejections.incarnation IS
    'When the stream NODE_TELEMETRY was created, in milliseconds since 1970.';
COMMENT ON COLUMN rejections.sequence IS 'Sequence of the message in NODE_TELEMETRY.';
COMMENT ON COLUMN rejections.line IS 'Position in the message, counted from 0.';
COMMENT ON COLUMN rejections.reason IS 'The code of the reason, e.g. stale-share.';
COMMENT ON COLUMN rejections.shares IS 'How many shares; capped at 2^63 - 1.';

CREATE VIEW recorded_shares AS
SELECT
    shares."time", shares.incarnation, shares.sequence, shares.share_index,
    nodes.name AS node, shares.lane, shares.boot_epoch, shares.channel, shares.channel_sequence,
    miners.identity, miners.script AS miner, workers.name AS worker,
    power(2::numeric, shares.work_log2)::numeric(39) AS work, shares.height, shares.taken_at,
    shares.hash_top, shares.block_hash
FROM shares
JOIN nodes ON nodes.id = shares.node_id
JOIN miners ON miners.id = shares.miner_id
JOIN workers ON workers.id = shares.worker_id;
COMMENT ON VIEW recorded_shares IS 'Shares with names instead of keys, for audits and people.';
