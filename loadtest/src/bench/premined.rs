//! Shares that were mined beforehand: whoever measures what comes behind an ingress has them at
//! hand and spends nothing on mining while the clock runs.
//!
//! They are real: on a template and a tip that Core published, each in header space of its own. The
//! tip has the difficulty of mainnet, so that none solves a block, and the target is the easiest
//! there is, so that nearly every hash counts.

use super::own_chain;
use anyhow::Context as _;
use bitcoin::{Address, ScriptBuf, WitnessProgram, WitnessVersion};
use mining::{
    Identity, Job, Network, Payee, Prefix, SV2_EXTRANONCE_LENGTH, SV2_ROLLED_LENGTH, ShareFields,
    TipWork, VERSION_MASK, WorkTemplate, judge,
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use subjects::{
    BlockHash, BootEpoch, Exponent, Lane, NodeId, Timestamp,
    shares::{self, Extranonce, JobKind, MAX_SHARES, Share, Submitted, WorkSource},
    templates::{New, Tip},
};
use tokio::task::JoinSet;
use worker_runtime::{Bus, Publication};

/// The network whose addresses the development stack credits.
pub const NETWORK: Network = Network::Signet;
/// A height that no development chain reaches.
const HEIGHT: u32 = 900_000;
/// Nonces that are tried for a share of which one in 65 536 does not count.
const TRIES: u32 = 1_000;

/// A template and the tip that it is mined on.
#[derive(Debug)]
pub struct Ground {
    new: New,
    tip: Tip,
    work: WorkTemplate,
    on: TipWork,
}

impl Ground {
    /// A template and a tip that never were before; `at` tells them from others.
    ///
    /// # Errors
    ///
    /// Never: the template is a good one.
    pub fn new(at: Timestamp) -> anyhow::Result<Self> {
        let prevhash = BlockHash(Sha256::digest(at.0.to_be_bytes()).into());
        // A provider of its own: that of the network goes on with its own tips.
        let provider = "bench".parse()?;
        let new = New { provider, ..own_chain::template(1, at, HEIGHT, Some(prevhash))? };
        let tip = own_chain::tip(&new, prevhash, u32::try_from(at.0 / 1_000)?);
        let work = WorkTemplate::new(new.id(), &new)?;
        let on = TipWork::new(&tip)?;
        Ok(Self { new, tip, work, on })
    }

    /// Publishes both. `publisher` is the hub, with the credential of the template publisher.
    ///
    /// # Errors
    ///
    /// When the hub does not take them.
    pub async fn publish(&self, publisher: &Bus) -> anyhow::Result<()> {
        publisher.publish(Publication::any(&self.new)).await?;
        publisher.publish(Publication::any(&self.tip)).await?;
        Ok(())
    }

    /// The template as it is published.
    pub const fn template(&self) -> &New {
        &self.new
    }

    /// The tip as it is published.
    pub const fn tip(&self) -> &Tip {
        &self.tip
    }
}

/// Miners with addresses of their own.
#[derive(Debug)]
pub struct Miners(Vec<(String, Payee)>);

impl Miners {
    /// This many, always the same.
    ///
    /// # Errors
    ///
    /// Never: the addresses are good ones.
    pub fn new(count: u32) -> anyhow::Result<Self> {
        let miner = |number: u32| {
            let digest = Sha256::digest(number.to_be_bytes());
            let key_hash = digest.get(..20).context("a digest has 32 bytes")?;
            let program = WitnessProgram::new(WitnessVersion::V0, key_hash)?;
            let script = ScriptBuf::new_witness_program(&program);
            let address = Address::from_script(&script, NETWORK)?.to_string();
            let payee = *Identity::parse(&address, NETWORK)?.payee();
            anyhow::Ok((address, payee))
        };
        Ok(Self((0..count).map(miner).collect::<Result<_, _>>()?))
    }

    /// Their identities.
    pub fn identities(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(identity, _)| identity.as_str())
    }
}

/// An ingress of Core on one lane, whose miners' shares come in turn: each miner has one channel.
#[derive(Clone, Debug)]
pub struct Ingress {
    ground: Arc<Ground>,
    miners: Arc<Miners>,
    lane: Lane,
    boot_epoch: BootEpoch,
    batches: u64,
    shares: u64,
}

