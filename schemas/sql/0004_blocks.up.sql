-- What became of the proofs that solved blocks, and what the blocks pay.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: its rows are never changed or removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
COMMENT ON FUNCTION refuse_change() IS 'Trigger of the tables that only ever grow.';

CREATE TABLE blocks (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    height bigint NOT NULL,
    provider text NOT NULL,
    template bytea NOT NULL CHECK (octet_length(template) = 16),
    subsidy_sats bigint NOT NULL CHECK (subsidy_sats >= 0),
    fees_sats bigint NOT NULL CHECK (fees_sats >= 0),
    solved_at timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('confirmed', 'orphaned', 'refused')),
    outcome_at timestamptz,
    CHECK ((outcome IS NULL) = (outcome_at IS NULL))
);
CREATE INDEX blocks_height ON blocks (height DESC);
COMMENT ON TABLE blocks IS 'Blocks of ours whose proof of work Core has checked.';
COMMENT ON COLUMN blocks.hash IS 'Hash of the header, in header byte order.';
COMMENT ON COLUMN blocks.provider IS 'Whose template the block completes.';
COMMENT ON COLUMN blocks.template IS 'Content id of that template.';
COMMENT ON COLUMN blocks.subsidy_sats IS 'S: what the network pays for the block.';
COMMENT ON COLUMN blocks.fees_sats IS 'F: the fees of its transactions, which the finder gets.';
COMMENT ON COLUMN blocks.solved_at IS 'When `blocks.solved` was stored.';
COMMENT ON COLUMN blocks.outcome IS 'How it ended, once, for ever; absent until then.';
COMMENT ON COLUMN blocks.outcome_at IS 'When `blocks.outcome` was stored.';

CREATE TABLE rounds (
    round bigint PRIMARY KEY CHECK (round > 0),
    block_hash bytea NOT NULL UNIQUE CHECK (octet_length(block_hash) = 32),
    height bigint NOT NULL,
    finder_id integer NOT NULL REFERENCES miners,
    worker text NOT NULL,
    first_slice bigint NOT NULL,
    last_slice bigint NOT NULL CHECK (last_slice >= first_slice),
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL CHECK (last_sequence >= first_sequence),
    started_at timestamptz,
    stopped_at timestamptz NOT NULL,
    shares bigint NOT NULL,
    work numeric(39) NOT NULL,
    network_work numeric(39) NOT NULL,
    luck_ppm bigint NOT NULL,
    closed_at timestamptz NOT NULL
);
COMMENT ON TABLE rounds IS 'Rounds that ended with a block of ours.';
COMMENT ON COLUMN rounds.block_hash IS 'Hash of the block that ended it, in header byte order.';
COMMENT ON COLUMN rounds.worker IS 'The finder''s worker name, empty if none was given.';
COMMENT ON COLUMN rounds.first_sequence IS 'First message of SHARES that counts.';
COMMENT ON COLUMN rounds.last_sequence IS 'Last message of SHARES that counts.';
COMMENT ON COLUMN rounds.started_at IS
    'Header time of the last share of the round before; absent in the first.';
COMMENT ON COLUMN rounds.stopped_at IS 'Header time of the solving share.';
COMMENT ON COLUMN rounds.network_work IS 'Expected hashes of the block.';
COMMENT ON COLUMN rounds.luck_ppm IS 'Expected over done work in millionths: above 1000000 is lucky.';
COMMENT ON COLUMN rounds.closed_at IS 'When `rounds.closed` was stored.';

CREATE TABLE payouts (
    id text PRIMARY KEY,
    height bigint NOT NULL,
    revision bigint NOT NULL,
    block_hash bytea NOT NULL CHECK (octet_length(block_hash) = 32),
    subsidy_sats bigint NOT NULL CHECK (subsidy_sats >= 0),
    fees_sats bigint NOT NULL CHECK (fees_sats >= 0),
    treasury_sats bigint NOT NULL CHECK (treasury_sats >= 0),
    nodes_sats bigint NOT NULL CHECK (nodes_sats >= 0),
    miners_sats bigint NOT NULL CHECK (miners_sats >= 0),
    payload text NOT NULL,
    protected text NOT NULL,
    signature text NOT NULL,
    stated_at timestamptz NOT NULL,
    UNIQUE (height, revision),
    CHECK (treasury_sats + nodes_sats + miners_sats = subsidy_sats)
);
CREATE TRIGGER payouts_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON payouts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE payouts IS
    'Signed statements: what each confirmed block pays. Never edited; a correction is the next '
    'revision.';
COMMENT ON COLUMN payouts.id IS 'block-<height>.<revision>.';
COMMENT ON COLUMN payouts.payload IS 'base64url of the canonical body (RFC 8785), as signed.';
COMMENT ON COLUMN payouts.protected IS 'base64url of the protected header of the JWS.';
COMMENT ON COLUMN payouts.signature IS 'base64url of the Ed25519 signature.';
COMMENT ON COLUMN payouts.stated_at IS 'When `payouts.statement` was stored.';

CREATE TABLE payout_lines (
    payout_id text NOT NULL REFERENCES payouts,
    miner bytea NOT NULL CHECK (octet_length(miner) BETWEEN 1 AND 42),
    work numeric(39) NOT NULL CHECK (work >= 0),
    amount_sats bigint NOT NULL CHECK (amount_sats >= 0),
    PRIMARY KEY (payout_id, miner)
);
CREATE INDEX payout_lines_miner ON payout_lines (miner);
CREATE TRIGGER payout_lines_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE payout_lines IS 'Who gets what of the miners'' part of a statement.';
COMMENT ON COLUMN payout_lines.miner IS 'The miner id, as in `miners.script`.';
COMMENT ON COLUMN payout_lines.work IS 'Credited work in the statement''s window.';
