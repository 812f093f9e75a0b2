//! Chains: subjects with one writer, each message naming the one before it.

use crate::{
    bus::{Delivery, subject::is_concrete},
    transform::Replay,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};
use subjects::Message;
use tokio::sync::Mutex;

/// Most chains that are remembered; a forgotten one is read from the stream again. There are as
/// many lanes.
const MAX_CHAINS: usize = 65_536;

/// The last link that this writer knows of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tip {
    /// Its sequence, 0 while the chain is empty.
    pub(super) sequence: u64,
    /// Its id.
    pub(super) message_id: String,
    /// SHA-256 of its body.
    pub(super) digest: [u8; 32],
}

impl Tip {
    pub(super) fn of(there: &Delivery) -> Self {
        Self {
            sequence: there.position.sequence,
            message_id: there.message_id.clone(),
            digest: digest(&there.body),
        }
    }

    pub(super) fn published(message: &Message, sequence: u64) -> Self {
        Self { sequence, message_id: message.id.clone(), digest: digest(&message.body) }
    }
}

pub(super) fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// A chain, locked while one link is added: one message in flight per chain.
type Link = Arc<Mutex<Option<Tip>>>;

/// All chains of one connection.
#[derive(Default)]
pub(crate) struct Chains {
    links: StdMutex<BTreeMap<String, Link>>,
}

/// What a replay heard of chains, to be told to [`Chains`] when it ends.
///
/// A writer continues from the last link that it has *seen*, not from whatever is last when it
/// first publishes: a zombie may have added a link in between.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    tips: BTreeMap<String, Delivery>,
}

impl Heard {
    /// Notes a link. Filters of one replay may hold many subjects; only the newest link of each
    /// is kept.
    pub(crate) fn note(&mut self, delivery: &Delivery) {
        self.tips.insert(delivery.subject.clone(), delivery.clone());
    }
}

impl Chains {
    pub(super) fn of(&self, subject: &str) -> Link {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(subject) {
            return Arc::clone(link);
        }
        if links.len() >= MAX_CHAINS {
            links.retain(|_, link| Arc::strong_count(link) > 1);
        }
        Arc::clone(links.entry(subject.to_owned()).or_default())
    }

    /// Continues chains from where a replay has seen them. A filter that names one subject, and
    /// found nothing in the whole stream, says that this chain is empty.
    pub(crate) async fn continue_from(&self, replay: &Replay, heard: Heard) {
        if replay.is_whole() {
            for filter in replay.filters.iter().filter(|filter| is_concrete(filter)) {
                self.of(filter).lock().await.get_or_insert_default();
            }
        }
        for (subject, last) in heard.tips {
            let link = self.of(&subject);
            let mut known = link.lock().await;
            let last = Tip::of(&last);
            if known.as_ref().is_none_or(|known| known.sequence < last.sequence) {
                *known = Some(last);
            }
        }
    }

    /// Forgets the last link of a chain: the next one is written behind whatever is there then.
    pub(crate) async fn forget(&self, subject: &str) {
        *self.of(subject).lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Start;

    #[tokio::test]
    async fn an_empty_replay_of_one_subject_means_an_empty_chain() {
        let chains = Chains::default();
        let replay = |from| Replay {
            stream: "SHARES".to_owned(),
            filters: vec!["shares.accepted.n1.300".to_owned(), "templates.>".to_owned()],
            from,
        };
        let chain = chains.of("shares.accepted.n1.300");
        chains.continue_from(&replay(Start::Sequence(7)), Heard::default()).await;
        assert_eq!(*chain.lock().await, None, "only a part was read");
        chains.continue_from(&replay(Start::LastPerSubject), Heard::default()).await;
        assert_eq!(*chain.lock().await, Some(Tip::default()));
        assert_eq!(*chains.of("templates.new.a").lock().await, None);
        assert_eq!(*chains.of("templates.>").lock().await, None);
    }
}
