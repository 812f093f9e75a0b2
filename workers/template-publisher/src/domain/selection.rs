//! Which bitcoind the templates come from: the first one by priority that may be used.

use super::reorg::Reorg;
use bitcoind_rpc::{BlockTemplate, NodeState, node::NodeRefusal};
use std::{sync::Arc, time::Duration};

/// How long a bitcoind may be unwell before another one takes its place, and how long well before
/// it gets its place back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without an answer.
    pub unreachable: Duration,
    /// Behind the best known tip: blocks reach nodes at different times, and large ones take
    /// seconds to validate.
    pub behind: Duration,
    /// Well again, before it is returned to.
    pub recovered: Duration,
}

/// How the last look at a bitcoind went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// There was none yet.
    #[default]
    Silent,
    /// It answered, and is on our chain.
    Good,
    /// Its templates must not be mined on.
    Refused(NodeRefusal),
    /// It did not answer, or not as it should.
    Failed(String),
}

/// All that is known of one bitcoind at a moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// How the last look went.
    pub standing: Standing,
    /// Where it stood when it last answered.
    pub state: Option<NodeState>,
    /// When it last answered all that it was asked, templates included.
    pub answered_at: Duration,
    /// When it made itself heard of the tip in `state`.
    pub notified_at: Duration,
    /// The last template that it made.
    pub template: Option<Arc<BlockTemplate>>,
    /// When that template was asked for.
    pub template_asked_at: Duration,
    /// How long the answer took.
    pub template_took: Duration,
    /// The last reorganisation that it went through.
    pub reorg: Option<Reorg>,
    /// Calls that failed.
    pub rpc_errors_total: u64,
}

/// Why a bitcoind is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It was never heard of.
    #[error("it has not answered yet")]
    Silent,
    /// Its chain is not ours, or it is not on it yet.
    #[error(transparent)]
    Refused(NodeRefusal),
    /// It has not answered for too long.
    #[error("it has not answered for {secs} s: {last}")]
    Unreachable {
        /// Seconds since its last answer.
        secs: u64,
        /// What went wrong last.
        last: String,
    },
    /// Its tip is old.
    #[error("its tip has been {blocks} blocks behind for {secs} s")]
    Behind {
        /// Blocks.
        blocks: u32,
        /// Seconds.
        secs: u64,
    },
}

impl Problem {
    /// A short name, the same while only the seconds change.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Refused(refusal) => refusal.reason(),
            Self::Unreachable { .. } => "unreachable",
            Self::Behind { .. } => "behind",
        }
    }
}

/// How one bitcoind is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is not used, if so.
    pub problem: Option<Problem>,
    /// Blocks that its tip is behind the best one known.
    pub lag_blocks: u32,
}

#[derive(Clone, Debug, Default)]
struct Record {
    behind_since: Option<Duration>,
    usable_since: Option<Duration>,
}

/// Chooses among bitcoinds in order of priority.
#[derive(Debug)]
pub struct Selection {
    patience: Patience,
    began_at: Duration,
    records: Vec<Record>,
    active: Option<usize>,
}

impl Selection {
    /// Chooses among `providers` bitcoinds from `now` on.
    pub fn new(patience: Patience, providers: usize, now: Duration) -> Self {
        let records = vec![Record::default(); providers];
        Self { patience, began_at: now, records, active: None }
    }

    /// The one that templates come from.
    pub const fn active(&self) -> Option<usize> {
        self.active
    }

    /// Looks at all of them, in order of priority, and chooses again.
    pub fn look(&mut self, now: Duration, views: &[View]) -> Vec<Verdict> {
        let best = views.iter().filter_map(tip_height).max().unwrap_or_default();
        let verdicts: Vec<Verdict> = self
            .records
            .iter_mut()
            .zip(views)
            .map(|(record, view)| record.judge(self.patience, now, best, view))
            .collect();
        self.choose(now, &verdicts);
        verdicts
    }

    fn choose(&mut self, now: Duration, verdicts: &[Verdict]) {
        let usable = |index: &usize| verdicts.get(*index).is_some_and(|v| v.problem.is_none());
        let first = (0..verdicts.len()).find(usable);
        self.active = match (self.active.filter(usable), first) {
            (Some(active), Some(first)) if first < active && !self.recovered(now, first) => {
                Some(active)
            }
            (None, Some(first))
                if self.is_early(now) && self.a_better_one_is_silent(first, verdicts) =>
            {
                None
            }
            (_, first) => first,
        };
    }

    fn recovered(&self, now: Duration, index: usize) -> bool {
        let since = self.records.get(index).and_then(|record| record.usable_since);
        since.is_some_and(|since| now.saturating_sub(since) >= self.patience.recovered)
    }

    /// Right after the start one that was not heard yet is waited for, rather than left for
    /// another and soon returned to.
    fn is_early(&self, now: Duration) -> bool {
        now.saturating_sub(self.began_at) < self.patience.unreachable
    }

    fn a_better_one_is_silent(&self, first: usize, verdicts: &[Verdict]) -> bool {
        verdicts.iter().take(first).any(|verdict| verdict.problem == Some(Problem::Silent))
    }
}

/// Height of the tip of a node that is on our chain.
fn tip_height(view: &View) -> Option<u32> {
    match view.standing {
        Standing::Good | Standing::Failed(_) => view.state.as_ref().map(|state| state.blocks),
        Standing::Silent | Standing::Refused(_) => None,
    }
}

impl Record {
    fn judge(&mut self, patience: Patience, now: Duration, best: u32, view: &View) -> Verdict {
        let lag_blocks = view
            .state
            .as_ref()
            .map_or(0, |state| best.max(state.headers).saturating_sub(state.blocks));
        self.behind_since = if lag_blocks == 0 { None } else { self.behind_since.or(Some(now)) };
        let problem = self.problem(patience, now, lag_blocks, view);
        self.usable_since = if problem.is_some() { None } else { self.usable_since.or(Some(now)) };
        Verdict { problem, lag_blocks }
    }

    fn problem(
        &self,
        patience: Patience,
        now: Duration,
        blocks: u32,
        view: &View,
    ) -> Option<Problem> {
        let last = match &view.standing {
            Standing::Refused(refusal) => return Some(Problem::Refused(refusal.clone())),
            Standing::Failed(last) => last.clone(),
            Standing::Silent | Standing::Good => String::from("a call is still open"),
        };
        if view.state.is_none() {
            let never = matches!(view.standing, Standing::Silent);
            let unreachable = Problem::Unreachable { secs: now.as_secs(), last };
            return Some(if never { Problem::Silent } else { unreachable });
        }
        let silence = now.saturating_sub(view.answered_at);
        if silence >= patience.unreachable {
            return Some(Problem::Unreachable { secs: silence.as_secs(), last });
        }
        let behind = self.behind_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        (blocks > 0 && behind >= patience.behind)
            .then_some(Problem::Behind { blocks, secs: behind.as_secs() })
    }
}

#[cfg(test)]
mod tests;
