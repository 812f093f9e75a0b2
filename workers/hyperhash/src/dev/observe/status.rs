//! Puts what was seen together into the status.

use super::{figures::Figures, tally::Tally};
use crate::{
    dev::postgresql::database::Recorded,
    status::{Health, Process, Shares, State, Status},
};
use std::collections::BTreeMap;
use subjects::Timestamp;

/// How far a network is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// On its way up.
    Starting,
    /// All was started.
    Running,
    /// Draining.
    Stopping,
}

/// How each process does.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// The servers.
    pub servers: BTreeMap<String, Process>,
    /// The workers.
    pub workers: BTreeMap<String, Process>,
    /// The miners.
    pub miners: BTreeMap<String, Process>,
    /// What else is wrong.
    pub problems: Vec<String>,
}

/// The status, but for what does not change while a network runs.
pub fn assemble(
    phase: Phase,
    now: Timestamp,
    looks: Looks,
    tally: &Tally,
    recorded: &Recorded,
    figures: &Figures,
) -> Status {
    let problems = problems(&looks);
    let state = match phase {
        Phase::Starting => State::Starting,
        Phase::Stopping => State::Stopping,
        Phase::Running if problems.is_empty() => State::Ready,
        Phase::Running => State::Degraded,
    };
    Status {
        state,
        problems,
        at: now,
        tip: tally.tip,
        hashrate: tally.hashrate(now),
        shares: shares(tally, recorded, figures),
        blocks: tally.blocks(),
        rounds: tally.rounds.clone(),
        statements: tally.statements.clone(),
        stages: figures.stages(),
        workers: looks.workers,
        servers: looks.servers,
        miners: looks.miners,
        ..Status::default()
    }
}

fn shares(tally: &Tally, recorded: &Recorded, figures: &Figures) -> Shares {
    let by_core: u64 = recorded.refused.iter().map(|(_, count)| count).sum();
    let rejected = figures.counters.rejected.iter();
    let mut refused: BTreeMap<_, _> =
        rejected.map(|(reason, counter)| (reason.clone(), counter.total())).collect();
    for (reason, count) in &recorded.refused {
        let sum = refused.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    // An ingress that was killed had not shown its last count, but Core judged what it stored.
    let judged = tally.accepted.saturating_add(by_core);
    Shares {
        submitted: figures.counters.submitted.total().max(judged),
        accepted: tally.accepted,
        refused,
        recorded: recorded.shares,
    }
}

fn problems(looks: &Looks) -> Vec<String> {
    let Looks { servers, workers, miners, problems } = looks;
    let processes = servers.iter().chain(workers).chain(miners);
    let of_processes = processes.filter(|(_, process)| process.health != Health::Ready);
    let sentence = |(name, Process { health, why, .. }): (&String, &Process)| {
        let why = why.as_deref().unwrap_or("no reason is known yet");
        match health {
            Health::Ready | Health::Unready => format!("{name} is not ready: {why}"),
            Health::Down => format!("{name} is being started again: {why}"),
        }
    };
    of_processes.map(sentence).chain(problems.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn looks(health: Health, why: Option<&str>) -> Looks {
        let process = Process { pid: Some(7), health, why: why.map(Into::into) };
        Looks { workers: [("share-verifier".into(), process)].into(), ..Looks::default() }
    }

    fn of(phase: Phase, looks: Looks) -> Status {
        let (tally, recorded, figures) =
            (Tally::default(), Recorded::default(), Figures::default());
        assemble(phase, NOW, looks, &tally, &recorded, &figures)
    }

    #[test]
    fn one_part_that_is_not_ready_degrades_a_running_network() {
        assert_eq!(of(Phase::Running, looks(Health::Ready, None)).state, State::Ready);
        let down = of(Phase::Running, looks(Health::Down, Some("killed")));
        assert_eq!(down.state, State::Degraded);
        assert_eq!(down.problems, ["share-verifier is being started again: killed"]);
        let unready = of(Phase::Running, looks(Health::Unready, Some("bus: no answer")));
        assert_eq!(unready.problems, ["share-verifier is not ready: bus: no answer"]);
        let full = Looks { problems: vec!["the disk is full".into()], ..Looks::default() };
        assert_eq!(of(Phase::Running, full).state, State::Degraded);
    }

    #[test]
    fn a_network_on_its_way_is_neither_ready_nor_degraded() {
        let down = || looks(Health::Down, None);
        assert_eq!(of(Phase::Starting, down()).state, State::Starting);
        assert_eq!(of(Phase::Stopping, down()).state, State::Stopping);
    }

    #[test]
    fn refusals_of_ingress_and_core_are_added_and_submitted_is_never_less_than_judged() {
        let mut tally = Tally::default();
        tally.accepted = 10;
        let recorded = Recorded {
            shares: 9,
            refused: vec![("duplicate-share".into(), 2), ("too-late".into(), 1)],
        };
        let mut figures = Figures::default();
        figures.counters.submitted.add(1, 12);
        figures.counters.rejected.entry("duplicate-share".into()).or_default().add(1, 5);
        let looks = Looks::default();
        let shares = assemble(Phase::Running, NOW, looks, &tally, &recorded, &figures).shares;
        assert_eq!(shares.submitted, 13);
        assert_eq!((shares.accepted, shares.recorded), (10, 9));
        assert_eq!(shares.refused["duplicate-share"], 7);
        assert_eq!(shares.refused["too-late"], 1);
    }
}
