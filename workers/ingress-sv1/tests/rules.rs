//! What a server must do for the firmware in the field, one rule a test, numbered as in the list
//! that these rules come from (`docs/connect-a-miner.md`).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[cfg(test)]
mod support;

use ingress::{
    domain::{closing::Leaving, lane::NotTaken},
    testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, TRIVIAL, at, rules},
};
use ingress_sv1::domain::{
    closing::{Closing, Fault},
    connection::{Extranonce1, Extranonce2, Offer},
};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use subjects::{Exponent, shares::Reason};
use support::{Conversation, json, kinds};

/// A chain whose blocks are rarer than any share here.
const REAL: u32 = 0x1a00_ffff;
const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":["x/1"]}"#;
const CONFIGURE: &str = r#"{"id":9,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#;

fn authorize(user: &str) -> String {
    format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}","x"]}}"#)
}

/// A conversation of a miner that works.
fn mining(chain: &Chain) -> Conversation {
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say_all(&[SUBSCRIBE, &authorize(ADDRESS)], at(0));
    talk
}

/// The one line that answers, as JSON.
fn answer(talk: &mut Conversation, line: &str) -> Value {
    let told = talk.say(line, at(1));
    let answers: Vec<_> = told.iter().map(|line| json(line)).collect();
    let mut answers = answers.into_iter().filter(|line| line.get("method").is_none());
    let first = answers.next().expect("an answer");
    assert_eq!(answers.next(), None, "one answer");
    first
}

fn error(talk: &mut Conversation, line: &str) -> (i64, String) {
    let answer = answer(talk, line);
    assert_ne!(answer["result"], json!(true), "{answer}");
    let [code, text, Value::Null] = answer["error"].as_array().unwrap().as_slice() else {
        panic!("an error has code, text and null: {answer}");
    };
    assert_eq!(answer["reject-reason"], *text);
    (code.as_i64().unwrap(), text.as_str().unwrap().to_owned())
}

#[test]
fn rule_2_authorize_may_come_before_subscribe() {
    let mut talk = Conversation::new(rules(), Chain::new(HARD).work(), at(0));
    let authorized = talk.say(&authorize(ADDRESS), at(0));
    assert_eq!(kinds(&authorized), ["result"]);
    let subscribed = talk.say(SUBSCRIBE, at(0));
    assert_eq!(kinds(&subscribed), ["result", "mining.set_difficulty", "mining.notify"]);
}

#[test]
fn rule_3_an_unknown_method_is_refused_and_the_connection_stays() {
    let mut talk = mining(&Chain::new(HARD));
    for line in [
        r#"{"id":77,"method":"mining.multi_version","params":[4]}"#,
        r#"{"id":77,"method":"mining.get_transactions","params":["1"]}"#,
        r#"{"id":77,"method":"eth_submitLogin","params":[]}"#,
    ] {
        assert_eq!(error(&mut talk, line), (20, "Not supported.".to_owned()));
    }
    assert_eq!(talk.ended(), None);
}

