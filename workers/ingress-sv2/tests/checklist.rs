//! What the specification (of August 2026) asks of a pool, rule by rule, and the test that holds it.
//! Those of this file are named by their rule.
//!
//! | section | rule | held by |
//! |---|---|---|
//! | 4.5 | Noise NX, a certificate of the authority, any wrong MAC ends the session | `noise` |
//! | 4.5 | frames in pieces of 65 519 bytes; what a miner may send is bounded | `noise` |
//! | 4.6 | the URL's key is base58check | `noise::the_public_key…` |
//! | 3.2 | an extension that nobody agreed on is ignored | `extensions::what_both_speak…` |
//! | 3.5 | codes are printable ASCII | `rule_3_5`, `domain::codes` |
//! | 3.6.1 | SetupConnection comes first, and once | `connection::what_is_said_out_of_turn…` |
//! | 3.6.1 | version 2 lies within the client's range | `rule_3_6_1` |
//! | 3.6.3 | Error lists all flags that are not supported, 0 for other reasons | `rule_3_6_3`, `connection::a_setup_is_answered…` |
//! | 3.6.4 | ChannelEndpointChanged resets extensions | `extensions::a_channel_with_another_endpoint…` |
//! | 3.6.5 | Reconnect, to the same authority | `connection::who_drains…`, `loopback::a_drain…` |
//! | 5.1.1 | headers are told apart by prefix only, never by transactions | `rule_5_1_1` |
//! | 5.1.3 | a job for the next block holds no transaction that it could confirm | `rule_5_1_3` |
//! | 5.2 | ids of channels and groups are one namespace, and never given twice | `rule_5_2` |
//! | 5.2.2 | extended and standard channels both open | `connection`, `groups` |
//! | 5.2.3 | one size of the extranonce in a group | `rule_5_2_3`, `support::proxy` |
//! | 5.3.1 | REQUIRES_STANDARD_JOBS: nothing but standard jobs, no group | `groups::a_client_that_requires…` |
//! | 5.3.1 | REQUIRES_VERSION_ROLLING: every job may be rolled, no flag says otherwise | `rule_5_3_1` |
//! | 5.3.2 | no channel in reasonable time ends the connection | `connection::deadlines…` |
//! | 5.3.2 | 0 H/s is a hashrate | `connection::a_hashrate_of_zero…` |
//! | 5.3.3 | the first target is not easier than max_target | `rule_5_3_3` |
//! | 5.3.5 | extranonce_size is at least what was asked for, the whole at most 32 | `rule_5_3_5` |
//! | 5.3.7 | a smaller maximum_target is followed; a valid update has no other answer | `rule_5_3_7`, `connection::an_update…` |
//! | 5.3.9 | CloseChannel of a group closes all; then nothing is sent for them | `rule_5_3_9`, `connection::channels_are_closed…` |
//! | 5.3.10 | a new prefix counts for later jobs | `prefixes` |
//! | 5.3.11 | times within the tip's window | `rule_5_3_11` |
//! | 5.3.12 | the extranonce has the negotiated size | `connection::every_wrong_share…` |
//! | 5.3.13 | acknowledgements in batches, each share at its own target | `ledger`, `connection::an_extended_channel…` |
//! | 5.3.14 | one error per wrong share, at once, by its code | `connection::every_wrong_share…` |
//! | 5.3.15 | the first message is a future job, which the next one starts | `rule_5_3_15` |
//! | 5.3.15 | no two valid jobs of a channel have one id | `support::client`, in `jobs` and `groups` |
//! | 5.3.15 | a job with min_ntime starts at once | `jobs`, `groups` |
//! | 5.3.16 | coinbases without BIP 141 data; bits of the mask cleared; other bits are the job's | `rule_5_3_16`, `connection::versions_may_be_rolled…` |
//! | 5.3.16 | jobs fit devices' buffers of 2 KB | `rule_5_3_16` |
//! | 5.3.17 | SetNewPrevHash names a job sent before, on that channel or group, and ends all others | `jobs`, `groups` with `support::proxy` |
//! | 5.3.18 | custom jobs need REQUIRES_WORK_SELECTION, which is not supported | `rule_5_3_18`, `connection::custom_jobs…` |
//! | 5.3.21 | a target counts for later jobs; each share by the target of its job | `connection::a_raised_target…`, `groups` |
//! | 5.3.22 | SetGroupChannel where group jobs can be taken only | `groups` |
//! | 7 | a block goes out at once | `connection::a_solving_share…`, `loopback` |
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    domain::rules::Rules,
    testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, at, rules},
};
use std::collections::BTreeSet;
use stratum_core::{
    binary_sv2::U256Owned,
    bitcoin::Target,
    common_messages_sv2::SetupConnectionOwned,
    mining_sv2::{NewExtendedMiningJobOwned, OpenExtendedMiningChannelOwned},
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use subjects::Exponent;
use support::{
    client::{
        ANY_TARGET, close, frame, hash_rate, open_extended, open_standard, setup, setup_message,
        standard, submit, text, update,
    },
    transcript::{Conversation, describe},
};

/// The bits that BIP 323 gives to miners.
const ROLLED: u32 = 0x1fff_ffe0;

/// A conversation with room for many channels, after its setup.
fn begun(chain: &Chain) -> Conversation {
    let rules = Rules { max_channels: 64, max_unacknowledged: 1_000, ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    talk.text.clear();
    talk
}

/// What a client of this setup is answered.
fn answer(client: SetupConnectionOwned) -> String {
    let mut talk = Conversation::new(rules(), Chain::new(HARD).work(), at(0));
    describe(&talk.say(setup_message(client), at(0))[0])
}

fn extended(request_id: u32, rate: f32, max_target: [u8; 32], bytes: u16) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannel(
        OpenExtendedMiningChannelOwned {
            request_id,
            user_identity: text(ADDRESS),
            nominal_hash_rate: rate,
            max_target: U256Owned::from(max_target),
            min_extranonce_size: bytes,
        },
    ))
}

