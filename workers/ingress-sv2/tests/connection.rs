//! Conversations: what a client says, what it is told, what is said of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    domain::{closing::Leaving, lane::NotTaken, rules::Rules},
    testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, TRIVIAL, at, rules},
};
use ingress_sv2::domain::closing::Closing;
use insta::assert_snapshot;
use stratum_core::{
    binary_sv2::U256Owned,
    common_messages_sv2::{Protocol, SetupConnectionOwned},
    mining_sv2::{OpenExtendedMiningChannelOwned, SetCustomMiningJobOwned},
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use subjects::Exponent;
use support::{
    client::{
        ANY_TARGET, close, frame, hash_rate, open_extended, open_standard, setup, setup_message,
        standard, submit, text, translator, update,
    },
    transcript::{Conversation, describe},
};

/// A conversation that begins with a setup.
fn begun(chain: &Chain) -> Conversation {
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    talk.text.clear();
    talk
}

/// A conversation with channel 2 open, extended, at exponent `k`.
fn mining(chain: &Chain, k: i32) -> Conversation {
    let mut talk = begun(chain);
    talk.say(open_extended(1, ADDRESS, k), at(1));
    talk.text.clear();
    talk
}

#[test]
fn an_extended_channel_from_setup_to_the_acknowledged_share() {
    let mut chain = Chain::new(HARD);
    chain.prepare();
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    talk.say(open_extended(7, &format!("{ADDRESS}.garage"), -20), at(1));
    for (sequence, secs) in [(10, 5), (11, 9), (12, 14)] {
        let channel = talk.channels[0].clone();
        let mut share = channel.mine(channel.current(), sequence << 24);
        share.sequence_number = sequence;
        talk.say(submit(share), at(secs));
    }
    talk.note("the bus has stored two of the three");
    talk.stored(2);
    talk.note("and the third");
    talk.stored(1);
    talk.end(Closing::Left, at(20));
    assert_snapshot!(talk.text);
    assert_eq!(talk.desk.taken.len(), 3);
}

#[test]
fn a_standard_channel_mines_headers_only() {
    let chain = Chain::new(HARD);
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(setup_message(SetupConnectionOwned { flags: 1, ..setup() }), at(0));
    talk.say(open_extended(1, ADDRESS, -20), at(1));
    talk.say(open_standard(2, OTHER_ADDRESS, -20), at(1));
    let channel = talk.channels[0].clone();
    let share = channel.mine(channel.current(), 0);
    talk.say(standard(&share), at(5));
    talk.note("the same with an extranonce is not of this channel's kind");
    talk.say(submit(share), at(5));
    talk.stored(1);
    assert_snapshot!(talk.text);
    let taken = &talk.desk.taken[0];
    assert_eq!(taken.job.extranonce_prefix.len(), 20);
    assert!(taken.extranonce.is_empty());
}

#[test]
fn a_setup_is_answered_by_protocol_version_and_flags() {
    let chain = Chain::new(HARD);
    let mut text = String::new();
    let cases = [
        SetupConnectionOwned { protocol: Protocol::JobDeclarationProtocol, ..setup() },
        SetupConnectionOwned { min_version: 3, max_version: 4, ..setup() },
        SetupConnectionOwned { flags: 0b1_0111, ..setup() },
        SetupConnectionOwned { flags: 0b101, ..setup() },
    ];
    for case in cases {
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        talk.say(setup_message(case), at(0));
        text.push_str(&talk.text);
    }
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.note("protocol 9, which nobody has specified");
    let mut unknown = frame(setup_message(setup()));
    unknown[6] = 9;
    talk.say_frame(&mut unknown, at(0));
    text.push_str(&talk.text);
    assert_snapshot!(text);
}

#[test]
fn what_is_said_out_of_turn_ends_the_connection() {
    let chain = Chain::new(HARD);
    let mut first = Conversation::new(rules(), chain.work(), at(0));
    first.say(open_extended(1, ADDRESS, -20), at(0));
    let mut twice = begun(&chain);
    twice.say(setup_message(setup()), at(1));
    let mut ours = begun(&chain);
    ours.note("a message that only servers send, one of no type, one cut short, one too long");
    ours.say_frame(&mut frame(submit(dummy()))[..6].to_vec(), at(1));
    ours.say_frame(&mut [0, 0, 0x01, 0, 0, 0], at(1));
    ours.say_frame(&mut [0, 0, 0x7e, 0, 0, 0], at(1));
    let mut long = frame(submit(dummy()));
    let length = long.len();
    long[length - 14] = 33;
    long.extend([0; 40]);
    ours.say_frame(&mut long, at(1));
    assert_snapshot!(format!("{}---\n{}---\n{}", first.text, twice.text, ours.text));
}

fn dummy() -> stratum_core::mining_sv2::SubmitSharesExtendedOwned {
    stratum_core::mining_sv2::SubmitSharesExtendedOwned {
        channel_id: 2,
        sequence_number: 1,
        job_id: 1,
        nonce: 0,
        ntime: 0,
        version: 0,
        extranonce: vec![0; 13].try_into().unwrap(),
    }
}

#[test]
fn a_channel_is_refused_by_the_codes_of_the_specification() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    let extended = |user: &str, rate: f32, target: [u8; 32], bytes: u16| {
        AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannel(
            OpenExtendedMiningChannelOwned {
                request_id: 5,
                user_identity: text(user),
                nominal_hash_rate: rate,
                max_target: U256Owned::from(target),
                min_extranonce_size: bytes,
            },
        ))
    };
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    talk.say(extended("", 1.0, ANY_TARGET, 8), at(1));
    talk.say(extended("worker1", 1.0, ANY_TARGET, 8), at(1));
    talk.say(extended(mainnet, 1.0, ANY_TARGET, 8), at(1));
    talk.say(extended("@alice", 1.0, ANY_TARGET, 8), at(1));
    talk.say(extended(ADDRESS, f32::NAN, ANY_TARGET, 8), at(1));
    talk.say(extended(ADDRESS, -1.0, ANY_TARGET, 8), at(1));
    talk.say(extended(ADDRESS, 1.0, [0; 32], 8), at(1));
    talk.say(extended(ADDRESS, 1.0, ANY_TARGET, 14), at(1));
    talk.note("three channels are allowed");
    for request in 1..=4 {
        talk.say(open_standard(request, ADDRESS, -20), at(1));
    }
    let refused = talk.text.lines().filter(|line| line.contains("Error")).collect::<Vec<_>>();
    assert_snapshot!(refused.join("\n"));
}

