//! What a data team can do with its credential, and what not.

use crate::network::Network;
use serde_json::Value;

/// `tap` shows shares from DATA; the same credential cannot read MONEY's other subjects.
pub(crate) fn sees_shares_and_nothing_else(network: &Network) {
    let arguments = ["tap", "shares.accepted.>", "--json", "--from", "first", "--count", "3"];
    let output = network.run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for line in lines {
        assert_eq!(line["type"], "hyperhash.shares.v1.accepted", "{line:#}");
        assert!(line["subject"].as_str().unwrap().starts_with("shares.accepted.n1."), "{line:#}");
        let shares = line["body"]["shares"].as_array().unwrap_or_else(|| panic!("{line:#}"));
        assert!(!shares.is_empty());
    }
    let stranger =
        ["tap", "audit.>", "--json", "--from", "first", "--count", "1", "--stream", "AUDIT"];
    let output = network.run(&stranger);
    assert!(!output.status.success(), "AUDIT can be read by a data team");
}
