//! Extensions: which are spoken, and whose shares of a farm are (0x0001, 0x0002).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    domain::rules::Rules,
    testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, at, rules},
};
use ingress_sv2::wire::worker_name;
use insta::assert_snapshot;
use proptest::prelude::*;
use stratum_core::{
    binary_sv2::Seq064KOwned,
    common_messages_sv2::ChannelEndpointChanged,
    extensions_sv2::{MAX_USER_IDENTITY_LENGTH, RequestExtensionsOwned, UserIdentity},
    framing_sv2::header::Header,
    parsers_sv2::{AnyMessageOwned, CommonMessagesOwned, Tlv},
};
use support::{
    client::{frame, open_extended, open_standard, setup, setup_message, standard, submit},
    transcript::Conversation,
};

fn request(request_id: u16, extensions: &[u16]) -> AnyMessageOwned {
    let requested_extensions = Seq064KOwned::new(extensions.to_vec()).unwrap();
    AnyMessageOwned::Extensions(RequestExtensionsOwned { request_id, requested_extensions }.into())
}

/// A conversation with a setup and one request for extensions.
fn agreed(chain: &Chain, extensions: &[u16]) -> Conversation {
    let rules = Rules { max_unacknowledged: 1_000, ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    talk.say(request(1, extensions), at(0));
    talk
}

/// A worker's name as the library appends it.
fn named(name: &[u8]) -> Vec<u8> {
    Tlv::new(0x0002, 0x01, name.to_vec()).encode().unwrap()
}

/// A share of the `place`th channel with `fields` behind it: the name that it is counted for, if it
/// is.
fn worker(talk: &mut Conversation, place: usize, nonce: u32, fields: &[u8]) -> Option<String> {
    let channel = talk.channels[place].clone();
    let share = channel.mine(channel.current(), nonce);
    let message = if channel.rolled == 0 { standard(&share) } else { submit(share) };
    let mut bytes = [frame(message), fields.to_vec()].concat();
    let length = u32::try_from(bytes.len() - Header::SIZE).unwrap().to_le_bytes();
    bytes[3..6].copy_from_slice(&length[..3]);
    let before = talk.desk.taken.len();
    talk.say_frame(&mut bytes, at(2));
    talk.stored(1);
    let taken = talk.desk.taken.get(before)?;
    let own = talk.desk.taken.iter().find(|other| other.channel == taken.channel).unwrap();
    assert_eq!(taken.job.identity, own.job.identity, "whom it pays is the channel's affair");
    assert_eq!(taken.miner.identity, taken.job.identity);
    assert_eq!(taken.miner.payee, own.miner.payee);
    Some(taken.miner.worker.clone())
}

#[test]
fn what_both_speak_is_agreed_on() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[1, 2, 3]);
    talk.say(request(2, &[2, 2]), at(1));
    talk.note("nothing that we know");
    talk.say(request(3, &[3, 0x4abc]), at(1));
    talk.note("nothing at all");
    talk.say(request(4, &[]), at(1));
    talk.note("an extension that nobody agreed on, about us and about a channel");
    talk.say_frame(&mut [9, 0, 0x1b, 1, 0, 0, 7], at(1));
    talk.say_frame(&mut [9, 0x80, 0x1b, 1, 0, 0, 7], at(1));
    talk.say_frame(&mut [1, 0x80, 0, 1, 0, 0, 7], at(1));
    talk.note("cut short, and what only servers say");
    talk.say_frame(&mut [1, 0, 0, 2, 0, 0, 7, 7], at(1));
    talk.say_frame(&mut [1, 0, 1, 4, 0, 0, 7, 0, 0, 0], at(1));
    let mut early = Conversation::new(rules(), chain.work(), at(0));
    early.say(request(1, &[2]), at(0));
    assert_snapshot!(format!("{}---\n{}", talk.text, early.text));
}

#[test]
fn a_share_is_counted_for_the_worker_that_it_names() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[2]);
    talk.say(open_extended(1, &format!("{ADDRESS}.farm"), -24), at(1));
    talk.say(open_extended(2, OTHER_ADDRESS, -24), at(1));
    let mut nonce = 0;
    let mut count = |talk: &mut Conversation, place: usize, fields: &[u8]| {
        nonce += 1 << 20;
        worker(talk, place, nonce, fields)
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(count(&mut talk, 0, &named(b"rack-1")), some("rack-1"));
    assert_eq!(count(&mut talk, 0, &named(b"rack-2")), some("rack-2"));
    assert_eq!(count(&mut talk, 0, &named(b"rack-1")), some("rack-1"));
    assert_eq!(count(&mut talk, 1, &named(b"rack-1")), some("rack-1"), "another channel's");
    let shares = &talk.desk.taken;
    assert!(std::sync::Arc::ptr_eq(&shares[0].miner, &shares[2].miner), "remembered once");
    assert!(!std::sync::Arc::ptr_eq(&shares[0].miner, &shares[3].miner));
    // Three names are as many as a connection may have channels.
    assert_eq!(count(&mut talk, 0, &named(b"rack-3")), some("farm"), "no room");
    assert_eq!(count(&mut talk, 0, &named(b"rack-2")), some("rack-2"), "known already");
    assert_eq!(count(&mut talk, 1, &named(b"rack-9")), some(""), "no room there either");
}

