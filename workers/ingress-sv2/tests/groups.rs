//! Channels that share a payee and a target are told their work once; every share still proves its
//! own target, miner and template.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    domain::{Moment, lane::Taken, rules::Rules, selection::Work},
    testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, TRIVIAL, at, rules},
};
use insta::assert_snapshot;
use mining::{Job, ShareFields};
use proptest::prelude::*;
use stratum_core::{
    common_messages_sv2::SetupConnectionOwned,
    mining_sv2::SubmitSharesExtendedOwned,
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use subjects::Exponent;
use support::{
    client::{
        ANY_TARGET, Channel, Kind, close, hash_rate, open_extended, open_standard, setup,
        setup_message, standard, submit, update,
    },
    proxy::Proxy,
    transcript::{Conversation, describe},
};

/// Its hardest exponent is -24.
const EASY: u32 = 0x2000_ffff;

/// A connection of a client with these flags that may have many channels.
fn begun(chain: &Chain, flags: u32) -> Conversation {
    let rules = Rules { max_channels: 64, max_unacknowledged: 1_000, ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    talk.say(setup_message(SetupConnectionOwned { flags, ..setup() }), at(0));
    talk.text.clear();
    talk
}

/// The proxy of a farm: `count` channels of one address, every third one standard.
fn farm(chain: &Chain, count: u32) -> Conversation {
    let mut talk = begun(chain, 0);
    for request in 0..count {
        let open = if request % 3 == 2 { open_standard } else { open_extended };
        talk.say(open(request, &format!("{ADDRESS}.rig{request}"), -20), at(1));
    }
    talk.text.clear();
    talk
}

fn lines(told: &[AnyMessageOwned]) -> Vec<String> {
    told.iter().map(describe).collect()
}

/// Judges a share as the verifier does: by what its batch says, and nothing else.
fn verify(taken: &Taken, work: &Work) {
    let payee = &taken.miner.payee;
    let fields = ShareFields {
        extranonce: taken.extranonce.as_slice(),
        ntime: taken.ntime,
        nonce: taken.nonce,
        version: taken.version,
    };
    let prefix = mining::Prefix::new(rules().lane, rules().boot_epoch, taken.channel).unwrap();
    let job = &taken.job;
    prefix.check(job.kind, job.extranonce_prefix.as_slice(), job.extranonce_length).unwrap();
    let judged = mining::judge(&work.template, &work.tip, &Job::of(job, payee), &fields).unwrap();
    assert_eq!(judged.work, job.exponent.work());
}

/// Hands in a share of `channel`'s current job.
fn hand_in(
    talk: &mut Conversation,
    channel: &Channel,
    nonce: u32,
    secs: u64,
) -> SubmitSharesExtendedOwned {
    let share = channel.mine(channel.current(), nonce);
    let message = match channel.kind {
        Kind::Extended => submit(share.clone()),
        Kind::Standard => standard(&share),
    };
    talk.say(message, at(secs));
    talk.stored(1);
    share
}

#[test]
fn a_farm_of_forty_channels_is_told_a_tip_in_one_message() {
    let mut chain = Chain::new(HARD);
    let mut talk = farm(&chain, 40);
    assert!(talk.channels.iter().all(|channel| channel.group == 1));
    let first = chain.work();
    for (place, channel) in talk.channels.clone().iter().enumerate() {
        hand_in(&mut talk, channel, 0, 2);
        verify(&talk.desk.taken[place], &first);
    }
    assert_eq!(lines(&talk.follow(chain.prepare(), at(3))).len(), 1);
    let tip = lines(&talk.follow(chain.next_block(), at(4)));
    assert!(tip.len() == 1 && tip[0].starts_with("SetNewPrevHash channel 1 starts"), "{tip:?}");
    let full = lines(&talk.follow(chain.refresh(), at(5)));
    assert!(full.len() == 1 && full[0].starts_with("NewExtendedMiningJob channel 1"), "{full:?}");
    let work = chain.work();
    talk.desk.taken.clear();
    for (place, channel) in talk.channels.clone().iter().enumerate() {
        hand_in(&mut talk, channel, 1 << 20, 6);
        verify(&talk.desk.taken[place], &work);
    }
    assert_eq!(talk.desk.taken.len(), 40, "{}", talk.text);
    let mut channels: Vec<u32> = talk.desk.taken.iter().map(|taken| taken.channel).collect();
    channels.dedup();
    assert_eq!(channels.len(), 40, "each on its own header space");
}

#[test]
fn every_payee_is_told_jobs_of_its_own() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain, 0);
    for request in 0..6 {
        let user = if request % 2 == 0 { ADDRESS } else { OTHER_ADDRESS };
        talk.say(open_extended(request, user, -20), at(1));
    }
    let told = lines(&talk.follow(chain.prepare(), at(2)));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(talk.follow(chain.next_block(), at(3)).len(), 2);
    let work = chain.work();
    for channel in talk.channels.clone() {
        hand_in(&mut talk, &channel, 0, 4);
        verify(talk.desk.taken.last().unwrap(), &work);
    }
    let whose: Vec<_> = talk.desk.taken.iter().map(|taken| taken.job.identity.as_str()).collect();
    assert_eq!(whose, [ADDRESS, OTHER_ADDRESS].repeat(3));
}

