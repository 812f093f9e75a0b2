//! Who is behind a channel.

use mining::{Network, Payee, Policy, identity, identity::IdentityError};

/// A channel's miner, parsed once and shared by all that is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miner {
    /// The canonical identity.
    pub identity: String,
    /// The worker's name, empty if none was given.
    pub worker: String,
    /// What output 1 of its coinbases holds.
    pub payee: Payee,
}

impl Miner {
    /// Reads a `user_identity`, `<address>[.<worker>]`.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8, names nobody, or is of a kind that the network does not take; the
    /// error knows its code.
    pub fn parse(
        user_identity: &[u8],
        network: Network,
        policy: &Policy,
    ) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(user_identity).map_err(|_| IdentityError::NotAnIdentity)?;
        let parsed = identity::parse(text, network)?;
        policy.check(&parsed.identity)?;
        Ok(Self {
            identity: parsed.identity.canonical().to_owned(),
            payee: *parsed.identity.payee(),
            worker: parsed.worker,
        })
    }
}
