//! What the firmware in the field sends, line by line, and what it depends on in our answers. Each
//! test has the name of the client whose lines it holds.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::testing::work::{ADDRESS, Chain, HARD, at, rules};
use serde_json::json;
use support::{Conversation, json, kinds};

/// A chain on which blocks are rarer than any share of these tests.
const REAL: u32 = 0x1a00_ffff;

fn talk() -> Conversation {
    Conversation::new(rules(), Chain::new(HARD).work(), at(0))
}

fn user(line: &str) -> String {
    line.replace("<user>", &format!("{ADDRESS}.rig")).replace("<wallet>", ADDRESS)
}

/// Says lines one after the other, each when the one before was answered; the miner's next step
/// needs the first line of the answer to be the result of its request.
fn say_in_turn(talk: &mut Conversation, lines: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for line in lines {
        let line = user(line);
        let told = talk.say(&line, at(1));
        assert_eq!(json(&told[0])["id"], json(&line)["id"], "the answer comes first");
        assert_eq!(json(&told[0])["error"], json!(null), "{line}");
        all.extend(told);
    }
    all
}

/// The miner's next share counts: `true`, once it is stored.
fn mine(talk: &mut Conversation, line: impl Fn(&support::miner::Found) -> String, number: u32) {
    let found = talk.miner.find(number);
    let told = talk.say(&line(&found), at(2));
    let answers = kinds(&told).into_iter().filter(|kind| kind == "result").count();
    assert_eq!(answers, 0, "nothing is accepted before it is stored: {told:?}");
    let stored = talk.stored(1);
    assert_eq!(stored.len(), 1);
    assert_eq!(json(&stored[0])["result"], json!(true), "{}", stored[0]);
    assert_eq!(json(&stored[0])["id"], json(&line(&found))["id"]);
    assert_eq!(json(&stored[0])["error"], json!(null));
}

