//! What a miner does, told by the pool.

use crate::pool::{ADDRESS, DEADLINE, Desk, Pool, tip};
use loadtest::{
    ShareKey, audit,
    miner::{self, Event, Figures, MinerConfig},
};
use std::{num::NonZeroU32, path::PathBuf};
use stratum_core::{
    mining_sv2::{CloseChannelOwned, OpenMiningChannelErrorOwned},
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use stratum_v2::client::Device;
use subjects::{BootEpoch, Exponent, Lane, shares::JobKind};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::{Clock as _, SystemClock};

/// Hashes per second of all miners here.
const LIMIT: u32 = 50_000;

/// A miner that runs beside the test.
struct Miner {
    running: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    events: mpsc::Receiver<Event>,
    figures: Figures,
}

impl Miner {
    fn start(pool: &Pool, kind: JobKind, acknowledged: Option<PathBuf>) -> Self {
        let config = MinerConfig {
            endpoint: pool.endpoint(),
            user_identity: format!("{ADDRESS}.rig"),
            kind,
            hashes_per_second: LIMIT.into(),
            threads: NonZeroU32::new(2).unwrap(),
            acknowledged,
            device: Device::default(),
        };
        let stop = CancellationToken::new();
        let (says, events) = mpsc::channel(10_000);
        let mut running = JoinSet::new();
        running.spawn(miner::run(config, stop.clone(), says));
        Self { running, stop, events, figures: Figures::default() }
    }

    /// Waits for an event.
    async fn event<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let found = timeout(DEADLINE, async {
            loop {
                let event = self.events.recv().await.expect("the miner has ended");
                self.figures.note(&event);
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        });
        found.await.expect("the event did not come in time")
    }

    async fn acknowledged(&mut self) -> Vec<u32> {
        self.event(|event| match event {
            Event::Acknowledged { sequences } => Some(sequences.clone()),
            _ => None,
        })
        .await
    }

    async fn disconnected(&mut self) -> String {
        self.event(|event| match event {
            Event::Disconnected { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await
    }

    /// Stops the miner and returns all that it said.
    async fn end(mut self) -> Figures {
        self.stop.cancel();
        while let Some(event) = timeout(DEADLINE, self.events.recv()).await.unwrap() {
            self.figures.note(&event);
        }
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap().unwrap();
        }
        self.figures
    }
}

async fn every_share_is_good_and_remembered(kind: JobKind) {
    let pool = Pool::listen().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("acknowledged");
    let mut miner = Miner::start(&pool, kind, Some(file.clone()));
    let mut link = pool.accept().await;
    assert_eq!(link.setup().await, u32::from(kind == JobKind::Standard));
    let desk = Desk::new(kind, 77);
    link.open(&desk).await;
    link.tip(&desk, 1).await;

    let mut sequences = Vec::new();
    for _ in 0..6 {
        let share = link.share().await;
        assert_eq!(share.job, 1);
        assert!((1_700_000_000..1_700_000_060).contains(&share.ntime));
        desk.judge(&share).expect("the pool agrees that it is a share");
        sequences.push(share.sequence);
    }
    let [one, two, three, four, five, six] = *sequences.as_slice() else { panic!("six") };
    assert_eq!(sequences, (one..one + 6).collect::<Vec<_>>());
    link.acknowledge(two, 2).await;
    assert_eq!(miner.acknowledged().await, [one, two]);
    link.refuse(four, "stale-share").await;
    link.acknowledge(six, 3).await;
    assert_eq!(miner.acknowledged().await, [three, five, six]);

    let key =
        |sequence| ShareKey { lane: Lane(300), boot_epoch: BootEpoch(2), channel: 77, sequence };
    let remembered = audit::acknowledged(&[file]).await.unwrap();
    assert_eq!(remembered, [one, two, three, five, six].map(key));
    drop(link);
    let figures = miner.end().await;
    assert_eq!(figures.acknowledged, 5);
    assert_eq!(figures.refused.get("stale-share"), Some(&1));
    assert!(figures.hashes > 0);
    assert_eq!(figures.violations, Vec::<String>::new());
}

#[tokio::test]
async fn every_share_of_an_extended_channel_is_good_and_remembered() {
    every_share_is_good_and_remembered(JobKind::Extended).await;
}

#[tokio::test]
async fn every_share_of_a_standard_channel_is_good_and_remembered() {
    every_share_is_good_and_remembered(JobKind::Standard).await;
}

#[tokio::test]
async fn a_miner_keeps_to_its_limit() {
    let pool = Pool::listen().await;
    let clock = SystemClock::new();
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    link.setup().await;
    let mut desk = Desk::new(JobKind::Extended, 1);
    // So hard that no share is found.
    desk.exponent = Exponent::MAX;
    link.open(&desk).await;
    link.tip(&desk, 1).await;
    while miner.figures.hashes < u64::from(LIMIT) {
        miner.event(|event| matches!(event, Event::Hashed { .. }).then_some(())).await;
        let allowed = clock.monotonic().as_millis() * u128::from(LIMIT) / 1_000;
        // Two threads, each with a batch of a fiftieth of a second in hand.
        assert!(u128::from(miner.figures.hashes) <= allowed + u128::from(LIMIT) / 25);
    }
    drop(link);
    assert_eq!(miner.end().await.submitted, 0);
}

#[tokio::test]
async fn a_new_tip_a_new_job_and_a_new_target_are_followed() {
    let pool = Pool::listen().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    link.setup().await;
    let mut desk = Desk::new(JobKind::Extended, 1);
    link.open(&desk).await;
    link.tip(&desk, 1).await;
    let first = link.share().await;
    desk.judge(&first).unwrap();

    // A job on the same tip.
    link.send(desk.job_message(2, Some(desk.tip.min_ntime() + 5))).await;
    let second = loop {
        let share = link.share().await;
        if share.job == 2 {
            break share;
        }
    };
    assert!(second.ntime >= desk.tip.min_ntime() + 5);
    desk.judge(&second).unwrap();

    // Another tip: the first share for it proves work on it.
    desk.tip = tip(0x44);
    link.tip(&desk, 3).await;
    let third = loop {
        let share = link.share().await;
        if share.job == 3 {
            break share;
        }
    };
    desk.judge(&third).unwrap();

    // A harder target: from the moment it is heard, every share meets it.
    let harder = Exponent::clamped(-20);
    link.set_target(harder).await;
    miner.event(|event| matches!(event, Event::TargetSet(_)).then_some(())).await;
    desk.exponent = harder;
    link.send(desk.job_message(4, Some(desk.tip.min_ntime()))).await;
    let fourth = loop {
        let share = link.share().await;
        if share.job == 4 {
            break share;
        }
    };
    desk.judge(&fourth).unwrap();
    drop(link);
    let figures = miner.end().await;
    assert_eq!((figures.jobs, figures.channels), (4, 1));
}

#[tokio::test]
async fn a_miner_whose_pool_is_gone_comes_back_and_numbers_its_shares_anew() {
    let pool = Pool::listen().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut sequences = Vec::new();
    for channel in 0..3 {
        let mut link = pool.accept().await;
        link.setup().await;
        let desk = Desk::new(JobKind::Extended, channel);
        link.open(&desk).await;
        link.tip(&desk, 1).await;
        let share = link.share().await;
        desk.judge(&share).expect("nothing of the channel before is sent");
        sequences.push(share.sequence);
        link.acknowledge(share.sequence, 1).await;
        miner.acknowledged().await;
        drop(link);
        miner.disconnected().await;
    }
    sequences.dedup();
    assert_eq!(sequences.len(), 3);
    let figures = miner.end().await;
    assert_eq!((figures.channels, figures.disconnects, figures.acknowledged), (3, 3, 3));
}

#[tokio::test]
async fn a_stopped_miner_waits_for_what_is_still_due() {
    let pool = Pool::listen().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    link.setup().await;
    let desk = Desk::new(JobKind::Extended, 1);
    link.open(&desk).await;
    link.tip(&desk, 1).await;
    let first = link.share().await.sequence;
    miner.stop.cancel();
    let outstanding = miner
        .event(|event| match event {
            Event::Draining { outstanding } => Some(u32::try_from(*outstanding).unwrap()),
            _ => None,
        })
        .await;
    let last = first + outstanding - 1;
    for sequence in first + 1..=last {
        assert_eq!(link.share().await.sequence, sequence);
    }
    link.acknowledge(last, outstanding).await;
    assert!(link.next().await.is_none(), "the miner hangs up when nothing is due");
    let figures = miner.end().await;
    assert_eq!(figures.acknowledged, u64::from(outstanding));
    assert_eq!(figures.submitted, figures.acknowledged);
}

#[tokio::test]
async fn a_pool_that_breaks_the_protocol_is_named_and_left() {
    let pool = Pool::listen().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    link.setup().await;
    let desk = Desk::new(JobKind::Extended, 1);
    link.open(&desk).await;
    link.tip(&desk, 1).await;
    let share = link.share().await;
    link.acknowledge(share.sequence, 1).await;
    miner.acknowledged().await;
    link.acknowledge(share.sequence, 1).await;
    let why = miner.disconnected().await;
    let twice = format!("share {} acknowledged, which is not outstanding", share.sequence);
    assert_eq!(why, format!("the pool broke the protocol: {twice}"));
    assert_eq!(miner.end().await.violations, [twice]);
}

#[tokio::test]
async fn an_impostor_gets_no_miner() {
    let pool = Pool::impostor().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    assert!(link.next().await.is_none());
    let why = miner.disconnected().await;
    assert!(why.contains("or another key signed it"), "{why}");
    assert_eq!(miner.end().await.channels, 0);
}

#[tokio::test]
async fn a_refused_channel_and_a_closed_one_are_named() {
    let pool = Pool::listen().await;
    let mut miner = Miner::start(&pool, JobKind::Extended, None);
    let mut link = pool.accept().await;
    link.setup().await;
    let Some(AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannel(open))) =
        link.next().await
    else {
        panic!("a channel is opened next")
    };
    link.send(MiningOwned::OpenMiningChannelError(OpenMiningChannelErrorOwned {
        request_id: open.request_id,
        error_code: "invalid-user-identity".to_owned().try_into().unwrap(),
    }))
    .await;
    assert!(miner.disconnected().await.ends_with("refused with `invalid-user-identity`"));

    let mut link = pool.accept().await;
    link.setup().await;
    let desk = Desk::new(JobKind::Extended, 1);
    link.open(&desk).await;
    link.send(MiningOwned::CloseChannel(CloseChannelOwned {
        channel_id: 5,
        reason_code: "draining".to_owned().try_into().unwrap(),
    }))
    .await;
    assert_eq!(miner.disconnected().await, "the pool closed the channel with `draining`");
    miner.end().await;
}