#[test]
fn a_hashrate_of_zero_starts_at_the_configured_one_and_max_target_is_honoured() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    talk.say(open_standard(1, ADDRESS, -60), at(1));
    assert!(talk.text.contains("channel 2 k=-30 "), "{}", talk.text);
    let mut target = [0xff; 32];
    target[31] = 0;
    target[30] = 0;
    let open = OpenExtendedMiningChannelOwned {
        request_id: 2,
        user_identity: text(ADDRESS),
        nominal_hash_rate: 0.0,
        max_target: U256Owned::from(target),
        min_extranonce_size: 0,
    };
    talk.text.clear();
    talk.say(AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannel(open)), at(1));
    // 2^240 - 1 lies between the targets of exponents -16 and -15.
    assert!(talk.text.contains("channel 4 k=-16 "), "{}", talk.text);
}

#[test]
fn every_wrong_share_is_answered_by_its_own_error() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    let channel = talk.channels[0].clone();
    let good = channel.mine(channel.current(), 0);
    talk.say(submit(good.clone()), at(5));
    talk.note("the same again");
    talk.say(submit(good.clone()), at(6));
    talk.note("too easy");
    talk.say(submit(channel.miss(channel.current(), 0)), at(6));
    talk.note("a job that was never sent, and the one that waits for its tip");
    talk.say(submit(with_job(&good, 99)), at(6));
    talk.follow(chain.prepare(), at(6));
    talk.say(submit(with_job(&good, 2)), at(6));
    talk.note("12 bytes of extranonce");
    let mut short = good.clone();
    short.extranonce = vec![0; 12].try_into().unwrap();
    talk.say(submit(short), at(6));
    talk.note("before the tip's least time, and two hours after");
    for ntime in [1_789_999_999, 1_790_007_201] {
        let mut early = good.clone();
        early.ntime = ntime;
        talk.say(submit(early), at(6));
    }
    talk.note("a version bit outside of the mask");
    let mut version = good.clone();
    version.version ^= 1;
    talk.say(submit(version), at(6));
    talk.note("another channel");
    let mut other = good.clone();
    other.channel_id = 9;
    talk.say(submit(other), at(6));
    talk.note("a new block: the job of the old tip is stale");
    talk.follow(chain.next_block(), at(7));
    talk.say(submit(good), at(8));
    assert_snapshot!(talk.text);
}

