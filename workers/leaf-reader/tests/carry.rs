//! What comes over a node's link and what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use leaf_reader::domain::{Carried, Dropped, Heard, by_stream, carry};
use proptest::prelude::*;
use std::collections::BTreeSet;
use subjects::{NodeId, Payload as _, Timestamp, blocks, shares};
use worker_runtime::transform::Position;

fn at(sequence: u64) -> Position {
    let stream = streams::OUT_SHARES.to_owned();
    Position { stream, incarnation: 1_700_000_000_000, sequence, stored_at: Timestamp(0) }
}

fn n1() -> NodeId {
    "n1".parse().unwrap()
}

fn said(subject: &str, body: &[u8], sequence: u64) -> Result<Carried, Dropped> {
    let at = at(sequence);
    carry(&n1(), Heard { subject, body, traceparent: None, at: &at })
}

#[test]
fn a_share_keeps_its_body_and_gets_a_name_an_id_and_a_type() {
    let carried = said("shares.submitted.n1.256", b"batch", 7).unwrap();
    assert_eq!(carried.stream, streams::SHARES_SUBMITTED);
    let message = carried.fact.message;
    assert_eq!(message.subject.as_str(), "shares.submitted.n1.256");
    assert_eq!(message.kind, shares::Submitted::TYPE);
    assert_eq!(message.id, "leaf/n1/OUT_SHARES/1700000000000/7");
    assert_eq!(message.body, b"batch");
}

#[test]
fn a_claim_of_another_node_is_a_claim_of_this_one() {
    let message = said("blocks.claimed.n2", b"", 1).unwrap().fact.message;
    assert_eq!(message.subject.as_str(), "blocks.claimed.n1");
    assert_eq!(message.kind, blocks::Claimed::TYPE);
}

#[test]
fn a_trace_goes_on_and_nonsense_begins_another() {
    fn trace(traceparent: Option<&str>) -> String {
        let at = at(1);
        let heard = Heard { subject: "blocks.claimed.n1", body: b"", traceparent, at: &at };
        carry(&n1(), heard).unwrap().fact.trace.trace_id()
    }
    let known = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(trace(Some(&format!("00-{known}-00f067aa0ba902b7-01"))), known);
    assert_ne!(trace(Some("00-nonsense")), trace(None));
}

#[test]
fn what_core_would_refuse_goes_no_further() {
    let largest = usize::try_from(streams::NODE_MESSAGE_BYTES).unwrap();
    let of_size = |size| said("shares.submitted.n1.256", &vec![0; size], 1).map(drop);
    assert_eq!(of_size(largest), Err(Dropped::TooLarge));
    assert_eq!(of_size(largest / 2), Ok(()));
    assert_eq!(said("shares.accepted.n1.256", b"", 1), Err(Dropped::Foreign));
}

#[test]
fn facts_of_one_stream_stay_together_and_in_order() {
    let subjects = [
        "sessions.n1.256",
        "blocks.claimed.n1",
        "sessions.n1.257",
        "shares.rejected.n1.256",
        "node.event.n1",
        "node.telemetry.n1",
    ];
    let carried = (1..).zip(subjects).map(|(place, subject)| said(subject, b"", place).unwrap());
    let streams: Vec<Vec<String>> = by_stream(carried.collect())
        .into_iter()
        .map(|facts| facts.into_iter().map(|fact| fact.message.subject.to_string()).collect())
        .collect();
    let expected: [&[&str]; 3] = [
        &["sessions.n1.256", "sessions.n1.257", "node.event.n1"],
        &["blocks.claimed.n1"],
        &["shares.rejected.n1.256", "node.telemetry.n1"],
    ];
    assert_eq!(streams, expected);
}

proptest! {
    /// Whatever a node says, in Core it is what that node says.
    #[test]
    fn nobody_speaks_for_another(
        subject in prop_oneof![
            "[ -~]{0,60}",
            "(shares|blocks|sessions|node|in)\\.[a-z0-9*>]{1,12}(\\.[a-z0-9*>_-]{0,6}){0,3}",
        ],
        sequence: u64,
    ) {
        if let Ok(carried) = said(&subject, b"x", sequence) {
            let message = carried.fact.message;
            let tokens: Vec<_> = message.subject.as_str().split('.').collect();
            let allowed = BTreeSet::from([
                "shares.submitted", "shares.rejected", "blocks.claimed", "sessions",
                "node.telemetry", "node.event", "node.command.done",
            ]);
            let node = tokens.iter().position(|token| *token == "n1").unwrap();
            prop_assert!(allowed.contains(tokens[..node].join(".").as_str()), "{}", message.subject);
            prop_assert!(message.id.starts_with("leaf/n1/"));
        }
    }
}
