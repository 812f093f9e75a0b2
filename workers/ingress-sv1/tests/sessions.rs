//! Rule 18: a miner whose connection was lost goes on with its session.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::testing::work::{ADDRESS, Chain, HARD, OTHER_ADDRESS, at, rules};
use ingress_sv1::domain::closing::Closing;
use serde_json::{Value, json};
use support::{Conversation, json, kinds};

const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":["x/1"]}"#;

fn authorize(user: &str) -> String {
    format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}","x"]}}"#)
}

/// A miner whose connection was lost, and another one of it that says what it had.
struct Again {
    chain: Chain,
    before: Conversation,
    after: Conversation,
    session: String,
}

impl Again {
    /// Lost at 10 s; connected again at `secs`.
    fn at(secs: u64) -> Self {
        let chain = Chain::new(HARD);
        let mut before = Conversation::new(rules(), chain.work(), at(0));
        let told = before.say(SUBSCRIBE, at(0));
        let session = json(&told[0])["result"][0][1][1].as_str().unwrap().to_owned();
        before.say(&authorize(ADDRESS), at(0));
        before.say(&before.miner.find(1).submit("4", ADDRESS), at(5));
        before.end(Closing::Left, at(10));
        let mut after = Conversation::new(rules(), chain.work(), at(secs));
        after.desk = std::mem::take(&mut before.desk);
        Self { chain, before, after, session }
    }

    /// Hands a share in; whether the lane took it.
    fn counts(&mut self, share: &str, secs: u64) -> bool {
        let before = self.after.desk.taken.len();
        self.after.say(share, at(secs));
        self.after.desk.taken.len() > before
    }

    /// Hands a share in that does not count; the code that it is answered with.
    fn refused(&mut self, share: &str, secs: u64) -> Value {
        let told = self.after.say(share, at(secs));
        json(told.last().unwrap())["error"][0].clone()
    }

    /// Whether a subscription with this session gets the extranonce1 of before.
    fn resumes(&mut self, session: &str, secs: u64) -> bool {
        let line =
            format!(r#"{{"id":1,"method":"mining.subscribe","params":["x/1","{session}"]}}"#);
        self.after.say(&line, at(secs));
        self.after.miner.extranonce1 == self.before.miner.extranonce1
    }
}

#[test]
fn rule_18_a_lost_session_goes_on_where_it_was() {
    let mut again = Again::at(20);
    let session = again.session.clone();
    assert!(again.resumes(&session, 20));
    let told = again.after.say(&authorize(ADDRESS), at(20));
    assert_eq!(kinds(&told), ["result", "mining.set_difficulty", "mining.notify"]);
    assert!(!again.after.miner.job().clean, "what it has is still good");
    let unsent = again.before.miner.find(2).submit("5", ADDRESS);
    assert!(again.counts(&unsent, 21));
    let sent = again.before.miner.find(1).submit("6", ADDRESS);
    assert_eq!(again.refused(&sent, 21), json!(22), "it was stored, answered or not");
    let taken: Vec<_> = again.after.desk.taken.iter().map(|taken| taken.sequence).collect();
    assert_eq!(taken, [1, 2], "shares go on counting");
    let second = json(again.after.text.lines().nth(1).unwrap().trim_start_matches("< "));
    assert_ne!(second["result"][0][1][1], json!(session), "the session is another one");
}

#[test]
fn rule_18_a_session_is_resumed_on_the_tip_that_is_current() {
    let mut again = Again::at(20);
    let work = again.chain.next_block();
    again.after.follow(work, at(20));
    let session = again.session.clone();
    assert!(again.resumes(&session, 20));
    again.after.say(&authorize(ADDRESS), at(20));
    assert!(again.after.miner.job().clean);
    let late = again.before.miner.find(2).submit("5", ADDRESS);
    assert_eq!(again.refused(&late, 20), json!(21));
    let found = again.after.miner.find(1).submit("6", ADDRESS);
    assert!(again.counts(&found, 21));
}

#[test]
fn rule_18_a_session_is_resumed_once_and_soon_and_by_its_id() {
    let mut again = Again::at(131);
    let session = again.session.clone();
    assert!(!again.resumes(&session, 131), "two minutes are over");
    for id in ["", "0", "0000000000000007", "ae6812eb4cd7735a302a8a9dd95cf71f"] {
        let mut again = Again::at(20);
        assert!(!again.resumes(id, 20), "`{id}`");
    }
    let mut again = Again::at(20);
    assert!(again.resumes(&session, 20));
    let desk = std::mem::take(&mut again.after.desk);
    let mut thief = Again::at(20);
    thief.after.desk = desk;
    assert!(!thief.resumes(&session, 20), "somebody has it");
}

#[test]
fn rule_18_another_address_gets_a_coinbase_of_its_own() {
    let mut again = Again::at(20);
    let session = again.session.clone();
    assert!(again.resumes(&session, 20));
    again.after.say(&authorize(OTHER_ADDRESS), at(20));
    let theirs = again.before.miner.find(2).submit("5", OTHER_ADDRESS);
    assert!(!again.counts(&theirs, 20), "its coinbase was another miner's");
    let found = again.after.miner.find(1).submit("6", OTHER_ADDRESS);
    assert!(again.counts(&found, 21));
    let identity = &again.after.desk.taken.last().unwrap().miner.identity;
    assert_eq!(identity, OTHER_ADDRESS);
}
