//! Acknowledgements: `SubmitShares.Success` once per channel and report of the lane.

use crate::wire::Frames;
use ingress::domain::ledger::{Ledger, Owed};
use mining::target::difficulty_sum;
use std::time::Duration;
use subjects::Work;

/// What a share's acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The channel.
    pub channel_id: u32,
    /// The miner's number of the share on it.
    pub sequence: u32,
    /// What the share is worth.
    pub work: Work,
}

#[derive(Debug)]
struct Acknowledged {
    channel_id: u32,
    last_sequence: u32,
    count: u32,
    work: Work,
}

/// The bus has stored the `count` oldest: writes one acknowledgement per channel that `is_open`,
/// and notes when each share was read.
pub fn acknowledge(
    ledger: &mut Ledger<Answer>,
    count: usize,
    is_open: impl Fn(u32) -> bool,
    frames: &mut Frames,
    read_at: &mut Vec<Duration>,
) {
    let mut channels: Vec<Acknowledged> = Vec::new();
    ledger.stored(count, |owed| {
        read_at.push(owed.read_at);
        add(&mut channels, &owed);
    });
    for done in channels.iter().filter(|done| is_open(done.channel_id)) {
        let sum = difficulty_sum(done.work);
        frames.shares_stored(done.channel_id, done.last_sequence, done.count, sum);
    }
}

fn add(channels: &mut Vec<Acknowledged>, owed: &Owed<Answer>) {
    let Answer { channel_id, sequence, work } = owed.answer;
    match channels.iter_mut().find(|done| done.channel_id == channel_id) {
        Some(done) => {
            done.last_sequence = sequence;
            done.count = done.count.saturating_add(1);
            // A batch is bounded, and so is a share's work: the sum stays far below the type's.
            done.work = done.work.checked_add(work).unwrap_or(done.work);
        }
        None => channels.push(Acknowledged { channel_id, last_sequence: sequence, count: 1, work }),
    }
}
