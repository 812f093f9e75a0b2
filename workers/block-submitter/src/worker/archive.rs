//! Rebuilds whole blocks from what the templates' publishers kept.
//!
//! Transactions are fetched when a template is heard of, not when a block is found: a found block
//! must not wait for megabytes.

use bitcoind_rpc::{
    block::{InvalidParts, assemble, check_transactions},
    transactions::{InvalidObject, List, Pack, PackId, list_name, pack_name},
};
use mining::WorkTemplate;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subjects::{ProviderId, TemplateId, blocks::Solved, templates::MerkleHash};
use worker_runtime::{
    Bus,
    bus::{Objects, ObjectsError},
};

/// Templates whose transactions are held in memory: those of the last minutes, of which several
/// providers make one every few seconds. They share nearly all transactions.
const MAX_HELD: usize = 64;

/// The transactions of recent templates.
#[derive(Debug)]
pub(super) struct Archive {
    objects: Objects,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    lists: BTreeMap<TemplateId, Arc<List>>,
    oldest: VecDeque<TemplateId>,
    packs: BTreeMap<PackId, Arc<Pack>>,
}

/// A block cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(super) enum RebuildError {
    /// Nothing is kept under this name.
    #[error(
        "`{0}` is not in the object store: the template is older than two hours, or its publisher \
         did not store it"
    )]
    Missing(String),
    /// What is kept cannot be used.
    #[error(transparent)]
    Object(#[from] InvalidObject),
    /// What is kept is not what the template was made of.
    #[error(transparent)]
    Parts(#[from] InvalidParts),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] ObjectsError),
}

impl Archive {
    pub(super) fn new(bus: &Bus) -> Self {
        Self { objects: bus.objects(streams::TEMPLATE_TXS), held: Mutex::default() }
    }

    /// Fetches a template's transactions and checks that they are the ones it was made of.
    pub(super) async fn prefetch(&self, work: &WorkTemplate) -> Result<(), RebuildError> {
        if work.merkle_path().is_empty() {
            return Ok(());
        }
        let (list, packs) = self.fetch(work.provider(), work.id()).await?;
        check(&list, &packs, work)?;
        self.hold(work.id(), list, packs);
        Ok(())
    }

    /// The bytes of a block. A template without transactions needs nothing of the store.
    pub(super) async fn rebuild(
        &self,
        solved: &Solved,
        work: Option<&WorkTemplate>,
    ) -> Result<Vec<u8>, RebuildError> {
        if work.is_some_and(|work| work.merkle_path().is_empty()) {
            return Ok(assemble::<Vec<u8>>(&solved.header, &solved.coinbase, &[]));
        }
        let list = self.held().lists.get(&solved.template).map(Arc::clone);
        let (list, packs) = match list {
            Some(list) => {
                let packs = self.packs(&solved.provider, &list).await?;
                (list, packs)
            }
            None => self.fetch(&solved.provider, solved.template).await?,
        };
        let transactions = list.resolve(|id| packs.get(&id).map(Arc::as_ref))?;
        Ok(assemble(&solved.header, &solved.coinbase, &transactions))
    }

    async fn fetch(
        &self,
        provider: &ProviderId,
        template: TemplateId,
    ) -> Result<(Arc<List>, BTreeMap<PackId, Arc<Pack>>), RebuildError> {
        let list = Arc::new(List::decode(&self.object(list_name(provider, template)).await?)?);
        let packs = self.packs(provider, &list).await?;
        Ok((list, packs))
    }

    /// The packs of a list: those in memory, the others from the store.
    async fn packs(
        &self,
        provider: &ProviderId,
        list: &List,
    ) -> Result<BTreeMap<PackId, Arc<Pack>>, RebuildError> {
        let mut packs = BTreeMap::new();
        for id in list.packs() {
            let held = self.held().packs.get(&id).map(Arc::clone);
            let pack = match held {
                Some(pack) => pack,
                None => {
                    let bytes = self.object(pack_name(provider, id)).await?;
                    Arc::new(Pack::decode(id, &bytes)?)
                }
            };
            packs.insert(id, pack);
        }
        Ok(packs)
    }

    async fn object(&self, name: String) -> Result<Vec<u8>, RebuildError> {
        let found = self.objects.get(&name).await?;
        found.map(Vec::from).ok_or(RebuildError::Missing(name))
    }

    fn hold(&self, id: TemplateId, list: Arc<List>, packs: BTreeMap<PackId, Arc<Pack>>) {
        let mut held = self.held();
        if held.lists.insert(id, list).is_none() {
            held.oldest.push_back(id);
        }
        held.packs.extend(packs);
        while held.oldest.len() > MAX_HELD {
            if let Some(oldest) = held.oldest.pop_front() {
                held.lists.remove(&oldest);
            }
        }
        let used: BTreeSet<PackId> = held.lists.values().flat_map(|list| list.packs()).collect();
        held.packs.retain(|id, _| used.contains(id));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(
    list: &List,
    packs: &BTreeMap<PackId, Arc<Pack>>,
    work: &WorkTemplate,
) -> Result<(), RebuildError> {
    let transactions = list.resolve(|id| packs.get(&id).map(Arc::as_ref))?;
    let path: Vec<MerkleHash> = work.merkle_path().iter().copied().map(MerkleHash).collect();
    Ok(check_transactions(&transactions, &path)?)
}