impl Ingress {
    /// One that has just started.
    pub const fn new(
        ground: Arc<Ground>,
        miners: Arc<Miners>,
        lane: Lane,
        boot_epoch: BootEpoch,
    ) -> Self {
        Self { ground, miners, lane, boot_epoch, batches: 0, shares: 0 }
    }

    /// Its next batch, full.
    ///
    /// # Errors
    ///
    /// When there are no miners.
    pub fn batch(&mut self) -> anyhow::Result<Submitted> {
        let jobs = MAX_SHARES.min(self.miners.0.len());
        let mut batch = Submitted {
            node: NodeId::core(),
            lane: self.lane,
            boot_epoch: self.boot_epoch,
            batch: self.batches,
            opened_at: Timestamp(u64::from(self.ground.tip.min_ntime) * 1_000),
            workers: Vec::with_capacity(jobs),
            jobs: Vec::with_capacity(jobs),
            shares: Vec::with_capacity(MAX_SHARES),
        };
        for position in 0..MAX_SHARES {
            let (channel, identity, payee) = self.whose_turn()?;
            if position < jobs {
                batch.jobs.push(self.job(channel, identity)?);
                batch.workers.push(format!("rig-{channel}"));
            }
            let place = position.checked_rem(jobs).unwrap_or_default();
            let job = batch.jobs.get(place).context("miners come in turn")?;
            batch.shares.push(self.mine(u32::try_from(place)?, channel, job, &payee)?);
            self.shares += 1;
        }
        self.batches += 1;
        Ok(batch)
    }

    fn whose_turn(&self) -> anyhow::Result<(u32, &str, Payee)> {
        let count = u64::try_from(self.miners.0.len())?;
        let place = self.shares.checked_rem(count).context("there are no miners")?;
        let (identity, payee) = self.miners.0.get(usize::try_from(place)?).context("no miner")?;
        Ok((u32::try_from(place)? + 1, identity, *payee))
    }

    fn job(&self, channel: u32, identity: &str) -> anyhow::Result<shares::Job> {
        let tip = &self.ground.tip;
        let prefix = Prefix::new(self.lane, self.boot_epoch, channel).context("no such channel")?;
        Ok(shares::Job {
            source: WorkSource::Template { template: tip.template, prevhash: tip.prevhash },
            kind: JobKind::Extended,
            exponent: Exponent::MIN,
            extranonce_prefix: Extranonce::new(&prefix.to_sv2()).context("a long prefix")?,
            extranonce_length: SV2_EXTRANONCE_LENGTH,
            identity: identity.to_owned(),
            version_mask: VERSION_MASK,
        })
    }

    fn mine(
        &self,
        position: u32,
        channel: u32,
        job: &shares::Job,
        payee: &Payee,
    ) -> anyhow::Result<Share> {
        let Ground { work, on, .. } = self.ground.as_ref();
        // A device goes through its nonces in no time, so each share has an extranonce of its own.
        let mut extranonce = [0; SV2_ROLLED_LENGTH as usize];
        extranonce.split_at_mut(8).0.copy_from_slice(&self.shares.to_be_bytes());
        let mut share = Share {
            job: position,
            channel,
            sequence: u32::try_from(self.shares)?,
            extranonce: Extranonce::new(&extranonce).context("a long extranonce")?,
            ntime: on.min_ntime() + 60,
            nonce: 0,
            version: work.version(),
            worker: position,
            after_ms: 3,
        };
        for nonce in 0..TRIES {
            share.nonce = nonce;
            let judged = judge(work, on, &Job::of(job, payee), &ShareFields::from(&share));
            if judged.is_ok_and(|judged| !judged.is_block) {
                return Ok(share);
            }
        }
        anyhow::bail!("no proof found")
    }
}

/// The first `count` lanes of Core that are each in another partition; all partitions at most.
pub fn lanes(count: usize) -> Vec<Lane> {
    let mut taken = [false; streams::PARTITIONS as usize];
    let own = (1..=streams::LAST_LANE_OF_CORE.0).map(Lane);
    let first = own.filter(|lane| {
        let partition = taken.get_mut(usize::from(streams::partition_of(*lane)));
        partition.is_some_and(|taken| !std::mem::replace(taken, true))
    });
    first.take(count).collect()
}

