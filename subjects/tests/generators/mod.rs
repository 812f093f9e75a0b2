//! Any value of every payload, within the bounds that its type states.

#![expect(clippy::unwrap_used, reason = "a generator makes valid values only")]

use proptest::{
    arbitrary::{StrategyFor, any},
    collection::vec,
    option,
    prelude::*,
    sample::select,
};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, MinerId, NodeId, ProviderId, Sats, TemplateId,
    Timestamp, Work, blocks, parked::Parked, payouts, rounds, sessions, shares, templates,
};

fn token<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T>
{
    "[a-z0-9_-]{1,32}".prop_map(|text| text.parse().unwrap())
}

fn node() -> impl Strategy<Value = NodeId> {
    token()
}

fn provider() -> impl Strategy<Value = ProviderId> {
    token()
}

/// Text of at most 255 bytes, not only ASCII.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![".{0,60}", "[a-zA-Z0-9.]{0,255}"]
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn lane() -> impl Strategy<Value = Lane> {
    any::<u16>().prop_map(Lane)
}

fn epoch() -> impl Strategy<Value = BootEpoch> {
    any::<u16>().prop_map(BootEpoch)
}

fn channel() -> std::ops::RangeInclusive<u32> {
    0..=shares::MAX_CHANNEL
}

fn sats() -> impl Strategy<Value = Sats> {
    (0..=Sats::MAX.to_u64()).prop_map(|sats| Sats::new(sats).unwrap())
}

fn work() -> impl Strategy<Value = Work> {
    any::<u128>().prop_map(Work::new)
}

fn exponent() -> impl Strategy<Value = Exponent> {
    (-32_i64..=95).prop_map(|k| Exponent::new(k).unwrap())
}

fn hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash)
}

fn template() -> impl Strategy<Value = TemplateId> {
    any::<[u8; 16]>().prop_map(TemplateId)
}

fn miner() -> impl Strategy<Value = MinerId> {
    vec(any::<u8>(), 1..=MinerId::MAX_LENGTH).prop_map(|bytes| MinerId::new(bytes).unwrap())
}

fn bytes(most: usize) -> impl Strategy<Value = HexBytes> {
    vec(any::<u8>(), 0..=most).prop_map(HexBytes)
}

fn digest() -> impl Strategy<Value = HexBytes> {
    any::<[u8; 32]>().prop_map(|digest| HexBytes(digest.to_vec()))
}

fn u64s() -> StrategyFor<u64> {
    any::<u64>()
}

fn u32s() -> StrategyFor<u32> {
    any::<u32>()
}

pub(crate) fn template_new() -> impl Strategy<Value = templates::New> {
    let output =
        (sats(), bytes(40)).prop_map(|(value, script)| templates::Output { value, script });
    let rule = (any::<u16>(), bytes(40), "[ -~]{0,24}", u32s()).prop_map(
        |(rules_version, treasury_script, tag, version_mask)| templates::CoinbaseRule {
            rules_version,
            treasury_script,
            tag,
            version_mask,
        },
    );
    let path =
        vec(any::<[u8; 32]>().prop_map(templates::MerkleHash), 0..=templates::MAX_MERKLE_PATH);
    let half = (0..=Sats::MAX.to_u64() / 2).prop_map(|sats| Sats::new(sats).unwrap());
    let amounts = (half.clone(), half);
    let head = (provider(), at(), u64s(), u32s(), option::of(hash()), amounts);
    let numbers = (u32s(), u32s(), u32s(), u32s());
    (head, numbers, bytes(8), vec(output, 0..3), path, rule).prop_map(
        |(head, numbers, coinbase_prefix, coinbase_outputs, merkle_path, coinbase_rule)| {
            let (provider, session, template, height, prevhash, (subsidy, fees)) = head;
            let (version, tx_version, input_sequence, locktime) = numbers;
            templates::New {
                provider,
                session,
                template,
                height,
                prevhash,
                subsidy,
                fees,
                version,
                coinbase_prefix,
                tx_version,
                input_sequence,
                locktime,
                coinbase_outputs,
                merkle_path,
                coinbase_rule,
            }
        },
    )
}

