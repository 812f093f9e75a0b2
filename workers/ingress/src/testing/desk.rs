//! What a connection shares with others, without others.

use crate::domain::{
    desk::Desk,
    lane::{NotTaken, Taken},
    numbers::{Number, Numbers},
    parking::{Parked, Parking},
};
use std::{collections::VecDeque, time::Duration};

/// Takes what it is told to take.
#[derive(Debug)]
pub struct Counter {
    /// The numbers that it gives.
    pub numbers: Numbers,
    /// How many tips there were.
    pub tips: u64,
    /// The shares that it took.
    pub taken: Vec<Taken>,
    /// The sessions that it gave ids.
    pub sessions: u64,
    /// What miners left behind.
    pub parking: Parking,
    /// What the lane answers next, if not "taken".
    pub answers: VecDeque<NotTaken>,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            tips: 0,
            taken: Vec::new(),
            sessions: 0,
            parking: Parking::new(4),
            answers: VecDeque::new(),
        }
    }
}

impl Desk for Counter {
    fn number(&mut self) -> Option<Number> {
        self.numbers.take(self.tips)
    }

    fn free(&mut self, number: Number) {
        self.numbers.free(number, self.tips);
    }

    fn session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    fn park(&mut self, session: u64, parked: Parked, now: Duration) {
        for gone in self.parking.park(session, parked, now) {
            self.free(gone.space.into_number());
        }
    }

    fn resume(&mut self, session: u64, now: Duration) -> Option<Parked> {
        self.parking.resume(session, now)
    }

    fn offer(&mut self, taken: Taken) -> Result<(), (NotTaken, Taken)> {
        if let Some(answer) = self.answers.pop_front() {
            return Err((answer, taken));
        }
        self.taken.push(taken);
        Ok(())
    }
}
