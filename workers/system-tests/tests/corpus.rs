//! Inputs that a fuzzer found, that firmware sends and that attackers would: each is replayed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bytes;

use std::{fs, path::Path};

/// Most inputs of a target, and the longest: what is kept is read by people, too.
const MOST: usize = 250;
const LONGEST: usize = 8_192;

fn replay(target: &str, held: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!((10..=MOST).contains(&inputs.len()), "{target} has {} inputs", inputs.len());
    for path in inputs {
        let input = fs::read(&path).unwrap();
        assert!(input.len() <= LONGEST, "{} is too long to keep", path.display());
        // A failure is to name its input.
        let outcome = std::panic::catch_unwind(|| held(&input));
        assert!(outcome.is_ok(), "{} breaks {target}", path.display());
    }
}

#[test]
fn lines_of_v1() {
    replay("v1_line", bytes::v1_line);
}

#[test]
fn conversations_of_v1() {
    replay("v1_conversation", bytes::v1_conversation);
}

#[test]
fn frames_of_v2() {
    replay("v2_frame", bytes::v2_frame);
}

#[test]
fn connections_of_v2() {
    replay("v2_connection", bytes::v2_connection);
}

#[test]
fn user_names() {
    replay("identity", bytes::identity);
}

#[test]
fn passwords() {
    replay("password", bytes::password);
}