#[test]
fn a_channel_whose_target_changes_changes_its_group() {
    let mut chain = Chain::new(HARD);
    let mut talk = farm(&chain, 3);
    talk.follow(chain.prepare(), at(2));
    talk.text.clear();
    talk.note("a faster miner: a group of its own, told its work itself");
    talk.say(update(2, hash_rate(-18), ANY_TARGET), at(3));
    talk.note("another one follows it, and waits with the same job");
    talk.say(update(4, hash_rate(-18), ANY_TARGET), at(4));
    talk.note("of the first group one is left");
    talk.follow(chain.next_block(), at(5));
    talk.follow(chain.prepare(), at(6));
    talk.note("a fourth channel joins the two, and waits with the job that they were sent");
    talk.say(open_extended(9, ADDRESS, -18), at(7));
    talk.follow(chain.next_block(), at(8));
    talk.note("the first one goes back");
    talk.say(update(2, hash_rate(-20), ANY_TARGET), at(9));
    talk.note("and the group of the two is closed");
    let group = talk.channel(4).group;
    talk.say(close(group), at(10));
    assert_snapshot!(talk.text);
}

#[test]
fn a_connection_with_one_channel_hears_of_no_group() {
    let mut chain = Chain::new(HARD);
    let mut talk = farm(&chain, 1);
    talk.follow(chain.prepare(), at(2));
    talk.say(update(2, hash_rate(-18), ANY_TARGET), at(3));
    talk.follow(chain.next_block(), at(4));
    talk.follow(chain.refresh(), at(5));
    talk.say(update(2, hash_rate(-20), ANY_TARGET), at(6));
    assert!(!talk.text.contains("SetGroupChannel"), "{}", talk.text);
    assert!(!talk.text.contains("channel 1 "), "{}", talk.text);
}

#[test]
fn a_client_that_requires_standard_jobs_gets_nothing_else() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain, 1);
    let refused = lines(&talk.say(open_extended(0, ADDRESS, -20), at(1)));
    assert!(refused[0].ends_with("extended-channels-not-supported-for-standard-jobs"));
    for request in 1..=4 {
        talk.say(open_standard(request, ADDRESS, -20), at(1));
    }
    talk.say(open_standard(5, OTHER_ADDRESS, -22), at(1));
    let told = [
        talk.follow(chain.prepare(), at(2)),
        talk.say(update(2, hash_rate(-18), ANY_TARGET), at(3)),
        talk.follow(chain.next_block(), at(4)),
        talk.follow(chain.refresh(), at(5)),
    ];
    for message in told.iter().flatten() {
        let line = describe(message);
        let is_own = ["NewMiningJob channel", "SetNewPrevHash channel", "SetTarget channel"];
        assert!(is_own.iter().any(|start| line.starts_with(start)), "{line}");
        assert!(!line.contains("channel 1 "), "nothing is sent to the group: {line}");
    }
    assert_eq!(told[2].len(), 5, "five channels, five tips");
    let work = chain.work();
    for channel in talk.channels.clone() {
        hand_in(&mut talk, &channel, 0, 6);
        verify(talk.desk.taken.last().unwrap(), &work);
    }
    assert_eq!(talk.desk.taken.len(), 5, "{}", talk.text);
    talk.say(close(1), at(7));
    assert_eq!(talk.connection.channels(), 0, "the group is the connection");
}

#[test]
fn a_group_follows_a_chain_that_became_easier_as_far_as_each_client_accepts() {
    let mut chain = Chain::new(HARD);
    let mut talk = farm(&chain, 3);
    talk.note("channel 4 accepts nothing that is easier than it has");
    let as_it_is = mining::Target::of(Exponent::clamped(-20)).to_le_bytes();
    talk.say(update(4, 0.0, as_it_is), at(2));
    talk.follow(chain.prepare(), at(3));
    chain.set_nbits(EASY);
    talk.follow(chain.next_block(), at(4));
    assert_snapshot!(talk.text);
    let work = chain.work();
    for channel in talk.channels.clone() {
        hand_in(&mut talk, &channel, 0, 5);
        verify(talk.desk.taken.last().unwrap(), &work);
    }
    let prices: Vec<_> = talk.desk.taken.iter().map(|taken| taken.job.exponent.to_i8()).collect();
    assert_eq!(prices, [-24, -24, -20]);
}

