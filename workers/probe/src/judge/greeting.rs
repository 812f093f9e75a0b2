//! Conversations that break off, and what V1 pools refuse.

use super::Stranger;
use crate::report::Finding;
use serde_json::Value;

/// What the pool was asked for when the conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing<'a> {
    /// A message or method of this name.
    Asking(&'a str),
    /// Waiting for the first job.
    Waiting,
}

impl Doing<'_> {
    fn words(self) -> String {
        match self {
            Self::Asking(what) => format!("an answer to {what}"),
            Self::Waiting => "the first job".to_owned(),
        }
    }
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing came in time.
    Silent,
    /// The pool closed the connection.
    Closed,
    /// The socket failed.
    Failed(String),
    /// Somebody else is there.
    Stranger(Stranger),
    /// What came is not understood.
    Nonsense(String),
}

/// What it means that a conversation ended so, with the pool at `address`.
pub fn conversation(doing: Doing<'_>, end: &End, address: &str) -> Finding {
    let wanted = doing.words();
    match end {
        End::Silent => Finding::wrong(
            format!("the pool did not send {wanted} in time"),
            match doing {
                Doing::Asking(_) => {
                    "The pool is overloaded, or this port is for something else: try again, and \
                     check the port."
                }
                Doing::Waiting => {
                    "The pool has no work: its node may be cut off or still starting. Ask its \
                     operator, and let the miner fall back to another pool."
                }
            },
        ),
        End::Closed => Finding::wrong(
            format!("the pool closed the connection instead of sending {wanted}"),
            "It is full, has banned this address, or does not like what was asked: try again later, \
             and ask its operator.",
        ),
        End::Failed(why) => Finding::wrong(
            format!("the connection failed while waiting for {wanted}: {why}"),
            "Something in between cuts connections: look at routers, firewalls and VPNs.",
        ),
        End::Stranger(stranger) => Finding::wrong(
            format!("not Stratum: the port answers with {}", stranger.words()),
            stranger.advice(address),
        ),
        End::Nonsense(what) => Finding::wrong(
            format!("instead of {wanted} this came: {what}"),
            "The pool does not keep to the protocol: tell its operator.",
        ),
    }
}

/// A V1 pool refused a method with this error.
pub fn refusal(method: &str, error: &Value) -> Finding {
    let code = error.get(0).and_then(Value::as_i64);
    let text = error.get(1).or(error.get("message")).and_then(Value::as_str).unwrap_or_default();
    let advice = match (method, code) {
        ("mining.authorize", _) => {
            "Check the user name: most pools want <address> or <address>.<worker>, with an address \
             of the chain that they mine. The pool's text says more."
        }
        (_, Some(20)) if text.to_ascii_lowercase().contains("room") => {
            "The pool is full: use another node, or try again later."
        }
        (_, Some(25)) => "The pool wants to be greeted in another order: update the miner.",
        _ => "Ask the pool's operator what this error means.",
    };
    Finding::wrong(format!("{method} was refused: {error}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_end_says_what_was_waited_for() {
        for end in [End::Silent, End::Closed, End::Failed("reset".to_owned())] {
            let met = conversation(Doing::Asking("mining.subscribe"), &end, "h:1");
            assert!(met.said.contains("mining.subscribe"), "{}", met.said);
        }
        let met = conversation(Doing::Waiting, &End::Silent, "h:1");
        assert!(met.advice.unwrap().contains("no work"));
        let met = conversation(Doing::Waiting, &End::Stranger(Stranger::Tls), "h:1");
        assert!(met.advice.unwrap().contains("stratum+ssl://h:1"));
    }

    #[test]
    fn a_refusal_shows_the_pools_own_error() {
        let met = refusal("mining.authorize", &json!([24, "Not an address", null]));
        assert_eq!(met.said, "mining.authorize was refused: [24,\"Not an address\",null]");
        assert!(met.advice.unwrap().contains("user name"));
        let full = refusal("mining.subscribe", &json!([20, "No room for another miner", null]));
        assert!(full.advice.unwrap().contains("full"));
        assert!(refusal("mining.subscribe", &json!(null)).advice.unwrap().contains("operator"));
    }
}
