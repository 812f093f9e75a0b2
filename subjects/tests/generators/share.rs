//! Sessions and shares, on every step of their way.

use super::{at, channel, epoch, exponent, hash, lane, miner, name, node, template, u32s, u64s};
use proptest::{collection::vec, option, prelude::*, sample::select};
use subjects::{Work, sessions, shares};

pub(crate) fn session() -> impl Strategy<Value = sessions::Changed> {
    use sessions::{Changed, Event, NetworkClass, Protocol};
    let event = select(vec![Event::Opened, Event::Renegotiated, Event::Closed]);
    let protocol = select(vec![Protocol::Sv2Extended, Protocol::Sv2Standard, Protocol::Sv1]);
    let class = select(vec![
        NetworkClass::Loopback,
        NetworkClass::Private,
        NetworkClass::PublicV4,
        NetworkClass::PublicV6,
    ]);
    let place = (node(), lane(), epoch(), channel(), u32s(), at());
    let words = (name(), name(), name(), option::of(name()));
    (place, words, event, protocol, class, exponent(), option::of(u32s())).prop_map(
        |(place, words, event, protocol, network_class, exponent, rtt_ms)| {
            let (node, lane, boot_epoch, channel, sequence, at) = place;
            let (identity, worker, agent, reason) = words;
            Changed {
                node,
                lane,
                boot_epoch,
                channel,
                sequence,
                event,
                at,
                identity,
                worker,
                agent,
                protocol,
                network_class,
                exponent,
                rtt_ms,
                reason,
            }
        },
    )
}

fn extranonce() -> impl Strategy<Value = shares::Extranonce> {
    vec(any::<u8>(), 0..=shares::MAX_EXTRANONCE_LENGTH)
        .prop_map(|bytes| shares::Extranonce::new(&bytes).unwrap())
}

fn job() -> impl Strategy<Value = shares::Job> {
    use shares::{JobKind, WorkSource};
    let source = prop_oneof![
        (template(), hash())
            .prop_map(|(template, prevhash)| WorkSource::Template { template, prevhash }),
        (template(), hash()).prop_map(|(job, prevhash)| WorkSource::Declared { job, prevhash }),
    ];
    let kind = select(vec![JobKind::Extended, JobKind::Standard]);
    let prefix = extranonce().prop_flat_map(|prefix| {
        let longest = u8::try_from(shares::MAX_EXTRANONCE_LENGTH).unwrap();
        (Just(prefix), prefix.len()..=longest)
    });
    (source, kind, exponent(), prefix, name(), u32s()).prop_map(
        |(source, kind, exponent, prefix, identity, version_mask)| shares::Job {
            source,
            kind,
            exponent,
            extranonce_prefix: prefix.0,
            extranonce_length: prefix.1,
            identity,
            version_mask,
        },
    )
}

/// A share of a batch with so many jobs and workers.
fn share(jobs: usize, workers: usize) -> impl Strategy<Value = shares::Share> {
    let within = |length: usize| 0..u32::try_from(length).unwrap();
    let places = (within(jobs), channel(), u32s(), within(workers), u32s());
    (places, extranonce(), u32s(), u32s(), u32s()).prop_map(
        |((job, channel, sequence, worker, after_ms), extranonce, ntime, nonce, version)| {
            shares::Share {
                job,
                channel,
                sequence,
                extranonce,
                ntime,
                nonce,
                version,
                worker,
                after_ms,
            }
        },
    )
}

pub(crate) fn submitted() -> impl Strategy<Value = shares::Submitted> {
    let lists = (vec(name(), 1..5), vec(job(), 1..5));
    let filled = lists.prop_flat_map(|(workers, jobs)| {
        let shares = vec(share(jobs.len(), workers.len()), 0..8);
        (Just(workers), Just(jobs), shares)
    });
    (node(), lane(), epoch(), u64s(), at(), filled).prop_map(
        |(node, lane, boot_epoch, batch, opened_at, (workers, jobs, shares))| shares::Submitted {
            node,
            lane,
            boot_epoch,
            batch,
            opened_at,
            workers,
            jobs,
            shares,
        },
    )
}

pub(crate) fn accepted() -> impl Strategy<Value = shares::Accepted> {
    let facts = vec((miner(), u32s(), u32s()), 5);
    let verdicts = vec((0_u32..128, u64s()), 8);
    (submitted(), u32s(), u32s(), facts, verdicts, option::of(hash())).prop_map(
        |(batch, part, resume_at, facts, verdicts, block)| {
            let jobs = batch.jobs.into_iter().zip(facts).map(|(job, (miner, nbits, height))| {
                shares::AcceptedJob { job, miner, nbits, height }
            });
            let last = batch.shares.len().saturating_sub(1);
            let shares = batch.shares.into_iter().zip(verdicts).enumerate();
            let shares = shares.map(|(index, (share, (log2, hash_top)))| shares::AcceptedShare {
                share,
                work: Work::new(1 << log2),
                hash_top,
                block: block.filter(|_| index == last),
            });
            shares::Accepted {
                node: batch.node,
                lane: batch.lane,
                boot_epoch: batch.boot_epoch,
                batch: batch.batch,
                part,
                resume_at,
                opened_at: batch.opened_at,
                workers: batch.workers,
                jobs: jobs.collect(),
                shares: shares.collect(),
            }
        },
    )
}

fn reason() -> impl Strategy<Value = shares::Reason> {
    select(shares::Reason::ALL)
}

pub(crate) fn refused() -> impl Strategy<Value = shares::Refused> {
    let refusal = (u32s(), channel(), u32s(), name(), name(), reason()).prop_map(
        |(index, channel, sequence, identity, worker, reason)| shares::Refusal {
            index,
            channel,
            sequence,
            identity,
            worker,
            reason,
        },
    );
    (node(), lane(), epoch(), u64s(), at(), vec(refusal, 0..6)).prop_map(
        |(node, lane, boot_epoch, batch, opened_at, refusals)| shares::Refused {
            node,
            lane,
            boot_epoch,
            batch,
            opened_at,
            refusals,
        },
    )
}

pub(crate) fn rejected() -> impl Strategy<Value = shares::Rejected> {
    let count =
        (name(), name(), reason(), u64s()).prop_map(|(identity, worker, reason, shares)| {
            shares::RejectedCount { identity, worker, reason, shares }
        });
    (node(), lane(), epoch(), u64s(), at(), vec(count, 0..6)).prop_map(
        |(node, lane, boot_epoch, sequence, minute, counts)| shares::Rejected {
            node,
            lane,
            boot_epoch,
            sequence,
            minute,
            counts,
        },
    )
}
