//! From facts to signed statements: a pure state machine over `BLOCKS` and `ROUNDS`.

use crate::{
    book::{Book, BookError, Heard},
    gather::{GatherError, Gathering},
    signature::{SignError, StatementKey, Validity, VerifyError, body_of},
    slices::Run,
    statement::{StatementError, statement},
};
use subjects::{
    Payload, Timestamp,
    blocks::{Outcome, Solved},
    payouts::{RewardRule, Statement, StatementId},
    rounds::{SliceClosed, SliceLines},
};

/// What a calculator is set to.
#[derive(Debug)]
pub struct Settings {
    /// How the miners' part is split.
    pub rule: RewardRule,
    /// The key that signs.
    pub key: StatementKey,
    /// How long a statement may be paid, in days.
    pub valid_days: u32,
    /// Most bytes that one message of the bus may have.
    pub max_message_bytes: usize,
}

/// Turns facts into statements.
#[derive(Debug)]
pub struct Calculator {
    settings: Settings,
    book: Book,
    /// The block that is due now, while the lines of its slices are read.
    gathering: Option<Gathering>,
}

/// What becomes of a fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Statements to publish.
    pub statements: Vec<Statement>,
    /// Whether lines must be read (see [`Calculator::wanted`]) and the fact be heard again before
    /// it is dealt with.
    pub unfinished: bool,
}

/// What must hold does not: payouts stop until a person has looked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Facts contradict one another.
    #[error("facts about blocks and slices contradict one another")]
    Book(#[from] BookError),
    /// Lines are not those of their slices.
    #[error("the record of slices is damaged")]
    Gather(#[from] GatherError),
    /// A fact cannot be read, so nothing that comes after it may be paid.
    #[error("a fact cannot be read: {0}")]
    Unreadable(String),
    /// A statement that exists cannot be believed.
    #[error("statement {id} in PAYOUTS cannot be believed")]
    Existing {
        /// Which.
        id: StatementId,
        /// Why not.
        source: VerifyError,
    },
    /// A statement cannot be made.
    #[error("statement {id} cannot be made")]
    Statement {
        /// Which.
        id: StatementId,
        /// Why.
        source: StatementError,
    },
    /// A statement cannot be signed.
    #[error("statement {id} cannot be signed")]
    Sign {
        /// Which.
        id: StatementId,
        /// Why.
        source: SignError,
    },
    /// A statement is larger than the bus takes.
    #[error(
        "statement {id} has {bytes} bytes, one message of the bus at most {most}: raise \
         `max_payload` of the servers, then `max_message_bytes` of this worker"
    )]
    TooLarge {
        /// Which.
        id: StatementId,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
}

impl Calculator {
    /// Knows nothing.
    pub fn new(settings: Settings) -> Self {
        let book = Book::new(settings.rule);
        Self { settings, book, gathering: None }
    }

    /// Hears, before anything else, of a statement that exists: it is not made again.
    ///
    /// # Errors
    ///
    /// When it cannot be read or does not add up.
    pub fn exists(&mut self, statement: &Statement) -> Result<(), Fault> {
        let id = statement.id;
        body_of(statement).map_err(|source| Fault::Existing { id, source })?;
        self.book.hear_stated(id);
        Ok(())
    }

    /// Hears that a block is solved.
    pub fn solved(&mut self, solved: &Solved) -> Result<Answer, Fault> {
        let heard = self.book.hear_solved(solved);
        self.answer(heard)
    }

    /// Hears how a block ended; `said_at` is when the bus stored that.
    pub fn outcome(&mut self, outcome: &Outcome, said_at: Timestamp) -> Result<Answer, Fault> {
        let heard = self.book.hear_outcome(outcome, said_at);
        self.answer(heard)
    }

    /// Hears that a slice is closed, by a fact that stands at `closed_at` in `ROUNDS`.
    pub fn slice(&mut self, slice: &SliceClosed, closed_at: u64) -> Result<Answer, Fault> {
        let heard = self.book.hear_slice(slice, closed_at)?;
        self.answer(heard)
    }

    /// The slices whose lines must be read now, and where in `ROUNDS` to begin.
    pub fn wanted(&self) -> Option<(Run, u64)> {
        let run = self.gathering.as_ref()?.wanted()?;
        let from = self.book.slices().lines_from(*run.start());
        Some((run, from))
    }

    /// Reads lines of a slice.
    pub fn lines(&mut self, lines: SliceLines) -> Result<(), Fault> {
        let Some(gathering) = &mut self.gathering else { return Ok(()) };
        Ok(gathering.add(lines)?)
    }

    /// The lines that were wanted have all been read.
    pub fn end_of_lines(&mut self) -> Result<(), Fault> {
        let Some(gathering) = &mut self.gathering else { return Ok(()) };
        Ok(gathering.end_of_reading(self.book.slices())?)
    }

    /// How many statements were made.
    pub fn made(&self) -> usize {
        self.book.made()
    }

    /// Confirmed blocks that wait for their statement.
    pub fn waiting(&self) -> usize {
        self.book.waiting()
    }

    /// The statements that follow from a fact. One that was heard before has its statement said
    /// again, unless it is only heard again because lines had to be read.
    fn answer(&mut self, heard: Heard) -> Result<Answer, Fault> {
        if let (Heard::Again(hash), None) = (heard, &self.gathering) {
            self.book.look_at(hash);
        }
        let mut statements = Vec::new();
        while let Some(due) = self.book.next_due()? {
            let gathering = self.gathering.take().filter(|gathering| gathering.is_for(&due));
            let gathering = gathering.unwrap_or_else(|| Gathering::new(due));
            if gathering.wanted().is_some() {
                self.gathering = Some(gathering);
                return Ok(Answer { statements, unfinished: true });
            }
            statements.push(self.state(gathering)?);
        }
        self.gathering = None;
        Ok(Answer { statements, unfinished: false })
    }

    fn state(&mut self, gathered: Gathering) -> Result<Statement, Fault> {
        let (due, works) = gathered.into_parts();
        let id = due.id();
        let body =
            statement(&self.book, &due, works).map_err(|source| Fault::Statement { id, source })?;
        // No clock of ours decides, so the bytes are the same whoever computes them, and whenever.
        let validity = Validity::from(due.said_at, self.settings.valid_days);
        let signed = self.settings.key.sign(body, validity);
        let signed = signed.map_err(|source| Fault::Sign { id, source })?;
        let (bytes, most) = (size(&signed), self.settings.max_message_bytes);
        if bytes > most {
            return Err(Fault::TooLarge { id, bytes, most });
        }
        self.book.state(&due);
        Ok(signed)
    }
}

/// Bytes of a statement's message.
fn size(statement: &Statement) -> usize {
    let Statement { id, payload, protected, signature } = statement;
    let empty = Statement {
        id: *id,
        payload: String::new(),
        protected: String::new(),
        signature: String::new(),
    };
    // These are base64url, which JSON holds as it is.
    let texts: usize = [payload, protected, signature].into_iter().map(String::len).sum();
    empty.encode().len().saturating_add(texts)
}
