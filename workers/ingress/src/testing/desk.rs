//! What a connection shares with others, without others.

use crate::domain::{
    desk::Desk,
    lane::{NotTaken, Taken},
    numbers::{Number, Numbers},
};
use std::collections::VecDeque;

/// Takes what it is told to take.
#[derive(Debug, Default)]
pub struct Counter {
    /// The numbers that it gives.
    pub numbers: Numbers,
    /// How many tips there were.
    pub tips: u64,
    /// The shares that it took.
    pub taken: Vec<Taken>,
    /// What the lane answers next, if not "taken".
    pub answers: VecDeque<NotTaken>,
}

impl Desk for Counter {
    fn number(&mut self) -> Option<Number> {
        self.numbers.take(self.tips)
    }

    fn free(&mut self, number: Number) {
        self.numbers.free(number, self.tips);
    }

    fn offer(&mut self, taken: Taken) -> Result<(), (NotTaken, Taken)> {
        if let Some(answer) = self.answers.pop_front() {
            return Err((answer, taken));
        }
        self.taken.push(taken);
        Ok(())
    }
}