fn extended_jobs(told: &[AnyMessageOwned]) -> Vec<&NewExtendedMiningJobOwned> {
    let jobs = told.iter().filter_map(|message| {
        let AnyMessageOwned::Mining(MiningOwned::NewExtendedMiningJob(job)) = message else {
            return None;
        };
        Some(job)
    });
    jobs.collect()
}

#[test]
fn rule_3_5_every_code_is_printable() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    talk.say(open_extended(1, "nobody", -20), at(1));
    talk.say(extended(2, f32::NAN, ANY_TARGET, 8), at(1));
    talk.say(extended(3, 1.0, [0; 32], 8), at(1));
    talk.say(extended(4, 1.0, ANY_TARGET, 99), at(1));
    talk.say(update(9, 1.0, ANY_TARGET), at(1));
    talk.say(open_extended(5, ADDRESS, -20), at(1));
    let channel = talk.channels[0].clone();
    let mut wrong = channel.mine(channel.current(), 0);
    wrong.ntime = 0;
    talk.say(submit(wrong), at(1));
    let errors: Vec<_> = talk.text.lines().filter(|line| line.contains(".Error ")).collect();
    assert_eq!(errors.len(), 6, "{}", talk.text);
    for error in errors {
        let code = error.rsplit(' ').next().unwrap();
        let is_word = |byte: u8| byte == b'-' || byte.is_ascii_lowercase();
        assert!(!code.is_empty() && code.bytes().all(is_word), "{error}");
    }
}

#[test]
fn rule_3_6_1_version_two_lies_within_the_clients_range() {
    for (min_version, max_version, taken) in
        [(2, 2, true), (1, 2, true), (2, 9, true), (0, 1, false), (3, 9, false), (3, 1, false)]
    {
        let told = answer(SetupConnectionOwned { min_version, max_version, ..setup() });
        if taken {
            assert_eq!(told, "SetupConnection.Success version 2 flags 0");
        } else {
            assert_eq!(told, "SetupConnection.Error protocol-version-mismatch flags 0b0");
        }
    }
}

#[test]
fn rule_3_6_3_a_client_that_sets_every_flag_hears_all_that_are_not_supported() {
    let told = answer(SetupConnectionOwned { flags: u32::MAX, ..setup() });
    let unsupported = !0b101_u32;
    let all = format!("SetupConnection.Error unsupported-feature-flags flags {unsupported:#b}");
    assert_eq!(told, all);
}

#[test]
fn rule_5_1_1_channels_differ_in_their_prefix_only() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    let first = talk.say(open_extended(1, ADDRESS, -20), at(1));
    let second = talk.say(open_extended(2, ADDRESS, -18), at(1));
    let (first, second) = (extended_jobs(&first)[0].clone(), extended_jobs(&second)[0].clone());
    assert_eq!(first.merkle_path, second.merkle_path);
    let path: Vec<_> = first.merkle_path.iter().map(|node| node.to_array()).collect();
    assert_eq!(path, chain.refresh().template.merkle_path(), "the template's own");
    let prefixes: BTreeSet<_> = talk.channels.iter().map(|channel| &channel.prefix).collect();
    assert_eq!(prefixes.len(), 2);
}

