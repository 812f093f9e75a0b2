//! The workers that a channel's shares name (extension 0x0002): a farm behind one channel.
//!
//! Names are statistics. Whom a share pays is its channel's affair.

use ingress::domain::miner::Miner;
use std::sync::Arc;

/// Whether a channel's shares name their workers.
#[derive(Debug, Default)]
pub enum Workers {
    /// Not agreed on: all shares are the channel's.
    #[default]
    Unnamed,
    /// Those that were named, sorted by name.
    Named(Vec<Arc<Miner>>),
}

impl Workers {
    /// From now on shares name their workers.
    pub fn switch_on(&mut self) {
        if matches!(self, Self::Unnamed) {
            *self = Self::Named(Vec::new());
        }
    }

    /// From now on they do not, and nobody is remembered.
    pub fn switch_off(&mut self) {
        *self = Self::Unnamed;
    }

    /// Whether shares name their workers.
    pub const fn are_named(&self) -> bool {
        match self {
            Self::Unnamed => false,
            Self::Named(_) => true,
        }
    }

    /// How many were named.
    pub fn len(&self) -> usize {
        match self {
            Self::Unnamed => 0,
            Self::Named(named) => named.len(),
        }
    }

    /// Whether none was named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The worker of this name, of the identity of `channel`. A name that is not printable ASCII,
    /// that is empty, or that is new without `room` for another one is the channel's own.
    pub fn find(&mut self, name: &[u8], channel: &Arc<Miner>, room: bool) -> Arc<Miner> {
        let printable = name.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let name = std::str::from_utf8(name).ok().filter(|name| printable && !name.is_empty());
        let (Self::Named(named), Some(name)) = (self, name) else { return Arc::clone(channel) };
        match named.binary_search_by(|miner| miner.worker.as_str().cmp(name)) {
            Ok(place) => named.get(place).map_or_else(|| Arc::clone(channel), Arc::clone),
            Err(place) if room && name != channel.worker => {
                let miner = Arc::new(Miner { worker: name.to_owned(), ..Miner::clone(channel) });
                named.insert(place, Arc::clone(&miner));
                miner
            }
            Err(_) => Arc::clone(channel),
        }
    }
}
