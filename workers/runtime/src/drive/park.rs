//! Setting a message aside for a person.

use crate::transform::Position;
use subjects::{
    HexBytes, Message, Payload, Timestamp,
    parked::{MAX_KEPT_BODY, Parked},
};

/// The message that tells of an unreadable one.
pub(crate) fn parked(
    worker: &str,
    position: &Position,
    subject: &str,
    kind: &str,
    body: &[u8],
    reason: &str,
    at: Timestamp,
) -> Message {
    let kept = body.get(..MAX_KEPT_BODY).unwrap_or(body);
    Parked {
        worker: worker.to_owned(),
        reason: reason.to_owned(),
        stream: position.stream.clone(),
        stream_sequence: position.sequence,
        subject: subject.to_owned(),
        kind: kind.to_owned(),
        body: HexBytes(kept.to_vec()),
        at,
    }
    .to_message()
}
