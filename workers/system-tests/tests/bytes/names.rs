//! User names and passwords.

use mining::{
    Identity, Network,
    identity::{MAX_ADDRESS_LENGTH, MAX_USER_IDENTITY_LENGTH, MAX_WORKER_LENGTH, parse},
};
use stratum_v1::{Difficulty, options};
use subjects::Exponent;

/// A user name is refused, or has one spelling that reads back as itself.
pub fn identity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for network in [Network::Bitcoin, Network::Signet, Network::Regtest] {
        let Ok(parsed) = parse(text, network) else { continue };
        assert!(text.len() <= MAX_USER_IDENTITY_LENGTH);
        assert!(parsed.worker.len() <= MAX_WORKER_LENGTH && parsed.worker.is_ascii());
        let canonical = parsed.identity.canonical();
        assert!(canonical.len() <= MAX_ADDRESS_LENGTH && !canonical.contains('.'));
        assert_eq!(Identity::from_canonical(canonical, network).unwrap(), parsed.identity);
        let again = parse(&format!("{canonical}.{}", parsed.worker), network).unwrap();
        assert_eq!(again, parsed);
    }
}

/// A password means what its options say, whatever stands around them.
pub fn password(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let asked = options(text);
    for difficulty in [asked.start, asked.least, asked.fixed].into_iter().flatten() {
        bounds(difficulty);
    }
    assert_eq!(options(&format!("x,{text};x")), asked);
    assert_eq!(options(&text.to_ascii_uppercase()).start.is_some(), asked.start.is_some());
    if let Ok(difficulty) = serde_json::from_slice::<Difficulty>(data) {
        bounds(difficulty);
    }
}

fn bounds(difficulty: Difficulty) {
    let (nearest, at_least) = (difficulty.nearest(), difficulty.at_least());
    assert!((Exponent::MIN..=Exponent::MAX).contains(&nearest) && nearest <= at_least);
    assert!(at_least.to_i8() - nearest.to_i8() <= 1);
}