#[test]
fn a_name_that_says_nothing_is_the_channels_own() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[2]);
    talk.say(open_extended(1, &format!("{ADDRESS}.farm"), -24), at(1));
    let unprintable: [&[u8]; 5] = [b"", b"\x07", b"a\nb", "größe".as_bytes(), b"\xff\xfe"];
    for (nonce, name) in (0..).zip(unprintable) {
        let counted = worker(&mut talk, 0, nonce << 20, &named(name));
        assert_eq!(counted.as_deref(), Some("farm"), "{name:?}");
    }
    let nothing: [&[u8]; 3] = [&[], &[2, 0, 1], &Tlv::new(3, 1, vec![7; 40]).encode().unwrap()];
    for (nonce, fields) in (8..).zip(nothing) {
        let counted = worker(&mut talk, 0, nonce << 20, fields);
        assert_eq!(counted.as_deref(), Some("farm"), "{fields:?}");
    }
    let longest = [b'x'; MAX_USER_IDENTITY_LENGTH];
    assert!(worker(&mut talk, 0, 12 << 20, &named(&longest)).is_some());
    assert_eq!(worker(&mut talk, 0, 13 << 20, &named(&[b'x'; 33])), None);
    assert!(talk.text.contains("SubmitShares.Error channel 2 sequence 0 invalid-user-identity"));
    assert_eq!(worker(&mut talk, 0, 14 << 20, &[2, 0, 1, 9, 0, b'x']), None, "cut short");
}

#[test]
fn what_was_not_agreed_on_is_not_read() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[1]);
    talk.say(open_extended(1, &format!("{ADDRESS}.farm"), -24), at(1));
    assert_eq!(worker(&mut talk, 0, 0, &named(b"rack-1")).as_deref(), Some("farm"));
    assert_eq!(worker(&mut talk, 0, 1 << 20, &named(&[b'x'; 200])).as_deref(), Some("farm"));
    talk.note("agreed on later, and taken back");
    talk.say(request(2, &[2]), at(1));
    assert_eq!(worker(&mut talk, 0, 2 << 20, &named(b"rack-1")).as_deref(), Some("rack-1"));
    talk.say(request(3, &[1]), at(1));
    assert_eq!(worker(&mut talk, 0, 3 << 20, &named(b"rack-1")).as_deref(), Some("farm"));
}

#[test]
fn a_channel_with_another_endpoint_has_agreed_on_nothing() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[2]);
    for request in 1..=2 {
        talk.say(open_extended(request, &format!("{ADDRESS}.farm"), -24), at(1));
    }
    for place in 0..2 {
        let counted = worker(&mut talk, place, 0, &named(b"rack"));
        assert_eq!(counted.as_deref(), Some("rack"));
    }
    let changed = ChannelEndpointChanged { channel_id: talk.channels[0].id };
    talk.say(AnyMessageOwned::Common(CommonMessagesOwned::ChannelEndpointChanged(changed)), at(2));
    assert_eq!(worker(&mut talk, 0, 1 << 20, &named(b"rack")).as_deref(), Some("farm"));
    assert_eq!(worker(&mut talk, 1, 1 << 20, &named(b"rack")).as_deref(), Some("rack"));
    talk.say(request(2, &[2]), at(2));
    assert_eq!(worker(&mut talk, 0, 2 << 20, &named(b"rack")).as_deref(), Some("rack"));
}

#[test]
fn a_standard_channel_has_one_worker() {
    let chain = Chain::new(HARD);
    let mut talk = agreed(&chain, &[2]);
    talk.say(open_standard(1, &format!("{ADDRESS}.device"), -24), at(1));
    assert_eq!(worker(&mut talk, 0, 0, &named(b"rack")).as_deref(), Some("device"));
}

#[test]
fn a_name_is_read_in_either_order_of_bytes() {
    // The specification's own example.
    let example = b"\x00\x02\x01\x00\x0aWorker_001";
    assert_eq!(worker_name(example), Ok(Some(b"Worker_001".as_slice())));
    assert_eq!(worker_name(&named(b"Worker_001")), Ok(Some(b"Worker_001".as_slice())));
}

proptest! {
    #[test]
    fn a_name_is_read_as_the_library_writes_it(
        name in "[ -~]{0,32}", before in prop::collection::vec((3_u16..9, any::<[u8; 3]>()), 0..3),
    ) {
        let mut fields: Vec<u8> = before
            .iter()
            .flat_map(|(kind, value)| Tlv::new(*kind, 1, value.to_vec()).encode().unwrap())
            .collect();
        fields.extend(named(UserIdentity::new(&name).unwrap().as_bytes()));
        prop_assert_eq!(worker_name(&fields), Ok(Some(name.as_bytes())));
    }

    #[test]
    fn fields_of_strangers_are_read_or_refused(fields in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(Some(name)) = worker_name(&fields) {
            prop_assert!(name.len() <= MAX_USER_IDENTITY_LENGTH);
        }
    }
}