/// Full batches of `lanes`, made on all cores: by lane, in the order in which they must be
/// published.
///
/// # Errors
///
/// When there are no miners.
pub async fn batches(
    ground: &Arc<Ground>,
    miners: &Arc<Miners>,
    lanes: &[Lane],
    boot_epoch: BootEpoch,
    batches_per_lane: usize,
) -> anyhow::Result<Vec<Vec<Publication>>> {
    let mut mining = JoinSet::new();
    for lane in lanes {
        let ground = Arc::clone(ground);
        let mut ingress = Ingress::new(ground, Arc::clone(miners), *lane, boot_epoch);
        mining.spawn_blocking(move || {
            let one = |_| anyhow::Ok(Publication::any(&ingress.batch()?));
            (0..batches_per_lane).map(one).collect::<Result<Vec<_>, _>>()
        });
    }
    mining.join_all().await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use share_verifier::domain::{Input, OWNERS, Rules, Verifier};
    use subjects::Payload as _;
    use worker_runtime::transform::{Position, Transform as _};

    fn position(stream: &str, sequence: u64) -> Position {
        Position { stream: stream.to_owned(), incarnation: 1, sequence, stored_at: Timestamp(0) }
    }

    fn hear(verifier: &mut Verifier, publication: &Publication, sequence: u64) -> (usize, usize) {
        let message = &publication.message;
        let (subject, kind) = (message.subject.as_str(), message.kind);
        let input = Input::read(subject, kind, &message.body).unwrap();
        let Input::Submitted(batch) = &input else {
            let at = position(streams::TEMPLATES, sequence);
            drop(verifier.handle(Timestamp(0), input, &at));
            return (0, 0);
        };
        while verifier.before(&input).is_some() {
            verifier.recalled(&input);
        }
        let at = position(streams::SHARES_SUBMITTED, sequence);
        let (_, tally) = verifier.decide(batch, &at);
        assert_eq!(tally.waits_for, None);
        (usize::try_from(tally.accepted).unwrap(), tally.refused.len())
    }

    #[tokio::test]
    async fn a_verifier_credits_every_share() {
        let ground = Arc::new(Ground::new(Timestamp(1_700_000_000_000)).unwrap());
        for count in [1, 300] {
            let miners = Arc::new(Miners::new(count).unwrap());
            let lanes = lanes(2);
            let made = batches(&ground, &miners, &lanes, BootEpoch(7), 2).await.unwrap();
            let rules = Rules {
                network: NETWORK,
                late_tips: 6,
                min_exponent: Exponent::MIN,
                max_proofs: 1_000_000,
            };
            let mut verifier = Verifier::new(rules);
            hear(&mut verifier, &Publication::any(ground.template()), 1);
            hear(&mut verifier, &Publication::any(ground.tip()), 2);
            verifier.caught_up(streams::TEMPLATES, Timestamp(0));
            verifier.caught_up(OWNERS, Timestamp(0));
            for publication in made.iter().flatten() {
                assert_eq!(hear(&mut verifier, publication, 1), (MAX_SHARES, 0));
            }
        }
    }

    #[test]
    fn a_batch_of_many_miners_has_a_job_for_each_share() {
        let ground = Arc::new(Ground::new(Timestamp(1_700_000_000_000)).unwrap());
        let miners = Arc::new(Miners::new(1_000).unwrap());
        let mut ingress = Ingress::new(ground, miners, Lane(1), BootEpoch(1));
        let (first, second) = (ingress.batch().unwrap(), ingress.batch().unwrap());
        assert_eq!((first.jobs.len(), first.shares.len()), (MAX_SHARES, MAX_SHARES));
        assert_ne!(first.jobs[0].identity, second.jobs[0].identity);
        assert_eq!(Submitted::decode(&first.encode()).unwrap(), first);
    }

    #[test]
    fn lanes_are_of_different_partitions() {
        let partitions: std::collections::BTreeSet<_> =
            lanes(99).into_iter().map(streams::partition_of).collect();
        assert_eq!(partitions.len(), usize::from(streams::PARTITIONS));
        assert_eq!(lanes(3).len(), 3);
    }
}
