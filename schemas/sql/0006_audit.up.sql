-- Who did what: hash-chained, and never changed.

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    outcome text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    previous_hash bytea NOT NULL UNIQUE CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    signature bytea NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, at DESC);
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE audit IS 'Every privileged action, in order; the chain is verified nightly.';
COMMENT ON COLUMN audit.actor IS 'Who: a person or a worker.';
COMMENT ON COLUMN audit.action IS 'What, as an imperative, e.g. node.revoke.';
COMMENT ON COLUMN audit.object IS 'To what.';
COMMENT ON COLUMN audit.outcome IS 'How it ended, e.g. done or refused.';
COMMENT ON COLUMN audit.previous_hash IS
    'Hash of the entry before, zeros in the first: unique, so the chain cannot fork.';
COMMENT ON COLUMN audit.hash IS 'SHA-256 over the previous hash and this entry.';
COMMENT ON COLUMN audit.signature IS 'The actor''s signature over the hash.';