#[test]
fn a_floor_above_a_chains_own_target_splits_no_group() {
    let mut chain = Chain::new(TRIVIAL);
    let rules = Rules { floor: Exponent::clamped(-20), ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    for request in 0..3 {
        talk.say(open_extended(request, ADDRESS, -40), at(1));
    }
    talk.follow(chain.prepare(), at(2));
    let tip = lines(&talk.follow(chain.next_block(), at(3)));
    assert!(tip.len() == 1 && tip[0].starts_with("SetNewPrevHash channel 1 "), "{tip:?}");
    assert!(!talk.text.contains("SetGroupChannel"), "{}", talk.text);
}

#[test]
fn no_job_starts_before_its_tip_also_when_our_clock_is_set_back() {
    let mut chain = Chain::new(HARD);
    for count in [1, 3] {
        let mut proxy = Proxy::default();
        let mut talk = begun(&chain, 0);
        let mut told = Vec::new();
        for request in 0..count {
            told.extend(talk.say(open_extended(request, ADDRESS, -20), at(900)));
        }
        told.extend(talk.follow(chain.prepare(), at(901)));
        told.extend(talk.follow(chain.next_block(), at(902)));
        let back = Moment { elapsed: at(903).elapsed, at: at(3).at };
        told.extend(talk.follow(chain.refresh(), back));
        told.extend(talk.say(update(2, hash_rate(-18), ANY_TARGET), back));
        // The library's client takes a job before its tip for an upstream that has gone mad.
        told.iter().for_each(|message| proxy.hear(message));
        let channel = talk.channel(2).clone();
        let share = hand_in(&mut talk, &channel, 0, 903);
        assert!(proxy.takes(&share));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open { standard: bool, other: bool, k: i32 },
    Close { channel: usize },
    Refresh,
    Prepare,
    Block { nbits: u32 },
    Update { channel: usize, k: i32 },
    Share { channel: usize },
    Silence { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let channel = || 0..8_usize;
    prop_oneof![
        3 => (any::<bool>(), prop::bool::weighted(0.2), -24..-21)
            .prop_map(|(standard, other, k)| Step::Open { standard, other, k }),
        1 => channel().prop_map(|channel| Step::Close { channel }),
        2 => Just(Step::Refresh),
        2 => Just(Step::Prepare),
        2 => prop_oneof![4 => Just(HARD), 1 => Just(EASY)].prop_map(|nbits| Step::Block { nbits }),
        3 => (channel(), -24..-21).prop_map(|(channel, k)| Step::Update { channel, k }),
        6 => channel().prop_map(|channel| Step::Share { channel }),
        1 => (1..20_u64).prop_map(|secs| Step::Silence { secs }),
    ]
}

/// What a group may cost: no channel is told of a tip twice.
fn check_tips(told: &[AnyMessageOwned], channels: &[Channel]) -> Result<(), TestCaseError> {
    let mut tips = vec![0; channels.len()];
    for message in told {
        if let AnyMessageOwned::Mining(MiningOwned::SetNewPrevHash(tip)) = message {
            for (place, channel) in channels.iter().enumerate() {
                let addressed = [channel.id, channel.group].contains(&tip.channel_id);
                tips[place] += u32::from(addressed);
            }
        }
    }
    prop_assert!(tips.iter().all(|tips| *tips == 1), "{tips:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_group_a_channel_is_in_its_share_counts_and_is_its_own(
        steps in prop::collection::vec(step(), 1..50),
    ) {
        let mut chain = Chain::new(HARD);
        let mut talk = begun(&chain, 0);
        let (mut proxy, mut secs, mut nonce) = (Proxy::default(), 1, 0_u32);
        for step in steps {
            secs += 3;
            let pick = |channel: usize, talk: &Conversation| {
                let open = &talk.channels;
                (!open.is_empty()).then(|| open[channel % open.len()].clone())
            };
            let told = match step {
                Step::Open { standard, other, k } => {
                    let open = if standard { open_standard } else { open_extended };
                    talk.say(open(1, if other { OTHER_ADDRESS } else { ADDRESS }, k), at(secs))
                }
                Step::Close { channel } => {
                    let Some(closed) = pick(channel, &talk) else { continue };
                    let told = talk.say(close(closed.id), at(secs));
                    talk.channels.retain(|channel| channel.id != closed.id);
                    told
                }
                Step::Refresh => talk.follow(chain.refresh(), at(secs)),
                Step::Prepare => talk.follow(chain.prepare(), at(secs)),
                Step::Block { nbits } => {
                    chain.set_nbits(nbits);
                    let told = talk.follow(chain.next_block(), at(secs));
                    check_tips(&told, &talk.channels)?;
                    told
                }
                Step::Update { channel, k } => {
                    let Some(channel) = pick(channel, &talk) else { continue };
                    talk.say(update(channel.id, hash_rate(k), ANY_TARGET), at(secs))
                }
                Step::Silence { secs: silence } => {
                    secs += silence;
                    talk.tick(at(secs))
                }
                Step::Share { channel } => {
                    let Some(channel) = pick(channel, &talk) else { continue };
                    nonce += 1 << 20;
                    let share = channel.mine(channel.current(), nonce);
                    let before = talk.desk.taken.len();
                    let message = match channel.kind {
                        Kind::Extended => submit(share.clone()),
                        Kind::Standard => standard(&share),
                    };
                    let told = talk.say(message, at(secs));
                    prop_assert_eq!(talk.desk.taken.len(), before + 1, "{}", talk.text);
                    prop_assert!(proxy.takes(&share), "the library's client: {}", talk.text);
                    verify(talk.desk.taken.last().unwrap(), &chain.work());
                    talk.stored(1);
                    told
                }
            };
            told.iter().for_each(|message| proxy.hear(message));
        }
    }
}
