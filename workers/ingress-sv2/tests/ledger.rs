//! What the stored prefix is acknowledged by.

#[cfg(test)]
mod support;

use ingress::domain::ledger::Ledger;
use ingress_sv2::{
    domain::ledger::{Answer, acknowledge},
    wire::Frames,
};
use std::time::Duration;
use subjects::Work;
use support::{client, transcript::describe};

#[test]
fn acknowledgements_are_one_per_channel_and_silent_for_closed_ones() {
    let mut ledger = Ledger::default();
    for (channel, sequence) in [(2, 1), (3, 9), (2, 2), (4, 5), (3, 10)] {
        let answer = Answer { channel_id: channel, sequence, work: Work::new(3 << 32) };
        ledger.took(answer, Duration::from_secs(sequence.into()));
    }
    let mut frames = Frames::default();
    let mut read_at = Vec::new();
    acknowledge(&mut ledger, 9, |channel| channel != 4, &mut frames, &mut read_at);
    assert_eq!(read_at.len(), 5, "a report beyond what is owed acknowledges no more than that");
    let lines: Vec<_> = frames.iter().map(|frame| describe(&client::read(frame))).collect();
    assert_eq!(
        lines,
        [
            "SubmitShares.Success channel 2 to sequence 2: 2 shares, sum 6",
            "SubmitShares.Success channel 3 to sequence 10: 2 shares, sum 6",
        ]
    );
}
