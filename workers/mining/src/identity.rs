//! Who mines: the `user_identity` that a miner opens its channel with, as a parsed, bounded,
//! canonical value.
//!
//! `<address>[.<worker>]`, where the address may also be a public key (66 hexadecimal digits) or a
//! registered alias (`@name`) on networks that switch those on.

use crate::{Network, Payee};
use bitcoin::{Address, CompressedPublicKey, address::NetworkUnchecked};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt};
use subjects::MinerId;

/// Longest `user_identity` in bytes: SV2's `STR0_255`.
pub const MAX_USER_IDENTITY_LENGTH: usize = 255;
/// Longest worker name in bytes.
pub const MAX_WORKER_LENGTH: usize = 64;
/// Longest address in bytes (BIP 173).
pub const MAX_ADDRESS_LENGTH: usize = 90;
/// Hexadecimal digits of a compressed public key.
const PUBLIC_KEY_DIGITS: usize = 66;
/// Shortest and longest alias in bytes, without the `@`.
pub const ALIAS_LENGTHS: std::ops::RangeInclusive<usize> = 3..=32;

/// Who is credited, in one spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    kind: Kind,
    canonical: Box<str>,
    miner: MinerId,
    payee: Payee,
}

/// The kinds of identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An address of this network: p2pkh, p2sh, p2wpkh, p2wsh or p2tr.
    Address,
    /// A compressed secp256k1 public key.
    PublicKey,
    /// A name that was registered with the network.
    Alias,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "addresses",
            Self::PublicKey => "public keys",
            Self::Alias => "aliases",
        })
    }
}

/// A `user_identity`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Who is credited.
    pub identity: Identity,
    /// The worker's name, empty if none was given: statistics only.
    pub worker: String,
}

/// The text names nobody whom this network credits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Longer than [`MAX_USER_IDENTITY_LENGTH`].
    #[error("the user identity is longer than {MAX_USER_IDENTITY_LENGTH} bytes")]
    TooLong,
    /// Neither an address nor a public key nor an alias.
    #[error("not an address: use `<address>` or `<address>.<worker>`")]
    NotAnIdentity,
    /// An address of another network.
    #[error("the address belongs to another network")]
    OtherNetwork,
    /// An address of a kind that a coinbase of ours does not pay.
    #[error("the address is none of p2pkh, p2sh, p2wpkh, p2wsh and p2tr")]
    UnsupportedAddress,
    /// A worker name that is too long or holds control or non-ASCII characters.
    #[error("a worker name has at most {MAX_WORKER_LENGTH} printable ASCII characters")]
    InvalidWorker,
    /// Well-formed, but of a kind that this network does not take.
    #[error("{0} are not switched on as identities on this network")]
    SwitchedOff(Kind),
    /// An alias that nobody registered.
    #[error("nobody registered this alias")]
    UnknownAlias,
    /// Right, but not in its one spelling.
    #[error("the identity is not in its canonical form")]
    NotCanonical,
}

impl IdentityError {
    /// The code of SV2's `OpenMiningChannel.Error` (section 5.3.4).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownAlias => "unknown-user",
            Self::TooLong
            | Self::NotAnIdentity
            | Self::OtherNetwork
            | Self::UnsupportedAddress
            | Self::InvalidWorker
            | Self::SwitchedOff(_)
            | Self::NotCanonical => "invalid-user-identity",
        }
    }
}