#[test]
fn rule_5_1_3_the_job_for_the_next_block_is_empty_and_the_full_one_follows_the_tip() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    talk.say(open_extended(1, ADDRESS, -20), at(1));
    let prepared = talk.follow(chain.prepare(), at(2));
    let job = extended_jobs(&prepared)[0];
    assert!(job.is_future() && job.merkle_path.is_empty(), "{job}");
    let tip = talk.follow(chain.next_block(), at(3));
    assert!(tip.len() == 1 && extended_jobs(&tip).is_empty(), "the tip comes alone");
    let full = talk.follow(chain.refresh(), at(4));
    assert!(
        !extended_jobs(&full)[0].is_future() && !extended_jobs(&full)[0].merkle_path.is_empty()
    );
}

#[test]
fn rule_5_2_no_id_is_a_channels_and_a_groups_or_given_twice() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    let mut channels = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for round in 0..30_u32 {
        let user = if round % 3 == 0 { ADDRESS } else { OTHER_ADDRESS };
        let k = -24 + i32::try_from(round % 4).unwrap();
        let open = if round % 2 == 0 { open_standard } else { open_extended };
        talk.say(open(round, user, k), at(1));
        let opened = talk.channels.last().unwrap().clone();
        assert!(channels.insert(opened.id), "channel {} again", opened.id);
        groups.insert(opened.group);
        if round % 5 == 4 {
            talk.say(close(opened.id), at(1));
        }
        talk.say(update(opened.id, hash_rate(k + 1), ANY_TARGET), at(2));
        groups.extend(talk.channels.iter().map(|channel| channel.group));
    }
    assert!(groups.len() > 4 && channels.is_disjoint(&groups), "{channels:?} {groups:?}");
}

#[test]
fn rule_5_2_3_the_extranonce_of_every_channel_has_one_size() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    for (request, bytes) in (0..=13).enumerate() {
        talk.say(extended(u32::try_from(request).unwrap(), 1.0, ANY_TARGET, bytes), at(1));
    }
    talk.say(open_standard(99, ADDRESS, -20), at(1));
    assert_eq!(talk.channels.len(), 15);
    assert!(talk.channels.iter().all(|channel| channel.prefix.len() + channel.rolled == 20));
}

#[test]
fn rule_5_3_1_every_job_may_be_rolled_and_no_flag_says_otherwise() {
    let told = answer(SetupConnectionOwned { flags: 0b100, ..setup() });
    assert_eq!(told, "SetupConnection.Success version 2 flags 0");
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    let mut told = talk.say(open_extended(1, ADDRESS, -20), at(1));
    told.extend(talk.follow(chain.prepare(), at(2)));
    told.extend(talk.follow(chain.refresh(), at(2)));
    assert_eq!(extended_jobs(&told).len(), 3);
    assert!(extended_jobs(&told).iter().all(|job| job.version_rolling_allowed));
}

#[test]
fn rule_5_3_3_the_first_target_is_no_easier_than_the_client_accepts() {
    let chain = Chain::new(HARD);
    for k in -30..=0 {
        for rate in [0.0, hash_rate(-30), hash_rate(-10)] {
            let mut most = mining::Target::of(Exponent::clamped(k.into())).to_le_bytes();
            most[0] = 7;
            let mut talk = begun(&chain);
            talk.say(extended(1, rate, most, 8), at(1));
            let given = talk.channels[0].target.unwrap();
            assert!(given <= Target::from_le_bytes(most), "k {k} at {rate} H/s");
        }
    }
}

#[test]
fn rule_5_3_5_as_many_bytes_are_rolled_as_were_asked_for() {
    let chain = Chain::new(HARD);
    for bytes in [0, 4, 8, 13] {
        let mut talk = begun(&chain);
        talk.say(extended(1, 1.0, ANY_TARGET, bytes), at(1));
        let channel = &talk.channels[0];
        assert!(
            channel.rolled >= usize::from(bytes) && channel.prefix.len() + channel.rolled <= 32
        );
    }
    let mut talk = begun(&chain);
    let told = talk.say(extended(1, 1.0, ANY_TARGET, 14), at(1));
    assert!(describe(&told[0]).ends_with("min-extranonce-size-too-large"));
}

