//! Stratum V1.

use ingress::{
    domain::closing::{Closing, Leaving},
    testing::{
        desk::Counter,
        work::{Chain, TRIVIAL, at, rules},
    },
};
use ingress_sv1::domain::connection::{Connection, Offer, Outbox};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};
use stratum_v1::{Lines, Refusal, read};
use subjects::sessions::NetworkClass;

/// What an answer of no result has beside its id, generously.
const FRAME: usize = 160;
/// Lines of one input.
const MAX_LINES: usize = 64;
/// What one line may make an ingress send: a greeting, a difficulty, a mask and a few jobs.
const MAX_ANSWER: usize = 16_384;

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Object<'a>(#[serde(borrow)] BTreeMap<&'a str, &'a RawValue>);

fn id(line: &[u8]) -> String {
    let line: Named<'_> = serde_json::from_slice(line).unwrap();
    line.id.map_or("null", RawValue::get).to_owned()
}

/// A line is read or refused; its id comes back as it came, in an answer that is a line of JSON.
pub fn v1_line(data: &[u8]) {
    let Ok(inbound) = read(data) else { return };
    let mut lines = Lines::default();
    lines.done(&inbound.id);
    let answer = lines.as_bytes().to_vec();
    assert_eq!(id(&answer), id(data));
    assert!(answer.len() <= FRAME, "an id is bounded");
    assert_eq!(
        answer.iter().filter(|byte| **byte == b'\n').count(),
        1,
        "an id is no way to inject"
    );
    lines.clear();
    lines.refuse(&inbound.id, Refusal::MALFORMED);
    assert_eq!(id(lines.as_bytes()), id(data));
    // White space around it means nothing.
    let padded = [b" \t", data, b" \r"].concat();
    let again = read(&padded).unwrap();
    assert_eq!(format!("{:?}", again.call), format!("{:?}", inbound.call));
}

/// Lines of a miner, and events between them: `~t` a new tip, `~r` a fuller template, `~p` a prepared
/// one, `~k` half a minute passes, `~s` the bus stores a share, `~f` the pool drains.
pub fn v1_conversation(data: &[u8]) {
    let mut chain = Chain::new(TRIVIAL);
    let (mut desk, mut out) = (Counter::default(), Outbox::default());
    let class = NetworkClass::PublicV4;
    let (rules, work) = (Arc::new(rules()), chain.work());
    let most = rules.max_unacknowledged;
    let mut connection = Connection::new(rules, Offer::default(), class, work, at(0));
    let mut secs = 0;
    for line in data.split(|byte| *byte == b'\n').take(MAX_LINES) {
        let ended = match line {
            b"~t" | b"~r" | b"~p" => {
                let work = match line {
                    b"~t" => chain.next_block(),
                    b"~r" => chain.refresh(),
                    _ => chain.prepare(),
                };
                desk.tips = work.tips;
                connection.follow(work, at(secs), &mut out);
                false
            }
            b"~k" => {
                secs += 30;
                connection.tick(at(secs), &mut out).is_err()
            }
            b"~s" => {
                let waiting = connection.unacknowledged();
                connection.stored(waiting.min(1), &mut out);
                assert_eq!(connection.unacknowledged(), waiting.saturating_sub(1));
                false
            }
            b"~f" => {
                connection.farewell(Leaving::Draining, &mut out);
                false
            }
            // What does not want input is not given any.
            _ if !connection.wants_input() => false,
            line => read(line).ok().is_none_or(|line| {
                connection.receive(line, at(secs), &mut desk, &mut out).is_err()
            }),
        };
        assert!(connection.unacknowledged() <= most);
        check_said(&mut out);
        if ended {
            break;
        }
    }
    connection.end(Closing::Left, at(secs), &mut desk, &mut out);
    check_said(&mut out);
}

/// Every line is a JSON object with an id, which some firmware needs, and there are not too many.
fn check_said(out: &mut Outbox) {
    let said = out.lines.as_bytes();
    assert!(said.len() <= MAX_ANSWER, "{} bytes for one line", said.len());
    assert!(said.is_empty() || said.ends_with(b"\n"));
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Object<'_> = serde_json::from_slice(line).unwrap();
        assert!(line.0.contains_key("id"), "a line without an id");
    }
    *out = Outbox::default();
}
