//! What the streams tell: templates and tips, and what is known of blocks.

use super::{desk::Desk, roads};
use crate::{domain::outcomes::Fact, port::Bitcoind};
use std::{collections::BTreeMap, sync::Arc};
use subjects::{
    BlockHash, DecodeError, Payload, TemplateId, Timestamp,
    blocks::{Outcome, Solved, Submitted},
    templates::{New, Tip},
};
use tokio::task::JoinSet;
use worker_runtime::{Delivery, transform::Start};

/// How far back templates are read at the start: as long as their transactions are kept.
const TEMPLATES_MS: u64 = bitcoind_rpc::transactions::LIFETIME_MS;

/// Templates whose transactions are fetched at once; the newer ones matter more, and a template
/// that is left out is fetched when its block is found.
const MAX_FETCHES: usize = 4;

/// Follows `TEMPLATES` until the process drains.
pub(super) async fn templates<B: Bitcoind>(desk: Arc<Desk<B>>) -> anyhow::Result<()> {
    let filters = [New::FILTER, Tip::FILTER].map(str::to_owned).to_vec();
    let since = Timestamp(desk.ctx.now().0.saturating_sub(TEMPLATES_MS));
    let mut reader = desk.bus.ordered(streams::TEMPLATES, filters, Start::Time(since));
    let mut fetches = JoinSet::new();
    let stop = desk.ctx.stop.clone();
    loop {
        tokio::select! {
            delivery = reader.next() => {
                let delivery = delivery?;
                let live = reader.caught_up();
                if let Err(error) = hear_template(&desk, &delivery, live, &mut fetches) {
                    skipped(&delivery, &error);
                }
            }
            Some(ended) = fetches.join_next() => ended?,
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn hear_template<B: Bitcoind>(
    desk: &Arc<Desk<B>>,
    delivery: &Delivery,
    live: bool,
    fetches: &mut JoinSet<()>,
) -> Result<(), DecodeError> {
    if delivery.kind == Tip::TYPE {
        let tip = Tip::decode(&delivery.body)?;
        desk.known.send_modify(|known| known.hear_tip(&tip));
    }
    if delivery.kind == New::TYPE {
        let template = New::decode(&delivery.body)?;
        let id = TemplateId::of_payload(&delivery.body);
        let mut heard = None;
        desk.known.send_modify(|known| heard = known.hear_template(id, &template));
        if let Some(work) = heard.filter(|_| live && fetches.len() < MAX_FETCHES) {
            let desk = Arc::clone(desk);
            fetches.spawn(async move {
                if let Err(error) = desk.archive.prefetch(&work).await {
                    let cause = format!("{:#}", anyhow::Error::from(error));
                    let provider = work.provider();
                    tracing::warn!(%provider, cause, "a template's transactions are not at hand");
                }
            });
        }
    }
    Ok(())
}

/// Follows `BLOCKS` until the process drains: hands in what nobody handed to this bitcoind yet.
pub(super) async fn blocks<B: Bitcoind>(desk: Arc<Desk<B>>) -> anyhow::Result<()> {
    let filters = [Solved::FILTER, Submitted::FILTER, Outcome::FILTER].map(str::to_owned).to_vec();
    let mut reader = desk.bus.ordered(streams::BLOCKS, filters, Start::First);
    reader.opened().await?;
    let stop = desk.ctx.stop.clone();
    let mut waiting = BTreeMap::new();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    loop {
        if reader.caught_up() {
            desk.caught_up.send_if_modified(|caught_up| !std::mem::replace(caught_up, true));
            for (_, solved) in std::mem::take(&mut waiting) {
                hand_in(&desk, solved, &mut tasks);
            }
        }
        tokio::select! {
            delivery = reader.next() => {
                let delivery = delivery?;
                match fact(&delivery) {
                    Ok(Some(fact)) => hear_block(&desk, fact, &mut waiting),
                    Ok(None) => {}
                    Err(error) => skipped(&delivery, &error),
                }
            }
            Some(ended) = tasks.join_next() => ended??,
            () = stop.cancelled() => break,
        }
    }
    roads::finish(tasks).await
}

fn fact(delivery: &Delivery) -> Result<Option<Fact>, DecodeError> {
    Ok(match delivery.kind.as_str() {
        Solved::TYPE => Some(Fact::Solved(Solved::decode(&delivery.body)?)),
        Submitted::TYPE => Some(Fact::Submitted(Submitted::decode(&delivery.body)?)),
        Outcome::TYPE => Some(Fact::Outcome(Outcome::decode(&delivery.body)?)),
        _ => None,
    })
}

fn hear_block<B: Bitcoind>(desk: &Desk<B>, fact: Fact, waiting: &mut BTreeMap<BlockHash, Solved>) {
    match &fact {
        Fact::Solved(solved) => {
            waiting.insert(solved.hash, solved.clone());
        }
        Fact::Submitted(_) => {}
        Fact::Outcome(outcome) => {
            waiting.remove(&outcome.hash);
            desk.forget(outcome.hash);
        }
    }
    desk.book().hear(fact);
}

/// Hands in a block that was heard of on the bus, unless this bitcoind has answered.
fn hand_in<B: Bitcoind>(
    desk: &Arc<Desk<B>>,
    solved: Solved,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    if !desk.book().awaits(solved.hash, &desk.provider) {
        return;
    }
    let desk = Arc::clone(desk);
    let heard = desk.ctx.clock().monotonic();
    tasks.spawn(async move {
        match desk.hand_in(&solved, heard).await {
            Some(submitted) => roads::unless_stopped(desk.record(&submitted).await),
            None => Ok(()),
        }
    });
}

fn skipped(delivery: &Delivery, error: &DecodeError) {
    let (stream, sequence) = (&delivery.position.stream, delivery.position.sequence);
    tracing::error!(stream, sequence, %error, "a message cannot be read and is left out");
}