#[test]
fn rule_5_3_7_a_smaller_maximum_is_followed_and_nothing_else_is_said() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    talk.say(open_extended(1, ADDRESS, -20), at(1));
    assert!(talk.say(update(2, 0.0, ANY_TARGET), at(2)).is_empty(), "nothing to change");
    let harder = mining::Target::of(Exponent::clamped(-17)).to_le_bytes();
    let told = talk.say(update(2, 0.0, harder), at(3));
    assert_eq!(describe(&told[0]), "SetTarget channel 2 k=-17");
    assert_eq!(talk.channels[0].target, Some(Target::from_le_bytes(harder)));
}

#[test]
fn rule_5_3_9_nothing_is_said_of_a_closed_channel() {
    let mut chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    for request in 1..=3 {
        talk.say(open_extended(request, ADDRESS, -20), at(1));
    }
    let closed = talk.channels.remove(0);
    talk.say(submit(closed.mine(closed.current(), 0)), at(2));
    assert!(talk.say(close(closed.id), at(3)).is_empty(), "closing has no answer");
    let mut told = talk.stored(1);
    told.extend(talk.follow(chain.prepare(), at(4)));
    told.extend(talk.follow(chain.next_block(), at(5)));
    told.extend(talk.say(close(1), at(6)));
    told.extend(talk.follow(chain.refresh(), at(7)));
    let named = format!("channel {} ", closed.id);
    assert!(told.iter().all(|message| !describe(message).contains(&named)), "{}", talk.text);
    let late = talk.say(submit(closed.mine(closed.current(), 1 << 24)), at(8));
    assert!(describe(&late[0]).ends_with("invalid-channel-id"));
}

#[test]
fn rule_5_3_11_times_of_two_hours_are_taken_and_no_others() {
    let chain = Chain::new(HARD);
    let least = chain.work().tip.min_ntime();
    for (ntime, taken) in
        [(least - 1, false), (least, true), (least + 7_200, true), (least + 7_201, false)]
    {
        let mut talk = begun(&chain);
        talk.say(open_extended(1, ADDRESS, -24), at(1));
        let channel = talk.channels[0].clone();
        let mut job = channel.current().clone();
        job.min_ntime = ntime;
        talk.say(submit(channel.mine(&job, 0)), at(2));
        assert_eq!(talk.desk.taken.len(), usize::from(taken), "{ntime}: {}", talk.text);
        assert_eq!(talk.text.contains("invalid-ntime"), !taken);
    }
}

#[test]
fn rule_5_3_15_a_channel_opens_with_a_future_job_that_the_next_message_starts() {
    let chain = Chain::new(HARD);
    for open in [open_extended, open_standard] {
        let mut talk = begun(&chain);
        let told = talk.say(open(1, ADDRESS, -20), at(1));
        let lines: Vec<_> = told.iter().map(describe).collect();
        assert!(lines[0].contains("MiningChannel.Success"), "{lines:?}");
        assert!(lines[1].contains("MiningJob channel 2 job 1 waits"), "{lines:?}");
        assert!(lines[2].starts_with("SetNewPrevHash channel 2 starts job 1"), "{lines:?}");
        assert_eq!(lines.len(), 3);
        let channel = talk.channels[0].clone();
        let share = channel.mine(channel.current(), 0);
        let share = if channel.rolled == 0 { standard(&share) } else { submit(share) };
        talk.say(share, at(2));
        assert_eq!(talk.desk.taken.len(), 1, "{}", talk.text);
    }
}

#[test]
fn rule_5_3_16_a_job_is_small_without_witness_and_with_the_rolled_bits_cleared() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    let told = talk.say(open_extended(1, ADDRESS, -20), at(1));
    let job = extended_jobs(&told)[0];
    assert_eq!(job.version & ROLLED, 0);
    let prefix = job.coinbase_tx_prefix.as_ref();
    assert_eq!(prefix[4], 1, "one input, where BIP 144 has its marker 0");
    let suffix = job.coinbase_tx_suffix.as_ref();
    assert_eq!(&suffix[suffix.len() - 4..], [0; 4], "the lock time");
    assert_eq!(suffix[4], 3, "treasury, finder, witness commitment");
    assert!(!suffix.windows(34).any(|bytes| bytes == [[1, 32].as_slice(), &[0; 32]].concat()));
    let bytes = frame(AnyMessageOwned::Mining(MiningOwned::NewExtendedMiningJob(job.clone())));
    assert!(bytes.len() < 2_048, "{} bytes", bytes.len());
}

#[test]
fn rule_5_3_18_custom_work_is_not_offered() {
    let told = answer(SetupConnectionOwned { flags: 0b10, ..setup() });
    assert_eq!(told, "SetupConnection.Error unsupported-feature-flags flags 0b10");
}