pub(crate) fn template_tip() -> impl Strategy<Value = templates::Tip> {
    (provider(), at(), hash(), u32s(), u32s(), u32s(), template()).prop_map(
        |(provider, session, prevhash, height, nbits, min_ntime, template)| templates::Tip {
            provider,
            session,
            prevhash,
            height,
            nbits,
            min_ntime,
            template,
        },
    )
}

pub(crate) fn template_health() -> impl Strategy<Value = templates::Health> {
    let numbers = (u32s(), u32s(), u32s(), u64s(), u32s(), u64s());
    (provider(), at(), any::<bool>(), option::of(name()), numbers).prop_map(
        |(provider, at, usable, problem, numbers)| templates::Health {
            provider,
            at,
            usable,
            problem,
            tip_height: numbers.0,
            tip_lag_blocks: numbers.1,
            template_latency_ms: numbers.2,
            mempool_transactions: numbers.3,
            template_transactions: numbers.4,
            rpc_errors_total: numbers.5,
        },
    )
}

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

fn header() -> impl Strategy<Value = HexBytes> {
    vec(any::<u8>(), blocks::HEADER_LENGTH).prop_map(HexBytes)
}

pub(crate) fn claimed() -> impl Strategy<Value = blocks::Claimed> {
    (node(), hash(), header(), bytes(300), template(), provider()).prop_map(
        |(node, hash, header, coinbase, template, provider)| blocks::Claimed {
            node,
            hash,
            header,
            coinbase,
            template,
            provider,
        },
    )
}

pub(crate) fn solved() -> impl Strategy<Value = blocks::Solved> {
    (hash(), u32s(), header(), bytes(300), template(), provider(), sats(), sats()).prop_map(
        |(hash, height, header, coinbase, template, provider, subsidy, fees)| blocks::Solved {
            hash,
            height,
            header,
            coinbase,
            template,
            provider,
            subsidy,
            fees,
        },
    )
}

pub(crate) fn block_submitted() -> impl Strategy<Value = blocks::Submitted> {
    use blocks::Answer;
    let answers = [Answer::Accepted, Answer::Duplicate, Answer::Inconclusive, Answer::Rejected];
    (hash(), provider(), select(answers.to_vec()), option::of(name()), at(), u32s()).prop_map(
        |(hash, provider, answer, detail, at, latency_ms)| blocks::Submitted {
            hash,
            provider,
            answer,
            detail,
            at,
            latency_ms,
        },
    )
}

pub(crate) fn outcome() -> impl Strategy<Value = blocks::Outcome> {
    use blocks::BlockResult;
    let results = [BlockResult::Confirmed, BlockResult::Orphaned, BlockResult::Refused];
    (hash(), u32s(), select(results.to_vec())).prop_map(|(hash, height, result)| blocks::Outcome {
        hash,
        height,
        result,
    })
}

pub(crate) fn slice_lines() -> impl Strategy<Value = rounds::SliceLines> {
    let line = (miner(), work(), u64s()).prop_map(|(miner, work, shares)| rounds::Line {
        miner,
        work,
        shares,
    });
    (u64s(), u32s(), vec(line, 0..8)).prop_map(|(slice, part, lines)| rounds::SliceLines {
        slice,
        part,
        lines,
    })
}

fn solving_share() -> impl Strategy<Value = rounds::SolvingShare> {
    (hash(), u32s(), miner(), name(), name()).prop_map(
        |(hash, height, finder, identity, worker)| rounds::SolvingShare {
            hash,
            height,
            finder,
            identity,
            worker,
        },
    )
}

pub(crate) fn slice_closed() -> impl Strategy<Value = rounds::SliceClosed> {
    let numbers = (u64s(), u64s(), u64s(), u64s(), u64s());
    let hashes = (digest(), digest(), digest());
    let counts = (u64s(), work(), work(), u64s(), u32s());
    (numbers, hashes, counts, u32s(), option::of(solving_share())).prop_map(
        |(numbers, hashes, counts, last_ntime, block)| rounds::SliceClosed {
            slice: numbers.0,
            round: numbers.1,
            incarnation: numbers.2,
            first_sequence: numbers.3,
            last_sequence: numbers.4,
            chain_start: hashes.0,
            chain_end: hashes.1,
            shares: counts.0,
            work: counts.1,
            network_work: counts.2,
            miners: counts.3,
            parts: counts.4,
            lines_root: hashes.2,
            last_ntime,
            block,
        },
    )
}

