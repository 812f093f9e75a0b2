//! Nothing is acknowledged beyond the contiguous stored prefix, whatever the bus does when.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ingress::{
    domain::{
        lane::{Lane, NotInFlight, NotTaken},
        ledger::Ledger,
        miner::Miner,
    },
    testing::shares::{job, lane, miner, taken},
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};
use subjects::{
    Timestamp,
    shares::{Job, MAX_SHARES, Submitted},
};

const CAPACITY: usize = 40;
const CONNECTIONS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Take { connection: usize },
    Publish,
    Stored,
    StoredWrongly { batch: u64 },
    Tell { connection: usize },
    Tip,
    LateShare,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CONNECTIONS).prop_map(|connection| Step::Take { connection }),
        3 => Just(Step::Publish),
        2 => Just(Step::Stored),
        1 => (0..20_u64).prop_map(|batch| Step::StoredWrongly { batch }),
        3 => (0..CONNECTIONS).prop_map(|connection| Step::Tell { connection }),
        1 => Just(Step::Tip),
        1 => Just(Step::LateShare),
    ]
}

/// The lane, its connections' ledgers, and what really became of every share.
struct Model {
    lane: Lane<usize>,
    ledgers: Vec<Ledger<u32>>,
    reported: Vec<usize>,
    taken: Vec<Vec<u32>>,
    acknowledged: Vec<Vec<u32>>,
    /// Everything taken, in order.
    order: Vec<u32>,
    in_flight: Option<Submitted>,
    stored: Vec<Submitted>,
    tips: u64,
    next: u32,
}

impl Model {
    fn new() -> Self {
        Self {
            lane: lane(CAPACITY),
            ledgers: (0..CONNECTIONS).map(|_| Ledger::default()).collect(),
            reported: vec![0; CONNECTIONS],
            taken: vec![Vec::new(); CONNECTIONS],
            acknowledged: vec![Vec::new(); CONNECTIONS],
            order: Vec::new(),
            in_flight: None,
            stored: Vec::new(),
            tips: 1,
            next: 0,
        }
    }

    fn step(&mut self, step: Step, job: &Arc<Job>, miner: &Arc<Miner>) {
        match step {
            Step::Take { connection } => {
                let share = taken(job, miner, self.next, self.tips);
                match self.lane.offer(connection, share) {
                    Ok(()) => {
                        self.ledgers[connection].took(self.next, Duration::ZERO);
                        self.taken[connection].push(self.next);
                        self.order.push(self.next);
                        self.next += 1;
                    }
                    Err((refusal, share)) => {
                        assert_eq!((refusal, share.sequence), (NotTaken::Full, self.next));
                        assert_eq!(self.lane.len(), CAPACITY);
                    }
                }
            }
            Step::Publish => {
                if let Some(batch) = self.lane.next_batch() {
                    assert_eq!(self.in_flight, None, "one message in flight");
                    self.in_flight = Some(batch);
                }
            }
            Step::Stored => {
                let Some(batch) = self.in_flight.take() else { return };
                for connection in self.lane.stored(batch.batch).unwrap() {
                    self.reported[connection] += 1;
                }
                self.stored.push(batch);
            }
            Step::StoredWrongly { batch } => {
                if self.lane.in_flight() != Some(batch) {
                    assert_eq!(self.lane.stored(batch), Err(NotInFlight(batch)));
                }
            }
            Step::Tell { connection } => {
                let count = std::mem::take(&mut self.reported[connection]);
                self.tell(connection, count);
            }
            Step::Tip => self.tips += 1,
            Step::LateShare => {
                // Only once the lane has taken a share on the tip after it.
                let share = taken(job, miner, u32::MAX, 0);
                if !self.order.is_empty() {
                    assert_eq!(self.lane.offer(0, share).unwrap_err().0, NotTaken::TipClosed);
                }
            }
        }
    }

    fn tell(&mut self, connection: usize, count: usize) {
        let done = &mut self.acknowledged[connection];
        self.ledgers[connection].stored(count, |owed| done.push(owed.answer));
    }

    fn check(&self) {
        let stored: Vec<u32> = self
            .stored
            .iter()
            .flat_map(|batch| &batch.shares)
            .map(|share| share.sequence)
            .collect();
        assert_eq!(stored, self.order[..stored.len()], "stored in the order of taking");
        for (number, batch) in self.stored.iter().enumerate() {
            assert_eq!(batch.batch, u64::try_from(number).unwrap(), "numbered without gaps");
            assert!((1..=MAX_SHARES).contains(&batch.shares.len()));
        }
        for connection in 0..CONNECTIONS {
            let done = &self.acknowledged[connection];
            assert_eq!(*done, self.taken[connection][..done.len()], "a contiguous prefix");
            assert!(done.iter().all(|sequence| stored.contains(sequence)), "only what is stored");
        }
    }
}

proptest! {
    #[test]
    fn only_the_stored_prefix_is_acknowledged(steps in prop::collection::vec(step(), 0..400)) {
        let (job, miner) = (job(), miner("w"));
        let mut model = Model::new();
        for step in steps {
            model.step(step, &job, &miner);
            model.check();
        }
        // Once the bus answers everything, everybody is told.
        loop {
            model.step(Step::Stored, &job, &miner);
            model.step(Step::Publish, &job, &miner);
            if model.in_flight.is_none() {
                break;
            }
        }
        for connection in 0..CONNECTIONS {
            model.step(Step::Tell { connection }, &job, &miner);
        }
        model.check();
        prop_assert_eq!(&model.acknowledged, &model.taken);
        prop_assert!(model.lane.is_empty());
    }
}

#[test]
fn a_batch_names_every_job_and_worker_once() {
    let mut lane = lane(1_000);
    let (jobs, miners) = ([job(), job()], [miner("a"), miner("b")]);
    for sequence in 0..300_u32 {
        let which = usize::from(sequence % 3 == 0);
        lane.offer((), taken(&jobs[which], &miners[which], sequence, 1)).unwrap();
    }
    let first = lane.next_batch().unwrap();
    assert_eq!((first.batch, first.shares.len()), (0, MAX_SHARES));
    assert_eq!((first.jobs.len(), first.workers.clone()), (2, vec!["b".into(), "a".into()]));
    for share in &first.shares {
        let which = u32::from(share.sequence % 3 != 0);
        assert_eq!((share.job, share.worker), (which, which));
        assert_eq!(share.after_ms, share.sequence);
    }
    assert_eq!(first.opened_at, Timestamp(1_000));
    assert_eq!(lane.next_batch(), None, "one is in flight");
    assert_eq!(lane.stored(0).unwrap().len(), MAX_SHARES);
    assert_eq!(lane.next_batch().unwrap().shares.len(), 300 - MAX_SHARES);
    assert_eq!(lane.len(), 300 - MAX_SHARES);
}
