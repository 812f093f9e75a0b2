//! Identities that were read before: reading one takes a third of the time that a share's hashes
//! take, and a miner's stands in every batch.

use mining::{Identity, Network, Payee, Policy};
use std::{collections::BTreeMap, sync::Arc};
use subjects::MinerId;

/// Most identities that are remembered, some 4 MB; then memory starts afresh.
const MOST_KNOWN: usize = 16_384;

/// The identities that this network credits, by their one spelling.
#[derive(Debug)]
pub(super) struct Identities {
    network: Network,
    policy: Policy,
    known: BTreeMap<String, Arc<Credited>>,
}

/// Who is credited.
#[derive(Debug)]
pub(super) struct Credited {
    pub(super) miner: MinerId,
    pub(super) payee: Payee,
}

impl Identities {
    pub(super) fn new(network: Network) -> Self {
        Self { network, policy: Policy::addresses_only(), known: BTreeMap::new() }
    }

    /// Reads those that are not known yet; what is not credited is not remembered.
    pub(super) fn learn<'a>(&mut self, batch: impl ExactSizeIterator<Item = &'a str>) {
        if self.known.len() + batch.len() > MOST_KNOWN {
            self.known.clear();
        }
        for text in batch {
            if self.known.contains_key(text) {
                continue;
            }
            if let Some(credited) = self.read(text) {
                self.known.insert(text.to_owned(), Arc::new(credited));
            }
        }
    }

    fn read(&self, text: &str) -> Option<Credited> {
        let identity = Identity::from_canonical(text, self.network).ok()?;
        self.policy.check(&identity).ok()?;
        Some(Credited { miner: identity.miner_id().clone(), payee: *identity.payee() })
    }

    /// Who that is, if it was learnt and is credited.
    pub(super) fn get(&self, text: &str) -> Option<&Arc<Credited>> {
        self.known.get(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

    #[test]
    fn only_what_is_credited_is_known() {
        let mut identities = Identities::new(Network::Signet);
        let shouted = ALICE.to_uppercase();
        identities.learn([ALICE, shouted.as_str(), "@alias", "nobody"].into_iter());
        let alice = Identity::parse(ALICE, Network::Signet).unwrap();
        assert_eq!(&identities.get(ALICE).unwrap().miner, alice.miner_id());
        assert!(identities.get(&shouted).is_none(), "another spelling");
        assert_eq!(identities.known.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_holds_the_batch_at_hand() {
        let mut identities = Identities::new(Network::Signet);
        let credited = identities.read(ALICE).unwrap();
        let credited = Arc::new(credited);
        for number in 0..MOST_KNOWN {
            identities.known.insert(number.to_string(), Arc::clone(&credited));
        }
        identities.learn([ALICE].into_iter());
        assert!(identities.get(ALICE).is_some());
        assert!(identities.known.len() <= MOST_KNOWN);
    }
}