#[test]
fn rule_4_ids_are_echoed_as_they_came() {
    let mut talk = mining(&Chain::new(HARD));
    for id in ["7", "18446744073709551615", "-1", "1.5", r#""7""#, r#""a\"b""#, "null"] {
        let line = format!(r#"{{"id":{id},"method":"mining.extranonce.subscribe","params":[]}}"#);
        let told = talk.say(&line, at(1));
        assert!(told[0].starts_with(&format!(r#"{{"id":{id},"#)), "{id}: {}", told[0]);
    }
    let told = talk.say(r#"{"method":"mining.extranonce.subscribe","params":[]}"#, at(1));
    assert!(told[0].starts_with(r#"{"id":null,"#));
}

#[test]
fn rule_6_wrong_shares_have_the_codes_that_pools_agree_on() {
    let chain = Chain::new(HARD);
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    let submit = r#"{"id":4,"method":"mining.submit","params":["x","1","00","00","00"]}"#;
    assert_eq!(error(&mut talk, submit).0, 25, "not subscribed");
    talk.say(SUBSCRIBE, at(0));
    assert_eq!(error(&mut talk, submit).0, 24, "not authorized");
    talk.say(&authorize(ADDRESS), at(0));
    let good = talk.miner.find(1);
    assert_eq!(error(&mut talk, &good.submit("4", "other")).0, 24);
    let mut wrong = good.clone();
    wrong.job = "00000099".to_owned();
    let (code, text) = error(&mut talk, &wrong.submit("4", ADDRESS));
    assert_eq!((code, text.as_str()), (21, "Job not found"));
    assert!(talk.say(&good.submit("4", ADDRESS), at(1)).is_empty());
    assert_eq!(error(&mut talk, &good.submit("4", ADDRESS)).0, 22);
    let mut early = good.clone();
    early.ntime = "00000001".to_owned();
    assert_eq!(error(&mut talk, &early.submit("4", ADDRESS)), (20, "Invalid ntime".to_owned()));
    let mut long = good;
    long.extranonce2.push_str("00");
    let (code, text) = error(&mut talk, &long.submit("4", ADDRESS));
    assert_eq!((code, text.as_str()), (20, "Invalid extranonce2 size"));
    assert_eq!(talk.rejected.len(), 7);
}

#[test]
fn rule_6_a_share_that_is_too_easy_has_code_23() {
    let chain = Chain::new(HARD);
    let mut talk = mining(&chain);
    talk.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.01]}"#, at(0));
    let mut easy = talk.miner.job().clone();
    easy.difficulty = 0.0;
    let found = talk.miner.find_on(&easy, 1, 0);
    assert_eq!(error(&mut talk, &found.submit("4", ADDRESS)).0, 23);
}

#[test]
fn rule_7_a_configuration_without_options_is_answered() {
    let mut talk = Conversation::new(rules(), Chain::new(HARD).work(), at(0));
    let answer = answer(
        &mut talk,
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling","minimum-difficulty"]]}"#,
    );
    assert_eq!(
        answer["result"],
        json!({
            "version-rolling": true,
            "minimum-difficulty": false,
            "version-rolling.mask": format!("{:08x}", mining::VERSION_MASK),
        })
    );
    let malformed = r#"{"id":1,"method":"mining.configure","params":"x"}"#;
    assert_eq!(error(&mut talk, malformed).0, 20);
}

#[test]
fn rule_7_a_miner_at_work_is_told_a_mask_and_a_job_only_for_what_it_asked() {
    let mut talk = mining(&Chain::new(REAL));
    let said = talk.say(CONFIGURE, at(1));
    assert_eq!(kinds(&said), ["result", "mining.set_version_mask", "mining.notify"]);
    assert_eq!(kinds(&talk.say(CONFIGURE, at(2))), ["result"], "it has both");
    let least = r#"{"id":9,"method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":1048576}]}"#;
    let said = talk.say(least, at(3));
    assert_eq!(kinds(&said), ["result", "mining.set_difficulty", "mining.notify"]);
    let masked = CONFIGURE.replace("ffffffff", "00ffe000").replace(
        r#"[["version-rolling"],{"#,
        r#"[["version-rolling","minimum-difficulty"],{"minimum-difficulty.value":8388608,"#,
    );
    let said = talk.say(&masked, at(4));
    let once = ["result", "mining.set_version_mask", "mining.set_difficulty", "mining.notify"];
    assert_eq!(kinds(&said), once, "one job for both");
}

#[test]
fn rule_8_all_three_ways_to_send_version_bits_mean_the_same() {
    let chain = Chain::new(HARD);
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say_all(&[CONFIGURE, SUBSCRIBE, &authorize(ADDRESS)], at(0));
    let job = talk.miner.job().clone();
    assert_eq!(job.version & talk.miner.mask, 0, "no bit inside the mask");
    let bits = 0x0a5a_4000;
    let found = talk.miner.find_on(&job, 1, bits);
    let rolled = job.version | bits;
    for way in [bits, rolled ^ job.version, rolled & !job.version] {
        assert_eq!(way, bits);
    }
    assert!(talk.say(&found.submit_rolled("4", ADDRESS, bits), at(1)).is_empty());
    let outside = found.submit_rolled("4", ADDRESS, bits | 0x8000_0000);
    assert_eq!(error(&mut talk, &outside), (20, "Invalid version bits".to_owned()));
    let unrolled = talk.miner.find(2);
    assert!(talk.say(&unrolled.submit("5", ADDRESS), at(1)).is_empty(), "five are enough");
    assert_eq!(talk.stored(2).len(), 2);
}

#[test]
fn rule_8_bits_that_were_not_agreed_on_are_refused() {
    let mut talk = mining(&Chain::new(HARD));
    let found = talk.miner.find_on(talk.miner.job(), 1, 0x2000);
    let line = found.submit_rolled("4", ADDRESS, 0x2000);
    assert_eq!(error(&mut talk, &line), (20, "Invalid version bits".to_owned()));
}

#[test]
fn rule_9_upper_case_is_read_too() {
    let mut talk = mining(&Chain::new(HARD));
    let mut found = talk.miner.find(0xabcd_ef01);
    found.extranonce2 = found.extranonce2.to_uppercase();
    found.ntime = found.ntime.to_uppercase();
    assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty());
    assert_eq!(talk.rejected, []);
}

#[test]
fn rule_10_extranonce2_has_four_to_eight_bytes() {
    assert_eq!((Extranonce2::new(3), Extranonce2::new(9)), (None, None));
    let chain = Chain::new(HARD);
    for size in 4..=8 {
        let size = Extranonce2::new(size).unwrap();
        let mut talk = Conversation::rolling(size, rules(), chain.work(), at(0));
        talk.say_all(&[SUBSCRIBE, &authorize(ADDRESS)], at(0));
        assert_eq!(talk.miner.extranonce2_size, usize::from(size.bytes()));
        assert_eq!(talk.miner.extranonce1.len(), 6);
        let found = talk.miner.find(1);
        assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty());
        let taken = &talk.desk.taken[0];
        assert_eq!(taken.job.extranonce_length, 6 + size.bytes());
        assert_eq!(taken.job.extranonce_prefix.as_slice(), talk.miner.extranonce1);
    }
}

#[test]
fn rule_11_a_difficulty_counts_from_the_next_job_on() {
    let mut talk = mining(&Chain::new(HARD));
    let old = talk.miner.job().clone();
    let told = talk.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.001]}"#, at(0));
    assert_eq!(kinds(&told), ["result", "mining.set_difficulty", "mining.notify"]);
    let new = talk.miner.job().clone();
    assert!(!new.clean, "shares on the jobs before still count");
    assert!(new.difficulty > old.difficulty);
    let found = talk.miner.find_on(&old, 1, 0);
    assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty());
    assert_eq!(talk.rejected, []);
    let price = talk.desk.taken[0].job.exponent;
    assert_eq!(price, Exponent::clamped(-30), "at the price of its own job");
}