/// Reads `<identity>[.<worker>]`.
///
/// # Errors
///
/// When the text is too long, names no identity of this network, or its worker is malformed.
/// Whether the identity's kind is taken is for [`Policy::check`] to say.
pub fn parse(user_identity: &str, network: Network) -> Result<Parsed, IdentityError> {
    if user_identity.len() > MAX_USER_IDENTITY_LENGTH {
        return Err(IdentityError::TooLong);
    }
    let (name, worker) = user_identity.split_once('.').unwrap_or((user_identity, ""));
    let identity = Identity::parse(name, network)?;
    if worker.len() > MAX_WORKER_LENGTH || !worker.bytes().all(is_printable) {
        return Err(IdentityError::InvalidWorker);
    }
    Ok(Parsed { identity, worker: worker.to_owned() })
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

impl Identity {
    /// Reads an identity without a worker's name, in any of its spellings.
    ///
    /// # Errors
    ///
    /// When the text names no identity of this network.
    pub fn parse(text: &str, network: Network) -> Result<Self, IdentityError> {
        if let Some(alias) = text.strip_prefix('@') {
            return Self::alias(alias);
        }
        if text.len() == PUBLIC_KEY_DIGITS
            && let Ok(key) = text.parse::<CompressedPublicKey>()
        {
            let key = key.to_bytes();
            return Self::committed(Kind::PublicKey, hex::encode(key), &key);
        }
        Self::address(text, network)
    }

    /// Reads an identity in its canonical form, as batches carry it.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::parse`], and `NotCanonical` for another spelling.
    pub fn from_canonical(text: &str, network: Network) -> Result<Self, IdentityError> {
        let identity = Self::parse(text, network)?;
        if identity.canonical() == text { Ok(identity) } else { Err(IdentityError::NotCanonical) }
    }

    fn alias(name: &str) -> Result<Self, IdentityError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !plain || !ALIAS_LENGTHS.contains(&name.len()) {
            return Err(IdentityError::NotAnIdentity);
        }
        let name = format!("@{}", name.to_ascii_lowercase());
        Self::committed(Kind::Alias, name.clone(), name.as_bytes())
    }

    /// An identity without an address: known by the hash that its coinbases commit to.
    fn committed(kind: Kind, canonical: String, bytes: &[u8]) -> Result<Self, IdentityError> {
        let miner = MinerId::new(Sha256::digest(bytes).to_vec());
        let miner = miner.ok_or(IdentityError::NotAnIdentity)?;
        Ok(Self { kind, canonical: canonical.into(), miner, payee: Payee::commitment(bytes) })
    }

    fn address(text: &str, network: Network) -> Result<Self, IdentityError> {
        if text.len() > MAX_ADDRESS_LENGTH {
            return Err(IdentityError::NotAnIdentity);
        }
        let unchecked: Address<NetworkUnchecked> =
            text.parse().map_err(|_| IdentityError::NotAnIdentity)?;
        let address =
            unchecked.require_network(network).map_err(|_| IdentityError::OtherNetwork)?;
        let script = address.script_pubkey().into_bytes();
        let payee = Payee::of_script(&script).ok_or(IdentityError::UnsupportedAddress)?;
        let miner = MinerId::new(script).ok_or(IdentityError::UnsupportedAddress)?;
        Ok(Self { kind: Kind::Address, canonical: address.to_string().into(), miner, payee })
    }

    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The one spelling: bech32 in lower case, a key as 66 lower-case digits, `@alias`.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Who is credited in the books: the canonical `scriptPubKey`, or SHA-256 of key or alias.
    pub const fn miner_id(&self) -> &MinerId {
        &self.miner
    }

    /// What output 1 of this miner's coinbases holds.
    pub const fn payee(&self) -> &Payee {
        &self.payee
    }

    /// The `scriptPubKey` of an address; `None` for an identity without one.
    pub fn payout_script(&self) -> Option<&[u8]> {
        match self.kind {
            Kind::Address => Some(self.payee.script()),
            Kind::PublicKey | Kind::Alias => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which kinds of identity a network takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    kinds: BTreeSet<Kind>,
    aliases: BTreeSet<Identity>,
}

impl Policy {
    /// Takes addresses only.
    pub fn addresses_only() -> Self {
        Self { kinds: BTreeSet::from([Kind::Address]), aliases: BTreeSet::new() }
    }

    /// Takes public keys too.
    #[must_use]
    pub fn with_public_keys(mut self) -> Self {
        self.kinds.insert(Kind::PublicKey);
        self
    }

    /// Takes aliases too: those that are `registered`.
    #[must_use]
    pub fn with_aliases(mut self, registered: impl IntoIterator<Item = Identity>) -> Self {
        self.kinds.insert(Kind::Alias);
        self.aliases.extend(registered.into_iter().filter(|one| one.kind() == Kind::Alias));
        self
    }

    /// Whether the network takes `identity`.
    ///
    /// # Errors
    ///
    /// `SwitchedOff` for a kind that it does not take, `UnknownAlias` for an unregistered alias.
    pub fn check(&self, identity: &Identity) -> Result<(), IdentityError> {
        let kind = identity.kind();
        if !self.kinds.contains(&kind) {
            return Err(IdentityError::SwitchedOff(kind));
        }
        if kind == Kind::Alias && !self.aliases.contains(identity) {
            return Err(IdentityError::UnknownAlias);
        }
        Ok(())
    }
}
