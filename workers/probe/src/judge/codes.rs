//! The codes of Stratum V2's refusals.

use crate::report::Finding;

/// `SetupConnection.Error`.
pub fn setup_refused(code: &str) -> Finding {
    let advice = match code {
        "unsupported-feature-flags" => {
            "The pool does not let miners roll the version, which ASICs need: use another port or \
             pool, or ask its operator."
        }
        "unsupported-protocol" => {
            "This port is not for miners (perhaps for templates or job declaration): check the port."
        }
        "protocol-version-mismatch" => {
            "The pool is older or newer than version 2: update the miner."
        }
        _ => "Ask the pool's operator what this code means.",
    };
    Finding::wrong(format!("the pool refuses the connection: `{code}`"), advice)
}

/// `OpenMiningChannel.Error` for a user.
pub fn channel_refused(user: &str, code: &str) -> Finding {
    let advice = match code {
        "unknown-user" => {
            "The pool does not know this user name: check its spelling; most pools want \
             <address> or <address>.<worker>."
        }
        "invalid-user-identity" => {
            "The user name is no address of this pool's network: use <address>.<worker>, with an \
             address of the chain that the pool mines."
        }
        "max-target-out-of-range" => {
            "The pool gives no target as easy or hard as was asked for: tell the pool's operator."
        }
        "min-extranonce-size-too-large" => {
            "The pool leaves the miner too few bytes to roll: tell the pool's operator."
        }
        "invalid-nominal-hashrate" => "The pool does not take this hash rate: give another one.",
        "channel-capacity-exhausted" => "The pool is full: use another node, or try again later.",
        "extended-channels-not-supported-for-standard-jobs" | "unsupported-extended-channels" => {
            "This port is for miners of standard jobs only: proxies need another port."
        }
        "invalid-nbits" => "The pool's own work is broken: tell its operator.",
        _ => "Ask the pool's operator what this code means.",
    };
    Finding::wrong(format!("no channel for `{user}`: `{code}`"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_repeated_and_explained() {
        let met = channel_refused("bc1q.rig", "unknown-user");
        assert_eq!(met.said, "no channel for `bc1q.rig`: `unknown-user`");
        assert!(met.advice.unwrap().contains("spelling"));
        assert!(setup_refused("unsupported-feature-flags").advice.unwrap().contains("roll"));
        assert!(setup_refused("made-up").said.contains("`made-up`"));
        assert!(channel_refused("x", "made-up").advice.unwrap().contains("operator"));
    }
}
