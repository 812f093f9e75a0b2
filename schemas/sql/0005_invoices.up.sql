-- Invoices that nodes offer for their rewards.

CREATE TABLE invoices (
    payment_hash bytea PRIMARY KEY CHECK (octet_length(payment_hash) = 32),
    node_id integer NOT NULL REFERENCES nodes,
    amount_sats bigint NOT NULL CHECK (amount_sats > 0),
    invoice text NOT NULL,
    offered_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > offered_at)
);
CREATE INDEX invoices_node ON invoices (node_id, offered_at DESC);
COMMENT ON TABLE invoices IS
    'Invoices of nodes, by payment hash: one debt may see several, each is paid at most once.';
COMMENT ON COLUMN invoices.invoice IS 'The BOLT 11 text.';
COMMENT ON COLUMN invoices.expires_at IS 'After this a fresh one is asked for, for the same debt.';