fn with_job(
    share: &stratum_core::mining_sv2::SubmitSharesExtendedOwned,
    job_id: u32,
) -> stratum_core::mining_sv2::SubmitSharesExtendedOwned {
    stratum_core::mining_sv2::SubmitSharesExtendedOwned { job_id, ..share.clone() }
}

#[test]
fn versions_may_be_rolled_within_the_mask() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain, -28);
    let channel = talk.channels[0].clone();
    let mut rolled = channel.current().clone();
    rolled.version |= 0x1fff_ffe0;
    let share = channel.mine(&rolled, 0);
    talk.say(submit(share), at(5));
    assert_eq!(talk.desk.taken.len(), 1, "{}", talk.text);
}

#[test]
fn a_tip_starts_the_job_that_was_sent_before_it() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    talk.note("a fuller template on the tip");
    talk.follow(chain.refresh(), at(2));
    talk.note("an empty one for the next block");
    talk.follow(chain.prepare(), at(3));
    talk.note("the next block");
    talk.follow(chain.next_block(), at(4));
    talk.note("nothing new");
    talk.follow(chain.work(), at(5));
    talk.note("a block for which nothing was prepared, behind a template that was never followed");
    chain.refresh();
    talk.follow(chain.next_block(), at(6));
    assert_snapshot!(talk.text);
}

#[test]
fn a_job_is_taken_for_sixteen_seconds_after_its_successor() {
    let mut chain = Chain::new(HARD);
    // So few shares would ease the target, which would be another successor.
    let rules = Rules { floor: Exponent::clamped(-24), ..rules() };
    let mut talk = Conversation::new(rules, chain.work(), at(0));
    talk.say(setup_message(setup()), at(0));
    talk.say(open_extended(1, ADDRESS, -24), at(1));
    talk.follow(chain.refresh(), at(100));
    talk.follow(chain.refresh(), at(110));
    let channel = talk.channels[0].clone();
    let mut nonce = 0;
    let mut is_taken = |talk: &mut Conversation, job: usize, secs: u64| {
        nonce += 1 << 20;
        let before = talk.desk.taken.len();
        talk.say(submit(channel.mine(&channel.active[job], nonce)), at(secs));
        talk.stored(1);
        talk.desk.taken.len() > before
    };
    assert!(is_taken(&mut talk, 0, 115) && is_taken(&mut talk, 1, 115));
    assert!(!is_taken(&mut talk, 0, 116), "its successor started at 100");
    assert!(talk.text.contains("stale-share"), "{}", talk.text);
    assert!(is_taken(&mut talk, 1, 125) && !is_taken(&mut talk, 1, 126));
    assert!(is_taken(&mut talk, 2, 3_000), "the newest has no successor");
}

#[test]
fn of_many_jobs_in_a_burst_sixty_four_are_taken() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain, -24);
    for _ in 0..64 {
        talk.follow(chain.refresh(), at(2));
    }
    let channel = talk.channels[0].clone();
    assert_eq!(channel.active.len(), 65);
    talk.say(submit(channel.mine(&channel.active[0], 0)), at(3));
    assert!(talk.desk.taken.is_empty() && talk.text.contains("stale-share"));
    talk.say(submit(channel.mine(&channel.active[1], 1 << 20)), at(3));
    assert_eq!(talk.desk.taken.len(), 1);
}

