//! Several messages of one stream together, in their order (NATS ADR-50).

use super::{Attempt, PublishError, Verdict, any, attempt, recovered, refused, retry, routed};
use crate::{
    bus::{Bus, api::Fault},
    metric::Name,
    trace::{TraceParent, within},
};
use serde::Deserialize;
use subjects::Message;

/// A fact, and the trace that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The fact.
    pub message: Message,
    /// Its trace.
    pub trace: TraceParent,
}

/// Batches of one connection that may be open at once; a stream takes 50 from everybody.
pub(super) const MAX_OPEN: usize = 16;

/// Stores facts of one stream in their order.
pub(super) async fn in_order(bus: &Bus, facts: &[Traced]) -> Result<(), PublishError> {
    match facts {
        [] => Ok(()),
        [one] => alone(bus, one).await,
        [first, others @ ..] => {
            let stream = routed(bus, &first.message)?;
            for other in others {
                if routed(bus, &other.message)? != stream {
                    return Err(refused(&other.message, "a batch is for one stream"));
                }
            }
            together(bus, &stream, &first.message, facts).await
        }
    }
}

async fn alone(bus: &Bus, fact: &Traced) -> Result<(), PublishError> {
    within(fact.trace, any(bus, &fact.message)).await.map(drop)
}

/// Sends the batch until its stream answers, under another batch id each time.
async fn together(
    bus: &Bus,
    stream: &str,
    first: &Message,
    facts: &[Traced],
) -> Result<(), PublishError> {
    let publisher = &bus.inner.publisher;
    let attempts: Vec<_> = facts
        .iter()
        .map(|Traced { message, trace }| {
            Attempt::new(message, Some(stream), None, *trace, publisher.wait_for_one())
        })
        .collect();
    // The semaphore is never closed.
    let _open = publisher.batches.acquire().await;
    let gate = publisher.gate(Some(stream));
    loop {
        let connection = bus.inner.link.up().await;
        let epoch = gate.pass().await;
        match send(bus, connection, &attempts).await {
            Answer::Stored => {
                if gate.succeed() {
                    recovered(bus, Some(stream));
                }
                let counter = bus
                    .inner
                    .shell
                    .metrics
                    .counter_with(Name::BusPublishedTotal, &[("stream", stream)]);
                counter.inc_by(u64::try_from(facts.len()).unwrap_or(u64::MAX));
                return Ok(());
            }
            Answer::Repeats => return one_by_one(bus, facts).await,
            Answer::Again(reason) => retry(bus, &gate, Some(stream), reason, epoch).await,
            // Which of them it means, the stream does not say.
            Answer::Refused(reason) => return Err(refused(first, &reason)),
        }
    }
}

/// Some of a batch was stored before, and the stream remembers which.
async fn one_by_one(bus: &Bus, facts: &[Traced]) -> Result<(), PublishError> {
    for fact in facts {
        alone(bus, fact).await?;
    }
    Ok(())
}

/// What one sending of a batch came to.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Stored,
    /// The stream has one of the messages.
    Repeats,
    Again(&'static str),
    Refused(String),
}

async fn send(bus: &Bus, connection: u64, attempts: &[Attempt]) -> Answer {
    let (client, link) = (&bus.inner.client, &bus.inner.link);
    let id = format!("{:032x}", rand::random::<u128>());
    let mut place = 0;
    for attempt in attempts {
        place += 1;
        if place < attempts.len() {
            if attempt.send_of_batch(client, &id, place).await.is_err() {
                return Answer::Again("client");
            }
            continue;
        }
        return match attempt.commit_batch(client, link, connection, &id, place).await {
            Ok(answer) => read(&answer, place),
            Err(Verdict::Refused(reason)) => Answer::Refused(reason),
            Err(Verdict::Again(reason)) => Answer::Again(reason),
            Err(Verdict::Stored(_) | Verdict::WrongSequence) => Answer::Again("client"),
        };
    }
    Answer::Stored
}

#[derive(Deserialize)]
struct BatchAnswer {
    error: Option<Fault>,
    #[serde(default)]
    count: usize,
}

/// Reads a stream's answer to a batch of `size` messages.
fn read(answer: &[u8], size: usize) -> Answer {
    match serde_json::from_slice::<BatchAnswer>(answer) {
        // The batch contains a message id that the stream remembers.
        Ok(BatchAnswer { error: Some(Fault { err_code: 10_201, .. }), .. }) => Answer::Repeats,
        Ok(BatchAnswer { error: Some(fault), .. }) => match attempt::judge(&fault) {
            Verdict::Refused(reason) => Answer::Refused(reason),
            Verdict::Again(reason) => Answer::Again(reason),
            Verdict::Stored(_) | Verdict::WrongSequence => Answer::Again("server"),
        },
        Ok(BatchAnswer { error: None, count }) if count == size => Answer::Stored,
        // Somebody else than a stream answered, or one that knows no batches.
        Ok(_) | Err(_) => Answer::Again("no-stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let fault = |code: u64| format!(r#"{{"error":{{"code":400,"err_code":{code}}}}}"#);
        assert_eq!(read(br#"{"stream":"S","seq":9,"batch":"x","count":3}"#, 3), Answer::Stored);
        assert_eq!(read(fault(10_201).as_bytes(), 3), Answer::Repeats);
        assert_eq!(read(fault(10_176).as_bytes(), 3), Answer::Again("batch"));
        assert_eq!(read(fault(10_210).as_bytes(), 3), Answer::Again("batch"));
        assert_eq!(read(fault(10_174).as_bytes(), 3), Answer::Again("no-batches"));
        assert_eq!(read(fault(10_077).as_bytes(), 3), Answer::Again("full"));
        assert!(matches!(read(fault(10_054).as_bytes(), 3), Answer::Refused(_)));
        // A server that knows no batches stores the last message alone.
        assert_eq!(read(br#"{"stream":"S","seq":9}"#, 3), Answer::Again("no-stream"));
        assert_eq!(read(b"hello", 3), Answer::Again("no-stream"));
    }
}
