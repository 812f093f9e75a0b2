//! Statements, and what could not be read.

use super::{at, bytes, digest, hash, miner, name, sats, u32s, u64s, work};
use proptest::{collection::vec, prelude::*, sample::select};
use subjects::{parked::Parked, payouts};

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