#[test]
fn a_raised_target_goes_before_its_job_and_an_eased_one_between_two() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain, -24);
    talk.follow(chain.prepare(), at(1));
    talk.text.clear();
    talk.note("eight shares in a second: far too many");
    let channel = talk.channels[0].clone();
    for number in 0..8 {
        talk.say(submit(channel.mine(channel.current(), number << 24)), at(2));
    }
    let raised = talk.channels[0].clone();
    talk.note("a share of the old job still counts by the old job's target");
    talk.say(submit(channel.mine(channel.current(), 0xf000_0000)), at(2));
    let easy = talk.desk.taken.last().unwrap().job.exponent;
    talk.note("then nothing at all, until the target is eased");
    let mut secs = 2;
    while talk.channels[0].target == raised.target {
        secs += 1;
        talk.tick(at(secs));
    }
    assert_snapshot!(talk.text);
    assert_eq!(easy.to_i8(), -24);
}

#[test]
fn an_update_is_followed_within_both_sides_limits() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    talk.note("a faster miner");
    talk.say(update(2, hash_rate(-18), ANY_TARGET), at(2));
    talk.note("only harder targets from now on, whatever the hashrate");
    let mut target = [0xff; 32];
    target[31] = 0;
    target[30] = 0;
    talk.say(update(2, 0.0, target), at(3));
    talk.note("nothing to change");
    talk.say(update(2, 0.0, target), at(4));
    talk.note("what cannot be");
    talk.say(update(9, 0.0, target), at(5));
    talk.say(update(2, f32::INFINITY, target), at(5));
    talk.say(update(2, 0.0, [0; 32]), at(5));
    assert_snapshot!(talk.text);
}

#[test]
fn channels_are_closed_one_by_one_or_as_a_group() {
    let chain = Chain::new(HARD);
    let mut talk = begun(&chain);
    for request in 1..=3 {
        talk.say(open_standard(request, ADDRESS, -20), at(1));
    }
    talk.text.clear();
    let channel = talk.channels[0].clone();
    talk.say(standard(&channel.mine(channel.current(), 0)), at(5));
    talk.say(close(2), at(6));
    talk.note("stored, but the channel is closed: nothing is sent for it");
    talk.stored(1);
    talk.note("group 1 is all channels");
    talk.say(close(1), at(7));
    talk.say(close(2), at(8));
    talk.note("the numbers rest: the next channel gets a fresh one");
    talk.say(open_standard(4, ADDRESS, -20), at(9));
    assert_snapshot!(talk.text);
}

#[test]
fn custom_jobs_are_declined() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    let job = SetCustomMiningJobOwned {
        channel_id: 2,
        request_id: 4,
        token: vec![1].try_into().unwrap(),
        version: 0,
        prev_hash: U256Owned::from([0; 32]),
        min_ntime: 0,
        nbits: 0,
        coinbase_tx_version: 2,
        coinbase_prefix: vec![0].try_into().unwrap(),
        coinbase_tx_input_n_sequence: 0,
        coinbase_tx_outputs: vec![0].try_into().unwrap(),
        coinbase_tx_locktime: 0,
        merkle_path: Vec::<U256Owned>::new().try_into().unwrap(),
    };
    talk.say(AnyMessageOwned::Mining(MiningOwned::SetCustomMiningJob(job)), at(2));
    assert!(talk.text.contains("channel 2 request 4 jd-not-supported"), "{}", talk.text);
}

#[test]
fn a_solving_share_is_claimed_at_once() {
    let chain = Chain::new(TRIVIAL);
    let mut talk = mining(&chain, -20);
    let channel = talk.channels[0].clone();
    let nonces = (0..).map(|nonce| channel.mine(channel.current(), nonce << 24));
    for share in nonces {
        talk.say(submit(share), at(20));
        if talk.text.contains("claims a block") {
            break;
        }
    }
    let claim = talk.text.find("claims a block").unwrap();
    assert!(talk.text.find("SetTarget").is_none_or(|target| claim < target), "{}", talk.text);
    assert!(!talk.desk.taken.is_empty());
}

