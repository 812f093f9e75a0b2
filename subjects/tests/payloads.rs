//! What holds for every payload, whatever is in it.

mod generators;

use generators as any_;
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt::Debug};
use subjects::{
    Codec, Payload, blocks, parked::Parked, payouts, rounds, sessions, shares, templates, view,
};

/// Longest subject and id: the server takes more, but headers and indexes are paid for per message.
const MAX_LENGTH: usize = 200;

/// Whether a concrete subject matches a filter with `*` tokens.
fn is_in(subject: &str, filter: &str) -> bool {
    let (subject, filter): (Vec<_>, Vec<_>) =
        (subject.split('.').collect(), filter.split('.').collect());
    subject.len() == filter.len()
        && subject.iter().zip(filter).all(|(token, wanted)| wanted == "*" || *token == wanted)
}

/// A payload that came round is the same fact: value, bytes, place, identity and view.
fn assert_round_trip<P: Payload + PartialEq + Debug>(payload: &P) -> Result<(), TestCaseError> {
    let message = payload.to_message();
    let decoded = P::decode(&message.body);
    prop_assert!(decoded.is_ok(), "{decoded:?}");
    let decoded = decoded.unwrap_or_else(|_| unreachable!());
    prop_assert_eq!(&decoded, payload);
    prop_assert_eq!(&decoded.to_message(), &message);
    prop_assert_eq!(message.kind, P::TYPE);

    let subject = message.subject.as_str();
    prop_assert!(P::parse_subject(subject).is_ok(), "{subject}");
    prop_assert!(is_in(subject, P::FILTER), "{subject}");
    prop_assert!(subject.len() <= MAX_LENGTH && message.id.len() <= MAX_LENGTH);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    prop_assert!(plain(subject) && plain(&message.id), "{subject} {}", message.id);
    prop_assert!(view(P::TYPE, &message.body).is_ok());
    Ok(())
}

/// A field that a newer writer adds changes nothing for this reader.
fn assert_newer_writer_is_read<P: Payload + PartialEq + Debug>(
    payload: &P,
) -> Result<(), TestCaseError> {
    let mut body = payload.encode();
    match P::CODEC {
        Codec::Json => {
            prop_assert_eq!(body.pop(), Some(b'}'));
            let later: &[u8] =
                if body == b"{" { br#""later":[{}]}"# } else { br#","later":[{}]}"# };
            body.extend(later);
        }
        // Field 200, three bytes long.
        Codec::Protobuf => body.extend([0xc2, 0x0c, 3, 1, 2, 3]),
    }
    let decoded = P::decode(&body);
    prop_assert!(decoded.as_ref().is_ok_and(|decoded| decoded == payload), "{decoded:?}");
    Ok(())
}

/// Bytes from a stranger are refused or read, never worse; what is read is a value like any other.
fn assert_total<P: Payload + PartialEq + Debug>(body: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(payload) = P::decode(body) {
        let again = P::decode(&payload.encode());
        prop_assert!(again.as_ref().is_ok_and(|again| *again == payload), "{again:?}");
    }
    Ok(())
}

/// Any text is taken apart or refused; what is taken apart has the form.
fn assert_subjects_are_total<P: Payload>(subject: &str) -> Result<(), TestCaseError> {
    if P::parse_subject(subject).is_ok() {
        prop_assert!(is_in(subject, P::FILTER), "{subject}");
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        prop_assert!(subject.split('.').all(is_token), "{subject}");
    }
    Ok(())
}

/// Changes some bytes, cuts some off, adds some.
fn spoilt(body: &[u8], changes: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    let mut body = body.to_vec();
    for (at, byte) in changes {
        if !body.is_empty() {
            let at = at.index(body.len());
            if let Some(changed) = body.get_mut(at) {
                *changed = *byte;
            }
        }
    }
    body.truncate(cut.index(body.len() + 1).max(body.len() / 2));
    body
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4)
}