#[test]
fn rule_12_difficulties_are_powers_of_two() {
    let mut talk = mining(&Chain::new(HARD));
    for (asked, told) in [(0.7, 0.5), (0.000_15, 0.000_122_070_312_5), (0.1, 0.125)] {
        let line = format!(r#"{{"id":3,"method":"mining.suggest_difficulty","params":[{asked}]}}"#);
        talk.say(&line, at(0));
        assert!((talk.miner.difficulty - told).abs() < f64::EPSILON, "{asked}");
    }
}

#[test]
fn rule_13_a_tip_ends_all_jobs_and_a_fuller_template_none() {
    let mut chain = Chain::new(HARD);
    let mut talk = mining(&chain);
    let first = talk.miner.find(1);
    let told = talk.follow(chain.refresh(), at(5));
    assert_eq!(kinds(&told), ["mining.notify"]);
    assert!(!talk.miner.job().clean);
    assert!(talk.say(&first.submit("4", ADDRESS), at(6)).is_empty(), "the job before counts");
    let told = talk.follow(chain.next_block(), at(7));
    assert_eq!(kinds(&told), ["mining.notify"]);
    assert!(talk.miner.job().clean);
    let late = talk.miner.find_on(&talk.miner.jobs[0], 2, 0);
    assert_eq!(error(&mut talk, &late.submit("4", ADDRESS)), (21, "Stale share".to_owned()));
    // Lines of firmware's buffers; a notify's last parameter is whether it is clean.
    assert!(talk.text.lines().all(|line| line.len() < 4_096));
    assert!(talk.text.contains("true]}") && talk.text.contains("false]}"));
}

#[test]
fn rule_14_coinbases_fit_the_least_that_firmware_takes() {
    let talk = mining(&Chain::new(HARD));
    let line = talk.text.lines().find(|line| line.contains(r#""method":"mining.notify""#)).unwrap();
    let params = &json(line.trim_start_matches("< "))["params"];
    let bytes = |part: usize| params[part].as_str().unwrap().len() / 2;
    let coinbase = bytes(2) + talk.miner.extranonce1.len() + 8 + bytes(3);
    assert!(coinbase <= 500, "{coinbase} bytes; NiceHash takes 500");
}

#[test]
fn rule_16_a_job_comes_every_half_minute() {
    let mut talk = mining(&Chain::new(HARD));
    let mut told = Vec::new();
    for second in 1..=120 {
        let due = talk.connection.deadline().is_some_and(|due| due <= at(second).elapsed);
        if due {
            told.extend(talk.tick(at(second)).into_iter().map(|line| (second, line)));
        }
    }
    let jobs: Vec<_> =
        told.iter().filter(|(_, line)| line.contains("mining.notify")).map(|(at, _)| *at).collect();
    assert!(jobs.len() >= 4, "{jobs:?}");
    assert!(jobs.windows(2).all(|pair| pair[1] - pair[0] <= 30), "{jobs:?}");
    assert!(!talk.miner.job().clean);
    assert_eq!(talk.ended(), None);
}

#[test]
fn rule_17_miners_are_asked_to_come_back_and_told_why_not() {
    let mut talk = mining(&Chain::new(HARD));
    let reconnect = talk.farewell(Leaving::Draining);
    assert_eq!(
        json(&reconnect[0]),
        json!({"id": null, "method": "client.reconnect", "params": []})
    );
    let message = talk.farewell(Leaving::NoTip);
    assert_eq!(json(&message[0])["method"], "client.show_message");
    assert!(json(&message[0])["params"][0].as_str().unwrap().len() <= 256);
}

#[test]
fn rule_19_what_is_no_miner_is_closed_and_an_empty_object_is_not() {
    let chain = Chain::new(HARD);
    for garbage in [
        "GET / HTTP/1.1",
        "SSH-2.0-OpenSSH_9.2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
        "hello",
        "[]",
        "7",
        "",
        "\u{16}\u{3}\u{1}",
    ] {
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        assert_eq!(talk.say(garbage, at(0)), [""; 0], "{garbage}");
        assert!(talk.ended().is_some_and(Closing::is_bad_input), "{garbage}");
    }
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    assert_eq!(error(&mut talk, "{}").0, 20);
    assert_eq!(talk.ended(), None);
    let endless = format!(r#"{{"id":"{}","method":"mining.ping"}}"#, "x".repeat(100));
    talk.say(&endless, at(0));
    assert_eq!(talk.ended().map(Closing::code), Some("line-id"));
}

#[test]
fn rule_19_a_connection_that_does_nothing_ends() {
    let chain = Chain::new(HARD);
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    assert_eq!(talk.connection.deadline(), Some(at(10).elapsed));
    talk.tick(at(10));
    assert_eq!(talk.ended(), Some(Closing::SetupDeadline));
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(SUBSCRIBE, at(1));
    talk.tick(at(61));
    assert_eq!(talk.ended(), Some(Closing::ChannelDeadline));
    let mut talk = mining(&chain);
    talk.tick(at(899));
    assert_eq!(talk.ended(), None);
    talk.tick(at(900));
    assert_eq!(talk.ended(), Some(Closing::Idle));
}

#[test]
fn rule_10_four_bytes_of_extranonce1_are_enough_for_firmware_that_takes_no_more() {
    let offer = Offer { extranonce1: Extranonce1::Short, ..Offer::default() };
    let chain = Chain::new(HARD);
    let mut talk = Conversation::offered(offer, rules(), chain.work(), at(0));
    talk.say_all(&[SUBSCRIBE, &authorize(ADDRESS)], at(0));
    assert_eq!(talk.miner.extranonce1.len(), 4);
    let found = talk.miner.find(1);
    assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty(), "it is good");
    let prefix = talk.desk.taken[0].job.extranonce_prefix.as_slice();
    assert_eq!(prefix.len(), 6, "Core reads the lane from it");
    assert_eq!(prefix[2..], talk.miner.extranonce1);
}

#[test]
fn rule_20_several_workers_of_one_address_mine_on_one_connection() {
    let mut talk = mining(&Chain::new(HARD));
    let second = format!("{ADDRESS}.second");
    assert_eq!(kinds(&talk.say(&authorize(&second), at(0))), ["result"]);
    let found = talk.miner.find(1);
    assert!(talk.say(&found.submit("4", &second), at(1)).is_empty());
    let found = talk.miner.find(2);
    assert!(talk.say(&found.submit("5", ADDRESS), at(1)).is_empty());
    let workers: Vec<_> = talk.desk.taken.iter().map(|taken| taken.miner.worker.as_str()).collect();
    assert_eq!(workers, ["second", ""]);
    assert_eq!(error(&mut talk, &authorize(OTHER_ADDRESS)).0, 24, "a coinbase pays one address");
    assert_eq!(error(&mut talk, &authorize("nobody")).0, 24);
    let third = format!("{ADDRESS}.third");
    assert_eq!(answer(&mut talk, &authorize(&third))["result"], json!(true));
    let fourth = format!("{ADDRESS}.fourth");
    assert_eq!(error(&mut talk, &authorize(&fourth)).0, 24, "three are as many as there may be");
    assert_eq!(answer(&mut talk, &authorize(&third))["result"], json!(true), "but again they may");
}

#[test]
fn rule_21_a_duplicate_is_one_whatever_its_unused_digits() {
    let mut talk = mining(&Chain::new(HARD));
    let found = talk.miner.find(1 << 24);
    assert_eq!(found.extranonce2, "0100000000000000");
    assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty());
    let mut short = found.clone();
    short.extranonce2.truncate(2);
    assert_eq!(error(&mut talk, &short.submit("4", ADDRESS)).0, 22);
    assert_eq!(error(&mut talk, &found.submit_rolled("4", ADDRESS, 0)).0, 22);
    assert_eq!(talk.rejected, [Reason::DuplicateShare; 2]);
}

#[test]
fn rule_22_nothing_but_bad_shares_gets_work_again_then_a_reconnect_then_the_end() {
    let mut talk = mining(&Chain::new(HARD));
    let bad = talk.miner.find(1).submit("4", ADDRESS);
    talk.say(&bad, at(0));
    let mut told = Vec::new();
    for secs in 1..=181 {
        let lines = talk.say(&bad, at(secs));
        for kind in kinds(&lines).into_iter().filter(|kind| kind != "result") {
            told.push((secs, kind));
        }
        if talk.ended().is_some() {
            break;
        }
    }
    let told: Vec<_> = told.iter().map(|(secs, kind)| (*secs, kind.as_str())).collect();
    let remedies =
        [(61, "mining.set_difficulty"), (61, "mining.notify"), (121, "client.reconnect")];
    assert_eq!(told, remedies);
    assert_eq!(talk.ended(), Some(Closing::Fault(Fault::OnlyRejects)));
}

#[test]
fn rule_22_a_good_share_between_bad_ones_forgives_them() {
    let mut talk = mining(&Chain::new(HARD));
    let bad = talk.miner.find(1).submit("4", ADDRESS);
    talk.say(&bad, at(0));
    for secs in 1..=400 {
        if secs % 50 == 0 {
            let good = talk.miner.find(u32::try_from(secs).unwrap()).submit("5", ADDRESS);
            talk.say(&good, at(secs));
            talk.stored(1);
        }
        let lines = talk.say(&bad, at(secs));
        assert!(!kinds(&lines).contains(&"client.reconnect".to_owned()), "at {secs} s");
        assert_eq!(talk.ended(), None);
    }
}

#[test]
fn a_block_is_claimed_before_its_share_is_stored() {
    let mut talk = mining(&Chain::new(TRIVIAL));
    for number in 1..=32 {
        let found = talk.miner.find(number);
        talk.say(&found.submit("4", ADDRESS), at(1));
    }
    assert!(talk.claims > 0, "every second hash is a block");
}

#[test]
fn a_share_waits_for_room_and_the_miner_with_it() {
    let mut talk = mining(&Chain::new(HARD));
    talk.desk.answers.push_back(NotTaken::Full);
    let found = talk.miner.find(1);
    assert!(talk.say(&found.submit("4", ADDRESS), at(1)).is_empty());
    assert!(talk.connection.is_stalled() && !talk.connection.wants_input());
    talk.resume();
    assert!(talk.connection.wants_input());
    assert_eq!(json(&talk.stored(1)[0])["id"], json!(4));
    for number in 2..=5 {
        let found = talk.miner.find(number);
        talk.say(&found.submit("4", ADDRESS), at(1));
    }
    assert_eq!(talk.connection.unacknowledged(), 4);
    assert!(!talk.connection.wants_input(), "four are as many as may wait");
}

#[test]
fn password_options_set_the_difficulty() {
    let chain = Chain::new(0x1a00_ffff);
    for (password, told) in [
        ("x", Exponent::clamped(-30)),
        ("d=1024", Exponent::clamped(10)),
        ("md=1000", Exponent::clamped(10)),
        ("d=4;md=16", Exponent::clamped(4)),
        ("fd=512,d=1", Exponent::clamped(9)),
    ] {
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        talk.say(SUBSCRIBE, at(0));
        let user = authorize(ADDRESS).replace(r#""x""#, &format!("\"{password}\""));
        talk.say(&user, at(0));
        let difficulty = f64::from(told.to_i8()).exp2();
        assert!((talk.miner.difficulty - difficulty).abs() < f64::EPSILON, "{password}");
    }
}

#[test]
fn whatever_a_miner_asks_for_no_share_is_rarer_than_a_block() {
    for (agent, password) in [("NiceHash/1.0.0", "x"), ("x/1", "md=1e9"), ("x/1", "fd=1e9")] {
        let mut chain = Chain::new(0x1a00_ffff);
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        talk.say(&SUBSCRIBE.replace("x/1", agent), at(0));
        talk.say(&authorize(ADDRESS).replace(r#""x""#, &format!("\"{password}\"")), at(0));
        assert!(talk.miner.difficulty >= 500_000.0, "{agent} {password}");
        assert!(talk.miner.difficulty <= 16_777_216.0, "{agent} {password}");
        chain.set_nbits(HARD);
        talk.follow(chain.next_block(), at(1));
        assert!(talk.miner.difficulty <= 1.0, "{agent} {password}: difficulty 1 is a block");
    }
}

#[test]
fn a_miner_1000_times_slower_than_it_said_is_found_within_a_minute() {
    let chain = Chain::new(0x1a00_ffff);
    let mut talk = Conversation::new(rules(), chain.work(), at(0));
    talk.say(SUBSCRIBE, at(0));
    talk.say(&authorize(ADDRESS).replace(r#""x""#, r#""d=1024""#), at(0));
    for second in 1..=60 {
        if talk.connection.deadline().is_some_and(|due| due <= at(second).elapsed) {
            talk.tick(at(second));
        }
    }
    assert!(talk.miner.difficulty <= 1.0, "{}", talk.miner.difficulty);
    assert_eq!(rules().shares_per_minute, NonZeroU32::new(12).unwrap());
}