#[test]
fn a_share_that_the_lane_cannot_take_waits_and_nothing_is_read_meanwhile() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    let channel = talk.channels[0].clone();
    talk.desk.answers.push_back(NotTaken::Full);
    talk.say(submit(channel.mine(channel.current(), 0)), at(5));
    assert!(talk.connection.is_stalled() && !talk.connection.wants_input());
    assert!(talk.stored(1).is_empty(), "nothing was taken, so nothing is acknowledged");
    talk.resume();
    assert!(!talk.connection.is_stalled() && talk.connection.wants_input());
    assert_eq!(talk.stored(1).len(), 1);

    talk.note("a share whose tip the lane has left");
    talk.desk.answers.push_back(NotTaken::TipClosed);
    talk.say(submit(channel.mine(channel.current(), 1 << 24)), at(9));
    assert!(talk.text.contains("stale-share"), "{}", talk.text);
    assert_eq!(talk.connection.unacknowledged(), 0);
}

#[test]
fn a_connection_with_too_many_unacknowledged_shares_is_not_read() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain, -20);
    for number in 0..4 {
        assert!(talk.connection.wants_input());
        let channel = talk.channels[0].clone();
        let share = channel.mine(channel.current(), number << 24);
        talk.say(submit(share), at(5 + 5 * u64::from(number)));
    }
    assert!(!talk.connection.wants_input());
    assert!(talk.connection.deadline().is_none_or(|deadline| deadline < at(900).elapsed));
    talk.stored(1);
    assert!(talk.connection.wants_input());
}

#[test]
fn deadlines_end_connections_that_do_nothing() {
    let chain = Chain::new(HARD);
    let mut silent = Conversation::new(rules(), chain.work(), at(0));
    assert_eq!(silent.connection.deadline(), Some(at(10).elapsed));
    silent.tick(at(9));
    silent.tick(at(10));
    let mut idle = begun(&chain);
    assert_eq!(idle.connection.deadline(), Some(at(60).elapsed));
    idle.tick(at(60));
    let mut quiet = mining(&chain, -40);
    quiet.tick(at(900));
    quiet.tick(at(901));
    assert_snapshot!(format!("{}---\n{}---\n{}", silent.text, idle.text, quiet.text));
}

#[test]
fn a_harder_chain_than_the_target_eases_the_target_with_the_tip() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain, 0);
    talk.follow(chain.prepare(), at(2));
    chain.set_nbits(0x1e00_ffff);
    talk.follow(chain.next_block(), at(3));
    assert_snapshot!(talk.text);
}

#[test]
fn who_drains_asks_those_to_come_back_who_can_bear_it() {
    let chain = Chain::new(HARD);
    let told = |client: SetupConnectionOwned, leaving: Leaving| {
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        talk.say(setup_message(client), at(0));
        talk.farewell(leaving).iter().map(describe).collect::<Vec<_>>()
    };
    let reconnect = ["Reconnect host \"\" port 0"];
    assert_eq!(told(setup(), Leaving::Draining), reconnect);
    let pool = SetupConnectionOwned { hardware_version: text("Job Declarator"), ..translator() };
    assert_eq!(told(pool, Leaving::Draining), reconnect);
    assert!(told(translator(), Leaving::Draining).is_empty());
    let shouting = SetupConnectionOwned { vendor: text("sri"), ..translator() };
    assert!(told(shouting, Leaving::Draining).is_empty());
    assert!(told(setup(), Leaving::NoTip).is_empty(), "nobody is called back to no work");
    let mut nobody = Conversation::new(rules(), chain.work(), at(0));
    assert!(nobody.farewell(Leaving::Draining).is_empty(), "nobody knows yet who that is");
}
