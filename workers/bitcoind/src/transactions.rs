//! How the transactions of a template are kept in the object store, so that any other provider's
//! submitter can rebuild its block.
//!
//! A template has one **list**: its transactions in block order, each as a place in a **pack**. A
//! pack holds transactions that no earlier pack of the same publisher held, and is named by its
//! content. Two successive templates share nearly all transactions, so a new template costs one
//! small pack and one list, not megabytes.
//!
//! Objects live as long as the bucket keeps them ([`LIFETIME_MS`]). A transaction that stays in
//! the mempool longer is packed again after [`REPACK_AFTER_MS`], so a list never outlives its
//! packs while a block can still be built on it.

use crate::TemplateTransaction;
use prost::Message as _;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};
use subjects::{ProviderId, TemplateId, Timestamp};

/// How long the bucket keeps an object, in milliseconds: two hours, many times what a template is
/// mined on.
pub const LIFETIME_MS: u64 = 2 * 3_600_000;

/// Age from which a pack is not referred to by new lists, in milliseconds: half of its lifetime,
/// so that a list is complete for at least the other half.
pub const REPACK_AFTER_MS: u64 = LIFETIME_MS / 2;

/// Most transactions of a template: a block of 4 million weight units holds at most 16 666 of the
/// smallest ones.
pub const MAX_TRANSACTIONS: usize = 1 << 15;

/// Largest object in bytes: more than any block's transactions.
pub const MAX_OBJECT_BYTES: usize = 8 << 20;

/// What a pack is called by: SHA-256 of its bytes, the first 16 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackId([u8; 16]);

impl PackId {
    fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let mut id = [0; 16];
        id.copy_from_slice(digest.split_at(16).0);
        Self(id)
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Name of a template's list in the bucket.
pub fn list_name(provider: &ProviderId, template: TemplateId) -> String {
    format!("{provider}/list/{template}")
}

/// Name of a pack in the bucket.
pub fn pack_name(provider: &ProviderId, pack: PackId) -> String {
    format!("{provider}/pack/{pack}")
}

/// An object's bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObject {
    /// Not of this form.
    #[error("the object cannot be read: {0}")]
    Form(String),
    /// Its bytes are not those that its name stands for.
    #[error("the pack {named} holds the bytes of another one")]
    Content {
        /// The name.
        named: PackId,
    },
    /// A list refers to a pack that was not handed in.
    #[error("the pack {0} is missing")]
    MissingPack(PackId),
    /// A list refers to a place that its pack does not have.
    #[error("the pack {pack} has no transaction {index}")]
    MissingTransaction {
        /// The pack.
        pack: PackId,
        /// The place.
        index: u32,
    },
}

/// A transaction of a template is not hexadecimal text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction {index} of the template is not hexadecimal text")]
pub struct InvalidHex {
    /// Its position after the coinbase, counted from 0.
    pub index: usize,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackWire {
    #[prost(bytes = "vec", repeated, tag = "1")]
    transactions: Vec<Vec<u8>>,
    /// When it was packed. The bucket keeps the object that it has under a name, and its age; so
    /// the same transactions, packed again an hour later, need another name.
    #[prost(uint64, tag = "2")]
    packed_at_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListWire {
    /// The packs that `pack` refers to by position.
    #[prost(bytes = "vec", repeated, tag = "1")]
    packs: Vec<Vec<u8>>,
    /// For every transaction, in block order: the position of its pack.
    #[prost(uint32, repeated, tag = "2")]
    pack: Vec<u32>,
    /// For every transaction, in block order: its place in the pack.
    #[prost(uint32, repeated, tag = "3")]
    index: Vec<u32>,
}

/// Some transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack(Vec<Vec<u8>>);

impl Pack {
    /// Reads the object that is called `id`.
    ///
    /// # Errors
    ///
    /// When the bytes are not those that the name stands for.
    pub fn decode(id: PackId, bytes: &[u8]) -> Result<Self, InvalidObject> {
        if PackId::of(bytes) != id {
            return Err(InvalidObject::Content { named: id });
        }
        let wire =
            PackWire::decode(bytes).map_err(|error| InvalidObject::Form(error.to_string()))?;
        Ok(Self(wire.transactions))
    }

    /// Bytes of its transactions.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// A template's transactions as places in packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    pack: PackId,
    index: u32,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// When it has another form, or more transactions than a block.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidObject> {
        let form = |reason: &str| InvalidObject::Form(reason.to_owned());
        let wire = ListWire::decode(bytes).map_err(|error| form(&error.to_string()))?;
        if wire.pack.len() != wire.index.len() || wire.pack.len() > MAX_TRANSACTIONS {
            return Err(form("more transactions than a block has, or places without a pack"));
        }
        let ids: Option<Vec<PackId>> =
            wire.packs.into_iter().map(|id| id.try_into().ok().map(PackId)).collect();
        let ids = ids.ok_or_else(|| form("a pack's id has 16 bytes"))?;
        let place = |(pack, index): (u32, u32)| {
            let id = usize::try_from(pack).ok().and_then(|position| ids.get(position))?;
            Some(Place { pack: *id, index })
        };
        let places: Option<Vec<Place>> = wire.pack.into_iter().zip(wire.index).map(place).collect();
        Ok(Self { places: places.ok_or_else(|| form("a place in a pack that is not named"))? })
    }

    /// Writes the list.
    pub fn encode(&self) -> Vec<u8> {
        let ids = self.packs();
        let position = |pack: PackId| ids.iter().position(|id| *id == pack).unwrap_or_default();
        let wire = ListWire {
            pack: self.places.iter().map(|p| saturating_u32(position(p.pack))).collect(),
            index: self.places.iter().map(|place| place.index).collect(),
            packs: ids.iter().map(|id| id.0.to_vec()).collect(),
        };
        wire.encode_to_vec()
    }

    /// The packs that it refers to, in order of their ids.
    pub fn packs(&self) -> Vec<PackId> {
        let mut ids: Vec<PackId> = self.places.iter().map(|place| place.pack).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The transactions in block order.
    ///
    /// # Errors
    ///
    /// When a pack is missing or shorter than the list says.
    pub fn resolve<'a>(
        &self,
        pack_of: impl Fn(PackId) -> Option<&'a Pack>,
    ) -> Result<Vec<&'a [u8]>, InvalidObject> {
        let transaction = |place: &Place| {
            let Place { pack, index } = *place;
            let held = pack_of(pack).ok_or(InvalidObject::MissingPack(pack))?;
            let found = usize::try_from(index).ok().and_then(|index| held.0.get(index));
            found.map(Vec::as_slice).ok_or(InvalidObject::MissingTransaction { pack, index })
        };
        self.places.iter().map(transaction).collect()
    }
}

