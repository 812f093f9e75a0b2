//! What the bus does to its workers, drawn from a seed.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// How the bus behaves. Numbers are percent of the occasions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mood {
    /// A publication is stored and its acknowledgement lost, so the same id is sent again.
    pub lost_publish_acks: u8,
    /// Effects are stored and the settlement lost, so the delivery comes again.
    pub lost_settlements: u8,
    /// The worker dies between any two effects of a delivery, and is rebuilt from the streams.
    pub crashes: u8,
    /// The worker's wall clock jumps by up to ten minutes, either way.
    pub clock_jumps: u8,
    /// Streams run ahead of one another, and workers of one another.
    pub reorders: bool,
}

impl Mood {
    /// Everything arrives once, in the order of the declarations.
    pub const fn calm() -> Self {
        Self {
            lost_publish_acks: 0,
            lost_settlements: 0,
            crashes: 0,
            clock_jumps: 0,
            reorders: false,
        }
    }

    /// Everything that can go wrong does, often.
    pub const fn foul() -> Self {
        Self {
            lost_publish_acks: 20,
            lost_settlements: 20,
            crashes: 10,
            clock_jumps: 5,
            reorders: true,
        }
    }
}

/// Farthest that a wall clock jumps.
const MAX_JUMP: Duration = Duration::from_secs(600);

/// The seeded source of everything that happens by chance.
pub(super) struct Fate {
    random: StdRng,
    mood: Mood,
}

impl Fate {
    pub(super) fn new(seed: u64, mood: Mood) -> Self {
        Self { random: StdRng::seed_from_u64(seed), mood }
    }

    /// One of the choices: the first, or any where order is not promised.
    pub(super) fn pick(&mut self, choices: &[usize]) -> Option<usize> {
        if self.mood.reorders && !choices.is_empty() {
            let index = self.random.gen_range(0..choices.len());
            return choices.get(index).copied();
        }
        choices.first().copied()
    }

    pub(super) fn loses_publish_ack(&mut self) -> bool {
        self.strikes(self.mood.lost_publish_acks)
    }

    pub(super) fn loses_settlement(&mut self) -> bool {
        self.strikes(self.mood.lost_settlements)
    }

    /// Before which of `effects` effects the worker dies (`effects` itself means before the
    /// settlement), if it does.
    pub(super) fn crash_before(&mut self, effects: usize) -> Option<usize> {
        self.strikes(self.mood.crashes).then(|| self.random.gen_range(0..=effects))
    }

    /// By how many milliseconds a worker's clock is off from now on, if it jumps now.
    pub(super) fn clock_jump(&mut self) -> Option<i64> {
        let farthest = i64::try_from(MAX_JUMP.as_millis()).unwrap_or(i64::MAX);
        self.strikes(self.mood.clock_jumps).then(|| self.random.gen_range(-farthest..=farthest))
    }

    fn strikes(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.gen_range(0..100) < percent
    }
}
