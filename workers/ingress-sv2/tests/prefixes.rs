//! A channel that has handed in as many proofs on one tip as are remembered goes on, on other
//! headers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    domain::{proofs::MAX_PROOFS, rules::Rules},
    testing::work::{ADDRESS, Chain, HARD, at, rules},
};
use stratum_core::{common_messages_sv2::SetupConnectionOwned, parsers_sv2::AnyMessageOwned};
use support::{
    client::{
        Channel, Kind, open_extended, open_standard, setup, setup_message, standard, submit,
        translator,
    },
    proxy::Proxy,
    transcript::{Conversation, describe},
};

/// Every fourth hash is a share.
const EASIEST: i32 = -30;
/// Between two shares of a miner that suits its target, at 12 a minute.
const PACE_SECS: u64 = 5;

fn begun(chain: &Chain, client: SetupConnectionOwned) -> Conversation {
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(setup_message(client), at(0));
    talk
}

/// The `number`th share, with room for the hashes that miss the target.
fn share(channel: &Channel, number: u32) -> AnyMessageOwned {
    let share = channel.mine(channel.current(), number << 8);
    match channel.kind {
        Kind::Extended => submit(share),
        Kind::Standard => standard(&share),
    }
}

/// Hands in so many shares of the `place`th channel that it is done with its headers; what it is
/// told then.
fn exhaust(talk: &mut Conversation, place: usize) -> Vec<String> {
    let mut told = Vec::new();
    for number in 1..=u32::try_from(MAX_PROOFS).unwrap() {
        assert!(told.is_empty(), "{told:?}");
        let channel = talk.channels[place].clone();
        told = talk.say(share(&channel, number), at(PACE_SECS * u64::from(number)));
        talk.stored(1);
        talk.text.clear();
    }
    told.iter().map(describe).collect()
}

#[test]
fn a_channel_that_ran_out_of_proofs_gets_another_prefix() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain, setup());
    talk.say(open_extended(1, ADDRESS, EASIEST), at(1));
    talk.follow(chain.prepare(), at(2));
    let before = talk.channels[0].clone();
    let told = exhaust(&mut talk, 0);
    let starts = [
        "SetExtranoncePrefix channel 2 prefix B032(012c0002000001)",
        "NewExtendedMiningJob channel 2 job 3 starts",
        "NewExtendedMiningJob channel 2 job 4 waits",
    ];
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{told:?}");

    let last = at(PACE_SECS * u64::try_from(MAX_PROOFS).unwrap() + 1);
    talk.say(share(&before, 0), last);
    assert!(talk.text.contains("stale-share"), "the prefix before is over: {}", talk.text);
    let after = talk.channels[0].clone();
    talk.say(share(&after, 0), last);
    assert_eq!(talk.desk.taken.len(), MAX_PROOFS + 1, "{}", talk.text);
    let taken = talk.desk.taken.last().unwrap();
    assert_eq!(taken.channel, 1);
    assert_eq!(taken.job.extranonce_prefix.as_slice(), after.prefix);
    assert_ne!(before.prefix, after.prefix);
    let told = talk.follow(chain.next_block(), last);
    assert!(describe(&told[0]).starts_with("SetNewPrevHash channel 2 starts job 4"));
}

#[test]
fn another_prefix_is_told_as_another_session() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain, SetupConnectionOwned { flags: 1, ..setup() });
    talk.say(open_standard(1, ADDRESS, EASIEST), at(1));
    let channel = talk.channels[0].clone();
    for nonce in 0..u32::try_from(MAX_PROOFS).unwrap() - 1 {
        talk.say(share(&channel, nonce), at(PACE_SECS * u64::from(nonce + 1)));
        talk.stored(1);
    }
    talk.text.clear();
    let last = u32::try_from(MAX_PROOFS).unwrap();
    talk.say(share(&channel, last), at(PACE_SECS * u64::from(last)));
    let facts: Vec<_> = talk.text.lines().filter(|line| line.starts_with('*')).collect();
    assert!(facts[0].starts_with("* Closed channel number 0 fact 1"), "{facts:?}");
    assert!(facts[0].ends_with("because: too-many-shares-on-one-tip"), "{facts:?}");
    assert!(facts[1].starts_with("* Opened channel number 1 fact 0"), "{facts:?}");
}

#[test]
fn a_client_that_passes_over_prefixes_has_its_channel_closed() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain, translator());
    talk.say(open_extended(1, ADDRESS, EASIEST), at(1));
    assert_eq!(exhaust(&mut talk, 0), ["CloseChannel channel 2 too-many-shares-on-one-tip"]);
    assert_eq!(talk.connection.channels(), 0);
}

#[test]
fn the_others_of_the_group_go_on() {
    let mut chain = Chain::new(HARD);
    let rules = Rules { max_unacknowledged: 1_000_000, ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    let mut proxy = Proxy::default();
    let mut told = talk.say(setup_message(setup()), at(0));
    told.extend(talk.say(open_extended(1, ADDRESS, EASIEST), at(1)));
    told.extend(talk.say(open_standard(2, ADDRESS, EASIEST), at(1)));
    told.extend(talk.follow(chain.prepare(), at(2)));
    let standard = talk.channels[1].clone();
    for number in 1..=u32::try_from(MAX_PROOFS).unwrap() {
        told.extend(talk.say(share(&standard, number), at(PACE_SECS * u64::from(number))));
    }
    assert_ne!(talk.channels[1].prefix, standard.prefix);
    let last = at(PACE_SECS * 20_000);
    told.extend(talk.follow(chain.next_block(), last));
    told.extend(talk.follow(chain.refresh(), last));
    told.iter().for_each(|message| proxy.hear(message));
    for channel in talk.channels.clone() {
        let before = talk.desk.taken.len();
        talk.say(share(&channel, 7), last);
        assert_eq!(talk.desk.taken.len(), before + 1, "channel {}", channel.id);
        assert!(proxy.takes(&channel.mine(channel.current(), 7 << 8)), "channel {}", channel.id);
    }
}
