//! A channel of which nothing but bad shares comes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::testing::work::{ADDRESS, Chain, HARD, at, rules};
use stratum_core::common_messages_sv2::SetupConnectionOwned;
use support::{
    client::{open_extended, setup, setup_message, submit, translator},
    transcript::{Conversation, describe},
};

/// What one channel of so many is told for a duplicate a second, beside the errors.
fn told(client: SetupConnectionOwned, channels: u32) -> Vec<(u64, String)> {
    let mut talk = Conversation::new(rules(), Chain::new(HARD).work(), at(0));
    talk.say(setup_message(client), at(0));
    for request in 1..=channels {
        talk.say(open_extended(request, ADDRESS, -30), at(0));
    }
    let channel = talk.channels[0].clone();
    let bad = channel.mine(channel.current(), 0);
    talk.say(submit(bad.clone()), at(0));
    let mut told = Vec::new();
    for secs in 1..=185 {
        for message in talk.say(submit(bad.clone()), at(secs)) {
            let text = describe(&message);
            if !text.starts_with("SubmitShares") {
                told.push((secs, text));
            }
        }
    }
    told
}

fn kinds(told: &[(u64, String)]) -> Vec<(u64, &str)> {
    told.iter().map(|(secs, text)| (*secs, text.split(' ').next().unwrap())).collect()
}

#[test]
fn it_gets_work_again_is_asked_to_come_again_and_is_closed() {
    let told = told(setup(), 1);
    let steps = [(61, "SetTarget"), (61, "NewExtendedMiningJob"), (121, "Reconnect")];
    assert_eq!(kinds(&told), [&steps[..], &[(181, "CloseChannel")]].concat());
    assert!(told.last().unwrap().1.contains("only-rejects"));
}

#[test]
fn a_proxys_other_channels_and_clients_that_die_of_it_are_not_asked_to_come_again() {
    let steps = [(61, "SetTarget"), (61, "NewExtendedMiningJob"), (181, "CloseChannel")];
    assert_eq!(kinds(&told(setup(), 2)), steps);
    assert_eq!(kinds(&told(translator(), 1)), steps);
}