pub(crate) fn round_closed() -> impl Strategy<Value = rounds::Closed> {
    let numbers = (u64s(), u64s(), u64s(), u64s(), u64s());
    let counts = (u64s(), work(), work(), u64s());
    (numbers, solving_share(), option::of(u32s()), u32s(), counts).prop_map(
        |(numbers, block, started_ntime, stopped_ntime, counts)| rounds::Closed {
            round: numbers.0,
            block,
            first_slice: numbers.1,
            last_slice: numbers.2,
            first_sequence: numbers.3,
            last_sequence: numbers.4,
            started_ntime,
            stopped_ntime,
            shares: counts.0,
            work: counts.1,
            network_work: counts.2,
            luck_ppm: counts.3,
        },
    )
}

pub(crate) fn progress() -> impl Strategy<Value = rounds::Progress> {
    (u64s(), u64s(), u64s(), u64s(), work(), work(), at()).prop_map(
        |(round, slice, sequence, shares, work, network_work, at)| rounds::Progress {
            round,
            slice,
            sequence,
            shares,
            work,
            network_work,
            at,
        },
    )
}

pub(crate) fn statement() -> impl Strategy<Value = payouts::Statement> {
    let id =
        (u32s(), u32s()).prop_map(|(height, revision)| payouts::StatementId { height, revision });
    (id, "[A-Za-z0-9_-]{0,80}", "[A-Za-z0-9_-]{0,80}", "[A-Za-z0-9_-]{86}").prop_map(
        |(id, payload, protected, signature)| payouts::Statement {
            id,
            payload,
            protected,
            signature,
        },
    )
}

pub(crate) fn block_statement() -> impl Strategy<Value = payouts::BlockStatement> {
    use payouts::{BlockStatement, FeesPaidBy, Finder, Payee, RewardRule, StatementId, Window};
    let rule = prop_oneof![
        u32s().prop_map(|factor| RewardRule::Window { factor }),
        Just(RewardRule::Round),
    ];
    let amounts = (sats(), sats(), sats(), sats(), sats());
    let window =
        ((u64s(), u64s(), u64s(), u64s(), u64s()), digest(), digest(), vec(digest(), 0..4));
    let window =
        (window, work(), u64s()).prop_map(|((numbers, start, end, roots), work, shares)| Window {
            incarnation: numbers.0,
            first_slice: numbers.1,
            last_slice: numbers.2,
            first_sequence: numbers.3,
            last_sequence: numbers.4,
            chain_start: start,
            chain_end: end,
            lines_roots: roots,
            work,
            shares,
        });
    let paid_by = select(vec![FeesPaidBy::Coinbase, FeesPaidBy::Ledger]);
    let finder = (miner(), name(), sats(), paid_by)
        .prop_map(|(miner, identity, amount, paid_by)| Finder { miner, identity, amount, paid_by });
    let payee =
        (miner(), work(), sats()).prop_map(|(miner, work, amount)| Payee { miner, work, amount });
    let head = (u32s(), u32s(), any::<u16>(), hash());
    (head, rule, amounts, window, finder, vec(payee, 0..5)).prop_map(
        |(head, reward_rule, amounts, window, finder, payees)| {
            let (height, revision, rules_version, block_hash) = head;
            let (subsidy, fees, treasury, nodes, miners) = amounts;
            BlockStatement {
                id: StatementId { height, revision },
                rules_version,
                reward_rule,
                block_hash,
                height,
                subsidy,
                fees,
                treasury,
                nodes,
                miners,
                window,
                finder,
                payees,
            }
        },
    )
}

pub(crate) fn parked() -> impl Strategy<Value = Parked> {
    let words = ("[a-z0-9_-]{1,32}", name(), "[A-Z_]{1,20}", name(), name());
    (words, u64s(), bytes(80), at()).prop_map(|(words, stream_sequence, body, at)| {
        let (worker, reason, stream, subject, kind) = words;
        Parked { worker, reason, stream, stream_sequence, subject, kind, body, at }
    })
}