macro_rules! holds_for {
    ($($module:ident: $payload:ty, $any:expr;)*) => {$(
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(96))]

                #[test]
                fn comes_round(payload in $any) {
                    assert_round_trip(&payload)?;
                }

                #[test]
                fn tolerates_a_newer_writer(payload in $any) {
                    assert_newer_writer_is_read(&payload)?;
                }

                #[test]
                fn survives_spoilt_bytes(
                    payload in $any,
                    changes in changes(),
                    cut in any::<prop::sample::Index>(),
                ) {
                    assert_total::<$payload>(&spoilt(&payload.encode(), &changes, cut))?;
                }

                #[test]
                fn survives_any_bytes(body in prop::collection::vec(any::<u8>(), 0..300)) {
                    assert_total::<$payload>(&body)?;
                }

                #[test]
                fn takes_any_subject_apart_or_refuses_it(
                    payload in $any,
                    any_text in ".{0,80}",
                    tokens in prop::collection::vec("[a-z0-9A-Z*> _-]{0,12}", 0..6),
                    changes in changes(),
                    cut in any::<prop::sample::Index>(),
                ) {
                    assert_subjects_are_total::<$payload>(&any_text)?;
                    assert_subjects_are_total::<$payload>(&tokens.join("."))?;
                    let subject = payload.subject();
                    let spoilt = spoilt(subject.as_str().as_bytes(), &changes, cut);
                    assert_subjects_are_total::<$payload>(&String::from_utf8_lossy(&spoilt))?;
                }
            }
        }
    )*};
}

holds_for! {
    template_new: templates::New, any_::template_new();
    template_tip: templates::Tip, any_::template_tip();
    template_health: templates::Health, any_::template_health();
    session_changed: sessions::Changed, any_::session();
    shares_submitted: shares::Submitted, any_::submitted();
    shares_accepted: shares::Accepted, any_::accepted();
    shares_refused: shares::Refused, any_::refused();
    shares_rejected: shares::Rejected, any_::rejected();
    block_claimed: blocks::Claimed, any_::claimed();
    block_solved: blocks::Solved, any_::solved();
    block_submitted: blocks::Submitted, any_::block_submitted();
    block_outcome: blocks::Outcome, any_::outcome();
    slice_lines: rounds::SliceLines, any_::slice_lines();
    slice_closed: rounds::SliceClosed, any_::slice_closed();
    round_closed: rounds::Closed, any_::round_closed();
    round_progress: rounds::Progress, any_::progress();
    statement: payouts::Statement, any_::statement();
    parked: Parked, any_::parked();
}

proptest! {
    #[test]
    fn a_statements_body_comes_round(body in any_::block_statement()) {
        let text = serde_json::to_string(&body);
        let read = text.as_deref().map(serde_json::from_str::<payouts::BlockStatement>);
        prop_assert!(matches!(&read, Ok(Ok(read)) if *read == body), "{read:?}");
    }

    /// Facts that differ in what identifies them have different ids.
    #[test]
    fn ids_tell_batches_apart(one in any_::accepted(), other in any_::accepted()) {
        let identity = |batch: &shares::Accepted| {
            (batch.node.clone(), batch.lane, batch.boot_epoch, batch.batch, batch.part)
        };
        prop_assert_eq!(one.message_id() == other.message_id(), identity(&one) == identity(&other));
    }

    /// A template is called by what is in it, whatever stream it travelled through.
    #[test]
    fn a_template_is_called_by_its_bytes(template in any_::template_new()) {
        prop_assert_eq!(template.id(), subjects::TemplateId::of_payload(&template.encode()));
    }
}

/// No two types share a name, a filter or an id space.
#[test]
fn types_are_told_apart() {
    fn told<P: Payload>() -> (&'static str, &'static str) {
        (P::TYPE, P::FILTER)
    }
    let all = [
        told::<templates::New>(),
        told::<templates::Tip>(),
        told::<templates::Health>(),
        told::<sessions::Changed>(),
        told::<shares::Submitted>(),
        told::<shares::Accepted>(),
        told::<shares::Refused>(),
        told::<shares::Rejected>(),
        told::<blocks::Claimed>(),
        told::<blocks::Solved>(),
        told::<blocks::Submitted>(),
        told::<blocks::Outcome>(),
        told::<rounds::SliceLines>(),
        told::<rounds::SliceClosed>(),
        told::<rounds::Closed>(),
        told::<rounds::Progress>(),
        told::<payouts::Statement>(),
        told::<Parked>(),
    ];
    assert_eq!(all.iter().map(|(kind, _)| kind).collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(all.iter().map(|(_, filter)| filter).collect::<BTreeSet<_>>().len(), all.len());
}