/// An object to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name in the bucket.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What must be stored before a template may be mined on.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The objects, in the order in which they must be stored: a list never refers to a pack that
    /// is not there yet.
    pub objects: Vec<Object>,
    fresh: Vec<([u8; 32], Place)>,
}

/// Remembers which transactions are kept already. The publisher's side.
#[derive(Debug)]
pub struct Packer {
    provider: ProviderId,
    places: BTreeMap<[u8; 32], (Place, Timestamp)>,
}

impl Packer {
    /// Knows of none.
    pub const fn new(provider: ProviderId) -> Self {
        Self { provider, places: BTreeMap::new() }
    }

    /// Packs what is not kept yet and lists all.
    ///
    /// # Errors
    ///
    /// When a transaction is not hexadecimal text.
    pub fn pack(
        &self,
        now: Timestamp,
        template: TemplateId,
        transactions: &[TemplateTransaction],
    ) -> Result<Packed, InvalidHex> {
        let mut fresh = Vec::new();
        for (index, transaction) in transactions.iter().enumerate() {
            if self.place_of(now, &transaction.wtxid).is_none() {
                let bytes = hex::decode(&transaction.data).map_err(|_| InvalidHex { index })?;
                fresh.push((transaction.wtxid, bytes));
            }
        }
        let (wtxids, contents): (Vec<_>, Vec<_>) = fresh.into_iter().unzip();
        let pack = PackWire { transactions: contents, packed_at_ms: now.0 }.encode_to_vec();
        let id = PackId::of(&pack);
        let fresh: Vec<_> = wtxids
            .into_iter()
            .enumerate()
            .map(|(index, wtxid)| (wtxid, Place { pack: id, index: saturating_u32(index) }))
            .collect();
        let list = self.list(now, &fresh, transactions);
        let mut objects = Vec::with_capacity(2);
        if !fresh.is_empty() {
            objects.push(Object { name: pack_name(&self.provider, id), bytes: pack });
        }
        objects.push(Object { name: list_name(&self.provider, template), bytes: list.encode() });
        Ok(Packed { objects, fresh })
    }

    /// Marks all that was packed as kept since `now`, the time *before* it was stored, and forgets
    /// what new lists may not refer to any more.
    pub fn stored(&mut self, now: Timestamp, packed: Packed) {
        self.places.retain(|_, (_, since)| now.millis_since(*since) < REPACK_AFTER_MS);
        self.places.extend(packed.fresh.into_iter().map(|(wtxid, place)| (wtxid, (place, now))));
    }

    fn place_of(&self, now: Timestamp, wtxid: &[u8; 32]) -> Option<Place> {
        let (place, since) = self.places.get(wtxid)?;
        (now.millis_since(*since) < REPACK_AFTER_MS).then_some(*place)
    }

    fn list(
        &self,
        now: Timestamp,
        fresh: &[([u8; 32], Place)],
        transactions: &[TemplateTransaction],
    ) -> List {
        let fresh: BTreeMap<_, _> = fresh.iter().copied().collect();
        let place = |transaction: &TemplateTransaction| {
            let kept = self.place_of(now, &transaction.wtxid);
            kept.or_else(|| fresh.get(&transaction.wtxid).copied())
        };
        List { places: transactions.iter().filter_map(place).collect() }
    }
}

fn saturating_u32(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
