//! What a miner is told when, without sockets or clocks.

#[cfg(test)]
mod support;

use serde_json::json;
use std::time::Duration;
use stratum_core::parsers_sv2::MiningOwned;
use support::{
    ADDRESS, OTHER,
    messages::{self, NTIME, Offer, fixed_job, job, stored, target, tip},
    talk::{Talk, at, rules},
};
use translator::domain::{closing::Closing, miner::Rules};

#[test]
fn the_subscription_is_answered_before_anybody_is_named() {
    let mut talk = Talk::new(rules());
    let said = talk.say(r#"{"id":1,"method":"mining.subscribe","params":["cgminer/4.13"]}"#);
    assert_eq!(said[0]["result"][1], json!("00000007"), "four bytes of ours");
    assert_eq!(said[0]["result"][2], json!(4));
    assert_eq!(said.len(), 1);
    assert!(talk.asked().is_none(), "nothing can be asked of the pool yet");
    let said = talk.say(r#"{"id":2,"method":"mining.authorize","params":["nobody","x"]}"#);
    assert!(said.is_empty(), "the pool has not said whether it takes the name");
    let open = talk.asked().unwrap();
    assert_eq!(open.min_extranonce_size, 8);
    assert_eq!(open.max_target.to_array(), [0xff; 32]);
    let said = talk.pool(Offer::new(2).opened(&open));
    assert_eq!(said, [json!({"id": 2, "result": true, "error": null})]);
    let said = talk.first_job(2);
    let methods: Vec<_> = said.iter().map(|line| line["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["mining.set_difficulty", "mining.notify"]);
}

#[test]
fn who_authorizes_first_is_served_all_the_same() {
    let mut talk = Talk::new(rules());
    talk.say(&Talk::authorize(ADDRESS));
    assert!(talk.asked().is_none());
    talk.say(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    assert_eq!(talk.asked().unwrap().user_identity.as_utf8_or_hex(), ADDRESS);
}

#[test]
fn a_share_is_the_one_that_the_miner_found() {
    for rolled in [8, 9, 13, 25] {
        let offer = Offer { rolled, ..Offer::new(2) };
        let mut talk = Talk::open(rules(), &offer);
        talk.submit(77, ADDRESS);
        let share = talk.shared().unwrap();
        assert!(offer.target.is_met_by(&offer.hash(&share, 0x33)), "{rolled} bytes");
        assert_eq!((share.sequence_number, share.ntime), (1, NTIME));
        let padding = usize::from(rolled) - 8;
        assert_eq!(
            share.extranonce.as_bytes()[..padding + 4],
            [vec![0; padding], vec![0, 0, 0, 7]].concat()
        );
        assert_eq!(talk.pool(stored(2, 1, 1)), [json!({"id": 77, "result": true, "error": null})]);
    }
}

#[test]
fn a_pool_that_leaves_too_little_of_the_extranonce_is_said_to() {
    let mut talk = Talk::new(rules());
    talk.subscribe();
    talk.say(&Talk::authorize(ADDRESS));
    let open = talk.asked().unwrap();
    let said = talk.pool(Offer { rolled: 7, ..Offer::new(2) }.opened(&open));
    let text = said[0]["error"][1].as_str().unwrap();
    assert!(text.starts_with("extranonce-too-short"), "{text}");
    assert!(matches!(talk.to_pool.pop_front(), Some(MiningOwned::CloseChannel(_))));
}

#[test]
fn version_bits_are_rolled_whatever_firmware_makes_of_the_mask() {
    let offer = Offer::new(2);
    let mut talk = Talk::new(rules());
    let said = talk.say(
        r#"{"id":9,"method":"mining.configure","params":[["version-rolling","x"],{"version-rolling.mask":"ffffffff"}]}"#,
    );
    let expected = json!({"version-rolling": true, "x": false, "version-rolling.mask": "1fffe000"});
    assert_eq!(said[0]["result"], expected);
    talk.begin(&offer);
    let lines = talk.first_job(2);
    assert_eq!(lines[0]["method"], "mining.set_version_mask");
    let job = talk.mind.job().clone();
    // The pool's version has two bits inside the mask; the miner's has none.
    assert_eq!(job.version, 0x2000_0000);
    let found = talk.mind.find_on(&job, 5, 0x00c0_4000);
    talk.say(&found.submit_rolled("5", ADDRESS, 0x00c0_4000));
    let share = talk.shared().unwrap();
    assert_eq!(share.version, 0x20c0_4000);
    assert!(offer.target.is_met_by(&offer.hash(&share, 0x33)));
    let said = talk.say(&found.submit_rolled("6", ADDRESS, 0x0000_0020));
    assert_eq!(said[0]["error"], json!([20, "Invalid version bits", null]));
    // A job whose version is fixed is given as it is, and nothing of it may be rolled.
    let said = talk.pool(fixed_job(2, 2, Some(NTIME)));
    assert_eq!(said[0]["params"][0], json!("00000000"));
    assert_eq!(said[1]["params"][5], json!("20006000"));
    let found = talk.mind.find(8);
    talk.say(&found.submit("8", ADDRESS));
    assert_eq!(talk.shared().unwrap().version, messages::VERSION);
}

#[test]
fn what_misses_the_pools_target_is_not_sent() {
    let offer = Offer { target: target(2_999_999_937), ..Offer::new(2) };
    let mut talk = Talk::open(rules(), &offer);
    let mut easy = talk.mind.job().clone();
    easy.difficulty = 0.0;
    let found = talk.mind.find_on(&easy, 1, 0);
    let said = talk.say(&found.submit("1", ADDRESS));
    assert_eq!(said[0]["error"], json!([23, "Low difficulty share", null]));
    assert!(talk.to_pool.is_empty());
}

#[test]
fn targets_hold_for_the_jobs_that_are_started_after_them() {
    let mut talk = Talk::open(rules(), &Offer::new(2));
    let before = talk.mind.difficulty;
    talk.pool(job(2, 2, None));
    assert!(talk.pool(messages::set_target(2, target(50))).is_empty(), "no job, no difficulty");
    // The job came before the target, and is started after it.
    let said = talk.pool(tip(2, 2, 0x44));
    assert_eq!(said[0]["method"], "mining.set_difficulty");
    assert!(talk.mind.difficulty > 10.0 * before);
    assert_eq!(said[1]["params"][8], json!(true));
}

#[test]
fn only_the_tips_own_job_waits_and_it_ends_all_others() {
    let mut talk = Talk::open(rules(), &Offer::new(2));
    let old = talk.mind.find(3);
    assert!(talk.pool(job(2, 5, None)).is_empty());
    assert!(talk.pool(job(2, 6, None)).is_empty());
    let said = talk.pool(tip(2, 6, 0x44));
    assert_eq!((said.len(), &said[0]["params"][8]), (1, &json!(true)));
    let said = talk.say(&old.submit("3", ADDRESS));
    assert_eq!(said[0]["error"], json!([21, "Job not found", null]));
    let broken = talk.pool_breaks(tip(2, 5, 0x55));
    assert_eq!(broken.to_string(), "the pool starts job 5, which does not wait for a tip");
}

#[test]
fn work_is_repeated_with_the_time_of_now_and_eight_jobs_are_kept() {
    let mut talk = Talk::open(rules(), &Offer::new(2));
    let first = talk.mind.find(1);
    for round in 1..=8 {
        let now = at(30 * round);
        assert_eq!(talk.miner.deadline(), Some(now));
        let said = talk.tick(now).unwrap();
        assert_eq!(said[0]["params"][8], json!(false));
        let ntime = format!("{:08x}", u64::from(NTIME) + 30 * round);
        assert_eq!(said[0]["params"][7], json!(ntime));
    }
    let said = talk.say(&first.submit("1", ADDRESS));
    assert_eq!(said[0]["error"], json!([21, "Job not found", null]), "the ninth is one too many");
    // All of them are one job of the pool's.
    let second = talk.mind.jobs[1].clone();
    let found = talk.mind.find_on(&second, 2, 0);
    talk.say(&found.submit("2", ADDRESS));
    assert_eq!(talk.shared().unwrap().job_id, 1);
}

#[test]
fn miners_have_deadlines_and_the_pool_is_not_among_their_faults() {
    let mut silent = Talk::new(rules());
    assert_eq!(silent.miner.deadline(), Some(at(10)));
    assert_eq!(silent.tick(at(10)), Err(Closing::SetupDeadline));
    let mut nameless = Talk::new(rules());
    nameless.subscribe();
    assert_eq!(nameless.tick(at(60)), Err(Closing::ChannelDeadline));
    let mut waiting = Talk::new(rules());
    waiting.subscribe();
    waiting.say(&Talk::authorize(ADDRESS));
    assert_eq!(waiting.miner.deadline(), Some(at(86_400)), "it waits for the pool for a day");
    let mut idle = Talk::open(rules(), &Offer::new(2));
    assert_eq!(idle.tick(at(900)), Err(Closing::Idle));
}

#[test]
fn names_of_one_address_share_a_channel_and_others_do_not() {
    let mut talk = Talk::open(rules(), &Offer::new(2));
    let second = format!("{}.second", ADDRESS.to_uppercase());
    assert_eq!(talk.say(&Talk::authorize(&second))[0]["result"], json!(true));
    talk.submit(4, &second);
    assert!(talk.shared().is_some());
    let said = talk.say(&Talk::authorize(OTHER));
    assert_eq!(said[0]["error"][0], json!(24));
    let said = talk.say(&Talk::authorize("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
    assert!(said[0]["error"][1].as_str().unwrap().starts_with("Not an address of this network"));
    let stranger = talk.mind.find(9);
    let said = talk.say(&stranger.submit("9", "stranger"));
    assert_eq!(said[0]["error"], json!([24, "Unauthorized worker", null]));
}

#[test]
fn wishes_become_hashrates_before_and_after_the_channel_is_open() {
    let mut talk = Talk::new(rules());
    talk.subscribe();
    talk.say(&format!(
        r#"{{"id":2,"method":"mining.authorize","params":["{ADDRESS}","d=1024,md=16"]}}"#
    ));
    let open = talk.asked().unwrap();
    // 2^42 hashes every five seconds, and nothing easier than difficulty 16.
    assert!((open.nominal_hash_rate / (42.0_f32.exp2() / 5.0) - 1.0).abs() < 1e-6);
    let sixteen = mining::Target::of(subjects::Exponent::clamped(4));
    assert_eq!(open.max_target.to_array(), sixteen.to_le_bytes());
    // A pool that may not give so little work gives what it may.
    assert!(talk.pool(messages::not_opened(&open, "max-target-out-of-range")).is_empty());
    let open = talk.asked().unwrap();
    assert_eq!(open.max_target.to_array(), [0xff; 32]);
    talk.pool(Offer::new(2).opened(&open));
    let suggest = |difficulty: &str| {
        format!(r#"{{"id":3,"method":"mining.suggest_difficulty","params":[{difficulty}]}}"#)
    };
    talk.say(&suggest("0.00015"));
    assert!(matches!(talk.to_pool.pop_front(), Some(MiningOwned::UpdateChannel(_))));
    talk.say(&suggest("0.00015"));
    assert!(talk.to_pool.is_empty(), "a sign of life is no news");
}

#[test]
fn a_channel_that_the_pool_closes_is_opened_again_after_a_pause() {
    let mut talk = Talk::open(rules(), &Offer::new(2));
    talk.submit(4, ADDRESS);
    let said = talk.pool(messages::closed(2, "too-many-shares-on-one-tip"));
    assert_eq!(said[0]["error"][0], json!(21), "what was not answered is not stored");
    talk.to_pool.clear();
    assert_eq!(talk.link.deadline(), Some(at(1)));
    talk.link_tick(at(1));
    let open = talk.asked().unwrap();
    talk.pool(Offer::new(3).opened(&open));
    let said = talk.first_job(3);
    assert_eq!(said.last().unwrap()["params"][8], json!(true));
    talk.submit(5, ADDRESS);
    assert_eq!(talk.shared().unwrap().channel_id, 3);
}

#[test]
fn with_vardiff_the_pool_is_told_what_a_miner_does() {
    let mut talk = Talk::open(Rules { vardiff: true, ..rules() }, &Offer::new(2));
    for number in 1..=40 {
        talk.now = Duration::from_millis(100 * number);
        talk.submit(u32::try_from(number).unwrap(), ADDRESS);
    }
    let mut updates = talk.to_pool.iter().filter_map(|message| {
        if let MiningOwned::UpdateChannel(update) = message {
            Some(update.nominal_hash_rate)
        } else {
            None
        }
    });
    let last =
        updates.next_back().expect("ten shares a second are fifty times what they should be");
    assert!(last > 1.0, "{last}");
    let mut quiet = Talk::open(rules(), &Offer::new(2));
    for number in 1..=40 {
        quiet.now = Duration::from_millis(100 * number);
        quiet.submit(u32::try_from(number).unwrap(), ADDRESS);
    }
    let is_update = |message: &MiningOwned| matches!(message, MiningOwned::UpdateChannel(_));
    assert!(!quiet.to_pool.iter().any(is_update), "the pool rules difficulties");
}