#[test]
fn bitaxe_axeos_2_15_pipelines_its_greeting() {
    let mut talk = talk();
    let (configure, subscribe, authorize) = (
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#,
        r#"{"id":2,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.15.0"]}"#,
        user(r#"{"id":3,"method":"mining.authorize","params":["<user>","x"]}"#),
    );
    let told = talk.say_all(&[configure, subscribe, &authorize], at(0));
    assert_eq!(
        kinds(&told),
        [
            "result",
            "result",
            "result",
            "mining.set_version_mask",
            "mining.set_difficulty",
            "mining.notify",
            "mining.ping"
        ]
    );
    assert_eq!(talk.miner.mask, mining::VERSION_MASK);
    assert!(talk.miner.job().clean);
    let pong = talk.say(r#"{"id":1,"method":"pong","params":[]}"#, at(1));
    assert!(pong.is_empty(), "a pong is no request: {pong:?}");
    assert_eq!(talk.connection.rtt_ms(), Some(1_000));
    let suggested =
        talk.say(r#"{"id":4,"method":"mining.suggest_difficulty","params":[0.000001]}"#, at(1));
    assert_eq!(kinds(&suggested), ["result", "mining.set_difficulty", "mining.notify"]);
    assert!((talk.miner.difficulty - (-20_f64).exp2()).abs() < f64::EPSILON);
    let xnsub = talk.say(r#"{"id":5,"method":"mining.extranonce.subscribe","params":[]}"#, at(1));
    assert_eq!(json(&xnsub[0])["result"], json!(true));
    // It sends what it exclusive-ored to the version of the job.
    let rolled = talk.miner.find_on(talk.miner.job(), 7, 0x00f4_0000);
    let line = rolled.submit_rolled("6", &user("<user>"), 0x00f4_0000);
    assert!(talk.say(&line, at(2)).is_empty());
    assert_eq!(json(&talk.stored(1)[0]), json!({"id": 6, "result": true, "error": null}));
    let version = talk.say(r#"{"id":7,"result":"v2.15.0","error":null}"#, at(2));
    assert!(version.is_empty(), "an answer is no request");
}

#[test]
fn bitaxe_up_to_2_8_subscribes_first() {
    let mut talk = talk();
    let lines = [
        r#"{"id":1,"method":"mining.subscribe","params":["bitaxe/BM1368"]}"#,
        r#"{"id":2,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#,
        r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.0000001]}"#,
        r#"{"id":4,"method":"mining.authorize","params":["<user>","x"]}"#,
    ];
    say_in_turn(&mut talk, &lines);
    mine(&mut talk, |found| found.submit_rolled("5", &user("<user>"), 0), 1);
}

#[test]
fn bitaxe_of_old_sends_four_bytes_of_extranonce2_whatever_the_size() {
    let mut talk = talk();
    say_in_turn(
        &mut talk,
        &[
            r#"{"id":1,"method":"mining.subscribe","params":["bitaxe/BM1366"]}"#,
            r#"{"id":2,"method":"mining.authorize","params":["<user>","x"]}"#,
        ],
    );
    let mut found = talk.miner.find(0x0102_0304);
    assert_eq!(found.extranonce2, "0102030400000000");
    found.extranonce2.truncate(8);
    assert!(talk.say(&found.submit("3", &user("<user>")), at(2)).is_empty());
    assert_eq!(json(&talk.stored(1)[0])["result"], json!(true));
}

#[test]
fn nerdqaxe_plus_asks_for_the_usual_mask() {
    let mut talk = talk();
    let lines = [
        r#"{"id":1,"method":"mining.subscribe","params":["NerdQAxe++/BM1370/v1.0.36"]}"#,
        r#"{"id":2,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#,
        r#"{"id":3,"method":"mining.authorize","params":["<user>","x"]}"#,
        r#"{"id":4,"method":"mining.suggest_difficulty","params":[0.0000001]}"#,
        r#"{"id":5,"method":"mining.extranonce.subscribe","params":[]}"#,
    ];
    let told = say_in_turn(&mut talk, &lines);
    assert!(!kinds(&told).contains(&"mining.ping".to_owned()), "it does not know pings");
    assert_eq!(talk.miner.mask, 0x1fff_e000);
    mine(&mut talk, |found| found.submit_rolled("6", &user("<user>"), 0), 1);
}

#[test]
fn nerdminer_reads_one_line_after_subscribe_and_writes_short_nonces() {
    let mut talk = talk();
    let subscribed = talk
        .say(r#"{"id": 1, "method": "mining.subscribe", "params": ["NerdMinerV2/1.7.0"]}"#, at(0));
    assert_eq!(kinds(&subscribed), ["result"], "the very next line is the result, and only that");
    say_in_turn(
        &mut talk,
        &[r#"{"params": ["<wallet>", "x"], "id": 2, "method": "mining.authorize"}"#],
    );
    let hint = r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.00000000023]}"#;
    let told = talk.say(hint, at(1));
    assert_eq!(json(&told[0])["result"], json!(true));
    // It says so again every half minute without a share: a sign of life, not another wish.
    let told = talk.say(hint, at(29));
    assert_eq!(kinds(&told), ["result"]);
    let found = talk.miner.find(1);
    assert!(found.nonce < 0x1000, "a short nonce");
    let support::miner::Found { job, extranonce2, ntime, nonce, .. } = &found;
    let line = format!(
        r#"{{"id":4,"method":"mining.submit","params":["{ADDRESS}","{job}","{extranonce2}","{ntime}","{nonce:x}"]}}"#
    );
    talk.say(&line, at(30));
    assert_eq!(talk.rejected, []);
    assert_eq!(json(&talk.stored(1)[0])["result"], json!(true));
    // A document of 4 096 bytes is all that it reads.
    assert!(talk.text.lines().all(|line| line.len() < 4_096));
}

#[test]
fn minerd_2_5_1_gives_every_share_the_id_4() {
    let mut talk = talk();
    say_in_turn(
        &mut talk,
        &[
            r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}"#,
            r#"{"id": 2, "method": "mining.authorize", "params": ["<user>", "p"]}"#,
        ],
    );
    let line = |found: &support::miner::Found| {
        let support::miner::Found { job, extranonce2, ntime, nonce, .. } = found;
        user(&format!(
            r#"{{"method": "mining.submit", "params": ["<user>", "{job}", "{extranonce2}", "{ntime}", "{nonce:08x}"], "id":4}}"#
        ))
    };
    mine(&mut talk, line, 1);
    mine(&mut talk, line, 2);
}

#[test]
fn minerd_subscribes_again_without_parameters_when_it_is_not_pleased() {
    let mut talk = talk();
    let first =
        talk.say(r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}"#, at(0));
    let second = talk.say(r#"{"id": 1, "method": "mining.subscribe", "params": []}"#, at(0));
    assert_eq!(first, second);
}

#[test]
fn cpuminer_opt_takes_another_extranonce() {
    let mut talk = talk();
    say_in_turn(
        &mut talk,
        &[
            r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer-opt/24.5"]}"#,
            r#"{"id": 2, "method": "mining.authorize", "params": ["<user>", "x"]}"#,
            r#"{"id": 3, "method": "mining.extranonce.subscribe", "params": []}"#,
        ],
    );
    mine(&mut talk, |found| found.submit("4", &user("<user>")), 1);
}

#[test]
fn cgminer_4_13_takes_the_next_line_for_the_answer() {
    let mut talk = talk();
    let configured = talk.say(
        r#"{"id": 0, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#,
        at(0),
    );
    assert_eq!(kinds(&configured), ["result"]);
    let subscribed = talk.say(
        r#"{"id": 1, "method": "mining.subscribe", "params": ["cgminer/4.13.1", "01020304"]}"#,
        at(0),
    );
    assert_eq!(kinds(&subscribed), ["result"]);
    let told = talk
        .say(&user(r#"{"id": 2, "method": "mining.authorize", "params": ["<user>", "p"]}"#), at(0));
    assert_eq!(kinds(&told)[0], "result");
    assert!(talk.say(r#"{"id": 1, "result": "pong", "error": null}"#, at(1)).is_empty());
    assert_eq!(talk.connection.rtt_ms(), Some(1_000));
    let line = |found: &support::miner::Found| {
        let support::miner::Found { job, extranonce2, ntime, nonce, .. } = found;
        user(&format!(
            r#"{{"params": ["<user>", "{job}", "{extranonce2}", "{ntime}", "{nonce:08x}", "00000000"], "id": 7, "method": "mining.submit"}}"#
        ))
    };
    mine(&mut talk, line, 1);
}

#[test]
fn antminer_bmminer_has_large_ids_and_an_old_session() {
    let mut talk = talk();
    let told = talk.say(
        r#"{"id": 3642, "method": "mining.subscribe", "params": ["bmminer/2.0.0", "ae6812eb4cd7735a302a8a9dd95cf71f"]}"#,
        at(0),
    );
    assert_eq!(json(&told[0])["id"], json!(3642));
    say_in_turn(
        &mut talk,
        &[r#"{"id": 3643, "method": "mining.authorize", "params": ["<user>", "123"]}"#],
    );
    assert!(talk.miner.difficulty >= 1.0, "no fractions of difficulty 1");
}

#[test]
fn luxminer_fills_its_subscription_with_nulls() {
    let mut talk = talk();
    let told = talk.say(
        r#"{"id":2,"method":"mining.subscribe","params":["Antminer S19k Pro|LUXminer 2025.7.10.152155-6e13fb74|BHB56903|Unknown|Unknown|",null,"test.hydrapool.org:3333",null]}"#,
        at(0),
    );
    assert_eq!(json(&told[0])["error"], json!(null));
    let told =
        talk.say(&user(r#"{"id":3,"method":"mining.authorize","params":["<user>",null]}"#), at(0));
    // `Miner::hear` asserts that every line has an id: this firmware drops those without one.
    assert_eq!(kinds(&told), ["result", "mining.set_difficulty", "mining.notify"]);
}

#[test]
fn generic_configurations_are_answered_extension_by_extension() {
    let mut talk = Conversation::new(rules(), Chain::new(REAL).work(), at(0));
    let told = talk.say(
        r#"{"id": 9966, "method": "mining.configure", "params": [["version-rolling", "subscribe-extranonce"], {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 16}]}"#,
        at(0),
    );
    assert_eq!(
        json(&told[0]),
        json!({
            "id": 9966,
            "result": {
                "version-rolling": true,
                "subscribe-extranonce": true,
                "version-rolling.mask": "1fffe000",
            },
            "error": null,
        })
    );
    let told = talk.say(
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling","minimum-difficulty","subscribe-extranonce","info"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16,"minimum-difficulty.value":2048}]}"#,
        at(0),
    );
    let result = &json(&told[0])["result"];
    assert_eq!(result["minimum-difficulty"], json!(true));
    assert_eq!(result["info"], json!(false));
    say_in_turn(
        &mut talk,
        &[
            r#"{"id":2,"method":"mining.subscribe","params":["x/1"]}"#,
            r#"{"id":3,"method":"mining.authorize","params":["<user>","x"]}"#,
        ],
    );
    assert!((talk.miner.difficulty - 2_048.0).abs() < f64::EPSILON);
}

#[test]
fn whatsminer_suggests_a_difficulty_before_it_subscribes() {
    let mut talk = Conversation::new(rules(), Chain::new(REAL).work(), at(0));
    say_in_turn(
        &mut talk,
        &[
            r#"{"id":1,"method":"mining.suggest_difficulty","params":[1024]}"#,
            r#"{"id":2,"method":"mining.subscribe","params":["whatsminer/v1.1"]}"#,
            r#"{"id":3,"method":"mining.authorize","params":["<user>","x"]}"#,
        ],
    );
    assert!((talk.miner.difficulty - 1_024.0).abs() < f64::EPSILON);
    assert!(talk.miner.extranonce2_size <= 8);
}

#[test]
fn nicehash_takes_no_little_difficulty_and_no_little_extranonce() {
    let mut talk = Conversation::new(rules(), Chain::new(REAL).work(), at(0));
    say_in_turn(
        &mut talk,
        &[
            r#"{"id":1,"method":"mining.subscribe","params":["NiceHash/1.0.0","1662637786319","3e74afc0"]}"#,
            r#"{"id":2,"method":"mining.authorize","params":["<user>","x"]}"#,
            r#"{"id":3,"method":"mining.extranonce.subscribe","params":[]}"#,
        ],
    );
    assert!(talk.miner.difficulty >= 500_000.0);
    assert!(talk.miner.extranonce2_size >= 4);
    assert!(talk.miner.job().id.len() >= 8, "it has problems with short job ids");
}
