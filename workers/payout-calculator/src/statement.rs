//! The body of a block's statement, and the proof that it adds up.

use crate::{
    book::{Book, Due},
    coinbase::CoinbaseError,
    split::{Parts, SplitError, share_out},
};
use std::collections::BTreeMap;
use subjects::{
    MinerId, Sats, Work,
    payouts::{BlockStatement, Finder, Payee},
};

/// Version of the rules that statements are computed by.
pub const RULES_VERSION: u16 = 1;

/// A statement cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// A slice of the window is not held.
    #[error("slices {first} to {last} are not all known, or their sums overflow")]
    Window {
        /// First slice of the window.
        first: u64,
        /// Last one.
        last: u64,
    },
    /// The miners' part cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The coinbase does not say how the finder is paid.
    #[error(transparent)]
    Coinbase(#[from] CoinbaseError),
    /// The statement does not add up.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
}

/// A statement does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// `T`, `N` and `M` are not the parts of `S` by the rules.
    #[error("treasury, nodes and miners are not the parts of the subsidy")]
    Parts,
    /// `F` is not what the finder gets.
    #[error("the finder does not get exactly the fees")]
    Fees,
    /// The payees do not stand in ascending order, so one may be paid twice.
    #[error("the payees do not stand in ascending order")]
    Order,
    /// The payees' work is not the window's.
    #[error("the payees' work does not add up to the window's")]
    Work,
    /// The payees' amounts are not the exact shares of `M`.
    #[error("the payees' amounts are not the shares of the miners' part")]
    Amounts,
    /// The id is not that of the height.
    #[error("the id does not name the block's height")]
    Id,
    /// Not one root for each slice of the window.
    #[error("there is not one root for each slice of the window")]
    Roots,
}

/// Makes the statement of a due block out of the work of each miner in its window.
///
/// # Errors
///
/// When the facts do not allow one.
pub fn statement(
    book: &Book,
    due: &Due,
    works: BTreeMap<MinerId, Work>,
) -> Result<BlockStatement, StatementError> {
    let parts = Parts::of(due.paid.subsidy);
    let window = book.slices().describe(&due.run);
    let window =
        window.ok_or(StatementError::Window { first: *due.run.start(), last: *due.run.end() })?;
    let amounts = share_out(parts.miners, &works.values().copied().collect::<Vec<_>>())?;
    let payee = |((miner, work), amount)| Payee { miner, work, amount };
    let body = BlockStatement {
        id: due.id(),
        rules_version: RULES_VERSION,
        reward_rule: book.rule(),
        block_hash: due.block.hash,
        height: due.block.height,
        subsidy: due.paid.subsidy,
        fees: due.paid.fees,
        treasury: parts.treasury,
        nodes: parts.nodes,
        miners: parts.miners,
        window,
        finder: Finder {
            miner: due.block.finder.clone(),
            identity: due.block.identity.clone(),
            amount: due.paid.fees,
            paid_by: due.paid.fees_to(&due.block.finder)?,
        },
        payees: works.into_iter().zip(amounts).map(payee).collect(),
    };
    check(&body)?;
    Ok(body)
}

/// Checks that a statement adds up, to the satoshi and to the hash. Whoever computes one and
/// whoever reads one asks this.
///
/// # Errors
///
/// What does not add up.
pub fn check(body: &BlockStatement) -> Result<(), Unbalanced> {
    let ensure = |holds: bool, otherwise| if holds { Ok(()) } else { Err(otherwise) };
    let Parts { treasury, nodes, miners } = Parts::of(body.subsidy);
    let parts = (body.treasury, body.nodes, body.miners) == (treasury, nodes, miners);
    ensure(parts, Unbalanced::Parts)?;
    ensure(body.finder.amount == body.fees, Unbalanced::Fees)?;
    ensure(body.id.height == body.height, Unbalanced::Id)?;
    let payees = &body.payees;
    let ascending = payees.is_sorted_by(|one, other| one.miner < other.miner);
    ensure(ascending, Unbalanced::Order)?;
    let works: Vec<_> = payees.iter().map(|payee| payee.work).collect();
    let work = works.iter().try_fold(Work::ZERO, |sum, work| sum.checked_add(*work));
    ensure(work == Some(body.window.work), Unbalanced::Work)?;
    let amounts: Vec<_> = payees.iter().map(|payee| payee.amount).collect();
    ensure(share_out(miners, &works).is_ok_and(|exact| exact == amounts), Unbalanced::Amounts)?;
    let sum = amounts.iter().try_fold(Sats::ZERO, |sum, amount| sum.checked_add(*amount));
    ensure(sum == Some(miners), Unbalanced::Amounts)?;
    let slices = body.window.last_slice.checked_sub(body.window.first_slice);
    let roots = u64::try_from(body.window.lines_roots.len()).ok();
    ensure(slices.and_then(|slices| slices.checked_add(1)) == roots, Unbalanced::Roots)
}
