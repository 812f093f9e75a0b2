//! What a connection shares with all others, and what it wants told.

use crate::domain::{
    lane::{NotTaken, Taken},
    miner::Miner,
    numbers::Number,
    parking::Parked,
};
use std::{sync::Arc, time::Duration};
use subjects::{blocks::Claimed, sessions::Changed, shares::Reason};

/// What a connection shares with all others.
pub trait Desk {
    /// A channel number that nobody has; `None` when all are taken.
    fn number(&mut self) -> Option<Number>;

    /// Takes a channel number back.
    fn free(&mut self, number: Number);

    /// A session's id, which nobody guesses.
    fn session(&mut self) -> u64;

    /// Keeps what a miner left behind whose connection was lost.
    fn park(&mut self, session: u64, parked: Parked, now: Duration);

    /// What this session left behind, if it is still kept.
    fn resume(&mut self, session: u64, now: Duration) -> Option<Parked>;

    /// Hands a share to the lane.
    ///
    /// # Errors
    ///
    /// When the lane does not take it; the share comes back.
    fn offer(&mut self, taken: Taken) -> Result<(), (NotTaken, Taken)>;
}

/// What a connection wants told to others than its client.
#[derive(Debug, Default)]
pub struct Tidings {
    /// Blocks, to be claimed before anything else.
    pub claims: Vec<Claimed>,
    /// To be published.
    pub facts: Vec<Changed>,
    /// Shares that were turned away; without a miner when nobody knows whose they are.
    pub rejected: Vec<(Option<Arc<Miner>>, Reason)>,
    /// Miners that were refused, by code.
    pub refused: Vec<&'static str>,
    /// Shares whose acknowledgement is on its way, by when each was read.
    pub acknowledged: Vec<Duration>,
    /// What the miner's messages asked for beside being read, in messages.
    pub asked: u32,
}

/// What a channel that opens or closes costs, a target that a miner asks for, or a name that is
/// refused, in messages: each is told on over the bus, or is not mining.
const COST: u32 = 10;

impl Tidings {
    /// The miner asked for something that costs us more than reading it.
    pub const fn asked(&mut self) {
        self.asked = self.asked.saturating_add(COST);
    }
}
