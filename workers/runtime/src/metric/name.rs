//! Every metric name of the network: `<domain>_<noun>_<unit>[_total]`.
//!
//! A dashboard is written against this file. Labels are bounded: a stream, a reason, a provider;
//! never a miner, a session or a channel.

/// How a figure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; its name ends in `_total`, as `OpenMetrics` demands.
    Counter,
    /// Goes up, under a name that was given without `_total`; typed as a gauge for that reason.
    Tally,
    /// Goes up and down.
    Gauge,
    /// A distribution in milliseconds.
    Histogram,
}

/// What one name means.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name that a scrape shows.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// One sentence for the reader of a dashboard, without the full stop.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { name, kind: Kind::Counter, labels, help }
}

const fn tally(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { name, kind: Kind::Tally, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { name, kind: Kind::Gauge, labels, help }
}

const fn millis(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec { name, kind: Kind::Histogram, labels, help }
}

macro_rules! names {
    ($($variant:ident = $kind:ident($name:literal, $labels:expr, $help:literal);)*) => {
        /// Every name, in the order in which a process and then a share meets it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $help] $variant,)*
        }

        impl Name {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What the name means.
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$variant => $kind($name, &$labels, $help),)*
                }
            }
        }
    };
}

// One line a name: a new figure is one line here and nothing else.
names! {
    // The process.
    WorkerReady = gauge("worker_ready", [], "1 while all checks of /readyz pass");
    WorkerCheckOk = gauge("worker_check_ok", ["check"], "1 while the check passes");
    WorkerReloadsTotal = counter("worker_reloads_total", ["result"], "Configuration reloads by result");
    // The bus.
    BusConnected = gauge("bus_connected", [], "Connections to the bus that are up");
    BusEventsTotal = counter("bus_events_total", ["event"], "What the NATS client reported");
    BusPublishedTotal = counter("bus_published_total", ["stream"], "Messages that a stream acknowledged");
    BusPublishDuplicatesTotal = counter("bus_publish_duplicates_total", ["stream"], "Messages that the stream had already");
    BusPublishRetriesTotal = counter("bus_publish_retries_total", ["reason"], "Publications sent again with the same id");
    BusPublishInFlight = gauge("bus_publish_in_flight", [], "Publications that wait for their stream");
    BusPublishAckMs = millis("bus_publish_ack_ms", [], "From the first sending to the stream's answer");
    StreamHandledTotal = counter("stream_handled_total", ["stream", "result"], "Deliveries by result");
    StreamLagMessages = gauge("stream_lag_messages", ["stream"], "Messages that wait to be handled");
    StreamHandledTimeMs = gauge("stream_handled_time_ms", ["stream"], "When the last handled message was stored, in milliseconds since 1970");
    StreamHandleLatencyMs = millis("stream_handle_latency_ms", ["stream"], "From being stored to being handled, publications included");
    StreamReaderRestartsTotal = counter("stream_reader_restarts_total", ["stream", "reason"], "Readers that began again after the last message they saw");
    StreamMissingMessagesTotal = counter("stream_missing_messages_total", ["stream"], "Messages that the stream let go before they were read");
    LeaseHeld = gauge("lease_held", ["lease"], "Leases held by this process");
    LeaseLostTotal = counter("lease_lost_total", ["lease"], "Leases that could not be renewed in time");
    LeafMessagesDroppedTotal = counter("leaf_messages_dropped_total", ["reason"], "Messages of leaves that no node of ours sends");
    // Templates.
    TemplateLatencyMs = millis("template_latency_ms", ["kind"], "From asking bitcoind to the template's acknowledgement");
    TemplatesPublishedTotal = counter("templates_published_total", ["kind"], "Templates published");
    TemplatesRefusedTotal = counter("templates_refused_total", ["reason"], "Templates of bitcoind that were not published");
    TipLatencyMs = millis("tip_latency_ms", [], "From bitcoind's notification to the tip's acknowledgement");
    TipLagBlocks = gauge("tip_lag_blocks", ["provider"], "Blocks that a bitcoind is behind the best one");
    MempoolTransactions = gauge("mempool_transactions", ["provider"], "Transactions in a bitcoind's mempool");
    ChainReorgsTotal = counter("chain_reorgs_total", ["depth"], "Reorganisations by depth");
    BitcoindUp = gauge("bitcoind_up", ["provider"], "1 while the bitcoind answers and may be used");
    BitcoindErrorsTotal = counter("bitcoind_errors_total", ["provider", "reason"], "Failed calls to bitcoind");
    // Ingress.
    SessionsOpen = gauge("sessions_open", [], "Connections of miners");
    SessionsTotal = counter("sessions_total", [], "Connections of miners, ever");
    SessionsRefusedTotal = counter("sessions_refused_total", ["reason"], "Connections and channels turned away");
    ChannelsOpen = gauge("channels_open", [], "Open mining channels");
    RttMs = millis("rtt_ms", [], "Round trip to a miner; of the translator, to its pool");
    FramesInvalidTotal = counter("frames_invalid_total", ["reason"], "Frames that ended their connection");
    SharesValid = tally("shares_valid", [], "Shares judged good and stored");
    SharesRejected = tally("shares_rejected", ["reason"], "Shares turned away");
    SharesUnacknowledged = gauge("shares_unacknowledged", [], "Good shares that wait for the bus");
    ShareAckMs = millis("share_ack_ms", [], "From reading a share to writing its acknowledgement");
    SessionsClosedTotal = counter("sessions_closed_total", ["reason"], "Connections of miners that ended");
    LaneBatchesTotal = counter("lane_batches_total", [], "Batches of shares that the bus has stored");
    LaneBatchShares = gauge("lane_batch_shares", [], "Shares in the last batch");
    BlocksClaimedTotal = counter("blocks_claimed_total", [], "Shares that an ingress claimed as blocks");
    IngressDroppedTotal = counter("ingress_dropped_total", ["what"], "Statistics and claims that a full queue turned away");
    WorkRefusedTotal = counter("work_refused_total", ["reason"], "Templates and tips that an ingress could not follow");
    TipSilenceSecs = gauge("tip_silence_secs", [], "Seconds since a provider last said what the tip is");
    // The translator.
    TranslatorSessions = gauge("translator_sessions", [], "Stratum V1 miners that are connected to the translator");
    TranslatorSharesLocalTotal = counter("translator_shares_local_total", [], "Shares good enough for a miner's own difficulty and not for the shared channel's");
    AggChannelOn = gauge("agg_channel_on", [], "1 while all miners of the translator share a channel");
    VardiffOn = gauge("vardiff_on", [], "1 while the translator has a say in its miners' difficulty");
    UpstreamUp = gauge("upstream_up", [], "Connections of the translator to its pool that are up");
    UpstreamConnectionsTotal = counter("upstream_connections_total", ["result"], "Connections of the translator to a pool, by what became of them");
    // Verification and record.
    SharesVerifiedTotal = counter("shares_verified_total", [], "Shares accepted by Core");
    SharesRefusedTotal = counter("shares_refused_total", ["reason"], "Shares refused by Core");
    ShareBatchesRepeatedTotal = counter("share_batches_repeated_total", [], "Batches that had been dealt with before");
    ShareBatchesMissingTotal = counter("share_batches_missing_total", [], "Batches of a lane that never came");
    ShareBatchesWaitingTotal = counter("share_batches_waiting_total", ["for"], "Times that a batch waited before it could be judged");
    SharesRecordedTotal = counter("shares_recorded_total", [], "Shares committed to the database");
    RowsRecordedTotal = counter("rows_recorded_total", ["feed"], "Rows committed to the database");
    DatabaseConnections = gauge("database_connections", ["state"], "Connections to the database");
    DatabaseErrorsTotal = counter("database_errors_total", ["reason"], "Failed connections and transactions");
    RecordCommitMs = millis("record_commit_ms", [], "One transaction of the recorder");
    // Blocks, rounds, payouts.
    BlocksSolvedTotal = counter("blocks_solved_total", [], "Blocks of ours with their proof of work checked");
    BlocksSubmittedTotal = counter("blocks_submitted_total", ["provider", "answer"], "Blocks handed to a bitcoind, by its answer");
    BlocksOutcomeTotal = counter("blocks_outcome_total", ["outcome"], "Blocks by final outcome");
    BlockClaimsRefusedTotal = counter("block_claims_refused_total", ["reason"], "Claims that are no blocks of ours");
    BlocksOverturnedTotal = counter("blocks_overturned_total", [], "Looks at the chain that missed a confirmed block");
    BlockSubmitMs = millis("block_submit_ms", ["provider"], "From hearing of a block to bitcoind's answer");
    SlicesClosedTotal = counter("slices_closed_total", [], "Slices closed");
    RoundsClosedTotal = counter("rounds_closed_total", [], "Rounds closed");
    StatementsTotal = counter("statements_total", [], "Statements published");
    StatementsWaiting = gauge("statements_waiting", [], "Confirmed blocks that wait for their statement");
    StatementKey = gauge("statement_key", ["kid"], "1 for the key that signs statements");
    PayoutsTotal = counter("payouts_total", ["state"], "Payouts by state");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_unique_and_of_the_agreed_form() {
        let mut seen = BTreeSet::new();
        for name in Name::ALL {
            let Spec { name, kind, labels, help } = name.spec();
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_ms"), kind == Kind::Histogram || name.contains("time"));
            assert!(labels.len() <= 2 && !help.is_empty() && !help.ends_with('.'), "{name}");
        }
    }
}
